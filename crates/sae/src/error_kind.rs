//! What kind of error [`SaeError`] is: what a front end tells errors apart by.

use attention_probes_errors::ErrorKind;

use crate::SaeError;

impl SaeError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Unusable { source, .. } | Self::Row { source, .. } => source.kind(),
            Self::InModel(error) => error.kind(),
            Self::Evaluation(error) => error.kind(),
            Self::Run(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Activation(error) => error.kind(),
            Self::Metric(error) => error.kind(),
            Self::Probe(error) => error.kind(),
            Self::Stopped => ErrorKind::Stopped,
            _ => ErrorKind::Input,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) => error.is_not_found(),
            Self::Unusable { source, .. } | Self::Row { source, .. } => source.is_not_found(),
            Self::Run(error) => error.is_not_found(),
            Self::Model(error) => error.is_not_found(),
            Self::Activation(error) => error.is_not_found(),
            Self::Probe(error) => error.is_not_found(),
            _ => false,
        }
    }
}
