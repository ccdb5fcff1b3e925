//! What guided an autoencoder, as a file beside its weights.

use std::fs;
use std::path::Path;

use attention_probes_errors::FileError;

use super::tuning::GuidanceRecord;
use crate::{RunError, SaeError};

/// Name of the file in an autoencoder's folder.
pub(crate) const GUIDANCE_FILE: &str = "guidance.json";

/// What guided the autoencoder of a folder; `None` if nothing did.
///
/// # Errors
///
/// [`SaeError::File`], or [`RunError::Guidance`] if the file is no such record.
///
/// # Examples
///
/// ```
/// let folder = tempfile::tempdir()?;
/// assert!(attention_probes::sae::read_guidance(folder.path())?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_guidance(folder: &Path) -> Result<Option<GuidanceRecord>, SaeError> {
    let path = folder.join(GUIDANCE_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(FileError::read(&path))?;
    match serde_json::from_slice(&text) {
        Ok(record) => Ok(Some(record)),
        Err(source) => Err(RunError::Guidance { path, source }.into()),
    }
}
