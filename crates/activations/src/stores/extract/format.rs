//! What an output names: one file, or a folder of shards.

use std::path::Path;

use super::error::ExtractError;
use crate::is_shard_folder;

/// In which form activations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFormat {
    /// One safetensors file.
    Safetensors,
    /// One npz.
    Npz,
    /// A folder of shards.
    Folder,
}

impl StoreFormat {
    /// Tells the form by the ending of the name, which a new folder has not.
    ///
    /// # Errors
    ///
    /// [`ExtractError::OutputName`] if the name has another ending.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use attention_probes::activations::StoreFormat;
    ///
    /// assert_eq!(StoreFormat::from_path(Path::new("a/b.npz"))?, StoreFormat::Npz);
    /// assert!(StoreFormat::from_path(Path::new("a/b.bin")).is_err());
    /// # Ok::<(), attention_probes::activations::ExtractError>(())
    /// ```
    pub fn from_path(path: &Path) -> Result<Self, ExtractError> {
        if is_shard_folder(path) {
            return Ok(Self::Folder);
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            _ if path.extension().is_none() || path.is_dir() => Ok(Self::Folder),
            _ => Err(ExtractError::OutputName { path: path.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_form() {
        let form = |name: &str| StoreFormat::from_path(Path::new(name));
        assert_eq!(form("a/b.safetensors").unwrap(), StoreFormat::Safetensors);
        assert_eq!(form("b.npz").unwrap(), StoreFormat::Npz);
        assert_eq!(form("a.b/run").unwrap(), StoreFormat::Folder);
        assert!(form("run.bin").unwrap_err().to_string().starts_with("`run.bin` is neither"));
    }
}
