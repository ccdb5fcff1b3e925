//! Gemma's `config.json`, in both generations of its layout.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rope::{RawRope, one_rope_type, ropes};
use crate::loading::config_file::{ConfigFile, Stated};
use crate::{ActivationFunction, GemmaConfig, GemmaGeneration, LayerKind, ModelError};

/// Most layers that a configuration may ask for: a list of their kinds is made before any tensor
/// is looked at.
const MAX_LAYERS: usize = 4096;

/// Parses and checks the configuration of a Gemma; that of a multimodal one has the text model's
/// inside.
pub(in crate::loading) fn gemma_config(
    generation: GemmaGeneration,
    fields: &Map<String, Value>,
    file: &ConfigFile<'_>,
) -> Result<GemmaConfig, ModelError> {
    let mut all_fields = defaults(generation);
    match fields.get("text_config").and_then(Value::as_object) {
        Some(text_fields) => {
            check_wrapper(fields, text_fields, file)?;
            all_fields.extend(text_fields.clone());
        }
        None => all_fields.extend(fields.clone()),
    }
    let patterns = ["sliding_window_pattern", "_sliding_window_pattern"];
    file.one_spelling(&mut all_fields, "", patterns)?;
    one_rope_type(&mut all_fields, file)?;
    file.parse::<RawGemmaConfig>(all_fields)?.check(generation, file)
}

/// Checks what a multimodal configuration has around that of its text model.
fn check_wrapper(
    fields: &Map<String, Value>,
    text_fields: &Map<String, Value>,
    file: &ConfigFile<'_>,
) -> Result<(), ModelError> {
    if fields.get("tie_word_embeddings") == Some(&Value::Bool(false)) {
        return file.refuse("tie_word_embeddings", &false, "true beside a `text_config`");
    }
    let others = fields.clone().into_iter();
    let others = others.filter(|(field, value)| {
        !WRAPPER_FIELDS.contains(&field.as_str()) && text_fields.get(field) != Some(value)
    });
    file.no_other(&others.collect())
}

