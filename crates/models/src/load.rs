//! Reading a checkpoint in Hugging Face layout; alone knows its tensor names.

mod gemma;
mod gpt2;

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Map, Value};

use crate::checkpoint::{Checkpoint, Tensors};
use crate::file::read_file;
use crate::{Gemma, GemmaConfig, GemmaGeneration, Gpt2, Gpt2Config, HookedModel, ModelError};

/// Families that can be loaded, for error messages.
const SUPPORTED: &str = "gpt2, gemma, gemma2, gemma3_text, gemma3";

/// The configuration of a model of any family.
#[derive(Clone, Debug)]
enum FamilyConfig {
    Gpt2(Gpt2Config),
    Gemma(GemmaConfig),
}

/// Reads the model in `dir`, of whatever family: `config.json` and `model.safetensors`, whole or
/// in shards.
///
/// # Errors
///
/// - [`ModelError::MissingFile`] or [`ModelError::Read`] if a file cannot be read
/// - [`ModelError::Json`], [`ModelError::UnsupportedArchitecture`] or [`ModelError::ConfigField`]
///   if the configuration is damaged, or sets what is not supported
/// - [`ModelError::Safetensors`] if the weights are damaged
/// - [`ModelError::MissingTensor`], [`ModelError::TensorShape`] or [`ModelError::TensorDtype`] if
///   the weights do not fit the configuration
///
/// # Memory
///
/// The checkpoint is memory-mapped; what is allocated is one copy of the weights in f32.
pub fn load_model(dir: &Path, device: &Device) -> Result<Box<dyn HookedModel>, ModelError> {
    let path = dir.join("config.json");
    let text = read_file(&path)?;
    let files = Checkpoint::open(dir)?;
    let tensors = files.tensors()?;
    model_from_tensors(family_config(&text, &path)?, &tensors, device)
}

/// Reads the GPT-2 in `dir`.
///
/// # Errors
///
/// As [`load_model`]; another family is [`ModelError::UnsupportedArchitecture`].
///
/// # Memory
///
/// As [`load_model`].
pub fn load_gpt2(dir: &Path, device: &Device) -> Result<Gpt2, ModelError> {
    let path = dir.join("config.json");
    let text = read_file(&path)?;
    let files = Checkpoint::open(dir)?;
    gpt2::gpt2_from_tensors(gpt2_config(&text, &path)?, &files.tensors()?, device)
}

/// Reads the Gemma 1, 2, or 3 in `dir`; of a multimodal one the text model.
///
/// # Errors
///
/// As [`load_model`]; another family is [`ModelError::UnsupportedArchitecture`].
///
/// # Memory
///
/// As [`load_model`].
pub fn load_gemma(dir: &Path, device: &Device) -> Result<Gemma, ModelError> {
    let path = dir.join("config.json");
    let text = read_file(&path)?;
    let files = Checkpoint::open(dir)?;
    gemma::gemma_from_tensors(gemma_config(&text, &path)?, &files.tensors()?, device)
}

/// Hash of configuration and weights of the checkpoint in `dir`.
///
/// # Errors
///
/// - [`ModelError::MissingFile`] or [`ModelError::Read`] if a file cannot be read
/// - [`ModelError::Json`] or [`ModelError::ConfigField`] if the list of shards is damaged
pub fn checkpoint_hash(dir: &Path) -> Result<String, ModelError> {
    let path = dir.join("config.json");
    let mut hasher = blake3::Hasher::new();
    hasher.update(&read_file(&path)?);
    Checkpoint::open(dir)?.hash(&mut hasher);
    Ok(hasher.finalize().to_hex().to_string())
}

/// Builds a model of any family from a configuration and a safetensors file that are already in
/// memory.
///
/// # Errors
///
/// As [`load_model`]; `name` stands for the path.
///
/// # Memory
///
/// One copy of the weights in `f32`.
pub fn model_from_bytes(
    config: &[u8],
    weights: &[u8],
    name: &Path,
    device: &Device,
) -> Result<Box<dyn HookedModel>, ModelError> {
    let tensors = Tensors::from_bytes(weights, name)?;
    model_from_tensors(family_config(config, name)?, &tensors, device)
}

/// Builds a GPT-2 from a configuration and a safetensors file that are already in memory.
///
/// # Errors
///
/// As [`load_gpt2`]; `name` stands for the path.
///
/// # Memory
///
/// One copy of the weights in `f32`.
pub fn gpt2_from_bytes(
    config: &[u8],
    weights: &[u8],
    name: &Path,
    device: &Device,
) -> Result<Gpt2, ModelError> {
    let tensors = Tensors::from_bytes(weights, name)?;
    gpt2::gpt2_from_tensors(gpt2_config(config, name)?, &tensors, device)
}

/// Builds a Gemma from a configuration and a safetensors file that are already in memory.
///
/// # Errors
///
/// As [`load_gemma`]; `name` stands for the path.
///
/// # Memory
///
/// One copy of the weights in `f32`.
pub fn gemma_from_bytes(
    config: &[u8],
    weights: &[u8],
    name: &Path,
    device: &Device,
) -> Result<Gemma, ModelError> {
    let tensors = Tensors::from_bytes(weights, name)?;
    gemma::gemma_from_tensors(gemma_config(config, name)?, &tensors, device)
}

fn model_from_tensors(
    config: FamilyConfig,
    tensors: &Tensors<'_>,
    device: &Device,
) -> Result<Box<dyn HookedModel>, ModelError> {
    Ok(match config {
        FamilyConfig::Gpt2(config) => Box::new(gpt2::gpt2_from_tensors(config, tensors, device)?),
        FamilyConfig::Gemma(config) => {
            Box::new(gemma::gemma_from_tensors(config, tensors, device)?)
        }
    })
}

/// Parses and checks a `config.json` by its `model_type`.
fn family_config(text: &[u8], path: &Path) -> Result<FamilyConfig, ModelError> {
    let file: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|source| ModelError::Json { path: path.to_owned(), source })?;
    let gemma = |generation| gemma::gemma_config(generation, &file, path).map(FamilyConfig::Gemma);
    match file.get("model_type").and_then(Value::as_str).unwrap_or_default() {
        "gpt2" => gpt2::gpt2_config(&file, path).map(FamilyConfig::Gpt2),
        "gemma" => gemma(GemmaGeneration::One),
        "gemma2" => gemma(GemmaGeneration::Two),
        "gemma3_text" | "gemma3" => gemma(GemmaGeneration::Three),
        other => Err(unsupported(other, path, SUPPORTED)),
    }
}

fn gpt2_config(text: &[u8], path: &Path) -> Result<Gpt2Config, ModelError> {
    match family_config(text, path)? {
        FamilyConfig::Gpt2(config) => Ok(config),
        FamilyConfig::Gemma(_) => Err(unsupported("gemma", path, "gpt2")),
    }
}

fn gemma_config(text: &[u8], path: &Path) -> Result<GemmaConfig, ModelError> {
    match family_config(text, path)? {
        FamilyConfig::Gemma(config) => Ok(config),
        FamilyConfig::Gpt2(_) => {
            Err(unsupported("gpt2", path, "gemma, gemma2, gemma3_text, gemma3"))
        }
    }
}

fn unsupported(model_type: &str, path: &Path, supported: &'static str) -> ModelError {
    let (path, model_type) = (path.to_owned(), model_type.to_owned());
    ModelError::UnsupportedArchitecture { path, model_type, supported }
}
