//! Writing a checkpoint in Hugging Face layout.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};

use crate::files::write_file;
use crate::{Gemma, GemmaGeneration, Gpt2, ModelError, Rope};

/// Writes `config.json` and `model.safetensors`, weights in bf16, under Hugging Face's names.
///
/// # Errors
///
/// - [`ModelError::File`] if a file cannot be written
/// - [`ModelError::Safetensors`] if the weights cannot be laid out as such a file
///
/// # Memory
///
/// Two copies of the weights in bf16.
pub fn save_gpt2(model: &Gpt2, dir: &Path) -> Result<(), ModelError> {
    let (config, device) = (model.config(), &model.ln_f.gamma.val().device());
    let mut tensors = TensorBytes::new();
    let mut put = |name: String, (shape, bytes)| tensors.insert(name, (shape, bytes));
    put("wte.weight".to_owned(), bf16(model.wte.whole(device)));
    put("wpe.weight".to_owned(), bf16(model.wpe.val()));
    if let Some(lm_head) = &model.lm_head {
        put("lm_head.weight".to_owned(), bf16(lm_head.whole(device)));
    }
    let norms = model.blocks.iter().enumerate().flat_map(|(i, block)| {
        [(format!("h.{i}.ln_1"), &block.ln_1), (format!("h.{i}.ln_2"), &block.ln_2)]
    });
    for (name, norm) in norms.chain([("ln_f".to_owned(), &model.ln_f)]) {
        put(format!("{name}.weight"), bf16(norm.gamma.val()));
        if let Some(beta) = &norm.beta {
            put(format!("{name}.bias"), bf16(beta.val()));
        }
    }
    for (i, block) in model.blocks.iter().enumerate() {
        for (name, linear) in [
            ("attn.c_attn", &block.c_attn),
            ("attn.c_proj", &block.attn_c_proj),
            ("mlp.c_fc", &block.c_fc),
            ("mlp.c_proj", &block.mlp_c_proj),
        ] {
            put(format!("h.{i}.{name}.weight"), bf16(linear.weight.val()));
            if let Some(bias) = &linear.bias {
                put(format!("h.{i}.{name}.bias"), bf16(bias.val()));
            }
        }
    }

    let json = serde_json::json!({
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_embd": config.d_model,
        "n_inner": config.d_mlp,
        "n_positions": config.n_ctx,
        "vocab_size": config.d_vocab,
        "activation_function": config.activation,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "scale_attn_weights": config.scale_attn_weights,
        "scale_attn_by_inverse_layer_idx": config.scale_attn_by_inverse_layer_idx,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": "bfloat16",
    });
    write(dir, &json, &tensors)
}

