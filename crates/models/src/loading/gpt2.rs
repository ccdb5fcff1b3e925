//! GPT-2's `config.json` and its tensors.

use std::collections::BTreeMap;

use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::checkpoint::Tensors;
use super::config_file::ConfigFile;
use crate::families::Gpt2Block;
use crate::{ActivationFunction, Gpt2, Gpt2Config, LoadOptions, ModelError};

/// `config.json` of a GPT-2 as Hugging Face writes it.
#[derive(Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are Hugging Face's")]
struct RawGpt2Config {
    n_layer: usize,
    n_head: usize,
    n_embd: usize,
    n_inner: Option<usize>,
    n_positions: usize,
    vocab_size: usize,
    activation_function: String,
    layer_norm_epsilon: f64,
    scale_attn_weights: bool,
    scale_attn_by_inverse_layer_idx: bool,
    tie_word_embeddings: bool,
    add_cross_attention: bool,
    quantization_config: Option<Value>,
    pruned_heads: Map<String, Value>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

impl Default for RawGpt2Config {
    /// The values transformers uses for an absent field: GPT-2 small.
    fn default() -> Self {
        Self {
            n_layer: 12,
            n_head: 12,
            n_embd: 768,
            n_inner: None,
            n_positions: 1024,
            vocab_size: 50257,
            activation_function: "gelu_new".to_owned(),
            layer_norm_epsilon: 1e-5,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
            add_cross_attention: false,
            quantization_config: None,
            pruned_heads: Map::new(),
            other: BTreeMap::new(),
        }
    }
}

/// Names of transformers for all families, which it reads as GPT-2's own.
const SPELLINGS: [[&str; 2]; 4] = [
    ["n_layer", "num_hidden_layers"],
    ["n_head", "num_attention_heads"],
    ["n_embd", "hidden_size"],
    ["n_positions", "max_position_embeddings"],
];

/// Fields of GPT-2 alone that do not change what a forward pass computes: `n_ctx` repeats
/// `n_positions`; `reorder_and_upcast_attn` changes rounding only.
const IGNORED_FIELDS: [&str; 2] = ["n_ctx", "reorder_and_upcast_attn"];

/// Parses and checks the configuration of a GPT-2.
pub(super) fn gpt2_config(
    fields: &Map<String, Value>,
    file: &ConfigFile<'_>,
) -> Result<Gpt2Config, ModelError> {
    let mut fields = fields.clone();
    for names in SPELLINGS {
        file.one_spelling(&mut fields, "", names)?;
    }
    fields.retain(|name, _| !IGNORED_FIELDS.contains(&name.as_str()));
    let raw: RawGpt2Config = file.parse(fields)?;
    file.no_other(&raw.other)?;
    if raw.add_cross_attention {
        return file.refuse("add_cross_attention", &true, "false");
    }
    if let Some(value) = &raw.quantization_config {
        return file.refuse("quantization_config", value, "no quantization");
    }
    if !raw.pruned_heads.is_empty() {
        return file.refuse("pruned_heads", &"not empty", "no pruned heads");
    }
    file.not_zero(&[
        ("n_layer", raw.n_layer),
        ("n_head", raw.n_head),
        ("n_embd", raw.n_embd),
        ("n_positions", raw.n_positions),
        ("vocab_size", raw.vocab_size),
        ("n_inner", raw.n_inner.unwrap_or(1)),
    ])?;
    let Some(d_mlp) = raw.n_inner.or(raw.n_embd.checked_mul(4)) else {
        return file.refuse("n_embd", &raw.n_embd, "a width that fits into memory");
    };
    if !raw.n_embd.is_multiple_of(raw.n_head) {
        return file.refuse("n_embd", &raw.n_embd, "a multiple of `n_head`");
    }
    file.at_least_zero("layer_norm_epsilon", raw.layer_norm_epsilon)?;
    let Ok(activation) = serde_json::from_value::<ActivationFunction>(Value::String(
        raw.activation_function.clone(),
    )) else {
        return file.refuse(
            "activation_function",
            &raw.activation_function,
            "gelu_new, gelu_pytorch_tanh, gelu_fast, gelu, relu, silu, or swish",
        );
    };
    Ok(Gpt2Config {
        n_layers: raw.n_layer,
        n_heads: raw.n_head,
        d_model: raw.n_embd,
        d_mlp,
        d_vocab: raw.vocab_size,
        n_ctx: raw.n_positions,
        activation,
        layer_norm_epsilon: raw.layer_norm_epsilon,
        scale_attn_weights: raw.scale_attn_weights,
        scale_attn_by_inverse_layer_idx: raw.scale_attn_by_inverse_layer_idx,
        tie_word_embeddings: raw.tie_word_embeddings,
    })
}

/// Puts a GPT-2 together from its tensors, with or without the prefix `transformer.`.
///
/// The mask buffers `h.{i}.attn.bias` and `h.{i}.attn.masked_bias` are never asked for.
pub(super) fn gpt2_from_tensors(
    config: Gpt2Config,
    tensors: &Tensors<'_>,
    options: &LoadOptions,
) -> Result<Gpt2, ModelError> {
    // The table may lie under another name, and is no sure sign.
    let has_prefix = ["transformer.wte.weight", "transformer.wpe.weight"];
    let prefix =
        if has_prefix.iter().any(|name| tensors.contains(name)) { "transformer." } else { "" };
    let matrix = |name: &str, shape: [usize; 2]| {
        tensors.get::<2>(&format!("{prefix}{name}.weight"), shape, options)
    };
    // Conv1D stores [d_input, d_output], which is how burn stores a linear layer.
    let conv1d = |name: &str, d_input: usize, d_output: usize| {
        let bias = tensors.get::<1>(&format!("{prefix}{name}.bias"), [d_output], options)?;
        let mut linear: Linear =
            LinearConfig::new(d_input, d_output).init(&options.placement.device);
        linear.weight = matrix(name, [d_input, d_output])?;
        linear.bias = Some(bias);
        Ok::<_, ModelError>(linear)
    };
    let d = config.d_model;
    let norm = |name: &str| {
        let mut norm: LayerNorm = LayerNormConfig::new(d)
            .with_epsilon(config.layer_norm_epsilon)
            .init(&options.placement.device);
        norm.gamma = tensors.get::<1>(&format!("{prefix}{name}.weight"), [d], options)?;
        norm.beta = Some(tensors.get::<1>(&format!("{prefix}{name}.bias"), [d], options)?);
        Ok::<_, ModelError>(norm)
    };
    let blocks = (0..config.n_layers)
        .map(|i| {
            Ok(Gpt2Block {
                ln_1: norm(&format!("h.{i}.ln_1"))?,
                c_attn: conv1d(&format!("h.{i}.attn.c_attn"), d, 3 * d)?,
                attn_c_proj: conv1d(&format!("h.{i}.attn.c_proj"), d, d)?,
                ln_2: norm(&format!("h.{i}.ln_2"))?,
                c_fc: conv1d(&format!("h.{i}.mlp.c_fc"), d, config.d_mlp)?,
                mlp_c_proj: conv1d(&format!("h.{i}.mlp.c_proj"), config.d_mlp, d)?,
            })
        })
        .collect::<Result<Vec<_>, ModelError>>()?;
    let lm_head = if config.tie_word_embeddings {
        None
    } else {
        Some(tensors.table("lm_head.weight", [config.d_vocab, d], options)?)
    };
    let wte = format!("{prefix}wte.weight");
    // Of names that share memory, safetensors' own `save_model` keeps one.
    let names = [&*wte, "lm_head.weight"];
    let wte = if lm_head.is_none() { tensors.first_of(&names) } else { names[0] };
    let wte = tensors.table(wte, [config.d_vocab, d], options)?;
    let wpe = matrix("wpe", [config.n_ctx, d])?;
    let ln_f = norm("ln_f")?;
    Ok(Gpt2::from_parts(config, wte, wpe, blocks, ln_f, lm_head))
}
