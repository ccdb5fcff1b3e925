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
            Self::Stopped(stopped) => stopped.kind(),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use attention_probes_activations::ActivationError;
    use attention_probes_models::ModelError;
    use attention_probes_probes::ProbeError;

    use super::*;
    use crate::SweepConfig;

    #[test]
    fn a_configuration_that_is_not_there_is_seen() {
        let error = SweepConfig::read(Path::new("/nowhere/sweep.toml")).unwrap_err();
        assert!(error.is_not_found() && error.kind() == ErrorKind::File, "{error}");
        let error = SweepConfig::parse("run = 1").unwrap_err();
        assert!(!error.is_not_found() && error.kind() == ErrorKind::Input, "{error}");
    }

    #[test]
    fn a_fault_is_seen_through_whatever_wraps_it() {
        let fault = || ModelError::NotReturned { output: "logits".to_owned() };
        for error in [
            SweepError::from(fault()),
            ActivationError::from(fault()).into(),
            ProbeError::Model { source: fault() }.into(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Fault, "{error}");
        }
    }
}
