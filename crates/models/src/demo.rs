//! The small language models that come with this crate.

use std::path::Path;

use crate::loading::model_from_bytes;
use crate::{HookedModel, LoadOptions, ModelError, Tokenizer};

/// Names under which the embedded models are known, for error messages.
pub const NAMES: &str = "demo-gpt2, demo-gemma";

/// Every embedded model; each has a card, `demo/<name>/README.md`.
const MODELS: [DemoModel; 2] = [
    DemoModel {
        name: "demo-gpt2",
        config: include_bytes!("../demo/demo-gpt2/config.json"),
        weights: include_bytes!("../demo/demo-gpt2/model.safetensors"),
    },
    DemoModel {
        name: "demo-gemma",
        config: include_bytes!("../demo/demo-gemma/config.json"),
        weights: include_bytes!("../demo/demo-gemma/model.safetensors"),
    },
];

/// Both models were trained on the same text, and so have the same tokenizer.
const TOKENIZER: &[u8] = include_bytes!("../demo/demo-gpt2/tokenizer.json");

/// An embedded model's files.
#[derive(Clone, Copy, Debug)]
pub struct DemoModel {
    name: &'static str,
    config: &'static [u8],
    weights: &'static [u8],
}

impl DemoModel {
    /// The embedded model of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        MODELS.into_iter().find(|model| model.name == name)
    }

    /// The tokenizer, a byte-level BPE.
    ///
    /// # Errors
    ///
    /// [`ModelError::Embedded`] if the files in this build are damaged.
    ///
    /// # Memory
    ///
    /// The vocabulary, twice over.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        Tokenizer::from_bytes(TOKENIZER).map_err(|source| self.damaged(source))
    }

    /// Puts the weights on a device.
    ///
    /// # Errors
    ///
    /// - [`ModelError::Embedded`] if the files in this build are damaged
    /// - [`ModelError::DeviceDtype`] or [`ModelError::F16Overflow`] if the device or the
    ///   architecture does not compute in the number format
    /// - [`ModelError::Stopped`] if the options' signal to stop is given
    ///
    /// # Memory
    ///
    /// One copy of the weights in the number format of the placement.
    pub fn load(
        &self,
        options: impl Into<LoadOptions>,
    ) -> Result<Box<dyn HookedModel>, ModelError> {
        model_from_bytes(self.config, self.weights, Path::new(self.name), options).map_err(
            |error| match error {
                ModelError::DeviceDtype { .. }
                | ModelError::F16Overflow
                | ModelError::Stopped(_) => error,
                source => self.damaged(source),
            },
        )
    }

    /// Hash of configuration and weights, which tells two versions apart.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.config).update(self.weights);
        hasher.finalize().to_hex().to_string()
    }

    fn damaged(&self, source: ModelError) -> ModelError {
        ModelError::Embedded { name: self.name, source: Box::new(source) }
    }
}
