//! What kind of error [`ActivationError`] is: what a front end tells errors apart by.

use attention_probes_errors::ErrorKind;

use crate::ActivationError;

impl ActivationError {
    /// Wraps what an [`ActivationSource`](crate::ActivationSource) of the caller's says of its own
    /// failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::ActivationError;
    /// use attention_probes::errors::ErrorKind;
    ///
    /// let error = ActivationError::foreign("the database is closed");
    /// assert_eq!(error.to_string(), "the database is closed");
    /// assert_eq!(error.kind(), ErrorKind::Fault);
    /// ```
    pub fn foreign(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Foreign(error.into())
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Hub { source, .. } | Self::Tokenize { source, .. } => source.kind(),
            Self::TokenizeTarget { source } | Self::Model { source } => source.kind(),
            Self::Array { source, .. } => source.kind(),
            Self::External { source } => source.kind(),
            Self::Table { source } => source.kind(),
            Self::Haystack { source } => source.kind(),
            Self::Split { source } => source.kind(),
            Self::Extract { source } => source.kind(),
            Self::Shards { source } => source.kind(),
            Self::Busy { .. } => ErrorKind::File,
            Self::Stopped => ErrorKind::Stopped,
            Self::Foreign(_) => ErrorKind::Fault,
            _ => ErrorKind::Input,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) => error.is_not_found(),
            Self::Hub { source, .. } | Self::Tokenize { source, .. } => source.is_not_found(),
            Self::TokenizeTarget { source } | Self::Model { source } => source.is_not_found(),
            Self::External { source } => source.is_not_found(),
            Self::Shards { source } => source.is_not_found(),
            _ => false,
        }
    }

    /// Whether a part of the Hub is missing that a download would bring.
    pub fn is_not_cached(&self) -> bool {
        match self {
            Self::Hub { source, .. } | Self::Tokenize { source, .. } => source.is_not_cached(),
            Self::TokenizeTarget { source } | Self::Model { source } => source.is_not_cached(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use attention_probes_models::ModelError;

    use super::*;
    use crate::{Dataset, DatasetConfig, ExternalActivations, TableError, read_npz};

    #[test]
    fn what_is_not_there_is_seen_in_one_way() {
        let nowhere = Path::new("/nowhere/at/all");
        for error in [
            read_npz(nowhere.join("a.npz")).err().unwrap(),
            ExternalActivations::read(nowhere.join("a.npz")).err().unwrap(),
            Dataset::read("d", nowhere.join("a.csv"), &DatasetConfig::default(), true)
                .err()
                .unwrap(),
        ] {
            assert!(error.is_not_found(), "{error}");
            assert_eq!(error.kind(), ErrorKind::File, "{error}");
        }
    }

    #[test]
    fn an_error_has_the_kind_of_the_part_that_it_wraps() {
        let fault = ModelError::NotReturned { output: "logits".to_owned() };
        let kinds = [
            (ActivationError::NoSites, ErrorKind::Input),
            (ActivationError::Stopped, ErrorKind::Stopped),
            (fault.into(), ErrorKind::Fault),
            (TableError::NotJsonLines { path: "a.csv".into() }.into(), ErrorKind::Input),
        ];
        for (error, kind) in kinds {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.is_not_found(), "{error}");
        }
    }
}