/// Writes a Gemma as [`save_gpt2`] writes a GPT-2.
///
/// # Errors
///
/// As [`save_gpt2`].
///
/// # Memory
///
/// Two copies of the weights in bf16.
pub fn save_gemma(model: &Gemma, dir: &Path) -> Result<(), ModelError> {
    let (config, device) = (model.config(), &model.norm.weight.val().device());
    let mut tensors = TensorBytes::new();
    let mut put = |name: String, (shape, bytes)| tensors.insert(name, (shape, bytes));
    put("model.embed_tokens.weight".to_owned(), bf16(model.embed_tokens.whole(device)));
    put("model.norm.weight".to_owned(), bf16(model.norm.weight.val()));
    if let Some(lm_head) = &model.lm_head {
        put("lm_head.weight".to_owned(), bf16(lm_head.whole(device)));
    }
    let (d_q, d_kv) = (config.n_heads * config.d_head, config.n_key_value_heads * config.d_head);
    for (i, block) in model.blocks.iter().enumerate() {
        let ln2 = match config.generation {
            GemmaGeneration::One => "post_attention_layernorm",
            _ => "pre_feedforward_layernorm",
        };
        for (name, norm) in [
            ("input_layernorm", Some(&block.ln1)),
            ("self_attn.q_norm", block.q_norm.as_ref()),
            ("self_attn.k_norm", block.k_norm.as_ref()),
            ("post_attention_layernorm", block.ln1_post.as_ref()),
            (ln2, Some(&block.ln2)),
            ("post_feedforward_layernorm", block.ln2_post.as_ref()),
        ] {
            if let Some(norm) = norm {
                put(format!("model.layers.{i}.{name}.weight"), bf16(norm.weight.val()));
            }
        }
        // Linear stores [d_output, d_input].
        let (qkv, gate_up) = (block.w_qkv.val(), block.w_gate_up.val());
        for (name, weight, from, n) in [
            ("self_attn.q_proj", &qkv, 0, d_q),
            ("self_attn.k_proj", &qkv, d_q, d_kv),
            ("self_attn.v_proj", &qkv, d_q + d_kv, d_kv),
            ("self_attn.o_proj", &block.w_o.val(), 0, config.d_model),
            ("mlp.gate_proj", &gate_up, 0, config.d_mlp),
            ("mlp.up_proj", &gate_up, config.d_mlp, config.d_mlp),
            ("mlp.down_proj", &block.w_down.val(), 0, config.d_model),
        ] {
            let weight = weight.clone().narrow(1, from, n).transpose();
            put(format!("model.layers.{i}.{name}.weight"), bf16(weight));
        }
    }
    let rope = |rope: &Rope| {
        let rope_type = if rope.factor > 1.0 { "linear" } else { "default" };
        serde_json::json!({
            "rope_type": rope_type,
            "rope_theta": rope.theta,
            "factor": rope.factor,
        })
    };
    let rope_parameters = match config.generation {
        GemmaGeneration::Three => serde_json::json!({
            "full_attention": rope(&config.rope_full),
            "sliding_attention": rope(&config.rope_sliding),
        }),
        _ => rope(&config.rope_full),
    };
    let architecture = match config.generation {
        GemmaGeneration::One => "GemmaForCausalLM",
        GemmaGeneration::Two => "Gemma2ForCausalLM",
        GemmaGeneration::Three => "Gemma3ForCausalLM",
    };
    let json = serde_json::json!({
        "model_type": config.generation,
        "architectures": [architecture],
        "num_hidden_layers": config.layers.len(),
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_key_value_heads,
        "head_dim": config.d_head,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_mlp,
        "vocab_size": config.d_vocab,
        "max_position_embeddings": config.n_ctx,
        "hidden_activation": config.activation,
        "rms_norm_eps": config.rms_norm_epsilon,
        "query_pre_attn_scalar": config.query_pre_attn_scalar,
        "attn_logit_softcapping": config.attn_softcap,
        "final_logit_softcapping": config.logit_softcap,
        "sliding_window": config.sliding_window,
        "layer_types": config.layers,
        "rope_parameters": rope_parameters,
        "tie_word_embeddings": config.tie_word_embeddings,
        "dtype": "bfloat16",
    });
    write(dir, &json, &tensors)
}

/// Shape and bytes of each tensor.
type TensorBytes = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// Writes the two files of a checkpoint.
fn write(dir: &Path, config: &serde_json::Value, tensors: &TensorBytes) -> Result<(), ModelError> {
    let path = dir.join("model.safetensors");
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            TensorView::new(Dtype::BF16, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect::<Result<Vec<_>, _>>();
    let bytes = views
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|source| ModelError::Safetensors { path: path.clone(), source })?;
    write_file(&path, &bytes)?;
    write_file(&dir.join("config.json"), format!("{config:#}\n").as_bytes())
}

fn bf16<const D: usize>(tensor: Tensor<D>) -> (Vec<usize>, Vec<u8>) {
    let shape = tensor.dims().to_vec();
    let data = tensor.into_data().convert::<half::bf16>();
    (shape, data.as_bytes().to_vec())
}
