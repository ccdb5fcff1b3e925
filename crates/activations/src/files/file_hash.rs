//! The hash of a file.

use std::fs::File;
use std::path::Path;

use crate::ActivationError;

/// BLAKE3 of a file, as hex.
///
/// # Errors
///
/// [`ActivationError::Read`] if it cannot be read.
pub fn hash_file(path: &Path) -> Result<String, ActivationError> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|hasher| hasher.finalize()))
        .map(|hash| hash.to_hex().to_string())
        .map_err(|source| ActivationError::Read { path: path.to_owned(), source })
}
