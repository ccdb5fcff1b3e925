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

#[cfg(test)]
mod tests {
    use attention_probes_activations::ActivationError;

    use super::*;
    use crate::{RunError, read_sae};

    #[test]
    fn what_is_not_there_is_seen_through_whatever_wraps_it() {
        let missing = read_sae("/nowhere/sae").unwrap_err();
        assert!(missing.is_not_found() && missing.kind() == ErrorKind::File, "{missing}");
        let named = RunError::NoEvaluationFile { path: "words.csv".into() };
        let row = SaeError::Row { row: 3, source: Box::new(missing) };
        for error in [row, named.into()] {
            assert!(error.is_not_found() && error.kind() == ErrorKind::File, "{error}");
        }
    }

    #[test]
    fn an_error_has_the_kind_of_the_part_that_it_wraps() {
        for (error, kind) in [
            (SaeError::NoTokens, ErrorKind::Input),
            (SaeError::Stopped, ErrorKind::Stopped),
            (ActivationError::foreign("the database is closed").into(), ErrorKind::Fault),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.is_not_found(), "{error}");
        }
    }
}