/// What transformers takes for a field that is absent: `Gemma*Config` of version 5.23.
fn defaults(generation: GemmaGeneration) -> Map<String, Value> {
    let value = match generation {
        GemmaGeneration::One => json!({
            "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 256_000,
            "max_position_embeddings": 8192,
        }),
        GemmaGeneration::Two => json!({
            "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
            "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 256_000,
            "max_position_embeddings": 8192, "query_pre_attn_scalar": 256.0,
            "sliding_window": 4096, "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        }),
        GemmaGeneration::Three => json!({
            "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
            "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208,
            "max_position_embeddings": 131_072,
            "query_pre_attn_scalar": 256.0, "sliding_window": 4096,
        }),
    };
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// `config.json` of a Gemma's text model, as Hugging Face writes it, defaults filled in.
#[derive(Deserialize)]
pub(super) struct RawGemmaConfig {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "default_head_dim")]
    head_dim: usize,
    #[serde(default = "default_epsilon")]
    rms_norm_eps: f64,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    hidden_activation: Option<String>,
    #[serde(default)]
    query_pre_attn_scalar: Option<f64>,
    #[serde(default)]
    attn_logit_softcapping: Option<f64>,
    #[serde(default)]
    final_logit_softcapping: Option<f64>,
    #[serde(default)]
    sliding_window: Option<usize>,
    #[serde(default)]
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    sliding_window_size: Option<usize>,
    #[serde(default)]
    sliding_window_pattern: Option<usize>,
    #[serde(default)]
    pub(super) rope_theta: Option<f64>,
    #[serde(default)]
    pub(super) rope_local_base_freq: Option<f64>,
    #[serde(default)]
    pub(super) rope_scaling: Option<RawRope>,
    #[serde(default)]
    pub(super) rope_parameters: Option<Map<String, Value>>,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: Option<bool>,
    #[serde(default)]
    use_bidirectional_attention: Option<Value>,
    #[serde(default)]
    quantization_config: Option<Value>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

fn default_head_dim() -> usize {
    256
}

fn default_epsilon() -> f64 {
    1e-6
}

fn yes() -> bool {
    true
}

/// Fields that change nothing in what is around a `text_config`: images are never looked at.
const WRAPPER_FIELDS: [&str; 3] = ["text_config", "tie_word_embeddings", "vision_config"];

impl RawGemmaConfig {
    fn check(
        self,
        generation: GemmaGeneration,
        file: &ConfigFile<'_>,
    ) -> Result<GemmaConfig, ModelError> {
        file.no_other(&self.other)?;
        if let Some(value) = &self.quantization_config {
            return file.refuse("quantization_config", value, "no quantization");
        }
        if self.attention_bias == Some(true) {
            return file.refuse("attention_bias", &true, "false");
        }
        let bidirectional = self.use_bidirectional_attention.as_ref();
        if let Some(value) = bidirectional.filter(|value| **value != Value::Bool(false)) {
            return file.refuse("use_bidirectional_attention", value, "false");
        }
        file.not_zero(&[
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("head_dim", self.head_dim),
        ])?;
        if self.num_hidden_layers > MAX_LAYERS {
            return file.refuse("num_hidden_layers", &self.num_hidden_layers, "at most 4096");
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let expected = "a divisor of `num_attention_heads`";
            return file.refuse("num_key_value_heads", &self.num_key_value_heads, expected);
        }
        if !self.head_dim.is_multiple_of(2) {
            return file.refuse("head_dim", &self.head_dim, "an even number");
        }
        let width = |n: usize, each: usize| n.checked_mul(each).filter(|n| *n < 1 << 40);
        if width(3 * self.num_attention_heads.min(1 << 30), self.head_dim).is_none() {
            return file.refuse("head_dim", &self.head_dim, "a width that fits into memory");
        }
        if width(2, self.intermediate_size).is_none() {
            let expected = "a width that fits into memory";
            return file.refuse("intermediate_size", &self.intermediate_size, expected);
        }
        file.at_least_zero("rms_norm_eps", self.rms_norm_eps)?;
        let [attn_softcap, logit_softcap] = self.softcaps(generation, file)?;
        let layers = self.layers(generation, file)?;
        let (rope_full, rope_sliding) = ropes(&self, generation, file)?;
        let scalar = match generation {
            GemmaGeneration::One => self.head_dim as f64,
            _ => self.query_pre_attn_scalar.unwrap_or(256.0),
        };
        Ok(GemmaConfig {
            generation,
            n_heads: self.num_attention_heads,
            n_key_value_heads: self.num_key_value_heads,
            d_head: self.head_dim,
            d_model: self.hidden_size,
            d_mlp: self.intermediate_size,
            d_vocab: self.vocab_size,
            n_ctx: self.max_position_embeddings,
            activation: self.activation(generation, file)?,
            rms_norm_epsilon: self.rms_norm_eps,
            query_pre_attn_scalar: file.above_zero("query_pre_attn_scalar", scalar)?,
            attn_softcap,
            logit_softcap,
            sliding_window: self.window(&layers, file)?,
            layers,
            rope_full,
            rope_sliding,
            tie_word_embeddings: self.tie_word_embeddings,
        })
    }

    /// Files of Gemma 1 say `hidden_act: gelu` and leave `hidden_activation` empty, and mean the
    /// tanh form all the same (huggingface/transformers#29402).
    fn activation(
        &self,
        generation: GemmaGeneration,
        file: &ConfigFile<'_>,
    ) -> Result<ActivationFunction, ModelError> {
        let (field, name) = match (&self.hidden_activation, &self.hidden_act) {
            (Some(name), _) => ("hidden_activation", name.as_str()),
            (None, Some(name)) if generation == GemmaGeneration::One && name != "gelu" => {
                ("hidden_act", name.as_str())
            }
            (None, _) => ("hidden_activation", "gelu_pytorch_tanh"),
        };
        serde_json::from_value(Value::String(name.to_owned())).or_else(|_| {
            file.refuse(field, &name, "gelu_pytorch_tanh, gelu_new, gelu, relu, silu, or swish")
        })
    }

    /// Soft caps of scores and of logits.
    fn softcaps(
        &self,
        generation: GemmaGeneration,
        file: &ConfigFile<'_>,
    ) -> Result<[Option<f64>; 2], ModelError> {
        let attn = self.attn_logit_softcapping;
        if let Some(value) = attn.filter(|_| generation != GemmaGeneration::Two) {
            let expected = "null: this architecture has no cap on scores";
            return file.refuse("attn_logit_softcapping", &value, expected);
        }
        let logits = self.final_logit_softcapping;
        if let Some(value) = logits.filter(|_| generation == GemmaGeneration::One) {
            let expected = "null: this architecture has no cap on logits";
            return file.refuse("final_logit_softcapping", &value, expected);
        }
        for (field, cap) in [("attn_logit_softcapping", attn), ("final_logit_softcapping", logits)]
        {
            cap.map(|cap| file.above_zero(field, cap)).transpose()?;
        }
        Ok([attn, logits])
    }

    /// Which keys each layer sees: as listed, or every `pattern`-th layer all of them.
    fn layers(
        &self,
        generation: GemmaGeneration,
        file: &ConfigFile<'_>,
    ) -> Result<Vec<LayerKind>, ModelError> {
        let n_layers = self.num_hidden_layers;
        let Some(names) = &self.layer_types else {
            let pattern = match generation {
                GemmaGeneration::One => 1,
                GemmaGeneration::Two => self.sliding_window_pattern.unwrap_or(2),
                GemmaGeneration::Three => self.sliding_window_pattern.unwrap_or(6),
            };
            if pattern == 0 {
                return file.refuse("sliding_window_pattern", &pattern, "a number above 0");
            }
            let kind = |layer: usize| {
                if (layer + 1).is_multiple_of(pattern) {
                    LayerKind::Full
                } else {
                    LayerKind::Sliding
                }
            };
            return Ok((0..n_layers).map(kind).collect());
        };
        if names.len() != n_layers {
            let found = format!("a list of {}", names.len());
            return file.refuse("layer_types", &found, "one entry per layer");
        }
        let kind = |name: &String| match name.as_str() {
            "full_attention" => Ok(LayerKind::Full),
            "sliding_attention" if generation != GemmaGeneration::One => Ok(LayerKind::Sliding),
            _ => file.refuse("layer_types", name, "full_attention or sliding_attention"),
        };
        names.iter().map(kind).collect()
    }

    /// How many keys a query of a sliding layer sees.
    fn window(&self, layers: &[LayerKind], file: &ConfigFile<'_>) -> Result<usize, ModelError> {
        // A field of Google's own code, which transformers does not read.
        if let (Some(window), Some(size)) = (self.sliding_window, self.sliding_window_size)
            && window != size
            && layers.contains(&LayerKind::Sliding)
        {
            let stated = |field: &str, value: usize| Stated {
                field: field.to_owned(),
                value: value.to_string(),
            };
            let second = stated("sliding_window_size", size);
            return file.contradiction(stated("sliding_window", window), second);
        }
        match self.sliding_window {
            Some(window) if window > 0 => Ok(window),
            _ if !layers.contains(&LayerKind::Sliding) => Ok(self.max_position_embeddings),
            found => {
                let found = found.map_or("null".to_owned(), |window| window.to_string());
                file.refuse("sliding_window", &found, "a number above 0 for the sliding layers")
            }
        }
    }
}
