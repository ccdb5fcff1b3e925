//! A kind of probe for activations of some width.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use attention_probes_activations::{LabelKind, Labels};
use attention_probes_errors::ValueError;
use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::kinds::{Kinds, ProbeKind, ProbeSize, UnknownKind};
use crate::state::{check_n_classes, check_shapes, check_sizes, check_state};
use crate::{Loss, OutputScale, Probe, ProbeError, ProbeState, n_out};

/// A kind of probe with its settings, for activations of some width and some classes or outputs.
///
/// In files it is one object: `kind`, `d_model`, `n_classes`, then the settings of the kind. A file
/// that names a kind of yours is read as it stands; [`ProbeConfig::resolve`] makes it known.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Attention, ProbeConfig};
///
/// let config = ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, 8, 2);
/// assert_eq!((config.kind().name(), config.d_model(), config.n_out()), ("attention", 8, 1));
/// assert_eq!(config.kind_as::<Attention>().map(|kind| kind.n_heads), Some(2));
/// ```
#[derive(Clone)]
pub struct ProbeConfig {
    kind: Arc<dyn ProbeKind>,
    d_model: usize,
    /// 0 for regression and multi-label probes.
    n_classes: usize,
    n_outputs: Option<usize>,
    output_scale: Option<OutputScale>,
}

impl ProbeConfig {
    /// A probe that tells classes apart.
    pub fn new(kind: impl ProbeKind, d_model: usize, n_classes: usize) -> Self {
        Self::of_kind(Arc::new(kind), d_model, n_classes)
    }

    /// As [`ProbeConfig::new`], of a kind that others share.
    pub fn of_kind(kind: Arc<dyn ProbeKind>, d_model: usize, n_classes: usize) -> Self {
        Self { kind, d_model, n_classes, n_outputs: None, output_scale: None }
    }

    /// A probe whose outputs are numbers, or logits of labels that exclude nothing.
    pub fn of_outputs(kind: impl ProbeKind, d_model: usize, n_outputs: usize) -> Self {
        Self { n_outputs: Some(n_outputs), ..Self::new(kind, d_model, 0) }
    }

    /// The same kind and width for labels of any kind: the outputs are those that the labels need.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::Labels;
    /// use attention_probes::probes::{MultiMax, ProbeConfig};
    ///
    /// let topics = Labels::of_labels(vec![1.0, 0.0, 0.0, 1.0], vec!["war".into(), "art".into()]);
    /// let config = ProbeConfig::new(MultiMax { n_heads: 2 }, 8, 2).for_labels(&topics);
    /// assert_eq!((config.n_classes(), config.n_out()), (0, 2));
    /// ```
    #[must_use]
    pub fn for_labels(&self, labels: &Labels) -> Self {
        let n = labels.names.len();
        let (n_classes, n_outputs) = match labels.kind() {
            LabelKind::Class | LabelKind::Distribution => (n, None),
            LabelKind::Number => (0, Some(1)),
            LabelKind::Labels => (0, Some(n)),
        };
        Self { n_classes, n_outputs, output_scale: None, ..self.clone() }
    }

    /// The same, whose only output stands for a number of this scale.
    #[must_use]
    pub fn with_output_scale(&self, scale: OutputScale) -> Self {
        Self { output_scale: Some(scale), ..self.clone() }
    }

    /// The same, whose output stands for a number of this scale unless one has been given.
    pub(crate) fn or_output_scale(&self, scale: OutputScale) -> Self {
        self.with_output_scale(self.output_scale.unwrap_or(scale))
    }

    /// What the output of a probe of a number stands for.
    pub fn output_scale(&self) -> OutputScale {
        self.output_scale.unwrap_or_default()
    }

    /// The kind.
    pub fn kind(&self) -> &dyn ProbeKind {
        &*self.kind
    }

    /// The settings of a kind, if it is this one.
    pub fn kind_as<K: ProbeKind>(&self) -> Option<&K> {
        let kind: &dyn Any = &*self.kind;
        kind.downcast_ref()
    }

    /// The same sizes with another kind.
    #[must_use]
    pub fn with_kind(&self, kind: Arc<dyn ProbeKind>) -> Self {
        Self { kind, ..self.clone() }
    }

