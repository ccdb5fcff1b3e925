//! Why an autoencoder cannot be used with a model.

use std::path::PathBuf;

use serde_json::Value;

/// Why an autoencoder cannot be used with a model.
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
}
