//! Configs of probes: what every kind's has in common, and one of any kind.

use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::state::check_state;
use crate::{
    AnyProbe, AttentionProbeConfig, GatedBipolarProbeConfig, LinearProbeConfig, MlpProbeConfig,
    MultiMaxProbeConfig, ParamArray, ProbeError, ProbeKind, ProbeState,
    RollingAttentionProbeConfig, TokenProbeConfig, n_out,
};

/// What the config of every kind says about its probe.
pub(crate) trait KindConfig {
    /// The kind.
    fn kind(&self) -> ProbeKind;

    /// Width of the activations.
    fn d_model(&self) -> usize;

    /// Number of classes, 0 if the outputs are no classes.
    fn n_classes(&self) -> usize;

    /// Number of outputs: of logits, or of numbers.
    fn n_out(&self) -> usize {
        n_out(self.n_classes())
    }

    /// Name and shape of every array of weights.
    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)>;

    /// Draws one array of initial weights, `U(±1/√d_model)` unless the kind has it otherwise.
    fn draw(&self, _name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> ParamArray {
        ParamArray::uniform(shape, self.d_model(), rng)
    }

    /// Draws initial weights, array by array in the order of the shapes.
    fn draw_state(&self, seed: u64) -> ProbeState {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = self
            .shapes()
            .into_iter()
            .map(|(name, shape)| (name.to_owned(), self.draw(name, &shape, &mut rng)));
        drawn.collect()
    }

    /// Checks every field.
    fn check(&self) -> Result<(), ProbeError>;

    /// Checks every field, and that the weights are those of this config.
    fn check_state(&self, state: &ProbeState) -> Result<(), ProbeError> {
        self.check()?;
        check_state(state, &self.shapes(), self.kind().as_str())
    }
}

/// Config of a probe of any kind, tagged by `kind` in files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProbeConfig {
    /// Config of a [`LinearProbe`](crate::LinearProbe).
    Linear(LinearProbeConfig),
    /// Config of an [`MlpProbe`](crate::MlpProbe).
    Mlp(MlpProbeConfig),
    /// Config of an [`AttentionProbe`](crate::AttentionProbe).
    Attention(AttentionProbeConfig),
    /// Config of a [`TokenProbe`](crate::TokenProbe).
    Token(TokenProbeConfig),
    /// Config of a [`MultiMaxProbe`](crate::MultiMaxProbe).
    #[serde(rename = "multimax")]
    MultiMax(MultiMaxProbeConfig),
    /// Config of a [`RollingAttentionProbe`](crate::RollingAttentionProbe).
    RollingAttention(RollingAttentionProbeConfig),
    /// Config of a [`GatedBipolarProbe`](crate::GatedBipolarProbe).
    GatedBipolar(GatedBipolarProbeConfig),
}

impl ProbeConfig {
    fn of_kind(&self) -> &dyn KindConfig {
        match self {
            Self::Linear(config) => config,
            Self::Mlp(config) => config,
            Self::Attention(config) => config,
            Self::Token(config) => config,
            Self::MultiMax(config) => config,
            Self::RollingAttention(config) => config,
            Self::GatedBipolar(config) => config,
        }
    }

    /// Returns the kind of the probe.
    pub fn kind(&self) -> ProbeKind {
        self.of_kind().kind()
    }

    /// Returns the width of the activations that the probe reads.
    pub fn d_model(&self) -> usize {
        self.of_kind().d_model()
    }

    /// Returns the number of classes that the probe tells apart, 0 if its outputs are no classes.
    pub fn n_classes(&self) -> usize {
        self.of_kind().n_classes()
    }

    /// Returns the number of outputs: of logits, or of numbers.
    pub fn n_out(&self) -> usize {
        self.of_kind().n_out()
    }

    /// Draws initial weights; one seed gives the same bits on every device and platform.
    pub fn init_state(&self, seed: u64) -> ProbeState {
        self.of_kind().draw_state(seed)
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if one is out of range.
    pub fn check(&self) -> Result<(), ProbeError> {
        self.of_kind().check()
    }

    /// Checks every field, and that the weights are those of this config.
    pub(crate) fn check_state(&self, state: &ProbeState) -> Result<(), ProbeError> {
        self.of_kind().check_state(state)
    }

    /// Number of parameters.
    pub fn n_params(&self) -> u64 {
        let size = |shape: Vec<usize>| {
            shape.into_iter().fold(1_u64, |size, axis| size.saturating_mul(axis as u64))
        };
        let sizes = self.of_kind().shapes().into_iter().map(|(_, shape)| size(shape));
        sizes.fold(0, u64::saturating_add)
    }

    /// Makes an untrained probe.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if a field is out of range.
    pub fn init(&self, seed: u64, device: &Device) -> Result<AnyProbe, ProbeError> {
        self.check()?;
        AnyProbe::from_state(&self.init_state(seed), self, device)
    }
}

macro_rules! from_config_of_a_kind {
    ($($kind:ident: $config:ty),*) => {$(
        impl From<$config> for ProbeConfig {
            fn from(config: $config) -> Self {
                Self::$kind(config)
            }
        }
    )*};
}

from_config_of_a_kind! {
    Linear: LinearProbeConfig,
    Mlp: MlpProbeConfig,
    Attention: AttentionProbeConfig,
    Token: TokenProbeConfig,
    MultiMax: MultiMaxProbeConfig,
    RollingAttention: RollingAttentionProbeConfig,
    GatedBipolar: GatedBipolarProbeConfig
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_tagged_by_its_kind_and_refuses_unknown_fields() {
        let config = ProbeConfig::Attention(AttentionProbeConfig::new(8, 3));
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.starts_with(r#"{"kind":"attention","d_model":8,"n_classes":3"#), "{json}");
        assert_eq!(serde_json::from_str::<ProbeConfig>(&json).unwrap(), config);
        let typo = json.replace("n_heads", "heads");
        assert!(serde_json::from_str::<ProbeConfig>(&typo).is_err());
    }
}