    /// Width of the activations that the probe reads.
    pub fn d_model(&self) -> usize {
        self.d_model
    }

    /// Number of classes that the probe tells apart, 0 for regression and multi-label probes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of outputs: of logits, or of numbers.
    pub fn n_out(&self) -> usize {
        self.n_outputs.unwrap_or_else(|| n_out(self.n_classes))
    }

    /// What the probe reads and says.
    pub fn size(&self) -> ProbeSize {
        ProbeSize { d_model: self.d_model, n_out: self.n_out() }
    }

    /// Draws initial weights; one seed gives the same bits on every device and platform.
    pub fn init_state(&self, seed: u64) -> ProbeState {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let size = self.size();
        let draw = |(name, shape): (&str, Vec<usize>)| {
            (name.to_owned(), self.kind.draw(name, &shape, size, &mut rng))
        };
        self.kind.layout(size).shapes(size).into_iter().map(draw).collect()
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if one is out of range.
    /// - [`ProbeError::UnknownKind`] if the kind is known by its name alone.
    pub fn check(&self) -> Result<(), ProbeError> {
        self.kind.check()?;
        match self.n_outputs {
            None => {
                check_n_classes(self.n_classes)?;
                check_sizes(&[("n_classes", self.n_classes), ("d_model", self.d_model)])?;
            }
            Some(_) if self.n_classes != 0 => {
                let expected = "0 beside `n_outputs`";
                return Err(ValueError::new("n_classes", self.n_classes, expected).into());
            }
            Some(n) => check_sizes(&[("n_outputs", n), ("d_model", self.d_model)])?,
        }
        let given = self.output_scale.filter(|scale| !scale.is_identity());
        if let Some(OutputScale { mean, scale }) = given {
            if self.n_outputs != Some(1) {
                let expected = "absent unless there is one output, a number";
                return Err(ValueError::new("output_scale", scale, expected).into());
            }
            if !(mean.is_finite() && scale.is_finite() && scale > 0.0) {
                let expected = "a number above 0, with a finite mean";
                return Err(ValueError::new("output_scale", scale, expected).into());
            }
        }
        for (name, shape) in self.kind.layout(self.size()).shapes(self.size()) {
            let product =
                shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
            if product.is_none_or(|n| n > isize::MAX as usize / size_of::<f32>()) {
                return Err(ProbeError::ArraySize { array: name.to_owned(), shape });
            }
        }
        Ok(())
    }

    /// Checks every field, and that the weights have the names and shapes of this config.
    ///
    /// # Errors
    ///
    /// - as [`ProbeConfig::check`].
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], or [`ProbeError::ArrayShape`].
    pub fn check_shapes(&self, state: &ProbeState) -> Result<(), ProbeError> {
        self.check()?;
        let shapes = self.kind.layout(self.size()).shapes(self.size());
        check_shapes(state, &shapes, self.kind.name())
    }

    /// Checks every field, and that the weights are those of this config.
    pub(crate) fn check_state(&self, state: &ProbeState) -> Result<(), ProbeError> {
        self.check()?;
        let shapes = self.kind.layout(self.size()).shapes(self.size());
        check_state(state, &shapes, self.kind.name())
    }

    /// Checks that the probe can be trained by a loss, and the loss's parameters.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a parameter is out of range
    /// - [`ProbeError::LossOfTokens`] if a loss of tokens meets a probe that does not score tokens,
    ///   or tells more than two classes apart
    pub fn check_loss(&self, loss: &Loss) -> Result<(), ProbeError> {
        loss.check()?;
        let scores_tokens = self.kind().scores_tokens() && self.n_classes() == 2;
        if matches!(loss, Loss::SoftmaxWeighted { .. }) && !scores_tokens {
            let (kind, n_classes) = (self.kind().name().to_owned(), self.n_classes());
            return Err(ProbeError::LossOfTokens { kind, n_classes });
        }
        Ok(())
    }

    /// Makes a kind known that a file only named.
    ///
    /// # Errors
    ///
    /// As [`Kinds::read`].
    pub fn resolve(self, kinds: &Kinds) -> Result<Self, ProbeError> {
        match self.kind_as::<UnknownKind>() {
            Some(UnknownKind { name, settings }) => {
                let kind = kinds.read(name, settings.clone())?;
                Ok(self.with_kind(kind))
            }
            None => Ok(self),
        }
    }

