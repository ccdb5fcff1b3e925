//! The folders of `SAELens`, before and since its version 6.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::write_atomically;

use attention_probes_errors::FileError;
use safetensors::tensor::{Dtype, TensorView};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use half::{bf16, f16};

use super::arrays::{Arrays, transposed};
use super::files::read_json;
use crate::config::{Architecture, Normalization, Reshape, SaeConfig, SaeDtype, SaeMetadata};
use crate::error::plain;
use crate::{Sae, SaeActivation, SaeError};

/// File with everything but the weights.
pub(super) const CONFIG: &str = "cfg.json";
/// File with the weights.
pub(super) const WEIGHTS: &str = "sae_weights.safetensors";

/// The version of `SAELens` whose form is written.
const VERSION: &str = "6.54.12";

/// Keys of an older configuration that became metadata.
const METADATA_KEYS: [&str; 17] = [
    "model_name",
    "hook_name",
    "model_class_name",
    "hook_head_index",
    "model_from_pretrained_kwargs",
    "prepend_bos",
    "exclude_special_tokens",
    "neuronpedia_id",
    "context_size",
    "seqpos_slice",
    "dataset_path",
    "sae_lens_version",
    "sae_lens_training_version",
    "hook_name_out",
    "hook_head_index_out",
    "hf_hook_name",
    "hf_hook_name_out",
];

/// A configuration of either age, with what an older one leaves out.
struct Fields<'a> {
    path: &'a Path,
    fields: Map<String, Value>,
}

impl Fields<'_> {
    /// A field, or what it is if it is not there.
    fn get<T: DeserializeOwned>(
        &self,
        key: &'static str,
        default: Option<T>,
        expected: &'static str,
    ) -> Result<T, SaeError> {
        let value = match self.fields.get(key) {
            None | Some(Value::Null) => {
                return default.ok_or_else(|| self.error(key, "missing".to_owned(), expected));
            }
            Some(value) => value,
        };
        serde_json::from_value(value.clone())
            .map_err(|_| self.error(key, value.to_string(), expected))
    }

    fn error(&self, key: &'static str, found: String, expected: &'static str) -> SaeError {
        SaeError::Config { path: self.path.to_owned(), key, found, expected }
    }
}

