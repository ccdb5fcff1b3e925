//! What kind of error [`ModelError`] is: what a front end tells errors apart by.

use attention_probes_errors::ErrorKind;

use crate::ModelError;

impl ModelError {
    /// Wraps what a [`HookedModel`](crate::HookedModel) of the caller's says of its own failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::errors::ErrorKind;
    /// use attention_probes::models::ModelError;
    ///
    /// let error = ModelError::foreign("the accelerator is gone");
    /// assert_eq!(error.to_string(), "the accelerator is gone");
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
            Self::Hub(error) => error.kind(),
            Self::UnknownModel { .. } | Self::NoHubAccess { .. } | Self::MissingFile { .. } => {
                ErrorKind::File
            }
            Self::NotReturned { .. }
            | Self::Device { .. }
            | Self::Foreign(_)
            | Self::Embedded { .. } => ErrorKind::Fault,
            _ => ErrorKind::Input,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) => error.is_not_found(),
            Self::Hub(error) => error.is_not_found(),
            Self::UnknownModel { .. } | Self::NoHubAccess { .. } | Self::MissingFile { .. } => true,
            _ => false,
        }
    }

    /// Whether a part of the Hub is missing that a download would bring.
    pub fn is_not_cached(&self) -> bool {
        matches!(self, Self::Hub(error) if error.is_not_cached())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use attention_probes_errors::Stopped;

    use super::*;
    use crate::{
        HubAccess, HubCache, HubError, HubId, NoDownload, load, open_model, read_description,
    };

    #[test]
    fn what_is_not_there_is_seen_in_one_way() {
        let nowhere = Path::new("/nowhere/at/all");
        let device = burn::tensor::Device::flex();
        let access = HubAccess::new(HubCache::new(nowhere)).without_downloads(NoDownload::Offline);
        let id: HubId = "org/name".parse().unwrap();
        for error in [
            read_description(nowhere).unwrap_err(),
            load::load_model(nowhere, &device).err().unwrap(),
            open_model("nothing-of-this-name", None, &device).err().unwrap(),
            open_model("demo-nothing", None, &device).err().unwrap(),
            access.model(&id).unwrap_err(),
        ] {
            assert!(error.is_not_found(), "{error}");
            assert_eq!(error.kind(), ErrorKind::File, "{error}");
        }
    }

    #[test]
    fn a_name_of_the_hub_without_access_to_it_is_told_so() {
        let device = burn::tensor::Device::flex();
        let error = open_model("org/name", None, &device).err().unwrap();
        assert!(error.to_string().ends_with("give a `HubAccess`"), "{error}");
        let error = open_model("not a name", None, &device).err().unwrap();
        assert!(matches!(error, ModelError::UnknownModel { .. }), "{error}");
    }

    #[test]
    fn an_error_has_the_kind_of_the_part_that_it_wraps() {
        let kinds = [
            (ModelError::EmptyBatch, ErrorKind::Input),
            (ModelError::NotReturned { output: "logits".to_owned() }, ErrorKind::Fault),
            (Stopped.into(), ErrorKind::Stopped),
            (HubError::Token.into(), ErrorKind::Input),
            (
                HubError::Status { url: String::new(), status: 500, retry_after_s: None }.into(),
                ErrorKind::Network,
            ),
        ];
        for (error, kind) in kinds {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.is_not_found(), "{error}");
        }
    }
}
