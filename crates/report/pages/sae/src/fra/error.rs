//! Why a run over many texts failed.

use std::path::PathBuf;

use attention_probes_activations::ActivationError;
use attention_probes_errors::{ErrorKind, FileError, Stopped};
use attention_probes_report::ReportError;
use attention_probes_sae::SaeError;

/// Why a run over many texts failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FraRunError {
    /// The files of a run that is finished would be written over.
    #[error("`{}` is of a run that is finished", path.display())]
    Finished {
        /// One of its files.
        path: PathBuf,
    },
    /// The run that is to go on has other settings.
    #[error("`{}` is of a run with other settings", path.display())]
    OtherSettings {
        /// One of its files.
        path: PathBuf,
    },
    /// A run that was stopped is neither to go on nor to be written over.
    #[error("`{}` is of a run that was stopped", path.display())]
    Unfinished {
        /// One of its checkpoints.
        path: PathBuf,
    },
    /// A signal to stop was given; the checkpoints of the statistics are written.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Two autoencoders would have the same files.
    #[error(
        "two autoencoders are read by the scores of layer {layer}; give each a run and a folder of \
         its own"
    )]
    SameLayer {
        /// The layer.
        layer: usize,
    },
    /// Of no text are the activations finite.
    #[error("the model's activations are finite on none of the texts")]
    NotFinite,
    /// An autoencoder or the model failed.
    #[error(transparent)]
    Sae(SaeError),
    /// A page could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Texts or their files failed.
    #[error(transparent)]
    Activation(Box<ActivationError>),
}

impl From<SaeError> for FraRunError {
    fn from(source: SaeError) -> Self {
        match source {
            SaeError::Stopped => Stopped.into(),
            other => Self::Sae(other),
        }
    }
}

impl FraRunError {
    /// What kind of error it is. Numbers that do not fit on their page are a fault: they come from
    /// results that these libraries have made.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Finished { .. } | Self::Unfinished { .. } => ErrorKind::File,
            Self::OtherSettings { .. } | Self::SameLayer { .. } | Self::NotFinite => {
                ErrorKind::Input
            }
            Self::File(error) => error.kind(),
            Self::Sae(error) => error.kind(),
            Self::Activation(error) => error.kind(),
            Self::Stopped(_) => ErrorKind::Stopped,
            Self::Report(_) => ErrorKind::Fault,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) => error.is_not_found(),
            Self::Sae(error) => error.is_not_found(),
            Self::Activation(error) => error.is_not_found(),
            _ => false,
        }
    }
}

impl From<ActivationError> for FraRunError {
    fn from(source: ActivationError) -> Self {
        Self::Activation(Box::new(source))
    }
}
