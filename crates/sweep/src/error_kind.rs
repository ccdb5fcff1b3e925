//! What kind of error [`SweepError`] is: what a front end tells errors apart by.

use attention_probes_errors::ErrorKind;

use crate::SweepError;

impl SweepError {
    /// Whether a part of the Hub is missing that a download would bring.
    pub fn is_not_cached(&self) -> bool {
        match self {
            Self::Model(error) => error.is_not_cached(),
            Self::Activation(error) => error.is_not_cached(),
            _ => false,
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Data { source, .. } | Self::Activation(source) => source.kind(),
            Self::Folds { source, .. } | Self::Probe(source) => source.kind(),
            Self::Model(error) => error.kind(),
            Self::Metric(error) => error.kind(),
            Self::Exists { .. } => ErrorKind::File,
            _ => ErrorKind::Input,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) => error.is_not_found(),
            Self::Data { source, .. } | Self::Activation(source) => source.is_not_found(),
            Self::Folds { source, .. } | Self::Probe(source) => source.is_not_found(),
            Self::Model(error) => error.is_not_found(),
            _ => false,
        }
    }
}
