//! What guides a training, as a person writes it.

use attention_probes_errors::ValueError;
use attention_probes_models::HookPoint;
use serde::{Deserialize, Serialize};

use crate::SaeError;

/// How attention of some layers guides the training of an autoencoder.
///
/// With `f_q` the features of token `q` times the norms of their decoder rows, which are held fixed,
/// `A^l` the attention of layer `l`, `A* = Σ_l w_l A^l`, and `V` the variance of the activations,
///
/// ```text
/// L     = L_sae + V (alpha L_guide + beta L_cons + gamma L_con)
/// L_guide = mean_q Σ_k A*[q,k] (1 - cos(f_q, f_k)),                        f_k held fixed
/// L_cons  = mean_{l<l'} mean_q (1 - cos((A^l F)_q, (A^l' F)_q))
/// L_con   = -mean_q Σ_k A*[q,k] log(e^{cos(f_q,f_k)/tau} / (e^{cos(f_q,f_k)/tau} + Σ_n e^{cos(f_q,f_n)/tau}))
/// ```
///
/// where `n` runs over tokens of other texts, held fixed as `f_k` is. The weights of the losses are
/// shares of the variance, so that they mean the same for every model and width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuidanceConfig {
    /// Layers whose attention guides, counted from that of the hook: `-1` is the one before, which
    /// wrote what the hook reads, `1` the one after, which reads it.
    pub layers: Vec<i32>,
    /// What stands for their attention.
    pub attention: GuidanceSource,
    /// Weight of `L_guide`.
    pub alpha: f64,
    /// Weight of `L_cons`.
    pub beta: f64,
    /// Weight of `L_con`.
    pub gamma: f64,
    /// Temperature of `L_con`.
    pub tau: f64,
    /// Tokens of other texts that each token is told from in `L_con`.
    pub n_negatives: usize,
    /// Where the weights of the layers come from.
    pub layer_weights: LayerWeighting,
    /// Least entropy of the weights, as a share of that of equal ones.
    pub entropy_floor: f64,
    /// Whether the encoder reads what a token attends to beside the token's own activation:
    ///
    /// ```text
    /// pre = (x_q - b_dec) W_enc + Σ_l w_l (A^l X)_q W_attn^l + b_enc
    /// ```
    ///
    /// Such an autoencoder needs attention wherever it is used, and rows that are as many times as
    /// wide; nothing that calls `encode(x)` with an activation alone can use it.
    pub context_encoder: bool,
}

/// What stands for the attention of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuidanceSource {
    /// The model's.
    #[default]
    Model,
    /// The model's in another text: a control that keeps distances, but not what is said.
    Shuffled,
    /// The last few tokens in equal parts, as far back on average as the model attends: a control.
    Local,
    /// Every earlier token in equal parts: a control.
    Uniform,
}

/// Where the weights of layers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerWeighting {
    /// They are learned: of texts that the autoencoder is not trained on, what a token's attention
    /// gathers is to predict the token's own activation.
    #[default]
    Learned,
    /// All the same.
    Uniform,
}

impl Default for GuidanceConfig {
    fn default() -> Self {
        Self {
            layers: vec![-1, 0, 1],
            attention: GuidanceSource::Model,
            alpha: 0.1,
            beta: 0.02,
            gamma: 0.02,
            tau: 0.1,
            n_negatives: 64,
            layer_weights: LayerWeighting::Learned,
            entropy_floor: 0.25,
            context_encoder: false,
        }
    }
}

impl GuidanceConfig {
    /// Checks every field, and says which layers of the model guide.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hyperparameter`] if a number is out of range, or a layer is named twice or
    ///   before the first.
    /// - [`SaeError::Hook`] if the hook is of no layer.
    pub fn check(&self, hook: HookPoint) -> Result<Vec<usize>, SaeError> {
        let weight = |value: f64| value >= 0.0 && value.is_finite();
        let checks = [
            ("guidance.alpha", self.alpha, weight(self.alpha), "a finite number from 0 on"),
            ("guidance.beta", self.beta, weight(self.beta), "a finite number from 0 on"),
            ("guidance.gamma", self.gamma, weight(self.gamma), "a finite number from 0 on"),
            ("guidance.tau", self.tau, (0.01..=10.0).contains(&self.tau), "from 0.01 to 10"),
            (
                "guidance.n_negatives",
                self.n_negatives as f64,
                (1..=4096).contains(&self.n_negatives),
                "from 1 to 4096",
            ),
            (
                "guidance.entropy_floor",
                self.entropy_floor,
                (0.0..1.0).contains(&self.entropy_floor),
                "at least 0 and below 1",
            ),
            (
                "the number of guidance.layers",
                self.layers.len() as f64,
                !self.layers.is_empty(),
                "at least 1",
            ),
        ];
        for (name, value, is_right, expected) in checks {
            if !is_right {
                return Err(ValueError::new(name, value, expected).into());
            }
        }
        let layer = hook.layer().ok_or_else(|| SaeError::Hook { hook: hook.to_string() })?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for &offset in &self.layers {
            let found = usize::try_from(layer as i64 + i64::from(offset));
            match found {
                Ok(layer) if !layers.contains(&layer) => layers.push(layer),
                _ => {
                    let (name, value) = ("guidance.layers", f64::from(offset));
                    let expected = "layers of the model, each once, counted from the hook's";
                    return Err(ValueError::new(name, value, expected).into());
                }
            }
        }
        Ok(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_from_that_of_the_hook() {
        let hook = HookPoint::ResidPost(2);
        let config = GuidanceConfig { layers: vec![-2, 0, 1], ..GuidanceConfig::default() };
        assert_eq!(config.check(hook).unwrap(), [0, 2, 3]);
    }

    #[test]
    fn what_cannot_guide_is_refused() {
        let error =
            |config: GuidanceConfig| config.check(HookPoint::ResidPost(0)).unwrap_err().to_string();
        assert!(error(GuidanceConfig::default()).contains("`guidance.layers` is -1"));
        let at = |layers: &[i32]| GuidanceConfig {
            layers: layers.to_vec(),
            ..GuidanceConfig::default()
        };
        assert!(error(at(&[])).contains("at least 1"));
        assert!(error(at(&[1, 1])).contains("each once"));
        assert!(error(GuidanceConfig { alpha: f64::NAN, ..at(&[0]) }).contains("guidance.alpha"));
        assert!(error(GuidanceConfig { tau: 0.0, ..at(&[0]) }).contains("guidance.tau"));
    }
}
