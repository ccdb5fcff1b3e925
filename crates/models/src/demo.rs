//! The small language models that come with this crate.

use std::path::Path;

use burn::tensor::Device;

use crate::load::gpt2_from_bytes;
use crate::{Gpt2, ModelError, Tokenizer};

/// Names under which the embedded models are known.
pub const NAMES: &str = "demo-gpt2";

const CONFIG: &[u8] = include_bytes!("../demo/demo-gpt2/config.json");
const WEIGHTS: &[u8] = include_bytes!("../demo/demo-gpt2/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../demo/demo-gpt2/tokenizer.json");

/// An embedded model's parts, before the weights are put on a device.
#[derive(Clone, Debug)]
pub struct DemoModel {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
}

/// `demo-gpt2`: a small GPT-2 trained on children's stories; see `demo/demo-gpt2/README.md`.
///
/// # Errors
///
/// [`ModelError::Embedded`] if the files in this build are damaged.
pub fn gpt2() -> Result<DemoModel, ModelError> {
    let tokenizer = Tokenizer::from_bytes(TOKENIZER).map_err(damaged)?;
    Ok(DemoModel { tokenizer })
}

impl DemoModel {
    /// Puts the weights on a device, in f32.
    ///
    /// # Errors
    ///
    /// [`ModelError::Embedded`] if the files in this build are damaged.
    ///
    /// # Memory
    ///
    /// One copy of the weights in `f32`.
    pub fn load(&self, device: &Device) -> Result<Gpt2, ModelError> {
        gpt2_from_bytes(CONFIG, WEIGHTS, Path::new("demo-gpt2"), device).map_err(damaged)
    }

    /// Hash of configuration and weights, which tells two versions apart.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(CONFIG).update(WEIGHTS);
        hasher.finalize().to_hex().to_string()
    }
}

fn damaged(source: ModelError) -> ModelError {
    ModelError::Embedded { name: "demo-gpt2", source: Box::new(source) }
}