    /// Number of parameters.
    pub fn n_params(&self) -> u64 {
        let size = |shape: Vec<usize>| {
            shape.into_iter().fold(1_u64, |size, axis| size.saturating_mul(axis as u64))
        };
        let shapes = self.kind.layout(self.size()).shapes(self.size());
        shapes.into_iter().map(|(_, shape)| size(shape)).fold(0, u64::saturating_add)
    }

    /// Makes an untrained probe.
    ///
    /// # Errors
    ///
    /// As [`ProbeConfig::check`].
    pub fn init(&self, seed: u64, device: &Device) -> Result<Probe, ProbeError> {
        self.check()?;
        Probe::from_state(&self.init_state(seed), self, device)
    }

    fn to_json(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self)
    }
}

impl fmt::Debug for ProbeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, d_model, n_classes, n_outputs, output_scale } = self;
        let mut probe = f.debug_struct("ProbeConfig");
        probe.field("kind", kind).field("d_model", d_model).field("n_classes", n_classes);
        if let Some(n_outputs) = n_outputs {
            probe.field("n_outputs", n_outputs);
        }
        if let Some(scale) = output_scale {
            probe.field("output_scale", scale);
        }
        probe.finish()
    }
}

/// Configs are equal if files of them are.
impl PartialEq for ProbeConfig {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.to_json(), other.to_json()), (Ok(a), Ok(b)) if a == b)
    }
}

impl Serialize for ProbeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct File<'a> {
            kind: &'a str,
            d_model: usize,
            n_classes: usize,
            #[serde(flatten)]
            settings: Settings<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            n_outputs: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            output_scale: Option<OutputScale>,
        }
        struct Settings<'a>(&'a dyn ProbeKind);
        impl Serialize for Settings<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                erased_serde::serialize(self.0, serializer).map_err(S::Error::custom)
            }
        }
        let Self { d_model, n_classes, n_outputs, .. } = *self;
        let output_scale = self.output_scale.filter(|scale| !scale.is_identity());
        let (kind, settings) = (self.kind.name(), Settings(self.kind()));
        File { kind, d_model, n_classes, settings, n_outputs, output_scale }.serialize(serializer)
    }
}

/// Settings of a kind of this library are checked by name; those of another are kept as they are.
impl<'de> Deserialize<'de> for ProbeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct File {
            kind: String,
            d_model: usize,
            n_classes: usize,
            #[serde(default)]
            n_outputs: Option<usize>,
            #[serde(default)]
            output_scale: Option<OutputScale>,
            #[serde(flatten)]
            settings: Map<String, Value>,
        }
        let File { kind: name, d_model, n_classes, n_outputs, output_scale, settings } =
            File::deserialize(deserializer)?;
        let kind: Arc<dyn ProbeKind> = match Kinds::builtin().read(&name, settings.clone()) {
            Ok(kind) => kind,
            Err(ProbeError::Settings { source, .. }) => {
                return Err(serde::de::Error::custom(source));
            }
            Err(_) => Arc::new(UnknownKind { name, settings }),
        };
        Ok(Self { kind, d_model, n_classes, n_outputs, output_scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attention;

    #[test]
    fn a_config_is_tagged_by_its_kind_and_refuses_unknown_fields() {
        let config = ProbeConfig::new(Attention::default(), 8, 3);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"attention","d_model":8,"n_classes":3,"n_heads":1,"hidden_dim":null,"activation":"softmax","attention_dropout":0.0,"last_only":false}"#
        );
        assert_eq!(serde_json::from_str::<ProbeConfig>(&json).unwrap(), config);
        let typo = json.replace("n_heads", "heads");
        let error = serde_json::from_str::<ProbeConfig>(&typo).unwrap_err();
        assert!(error.to_string().contains("unknown field `heads`"), "{error}");
    }

    #[test]
    fn a_kind_that_nobody_knows_is_kept_and_refused() {
        let json = r#"{"kind":"contrast","d_model":8,"n_classes":2,"sharpness":1.5}"#;
        let config: ProbeConfig = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), json);
        let error = config.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown probe kind `contrast`, expected linear, mlp, attention, token, multimax, \
             rolling_attention, gated_bipolar"
        );
    }
}
