//! What `--output` names: one file, or a folder of shards.

use std::path::Path;

use attention_probes_activations::is_shard_folder;

use crate::exit::InputError;

/// In which form activations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Safetensors,
    Npz,
    /// A folder of shards.
    Folder,
}

impl Format {
    /// Tells the form by the ending of the name, which a new folder has not.
    pub(crate) fn from_path(path: &Path) -> Result<Self, InputError> {
        if is_shard_folder(path) {
            return Ok(Self::Folder);
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            _ if path.extension().is_none() || path.is_dir() => Ok(Self::Folder),
            _ => Err(InputError(format!(
                "`--output {}` is neither .safetensors nor .npz by its name, nor a folder, whose \
                 name has no ending",
                path.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_form() {
        let form = |name: &str| Format::from_path(Path::new(name));
        assert_eq!(form("a/b.safetensors").unwrap(), Format::Safetensors);
        assert_eq!(form("b.npz").unwrap(), Format::Npz);
        assert_eq!(form("a.b/run").unwrap(), Format::Folder);
        assert!(form("run.bin").unwrap_err().to_string().starts_with("`--output run.bin` is nei"));
    }
}
