//! What results depend on beside the configuration.

use serde::{Deserialize, Serialize};

/// What results depend on beside the configuration: if it changes, they are made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Version of this library.
    pub library_version: String,
    /// BLAKE3 of the data file, as hex.
    pub data_hash: Option<String>,
    /// Hash of configuration and weights of the model, where there is one.
    pub model_revision: Option<String>,
}

impl Origin {
    /// Whether results of `found` still hold; a data file that is gone contradicts nothing.
    pub(crate) fn allows(&self, found: &Self) -> bool {
        self.library_version == found.library_version
            && self.model_revision == found.model_revision
            && (self.data_hash.is_none() || self.data_hash == found.data_hash)
    }
}
