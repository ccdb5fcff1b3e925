//! What kind of error [`ProbeError`] is: what a front end tells errors apart by.

use attention_probes_errors::ErrorKind;

use crate::ProbeError;

impl ProbeError {
    /// Wraps what a [`Probe`](crate::Probe) of the caller's says of its own failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::errors::ErrorKind;
    /// use attention_probes::probes::ProbeError;
    ///
    /// let error = ProbeError::foreign("the weights are on another device");
    /// assert_eq!(error.to_string(), "the weights are on another device");
    /// assert_eq!(error.kind(), ErrorKind::Fault);
    /// ```
    pub fn foreign(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Foreign(error.into())
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Stopped(stopped) => stopped.kind(),
            Self::InFile { source, .. } => source.kind(),
            Self::Activation { source } => source.kind(),
            Self::Apply { source } => source.kind(),
            Self::Model { source } | Self::Device { source } => source.kind(),
            Self::Metrics { source } => source.kind(),
            Self::Foreign(_) => ErrorKind::Fault,
            _ => ErrorKind::Input,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) => error.is_not_found(),
            Self::InFile { source, .. } => source.is_not_found(),
            Self::Activation { source } => source.is_not_found(),
            Self::Model { source } | Self::Device { source } => source.is_not_found(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_errors::ValueError;
    use attention_probes_models::ModelError;

    use super::*;
    use crate::SavedProbe;

    #[test]
    fn a_probe_that_is_not_there_is_seen() {
        let error = SavedProbe::load(std::path::Path::new("/nowhere/a_state.npz")).unwrap_err();
        assert!(error.is_not_found() && error.kind() == ErrorKind::File, "{error}");
        let path = "/nowhere/a_state.npz".into();
        let error = ProbeError::InFile { path, source: Box::new(error) };
        assert!(error.is_not_found() && error.kind() == ErrorKind::File, "{error}");
    }

    #[test]
    fn an_error_has_the_kind_of_the_part_that_it_wraps() {
        let fault = ModelError::NotReturned { output: "logits".to_owned() };
        let kinds = [
            (ProbeError::NoMetadata, ErrorKind::Input),
            (ProbeError::Model { source: fault }, ErrorKind::Fault),
            (ValueError::new("n_classes", 1, "at least 2").into(), ErrorKind::Input),
        ];
        for (error, kind) in kinds {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.is_not_found(), "{error}");
        }
    }
}
