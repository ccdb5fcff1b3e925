//! Whole files, with errors that name them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use attention_probes_errors::FileError;

use super::write_atomically;
use crate::ModelError;

/// How a file begins that stands for one of Git LFS.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Largest JSON file that describes something. A tree of its values takes some 30 times as much
/// memory; the largest real one, an index of shards, has a tenth.
pub const MAX_DESCRIPTION_BYTES: u64 = 4 << 20;

/// Reads a file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    let bytes = std::fs::read(path).map_err(FileError::read(path))?;
    refuse_pointer(path, &bytes)?;
    Ok(bytes)
}

/// Reads a JSON file that describes something, such as a configuration.
///
/// # Errors
///
/// - [`ModelError::File`] if it cannot be read
/// - [`ModelError::DescriptionSize`] if it is larger than [`MAX_DESCRIPTION_BYTES`]
/// - [`ModelError::LfsPointer`] if it stands for a file of Git LFS
pub fn read_description(path: &Path) -> Result<Vec<u8>, ModelError> {
    let size_bytes = std::fs::metadata(path).map_err(FileError::read(path))?.len();
    if size_bytes > MAX_DESCRIPTION_BYTES {
        let (path, max_bytes) = (path.to_owned(), MAX_DESCRIPTION_BYTES);
        return Err(ModelError::DescriptionSize { path, size_bytes, max_bytes });
    }
    read_file(path)
}

/// Whether a file is a Git LFS pointer: what git leaves of a large file where LFS is not installed.
///
/// A file that cannot be read is none; whoever opens it says why.
pub fn is_lfs_pointer(path: &Path) -> bool {
    let mut start = [0; LFS_POINTER.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *LFS_POINTER
}

/// Refuses content that is a Git LFS pointer.
pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    if bytes.starts_with(LFS_POINTER) {
        return Err(ModelError::LfsPointer { path: path.to_owned() });
    }
    Ok(())
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    Ok(write_atomically(path, |file| file.write_all(bytes)).map_err(FileError::write(path))?)
}
