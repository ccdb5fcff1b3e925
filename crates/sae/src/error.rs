//! The one error type of this crate.

use std::path::PathBuf;

use attention_probes_activations::ActivationError;
use attention_probes_errors::{
    FileError, JsonFileError, Stopped, TomlError, ValueError, foreign_words, listed, shown_size,
};
use attention_probes_metrics::MetricError;
use attention_probes_models::ModelError;
use attention_probes_probes::ProbeError;

use crate::eval::EvalError;
use crate::formats::SiteError;
use crate::run::RunError;

/// Why an autoencoder could not be read, written, trained, or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaeError {
    /// A file or folder could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A path is no autoencoder of any known form.
    #[error(
        "`{}` is no sparse autoencoder; expected a folder with `cfg.json` and \
         `sae_weights.safetensors` (SAELens) or `sae.safetensors` (sparsify), `params.npz` (Gemma \
         Scope), `ae.pt` with `config.json` (dictionary_learning), or `NAME.pt` with \
         `NAME_cfg.json`", path.display()
    )]
    UnknownFormat {
        /// What was asked for.
        path: PathBuf,
    },
    /// The whole tensor of a text is too large to be written.
    #[error(
        "the tensor has {n_values} values, {}; take fewer heads, or a shorter text",
        shown_size(*n_bytes)
    )]
    TooLarge {
        /// How many values.
        n_values: usize,
        /// Bytes that they take.
        n_bytes: u64,
    },
    /// An address of the Hub is none of an autoencoder, or there is no Hub.
    #[error(
        "`{}` is no autoencoder on the Hub; expected `hf://OWNER/REPO/PATH`, perhaps with `@REVISION` \
         behind the repository", path.display()
    )]
    Address {
        /// What was asked for.
        path: PathBuf,
    },
    /// A folder of the Hub has several autoencoders, or none.
    #[error("`{}` is no autoencoder itself; it has {entries}", path.display())]
    NoSaeThere {
        /// What was asked for.
        path: PathBuf,
        /// What lies in it.
        entries: String,
    },
    /// A repository of the Hub has no such file or folder.
    #[error("`{}`: there is {what}", path.display())]
    NotOnHub {
        /// What was asked for.
        path: PathBuf,
        /// What is not there, and what is.
        what: String,
    },
    /// A configuration is not valid JSON, or a field has the wrong type.
    #[error(transparent)]
    Json(#[from] JsonFileError),
    /// A configuration is not valid TOML, or has an unknown key or a value of a wrong type.
    #[error("`{}` is not a valid training run", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why, with a caret.
        source: Box<TomlError>,
    },
    /// The texts fill no context.
    #[error("the texts have fewer tokens than one context of {length}, lower `data.context_size`")]
    NoContext {
        /// Tokens of a context.
        length: usize,
    },
    /// Contexts are longer than what a model reads.
    #[error("`context_size` is {context_size}, but `{model}` reads {n_ctx} tokens at most")]
    ContextLength {
        /// Tokens of a context.
        context_size: usize,
        /// Name of the model.
        model: String,
        /// Tokens that it reads.
        n_ctx: usize,
    },
    /// The texts of some files fill no context.
    #[error("{}: fewer tokens than one context of {length}", named(files))]
    ShortTexts {
        /// The files.
        files: Vec<PathBuf>,
        /// Tokens of a context.
        length: usize,
    },
    /// A hook gives no row for each token.
    #[error("`{hook}` has no row for each token, expected a hook such as `blocks.1.attn.hook_z`")]
    Hook {
        /// The hook.
        hook: String,
    },
    /// No context has finite activations.
    #[error("the activations of all {n_contexts} contexts have NaN or infinity")]
    NotFinite {
        /// How many were looked at.
        n_contexts: usize,
    },
    /// A checkpoint is damaged, or of another run.
    #[error("`{}` is no checkpoint of this run: {reason}; remove it to start over", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of attention is damaged, or of other contexts or another model.
    #[error(
        "`{}` is no attention of these contexts: {reason}; remove it to extract it again",
        path.display()
    )]
    AttentionStore {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A configuration lacks what cannot be guessed, or says what cannot be true.
    #[error("`{}`: `{key}` is {found}, expected {expected}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        key: &'static str,
        /// What it says.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A configuration names an architecture that is not known here.
    #[error(
        "`{}`: unknown architecture `{found}`, expected standard, topk, jumprelu, or gated",
        path.display()
    )]
    UnknownArchitecture {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A file of weights is damaged, or holds something else.
    #[error("`{}` is no file of weights: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A pickle refers to what no state dict needs.
    #[error(
        "`{}` asks for `{global}`, which no file of weights needs and could run code; nothing of it \
         was run", path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Module and name.
        global: String,
    },
    /// Weights lack an array.
    #[error("`{}` has no array `{array}`; arrays: {}", path.display(), listed(arrays))]
    MissingArray {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        array: &'static str,
        /// Names of those that it has and that were not taken yet.
        arrays: Vec<String>,
    },
    /// A folder holds what is published beside autoencoders and is none.
    #[error(
        "`{}` is {what}, which is not supported; expected an autoencoder of Gemma Scope's `-res`, \
         `-mlp`, or `-att` collections", path.display()
    )]
    NotAnAutoencoder {
        /// The folder.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// An array has another shape than the configuration asks for.
    #[error("`{}`: `{array}` is {found:?}, expected {expected:?}", path.display())]
    ArrayShape {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        array: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that was expected.
        expected: Vec<usize>,
    },
    /// A weight is NaN or infinite.
    #[error("`{array}` has {value} at position {index}, expected finite numbers")]
    NonFinite {
        /// Name of the array.
        array: &'static str,
        /// Position of the first such number.
        index: usize,
        /// The number.
        value: f32,
    },
    /// Weights are finite, but too large to be added up.
    #[error(
        "`{array}` has numbers of feature {feature} whose squares are beyond 32 bits, expected \
         weights of ordinary size"
    )]
    Huge {
        /// Name of the array.
        array: &'static str,
        /// The first feature with such weights.
        feature: usize,
    },
    /// What a file holds was read, and cannot be used.
    #[error("`{}` cannot be used", path.display())]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<SaeError>,
    },
    /// A number of the caller's is out of range, or a word is not one of those that are known.
    #[error(transparent)]
    Hyperparameter(#[from] ValueError),
    /// An autoencoder does not fit the activations.
    #[error("{what} is {found}, expected {expected}")]
    SizeMismatch {
        /// Which size, such as `the width of the activations`.
        what: &'static str,
        /// What was found.
        found: usize,
        /// What was expected.
        expected: usize,
    },
    /// A text has no position whose activation is other than 0, or there is no text.
    #[error("text {text} has no position with an activation other than 0")]
    EmptyText {
        /// Which text.
        text: usize,
    },
    /// Two classes have one name.
    #[error("two classes are named `{class}`")]
    SameClass {
        /// The name.
        class: String,
    },
    /// Results of several evaluations cannot be summarised together.
    #[error("a result is of the evaluation `{found}`, expected `{expected}`")]
    OtherEvaluation {
        /// Evaluation of a result.
        found: &'static str,
        /// That of the first one.
        expected: &'static str,
    },
    /// No token is left to measure.
    #[error("there is no token to measure: none was given, or every one is special or padding")]
    NoTokens,
    /// An autoencoder belongs to another model or place.
    #[error("the autoencoder reads {reads}, not {asked}")]
    Site {
        /// What its file says.
        reads: String,
        /// What the caller asked for.
        asked: String,
    },
    /// Autoencoders that are read together do not agree.
    #[error("the autoencoders name two {what}, `{first}` and `{other}`")]
    Differ {
        /// About what, such as `models`.
        what: &'static str,
        /// What the first one says.
        first: String,
        /// What another one says.
        other: String,
    },
    /// An autoencoder does not say which hook it reads.
    #[error("the autoencoder names no hook; set `hook_name` in its `cfg.json`")]
    NoHook,
    /// The features of an autoencoder do not add up to a layer's scores.
    #[error(
        "the scores of layer {layer} do not read `{hook}`, so its features do not add up to them; \
         expected an autoencoder of {possible}"
    )]
    NotDecomposed {
        /// The hook that it reads.
        hook: String,
        /// The layer.
        layer: usize,
        /// The hooks that the scores read, in backticks.
        possible: String,
    },
    /// A layer has no such head.
    #[error("layer {layer} has heads 0 to {}, not {head}", n_heads - 1)]
    Head {
        /// The layer.
        layer: usize,
        /// What the caller asked for.
        head: usize,
        /// How many it has.
        n_heads: usize,
    },
    /// The first FRA code cannot have been run on a model.
    #[error(
        "the first FRA code did not know models that turn queries and keys by position; leave \
         `published` out"
    )]
    Unpublished,
    /// The numbers of the first FRA code are asked for what they are no part of.
    #[error("the numbers of the first FRA code add up to no {what}; leave `published` out")]
    Published {
        /// What was asked for.
        what: &'static str,
    },
    /// A row of some data cannot be read by a model.
    #[error("row {row}")]
    Row {
        /// The row, counted from 0.
        row: u64,
        /// Why not.
        source: Box<SaeError>,
    },
    /// Saved statistics are damaged, or of other texts or settings.
    #[error("`{}` holds no statistics of this run: {reason}; remove it to start over", path.display())]
    Statistics {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An autoencoder's form cannot be written as it is.
    #[error("{what} cannot be written in this form: {reason}")]
    Unwritable {
        /// What.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A loss or a gradient is not finite.
    #[error(
        "the training diverged at step {step}, its loss is {loss}; a lower learning rate may help"
    )]
    Diverged {
        /// Steps taken before.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The work was stopped by the caller; what was written can be used.
    #[error("stopped")]
    Stopped,
    /// An autoencoder cannot be used with a model.
    #[error(transparent)]
    InModel(#[from] SiteError),
    /// Texts, words, or activations cannot be used for an evaluation.
    #[error(transparent)]
    Evaluation(Box<EvalError>),
    /// A run cannot be made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A model failed.
    #[error(transparent)]
    Model(ModelError),
    /// Activations or their files failed.
    #[error(transparent)]
    Activation(Box<ActivationError>),
    /// A metric could not be computed.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A probe failed.
    #[error(transparent)]
    Probe(ProbeError),
}

/// Files, each in backticks.
fn named(files: &[PathBuf]) -> String {
    let shown: Vec<String> = files.iter().map(|path| format!("`{}`", path.display())).collect();
    shown.join(", ")
}

/// What an error of another library says.
pub(crate) fn plain(error: &(dyn std::error::Error + 'static)) -> String {
    foreign_words(error).unwrap_or_else(|| error.to_string())
}

impl From<Stopped> for SaeError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<ModelError> for SaeError {
    fn from(source: ModelError) -> Self {
        match source {
            ModelError::Stopped(stopped) => stopped.into(),
            other => Self::Model(other),
        }
    }
}

impl From<ProbeError> for SaeError {
    fn from(source: ProbeError) -> Self {
        match source {
            ProbeError::Stopped(stopped) => stopped.into(),
            other => Self::Probe(other),
        }
    }
}

impl From<ActivationError> for SaeError {
    fn from(source: ActivationError) -> Self {
        match source {
            ActivationError::Stopped => Self::Stopped,
            ActivationError::Model { source } => source.into(),
            other => Self::Activation(Box::new(other)),
        }
    }
}

impl From<EvalError> for SaeError {
    fn from(source: EvalError) -> Self {
        Self::Evaluation(Box::new(source))
    }
}
