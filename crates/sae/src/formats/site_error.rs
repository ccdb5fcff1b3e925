//! Why an autoencoder cannot be used with a model, activations, or a folder.

use std::path::PathBuf;

use attention_probes_errors::ErrorKind;
use serde_json::Value;

/// Why an autoencoder cannot be used with a model, activations, or a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// It reads one head of a hook.
    #[error(
        "`{}`: `hook_head_index` is {head}, so it reads one head of `{hook}`, which is not \
         supported; expected an autoencoder of all heads", path.display()
    )]
    OneHead {
        /// The autoencoder.
        path: PathBuf,
        /// What its file says.
        head: Value,
        /// The hook.
        hook: String,
    },
    /// It was trained on a model whose weights were processed.
    #[error(
        "`{}`: `model_from_pretrained_kwargs.{key}` is true, which changes {what}; give activations \
         of such a model instead", path.display()
    )]
    Processing {
        /// The autoencoder.
        path: PathBuf,
        /// The argument.
        key: &'static str,
        /// What it changes.
        what: &'static str,
    },
    /// It reads what a token attends to, too.
    #[error(
        "`{}` was trained with `context_encoder`: it reads what a token attends to beside the \
         activation, and only an ablation gives it that", path.display()
    )]
    ReadsContext {
        /// The autoencoder.
        path: PathBuf,
    },
    /// Neither its file nor the caller names a model or a hook.
    #[error("the autoencoder names no {what}, give `{setting}`")]
    Unnamed {
        /// `model` or `hook`.
        what: &'static str,
        /// What the caller can set.
        setting: &'static str,
    },
    /// The caller names another hook than its file.
    #[error("the autoencoder reads `{reads}`, not `{asked}`")]
    OtherHook {
        /// What its file says.
        reads: String,
        /// What the caller says.
        asked: String,
    },
    /// Activations have no rows that the autoencoder reads.
    #[error("`{}`: `x` is {shape:?}, but the autoencoder reads rows of {d_in}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// Shape of the activations.
        shape: Vec<usize>,
        /// Width of a row.
        d_in: usize,
    },
    /// Activations are no floating-point numbers.
    #[error("`{}`: `x` holds no floating-point numbers", path.display())]
    NotFloats {
        /// The file.
        path: PathBuf,
    },
    /// An activation is NaN or infinite.
    #[error("`{}`: `x` has {value} in row {row}; leave such rows out", path.display())]
    NotFiniteRow {
        /// The file.
        path: PathBuf,
        /// The first such row.
        row: usize,
        /// The number.
        value: f32,
    },
    /// A folder that is to be written holds an autoencoder.
    #[error("`{}` holds an autoencoder already; name another folder{hint}", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What else the caller can do; may be empty.
        hint: &'static str,
    },
}

impl SiteError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}
