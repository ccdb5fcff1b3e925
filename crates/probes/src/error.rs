//! The one error type of this crate.

use std::path::PathBuf;

use attention_probes_errors::{FileError, Stopped, ValueError};

/// Why a probe could not be built, trained, saved, or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A signal to stop was given.
    #[error(transparent)]
    Stopped(#[from] Stopped),

    /// What a probe says of its outputs contradicts its config.
    #[error(
        "`outputs` is {outputs:?} and `n_classes` is {n_classes}, expected 0 classes unless outputs \
         are classes"
    )]
    Outputs {
        /// What the outputs are said to be.
        outputs: crate::Outputs,
        /// Number of classes.
        n_classes: usize,
    },
    /// A hyperparameter is out of range.
    #[error(transparent)]
    Hyperparameter(#[from] ValueError),

    /// A name is not that of a probe kind.
    #[error("unknown probe kind `{name}`, expected {}", known.join(", "))]
    UnknownKind {
        /// What the caller gave.
        name: String,
        /// The kinds that are known.
        known: Vec<String>,
    },
    /// The settings of a kind are not its own.
    #[error("settings of the probe kind `{kind}` cannot be read")]
    Settings {
        /// Name of the kind.
        kind: String,
        /// Which, and why.
        source: serde_json::Error,
    },
    /// A kind has no reader for streams, and no device was given to pass forward on.
    #[error(
        "probes of kind `{kind}` have no reader of their own, `StreamingProbe::on_device` reads them"
    )]
    NoReader {
        /// Name of the kind.
        kind: String,
    },
    /// An array of a probe does not fit into memory.
    #[error("the array `{array}` of size {shape:?} does not fit into memory")]
    ArraySize {
        /// Its name.
        array: String,
        /// Its axes.
        shape: Vec<usize>,
    },

    /// A loss of tokens meets a probe that does not score tokens, or knows more than two classes.
    #[error(
        "the loss `softmax_weighted` needs a token probe of 2 classes, not a probe of kind `{kind}` \
         and {n_classes} classes"
    )]
    LossOfTokens {
        /// Kind of the probe.
        kind: String,
        /// Classes that it tells apart.
        n_classes: usize,
    },
    /// A way of training cannot be used for the probe it is asked for.
    #[error("`{name}` {reason}")]
    Recipe {
        /// The way, as configurations call it.
        name: &'static str,
        /// What it needs.
        reason: &'static str,
    },
    /// Two parts of the data do not fit together.
    #[error("{what} is {found}, expected {expected}")]
    SizeMismatch {
        /// Which size, such as `the number of labels`.
        what: &'static str,
        /// What was found.
        found: usize,
        /// What the other parts of the data ask for.
        expected: usize,
    },

    /// A label names a class that does not exist.
    #[error("example {example} has label {label}, expected a label below {n_classes}")]
    LabelOutOfRange {
        /// Index of the example.
        example: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        n_classes: usize,
    },

    /// All examples belong to one class, so there is nothing to tell apart.
    #[error(
        "all {n_examples} examples have class `{class}`; give examples of at least two classes"
    )]
    OneClass {
        /// Name of the only class.
        class: String,
        /// Number of examples that were kept.
        n_examples: usize,
    },

    /// No example is left.
    #[error("no example is left, {n_skipped} were skipped because they hold NaN or infinity")]
    NoExamples {
        /// Number of examples that were skipped.
        n_skipped: usize,
    },

    /// An example consists of padding alone.
    #[error("example {example} has no real token; remove it or correct its mask")]
    NoRealToken {
        /// Index of the example.
        example: usize,
    },

    /// The loss stopped being a number.
    #[error("the loss is {loss} at step {step}; lower the learning rate or scale the activations")]
    Diverged {
        /// Step of the optimizer, from 0.
        step: usize,
        /// The loss.
        loss: f64,
    },

    /// A weight that the probe needs is not there.
    #[error("array `{array}` is missing; a saved {kind} probe has it, so save the probe again")]
    MissingArray {
        /// Name of the array.
        array: String,
        /// Kind of the probe.
        kind: String,
    },

    /// A file has weights, but nothing that says what they are.
    #[error("there is no array `metadata` to say what the weights are; save the probe again")]
    NoMetadata,

    /// There is a weight that the probe has no use for.
    #[error("array `{array}` is no part of a {kind} probe of this config; remove it")]
    UnknownArray {
        /// Name of the array.
        array: String,
        /// Kind of the probe.
        kind: String,
    },

    /// A weight does not have the shape that the config asks for.
    #[error("array `{array}` has shape {found:?}, but the config asks for {expected:?}")]
    ArrayShape {
        /// Name of the array.
        array: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the config asks for.
        expected: Vec<usize>,
    },

    /// A weight is not stored as the expected type of number.
    #[error("array `{array}` does not hold {expected} numbers; save it as {expected}")]
    ArrayType {
        /// Name of the array.
        array: String,
        /// The type that is read.
        expected: &'static str,
    },

    /// A weight is NaN or infinite.
    #[error("array `{array}` holds {value} at index {index}; train the probe again")]
    NonFinite {
        /// Name of the array.
        array: String,
        /// Index of the first such value, row-major.
        index: usize,
        /// The value.
        value: f32,
    },

    /// The metadata of a probe is not what this version writes.
    #[error("the metadata cannot be read; save the probe again")]
    Metadata {
        /// What serde says.
        source: serde_json::Error,
    },

    /// The file was written in a format that this version does not know.
    #[error(
        "format version {found} is unknown, expected {expected}; use the version that wrote it"
    )]
    FormatVersion {
        /// Version in the file.
        found: u64,
        /// The version that is read and written here.
        expected: u64,
    },

    /// A name would not stay inside the output folder.
    #[error("`{stem}` is no file name; use letters, digits, `.`, `_`, `+`, and `-`")]
    FileStem {
        /// What the caller gave.
        stem: String,
    },

    /// A probe file cannot be used; `source` says why.
    #[error("cannot use the probe file `{}`", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ProbeError>,
    },

    /// A file or folder could not be read, written, or made.
    #[error(transparent)]
    File(#[from] FileError),

    /// Activations or their files could not be read or written; the source says which and why.
    #[error(transparent)]
    Activation {
        /// What the reader or writer says.
        source: attention_probes_activations::ActivationError,
    },

    /// A feature is not a number that can be worked with.
    #[error(
        "feature {feature} of example {example} is {value}, expected a finite number of magnitude \
         at most 1e18; leave the example out"
    )]
    BadFeature {
        /// Index of the example.
        example: usize,
        /// Index of the feature.
        feature: usize,
        /// The number.
        value: f32,
    },

    /// Something is for classes, and the labels are not.
    #[error("{what} are for classes, and labels are of kind `{kind}`")]
    ForClasses {
        /// What is for classes.
        what: &'static str,
        /// The kind of the labels, as configurations spell it.
        kind: &'static str,
    },

    /// A loss is not for labels of this kind.
    #[error("the loss is not for labels of kind `{kind}`; use `cross_entropy`")]
    LossOfLabels {
        /// The kind, as configurations spell it.
        kind: &'static str,
    },

    /// A target is not a number that can be learned.
    #[error("the target of example {example} is {value}, expected {expected}")]
    BadTarget {
        /// Index of the example.
        example: usize,
        /// The number.
        value: f32,
        /// What would have been accepted.
        expected: &'static str,
    },

    /// A weight of an example is out of range, or no example weighs anything.
    #[error(
        "the weight of example {example} is {weight}, expected numbers from 1e-30 to 1e30, or 0 \
         for some but not all that are trained on"
    )]
    BadWeight {
        /// Index of the example, 0 if all weights are 0.
        example: usize,
        /// The weight.
        weight: f64,
    },

    /// A class has no example.
    #[error("class {class} has no example; add some, or number the classes without it")]
    EmptyClass {
        /// The class.
        class: usize,
    },

    /// A fold holds all examples of a class, so that none is left to train on.
    #[error(
        "all {n_examples} examples of class {class} are in one fold; add examples or groups of it, \
         or group by a finer column"
    )]
    ClassInOneFold {
        /// The class.
        class: usize,
        /// Examples of the class.
        n_examples: usize,
    },

    /// The covariance within the classes has no inverse.
    #[error(
        "the covariance within the classes has no inverse; raise the shrinkage, or add examples"
    )]
    SingularCovariance,

    /// An eigendecomposition did not come to an end.
    #[error("the eigenvalues of the features were not found; scale the features")]
    NoEigenvalues,

    /// A convex problem was not solved, so its weights are not those of its penalty.
    #[error(
        "the fit with penalty {penalty} did not converge: after {n_iterations} iterations the \
         gradient is {gradient_norm:.1e}, expected at most {tolerance:.1e}; raise the penalty, \
         `max_iterations`, or `tolerance`"
    )]
    Unconverged {
        /// The penalty.
        penalty: f64,
        /// Largest entry of the gradient per unit of example weight.
        gradient_norm: f64,
        /// Passes over the features.
        n_iterations: usize,
        /// Largest entry that would have been accepted.
        tolerance: f64,
    },

    /// A decision is asked for, and the outputs of the probe are no classes.
    #[error("a decision needs a classifier; the probe predicts numbers or several labels")]
    NotClasses,

    /// A probe has no threshold for a false-positive rate.
    #[error(
        "it has no threshold for a false-positive rate of {target_fpr}, but for {}; train it with \
         `evaluation.target_fprs`, and enough negatives",
        rates(known)
    )]
    NoThreshold {
        /// The rate that was asked for.
        target_fpr: f64,
        /// Those that it has a threshold for.
        known: Vec<f64>,
    },

    /// A probe has no calibrator of a method.
    #[error("it has no calibrator `{method}`, leave it out")]
    NoCalibrator {
        /// The method.
        method: &'static str,
    },

    /// A probe has no two thresholds to defer by.
    #[error("it has no two thresholds to defer by; train it with more examples of both classes")]
    NoDeferral,

    /// A saved probe cannot be used as it was asked for.
    #[error(transparent)]
    Apply {
        /// Why.
        #[from]
        source: crate::ApplyError,
    },

    /// The model of a probe could not be opened.
    #[error(transparent)]
    Model {
        /// Why.
        source: attention_probes_models::ModelError,
    },

    /// A device did not hand over the numbers of a probe or of its data.
    #[error("cannot read the numbers of a probe or of its data")]
    Device {
        /// What the device says.
        source: attention_probes_models::ModelError,
    },

    /// Lines of texts or activations cannot be read, or answers cannot be written.
    #[error("cannot read or write lines")]
    Stream {
        /// What the operating system said.
        source: std::io::Error,
    },

    /// The scores could not be turned into metrics.
    #[error("cannot compute the metrics")]
    Metrics {
        /// What the metrics say.
        source: attention_probes_metrics::MetricError,
    },

    /// A probe that is not of this crate failed.
    #[error(transparent)]
    Foreign(Box<dyn std::error::Error + Send + Sync>),
}

impl From<attention_probes_activations::ActivationError> for ProbeError {
    fn from(source: attention_probes_activations::ActivationError) -> Self {
        match source {
            attention_probes_activations::ActivationError::Stopped => Stopped.into(),
            source => Self::Activation { source },
        }
    }
}

impl From<attention_probes_models::ModelError> for ProbeError {
    fn from(source: attention_probes_models::ModelError) -> Self {
        match source {
            attention_probes_models::ModelError::Stopped(stopped) => stopped.into(),
            source => Self::Device { source },
        }
    }
}

/// Rates, or that there are none.
fn rates(known: &[f64]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}
