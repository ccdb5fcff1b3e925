//! From the files of a checkpoint, or their bytes, to a model of whatever family.

use std::path::Path;

use attention_probes_errors::{JsonFileError, Stop};
use serde_json::{Map, Value};

use super::checkpoint::{Checkpoint, Tensors};
use super::config_file::ConfigFile;
use super::gemma::{gemma_config, gemma_from_tensors};
use super::gpt2::{gpt2_config, gpt2_from_tensors};

use crate::files::read_description;
use crate::{
    Dtype, Gemma, GemmaConfig, GemmaGeneration, Gpt2, Gpt2Config, HookedModel, LoadOptions,
    ModelError,
};

/// Names of families that can be loaded, for error messages.
const SUPPORTED: &str = "gpt2, gemma, gemma2, gemma3_text, gemma3";
const GEMMAS: &str = "gemma, gemma2, gemma3_text, gemma3";

/// The configuration of a model of any family.
enum FamilyConfig {
    Gpt2(Gpt2Config),
    Gemma(GemmaConfig),
}

/// Reads the model in `dir`, of whatever family: `config.json` and `model.safetensors`, whole or
/// in shards.
///
/// # Errors
///
/// - [`ModelError::MissingFile`] or [`ModelError::File`] if a file cannot be read
/// - [`ModelError::Json`], [`ModelError::UnsupportedArchitecture`] or [`ModelError::ConfigField`]
///   if the configuration is damaged, or sets what is not supported
/// - [`ModelError::Safetensors`] if the weights are damaged
/// - [`ModelError::MissingTensor`], [`ModelError::TensorShape`] or [`ModelError::TensorDtype`] if
///   the weights do not fit the configuration
/// - [`ModelError::DeviceDtype`] or [`ModelError::F16Overflow`] if the device or the architecture
///   does not compute in the number format
/// - [`ModelError::Stopped`] if the options' signal to stop is given
///
/// # Memory
///
/// The checkpoint is memory-mapped; what is allocated is one copy of the weights in the number
/// format of the placement. On the host the embedding stays in the file until logits are asked for:
/// a batch reads the rows of its tokens.
pub fn load_model(
    dir: &Path,
    options: impl Into<LoadOptions>,
) -> Result<Box<dyn HookedModel>, ModelError> {
    load(dir, options.into(), model_from_tensors)
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
pub fn load_gpt2(dir: &Path, options: impl Into<LoadOptions>) -> Result<Gpt2, ModelError> {
    load(dir, options.into(), gpt2)
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
pub fn load_gemma(dir: &Path, options: impl Into<LoadOptions>) -> Result<Gemma, ModelError> {
    load(dir, options.into(), gemma)
}

/// Hash of configuration and weights of the checkpoint in `dir`.
///
/// # Errors
///
/// - [`ModelError::MissingFile`] or [`ModelError::File`] if a file cannot be read
/// - [`ModelError::Json`] or [`ModelError::ConfigField`] if the list of shards is damaged
pub fn checkpoint_hash(dir: &Path) -> Result<String, ModelError> {
    hash_until(dir, &Stop::never())
}

/// As [`checkpoint_hash`], until a signal is given.
pub(crate) fn hash_until(dir: &Path, stop: &Stop) -> Result<String, ModelError> {
    let path = dir.join("config.json");
    let mut hasher = blake3::Hasher::new();
    hasher.update(&read_description(&path)?);
    Checkpoint::open(dir)?.hash(&mut hasher, stop)?;
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
/// One copy of the weights in the number format of the placement.
pub fn model_from_bytes(
    config: &[u8],
    weights: &[u8],
    name: &Path,
    options: impl Into<LoadOptions>,
) -> Result<Box<dyn HookedModel>, ModelError> {
    let tensors = Tensors::from_bytes(weights, name)?;
    model_from_tensors(Parts::new(config, name, &tensors, options.into())?)
}

/// Builds a GPT-2 from a configuration and a safetensors file that are already in memory.
///
/// # Errors
///
/// As [`load_gpt2`]; `name` stands for the path.
///
/// # Memory
///
/// As [`model_from_bytes`].
pub fn gpt2_from_bytes(
    config: &[u8],
    weights: &[u8],
    name: &Path,
    options: impl Into<LoadOptions>,
) -> Result<Gpt2, ModelError> {
    let tensors = Tensors::from_bytes(weights, name)?;
    gpt2(Parts::new(config, name, &tensors, options.into())?)
}

/// Builds a Gemma from a configuration and a safetensors file that are already in memory.
///
/// # Errors
///
/// As [`load_gemma`]; `name` stands for the path.
///
/// # Memory
///
/// As [`model_from_bytes`].
pub fn gemma_from_bytes(
    config: &[u8],
    weights: &[u8],
    name: &Path,
    options: impl Into<LoadOptions>,
) -> Result<Gemma, ModelError> {
    let tensors = Tensors::from_bytes(weights, name)?;
    gemma(Parts::new(config, name, &tensors, options.into())?)
}

/// Whether this version runs the model that a `config.json` describes.
///
/// # Errors
///
/// As [`load_model`], as far as the configuration goes.
#[cfg(feature = "hub")]
pub(crate) fn check_config(path: &Path) -> Result<(), ModelError> {
    family_config(&read_description(path)?, path).map(|_| ())
}

/// What a model is made of.
struct Parts<'a> {
    config: FamilyConfig,
    /// Where the configuration came from.
    path: &'a Path,
    tensors: &'a Tensors<'a>,
    options: LoadOptions,
}

impl<'a> Parts<'a> {
    fn new(
        config: &[u8],
        path: &'a Path,
        tensors: &'a Tensors<'a>,
        options: LoadOptions,
    ) -> Result<Self, ModelError> {
        let config = family_config(config, path)?;
        let options = options.resolve()?;
        match &config {
            FamilyConfig::Gemma(config)
                if config.generation == GemmaGeneration::Three
                    && options.placement.dtype == Dtype::F16 =>
            {
                Err(ModelError::F16Overflow)
            }
            _ => Ok(Self { config, path, tensors, options }),
        }
    }
}

fn gpt2(parts: Parts<'_>) -> Result<Gpt2, ModelError> {
    match parts.config {
        FamilyConfig::Gpt2(config) => gpt2_from_tensors(config, parts.tensors, &parts.options),
        FamilyConfig::Gemma(_) => Err(unsupported("gemma", parts.path, "gpt2")),
    }
}

fn gemma(parts: Parts<'_>) -> Result<Gemma, ModelError> {
    match parts.config {
        FamilyConfig::Gemma(config) => gemma_from_tensors(config, parts.tensors, &parts.options),
        FamilyConfig::Gpt2(_) => Err(unsupported("gpt2", parts.path, GEMMAS)),
    }
}

/// Opens the files in `dir` and hands them to `build`.
fn load<M>(
    dir: &Path,
    options: LoadOptions,
    build: impl FnOnce(Parts<'_>) -> Result<M, ModelError>,
) -> Result<M, ModelError> {
    let path = dir.join("config.json");
    let config = read_description(&path)?;
    let files = Checkpoint::open(dir)?;
    build(Parts::new(&config, &path, &files.tensors()?, options)?)
}

fn model_from_tensors(parts: Parts<'_>) -> Result<Box<dyn HookedModel>, ModelError> {
    Ok(match parts.config {
        FamilyConfig::Gpt2(_) => Box::new(gpt2(parts)?),
        FamilyConfig::Gemma(_) => Box::new(gemma(parts)?),
    })
}

/// Parses and checks a `config.json` by its `model_type`.
fn family_config(text: &[u8], path: &Path) -> Result<FamilyConfig, ModelError> {
    let fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(JsonFileError::new(path))?;
    let file = ConfigFile { path };
    let gemma = |generation| gemma_config(generation, &fields, &file).map(FamilyConfig::Gemma);
    match fields.get("model_type").and_then(Value::as_str).unwrap_or_default() {
        "gpt2" => gpt2_config(&fields, &file).map(FamilyConfig::Gpt2),
        "gemma" => gemma(GemmaGeneration::One),
        "gemma2" => gemma(GemmaGeneration::Two),
        "gemma3_text" | "gemma3" => gemma(GemmaGeneration::Three),
        other => Err(unsupported(other, path, SUPPORTED)),
    }
}

fn unsupported(model_type: &str, path: &Path, supported: &'static str) -> ModelError {
    let (path, model_type) = (path.to_owned(), model_type.to_owned());
    ModelError::UnsupportedArchitecture { path, model_type, supported }
}