/// Gives the fields of a configuration before version 6 their present names.
fn modernised(mut fields: Map<String, Value>) -> Map<String, Value> {
    for (old, new) in [
        ("hook_point", "hook_name"),
        ("hook_point_head_index", "hook_head_index"),
        ("activation_fn_str", "activation_fn"),
    ] {
        if let Some(value) = fields.remove(old) {
            fields.entry(new).or_insert(value);
        }
    }
    if let Some(Value::Bool(is_scaled)) = fields.get("normalize_activations") {
        let name = if *is_scaled { "expected_average_only_in" } else { "none" };
        fields.insert("normalize_activations".to_owned(), name.into());
    }
    let k = fields.get("activation_fn_kwargs").and_then(|kwargs| kwargs.get("k")).cloned();
    if let Some(k) = k.filter(|_| fields.get("activation_fn") == Some(&json!("topk"))) {
        fields.insert("architecture".to_owned(), "topk".into());
        fields.insert("k".to_owned(), k);
    }
    let is_z =
        fields.get("hook_name").and_then(Value::as_str).is_some_and(|n| n.contains("hook_z"));
    if is_z {
        fields.entry("reshape_activations").or_insert_with(|| "hook_z".into());
    }
    fields.entry("prepend_bos").or_insert(Value::Bool(true));
    let is_metadata = |key: &str| METADATA_KEYS.contains(&key);
    let metadata: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| is_metadata(key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    fields.insert("metadata".to_owned(), Value::Object(metadata));
    fields
}

/// Whether a configuration says that `SAELens` 6 wrote it.
fn is_modern(fields: &Map<String, Value>) -> bool {
    let of = |fields: &Map<String, Value>| {
        let version = fields.get("sae_lens_version")?.as_str()?;
        version.split('.').next()?.parse::<u32>().ok()
    };
    let metadata = fields.get("metadata").and_then(Value::as_object);
    of(fields).or_else(|| of(metadata?)).is_some_and(|major| major >= 6)
}

/// Reads the folder.
pub(super) fn read(folder: &Path) -> Result<Sae, SaeError> {
    let path = folder.join(CONFIG);
    let fields: Map<String, Value> = read_json(&path)?;
    let fields = if is_modern(&fields) { fields } else { modernised(fields) };
    let fields = Fields { path: &path, fields };
    let name: String = fields.get("architecture", Some("standard".to_owned()), "a name")?;
    let Some(architecture) = Architecture::from_name(&name) else {
        return Err(SaeError::UnknownArchitecture { path, found: name });
    };
    let mut arrays = Arrays::from_safetensors(&folder.join(WEIGHTS))?;
    let d_in: usize = fields.get("d_in", None, "the width of the activations")?;
    let d_sae: usize = fields.get("d_sae", None, "the number of features")?;
    let is_rectified: String = fields.get("activation_fn", Some("relu".to_owned()), "a name")?;
    if architecture != Architecture::TopK && is_rectified != "relu" {
        return Err(fields.error("activation_fn", is_rectified, "relu, or topk with its k"));
    }
    let config = SaeConfig {
        d_in,
        d_sae,
        dtype: arrays.dtype(),
        mixed_dtypes: arrays.mixed_dtypes(),
        apply_b_dec_to_input: fields.get("apply_b_dec_to_input", Some(true), "true or false")?,
        normalize_activations: fields.get(
            "normalize_activations",
            Some(Normalization::None),
            "none, expected_average_only_in, constant_norm_rescale, or layer_norm",
        )?,
        reshape_activations: fields.get(
            "reshape_activations",
            Some(Reshape::None),
            "none or hook_z",
        )?,
        metadata: fields.get("metadata", Some(SaeMetadata::default()), "an object")?,
    };
    let mut vector = |name| arrays.take(name, &[d_sae]);
    let activation = match architecture {
        Architecture::Standard => SaeActivation::Standard { b_enc: vector("b_enc")? },
        Architecture::TopK => SaeActivation::TopK {
            b_enc: vector("b_enc")?,
            k: fields.get("k", None, "the number of active features")?,
            rescale_acts_by_decoder_norm: fields.get(
                "rescale_acts_by_decoder_norm",
                Some(false),
                "true or false",
            )?,
        },
        Architecture::JumpRelu => {
            SaeActivation::JumpRelu { b_enc: vector("b_enc")?, threshold: vector("threshold")? }
        }
        Architecture::Gated => SaeActivation::Gated {
            b_gate: vector("b_gate")?,
            r_mag: vector("r_mag")?,
            b_mag: vector("b_mag")?,
        },
    };
    let scaling = arrays.shape("scaling_factor").map(<[usize]>::to_vec);
    if let Some(shape) = scaling {
        let factors = arrays.take("scaling_factor", &shape)?;
        if factors.iter().any(|factor| (factor - 1.0).abs() > 1e-5) {
            let found = "with factors other than 1".to_owned();
            return Err(fields.error("finetuning_scaling_factor", found, "factors of 1"));
        }
    }
    Ok(Sae {
        config,
        activation,
        encoder: arrays.take_transposed("W_enc", [d_in, d_sae])?,
        decoder: arrays.take("W_dec", &[d_sae, d_in])?,
        b_dec: arrays.take("b_dec", &[d_in])?,
    })
}

/// Writes an autoencoder as a folder that `sae_lens` loads, in the type its config names.
///
/// What is there of that name is replaced, each file as a whole. Reading it back gives the same
/// autoencoder, to the bit where the type holds the weights: in a narrower type than they were read
/// from they are rounded.
///
/// # Errors
///
/// The errors of [`Sae::check`], and [`SaeError::File`] or [`SaeError::Activation`] if the folder cannot be written.
///
/// # Memory
///
/// The weights once more.
pub fn write_sae_lens(sae: &Sae, folder: impl AsRef<Path>) -> Result<(), SaeError> {
    sae.check()?;
    let folder = folder.as_ref();
    let write = |path: &Path, bytes: &[u8]| write_atomically(path, |file| file.write_all(bytes));
    fs::create_dir_all(folder).map_err(FileError::write(folder))?;
    let SaeConfig { d_in, d_sae, .. } = sae.config;
    let encoder = transposed(&sae.encoder, d_sae, d_in);
    let mut arrays: Vec<(&str, Vec<usize>, &[f32])> = vec![
        ("W_enc", vec![d_in, d_sae], &encoder),
        ("W_dec", vec![d_sae, d_in], &sae.decoder),
        ("b_dec", vec![d_in], &sae.b_dec),
    ];
    arrays.extend(sae.activation.arrays().into_iter().map(|(name, v)| (name, vec![d_sae], v)));
    let dtype = sae.config.dtype;
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = arrays
        .into_iter()
        .map(|(name, shape, values)| (name, shape, to_bytes(values, dtype)))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(stored(dtype), shape.clone(), bytes);
        view.map(|view| (*name, view))
    });
    let path = folder.join(WEIGHTS);
    let failed = |source: safetensors::SafeTensorError| SaeError::Weights {
        path: path.clone(),
        reason: plain(&source),
    };
    let views = views.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let file = safetensors::serialize(views, None).map_err(failed)?;
    write(&path, &file)?;
    let text = format!("{:#}\n", Value::Object(to_fields(sae)));
    Ok(write(&folder.join(CONFIG), text.as_bytes())?)
}

/// The configuration as `SAELens` 6 has it.
fn to_fields(sae: &Sae) -> Map<String, Value> {
    let config = &sae.config;
    let mut metadata: Map<String, Value> =
        config.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    // The reader takes its rules from the version, so it must be one whose form this is.
    metadata.insert("sae_lens_version".to_owned(), VERSION.into());
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("d_in", config.d_in.into());
    set("d_sae", config.d_sae.into());
    set("dtype", json!(config.dtype));
    set("device", "cpu".into());
    set("apply_b_dec_to_input", config.apply_b_dec_to_input.into());
    set("normalize_activations", json!(config.normalize_activations));
    set("reshape_activations", json!(config.reshape_activations));
    if let SaeActivation::TopK { k, rescale_acts_by_decoder_norm, .. } = sae.activation {
        set("k", k.into());
        set("rescale_acts_by_decoder_norm", rescale_acts_by_decoder_norm.into());
    }
    set("metadata", Value::Object(metadata));
    set("architecture", sae.activation.architecture().as_str().into());
    fields
}

fn stored(dtype: SaeDtype) -> Dtype {
    match dtype {
        SaeDtype::Float32 => Dtype::F32,
        SaeDtype::Bfloat16 => Dtype::BF16,
        SaeDtype::Float16 => Dtype::F16,
    }
}

fn to_bytes(values: &[f32], dtype: SaeDtype) -> Vec<u8> {
    match dtype {
        SaeDtype::Float32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        SaeDtype::Bfloat16 => {
            values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
        }
        SaeDtype::Float16 => {
            values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
        }
    }
}
