//! What a sparse autoencoder says of itself, beside its weights.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::SaeError;

/// Shape and site of a sparse autoencoder, in the terms of `SAELens`.
#[derive(Clone, Debug, PartialEq)]
pub struct SaeConfig {
    /// Width of the activations.
    pub d_in: usize,
    /// Number of features.
    pub d_sae: usize,
    /// In which type a file keeps the weights; they are computed with in `f32`.
    pub dtype: SaeDtype,
    /// In which type its file keeps each array, where they are not all kept in one; `dtype` is then
    /// the one that holds them all.
    pub mixed_dtypes: BTreeMap<String, SaeDtype>,
    /// Whether the decoder's bias is taken from the activations before they are encoded.
    pub apply_b_dec_to_input: bool,
    /// What is done to the activations before they are encoded, and undone afterwards.
    pub normalize_activations: Normalization,
    /// Whether a row is the heads of `hook_z` side by side.
    pub reshape_activations: Reshape,
    /// What it was trained on, as far as its file says so.
    pub metadata: SaeMetadata,
}

impl SaeConfig {
    /// Makes a config with the defaults of `SAELens`.
    pub fn new(d_in: usize, d_sae: usize) -> Self {
        Self {
            d_in,
            d_sae,
            dtype: SaeDtype::default(),
            mixed_dtypes: BTreeMap::new(),
            apply_b_dec_to_input: true,
            normalize_activations: Normalization::default(),
            reshape_activations: Reshape::default(),
            metadata: SaeMetadata::default(),
        }
    }
}

/// Type of the weights in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SaeDtype {
    /// 32 bits.
    #[default]
    #[serde(alias = "torch.float32")]
    Float32,
    /// The upper 16 bits of those.
    #[serde(alias = "torch.bfloat16")]
    Bfloat16,
    /// IEEE half precision.
    #[serde(alias = "torch.float16")]
    Float16,
}

impl FromStr for SaeDtype {
    type Err = SaeError;

    /// `f32`, `bf16`, or `f16`.
    fn from_str(name: &str) -> Result<Self, SaeError> {
        match name {
            "f32" => Ok(Self::Float32),
            "bf16" => Ok(Self::Bfloat16),
            "f16" => Ok(Self::Float16),
            _ => {
                Err(ValueError::new("dtype", format_args!("`{name}`"), "f32, bf16, or f16").into())
            }
        }
    }
}

/// What is done to a row of activations `x` of width `d` before it is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Nothing.
    #[default]
    None,
    /// Nothing: activations were scaled by `√d / E‖x‖` in training, and the factor is in no file.
    ExpectedAverageOnlyIn,
    /// `x √d / ‖x‖`.
    ConstantNormRescale,
    /// `(x - mean) / (standard deviation + 1e-5)`, the deviation with `d - 1`.
    LayerNorm,
}

/// How activations with a head axis become rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reshape {
    /// They have none.
    #[default]
    None,
    /// `[batch, pos, n_heads, d_head]` to `[batch, pos, n_heads * d_head]`, head by head.
    HookZ,
}

/// The architectures that can be read and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Rectified.
    Standard,
    /// The largest of each row.
    TopK,
    /// Rectified, and 0 up to a threshold of its own for each feature.
    JumpRelu,
    /// A gate for each feature, and a magnitude from the same weights.
    Gated,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 4] = [Self::Standard, Self::TopK, Self::JumpRelu, Self::Gated];

    /// Returns the name that `SAELens` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::TopK => "topk",
            Self::JumpRelu => "jumprelu",
            Self::Gated => "gated",
        }
    }

    /// The architecture of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an autoencoder was trained on: everything its file says, whether known here or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SaeMetadata(Map<String, Value>);

impl SaeMetadata {
    /// Name of the model.
    pub fn model_name(&self) -> Option<&str> {
        self.text("model_name")
    }

    /// The hook whose activations it reads, as `TransformerLens` names it.
    pub fn hook_name(&self) -> Option<&str> {
        self.text("hook_name")
    }

    /// Tokens of a training text.
    pub fn context_size(&self) -> Option<usize> {
        self.0.get("context_size")?.as_u64().map(|n| n as usize)
    }

    /// Whether texts began with the token for it.
    pub fn prepend_bos(&self) -> Option<bool> {
        self.0.get("prepend_bos")?.as_bool()
    }

    /// One value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Sets a value.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Every key with its value, in the order of letters.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }
}

impl FromIterator<(String, Value)> for SaeMetadata {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}
