//! A saved probe with its file, on its device.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::{Probe, ProbeError, SavedProbe};

/// A saved probe, ready to use.
pub struct ProbeFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Weights and metadata.
    pub saved: SavedProbe,
    /// The probe on its device.
    pub probe: Probe,
}

impl ProbeFile {
    /// Reads a probe from its `_state.npz`, and puts it on a device.
    ///
    /// # Errors
    ///
    /// As [`SavedProbe::load`].
    pub fn open(path: &Path, device: &Device) -> Result<Self, ProbeError> {
        let saved = SavedProbe::load(path)?;
        let probe = saved.to_probe(device)?;
        Ok(Self { path: path.to_owned(), saved, probe })
    }

    /// Name of the file without `_state.npz`.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix("_state.npz").unwrap_or(&name).to_owned()
    }

    /// Names of the classes; of the labels, or of the number, if the outputs are these.
    pub fn class_names(&self) -> &[String] {
        &self.saved.metadata.class_names
    }

    /// Names the file in an error that is about the probe; another error stays as it is.
    pub fn in_file(&self, error: ProbeError) -> ProbeError {
        match error {
            ProbeError::Apply { .. }
            | ProbeError::NotClasses
            | ProbeError::NoThreshold { .. }
            | ProbeError::NoCalibrator { .. }
            | ProbeError::NoDeferral => {
                ProbeError::InFile { path: self.path.clone(), source: Box::new(error) }
            }
            error => error,
        }
    }
}
