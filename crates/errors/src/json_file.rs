//! A configuration in JSON that cannot be understood.

use std::path::{Path, PathBuf};

use crate::ErrorKind;

/// Why a configuration in JSON, such as `config.json` of a model, could not be used; where and why
/// is its source.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::JsonFileError;
///
/// let parsed = serde_json::from_str::<Vec<u32>>("[").map_err(JsonFileError::new("cfg.json"));
/// assert_eq!(parsed.unwrap_err().to_string(), "`cfg.json` is not a valid configuration");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not a valid configuration", path.display())]
pub struct JsonFileError {
    /// The file.
    pub path: PathBuf,
    /// Where it is not JSON, or which field has the wrong type.
    pub source: serde_json::Error,
}

impl JsonFileError {
    /// Turns what the parser says of a file into an error that names it, as an argument of
    /// `map_err`.
    pub fn new<P: AsRef<Path>>(path: P) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self { path: path.as_ref().to_owned(), source }
    }

    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}
