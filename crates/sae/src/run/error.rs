//! Why a run cannot be made.

use std::path::PathBuf;

use attention_probes_errors::{ErrorKind, shown_size};

/// Why a run cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The output folder holds a run already.
    #[error("`{}` holds a run already; continue or overwrite it, or name another folder", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The run to be continued was made with another configuration.
    #[error("`{}` holds a run with other settings; overwrite it, or name another folder", path.display())]
    OtherSettings {
        /// The folder.
        path: PathBuf,
    },
    /// How fields are written cannot be.
    #[error("`data.escape` {fault}")]
    Escape {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Attention to a token counts that has no features.
    #[error(
        "`attention.keep.first_token` is true, but contexts begin with a token that has no \
         features; set it to false, or `data.prepend_bos` to false"
    )]
    FirstToken,
    /// No context is left to train on.
    #[error(
        "{n_test} test contexts and {n_held_out} held-out ones leave nothing to train on, the texts \
         fill {n_contexts}; lower `data.test_contexts` or `attention.held_out_contexts`"
    )]
    NoTrainingContext {
        /// Contexts that nothing is trained on.
        n_test: usize,
        /// Contexts from which the weights of layers are learned.
        n_held_out: usize,
        /// All of them.
        n_contexts: usize,
    },
    /// There are no texts beside those for the test.
    #[error(
        "`data.test_contexts` is {n_test}, but `{}` fills {n_contexts} contexts only", path.display()
    )]
    TestContexts {
        /// Contexts that nothing is trained on.
        n_test: usize,
        /// All of them.
        n_contexts: usize,
        /// The texts.
        path: PathBuf,
    },
    /// A run needs more memory than there is.
    #[error(
        "the run needs {} of memory at least, but there are {}; lower `{key}`",
        shown_size(*needed), shown_size(*there)
    )]
    Memory {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that the process may have.
        there: u64,
        /// The key that most of it is for.
        key: &'static str,
    },
    /// What guided an autoencoder cannot be read.
    #[error("`{}` is no record of guidance", path.display())]
    Guidance {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A file that a configuration names is not there.
    #[error("there is no `{}`, which `evaluation` names", path.display())]
    NoEvaluationFile {
        /// The file.
        path: PathBuf,
    },
}

impl RunError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } | Self::NoEvaluationFile { .. } => ErrorKind::File,
            _ => ErrorKind::Input,
        }
    }

    /// Whether a file that a configuration names is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoEvaluationFile { .. })
    }
}
