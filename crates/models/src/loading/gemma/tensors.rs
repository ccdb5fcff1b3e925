//! Gemma's tensors.

use burn::module::Param;
use burn::tensor::Tensor;

use crate::families::GemmaBlock;
use crate::layers::norm::RmsNorm;
use crate::loading::checkpoint::Tensors;
use crate::{Gemma, GemmaConfig, GemmaGeneration, LoadOptions, ModelError};

/// Prefixes of the text model's tensors: alone, and in the two layouts of multimodal files.
const PREFIXES: [&str; 4] = ["model.", "language_model.model.", "model.language_model.", ""];

/// Puts a Gemma together from its tensors; those of a vision tower are never asked for.
pub(in crate::loading) fn gemma_from_tensors(
    config: GemmaConfig,
    tensors: &Tensors<'_>,
    options: &LoadOptions,
) -> Result<Gemma, ModelError> {
    // The table may lie under another name, and is no sure sign.
    let is_there = |prefix: &&&str| {
        ["embed_tokens.weight", "norm.weight"]
            .iter()
            .any(|name| tensors.contains(&format!("{prefix}{name}")))
    };
    let prefix = PREFIXES.iter().find(is_there).copied().unwrap_or(PREFIXES[0]);
    let (d, d_head) = (config.d_model, config.d_head);
    let (d_q, d_kv) = (config.n_heads * d_head, config.n_key_value_heads * d_head);
    let matrix = |name: &str, shape: [usize; 2]| {
        tensors.get::<2>(&format!("{prefix}{name}.weight"), shape, options)
    };
    let norm = |name: &str, width: usize| {
        let weight = tensors.get::<1>(&format!("{prefix}{name}.weight"), [width], options)?;
        Ok::<_, ModelError>(RmsNorm::new(weight))
    };
    // Linear stores [d_output, d_input]; parts that read the same input stand side by side here.
    let linear = |parts: &[(String, usize)], d_input: usize| {
        let transposed = |(name, d_output): &(String, usize)| {
            Ok(matrix(name, [*d_output, d_input])?.val().transpose())
        };
        let parts = parts.iter().map(transposed).collect::<Result<Vec<_>, ModelError>>()?;
        let side_by_side = Tensor::cat(parts, 1);
        // Row-major once and for all: products would copy a transposed view each time.
        Ok::<_, ModelError>(Param::from_tensor(Tensor::from_data(
            side_by_side.into_data(),
            (&options.placement.device, options.placement.dtype.of_tensors()),
        )))
    };
    let has_post_norms = config.generation != GemmaGeneration::One;
    let has_head_norms = config.generation == GemmaGeneration::Three;
    let blocks = (0..config.layers.len())
        .map(|i| {
            let name = |part: &str| format!("layers.{i}.{part}");
            let maybe = |wanted: bool, part: &str, width: usize| {
                wanted.then(|| norm(&name(part), width)).transpose()
            };
            // The norm after attention in one architecture is the norm before the MLP in another.
            let ln2 = if has_post_norms {
                "pre_feedforward_layernorm"
            } else {
                "post_attention_layernorm"
            };
            Ok(GemmaBlock {
                ln1: norm(&name("input_layernorm"), d)?,
                w_qkv: linear(
                    &[
                        (name("self_attn.q_proj"), d_q),
                        (name("self_attn.k_proj"), d_kv),
                        (name("self_attn.v_proj"), d_kv),
                    ],
                    d,
                )?,
                q_norm: maybe(has_head_norms, "self_attn.q_norm", d_head)?,
                k_norm: maybe(has_head_norms, "self_attn.k_norm", d_head)?,
                w_o: linear(&[(name("self_attn.o_proj"), d)], d_q)?,
                ln1_post: maybe(has_post_norms, "post_attention_layernorm", d)?,
                ln2: norm(&name(ln2), d)?,
                w_gate_up: linear(
                    &[(name("mlp.gate_proj"), config.d_mlp), (name("mlp.up_proj"), config.d_mlp)],
                    d,
                )?,
                w_down: linear(&[(name("mlp.down_proj"), d)], config.d_mlp)?,
                ln2_post: maybe(has_post_norms, "post_feedforward_layernorm", d)?,
            })
        })
        .collect::<Result<Vec<_>, ModelError>>()?;
    let heads = ["lm_head.weight", "language_model.lm_head.weight"];
    let lm_head = if config.tie_word_embeddings {
        None
    } else {
        Some(tensors.table(tensors.first_of(&heads), [config.d_vocab, d], options)?)
    };
    let embed_tokens = format!("{prefix}embed_tokens.weight");
    // Of names that share memory, safetensors' own `save_model` keeps one.
    let names = [&*embed_tokens, heads[0], heads[1]];
    let table = if lm_head.is_none() { tensors.first_of(&names) } else { names[0] };
    let embed_tokens = tensors.table(table, [config.d_vocab, d], options)?;
    Ok(Gemma::from_parts(config, embed_tokens, blocks, norm("norm", d)?, lm_head))
}
