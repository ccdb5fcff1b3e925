//! The hash of a file.

use std::fs::File;
use std::path::Path;

use attention_probes_errors::FileError;

use crate::ActivationError;

/// BLAKE3 of a file, as hex.
///
/// # Errors
///
/// [`ActivationError::File`] if it cannot be read.
pub fn hash_file(path: &Path) -> Result<String, ActivationError> {
    let mut hasher = blake3::Hasher::new();
    let hash = File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|hasher| hasher.finalize()))
        .map_err(FileError::read(path))?;
    Ok(hash.to_hex().to_string())
}
