//! Writing a checkpoint in Hugging Face layout.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};

use crate::file::write_file;
use crate::{Gpt2, ModelError};

/// Writes `config.json` and `model.safetensors`, weights in bf16, under Hugging Face's names.
///
/// # Errors
///
/// - [`ModelError::Write`] if a file cannot be written
/// - [`ModelError::Safetensors`] if the weights cannot be laid out as such a file
///
/// # Memory
///
/// Two copies of the weights in bf16.
pub fn save_gpt2(model: &Gpt2, dir: &Path) -> Result<(), ModelError> {
    let config = model.config();
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let mut put = |name: String, (shape, bytes)| tensors.insert(name, (shape, bytes));
    put("wte.weight".to_owned(), bf16(model.wte.val()));
    put("wpe.weight".to_owned(), bf16(model.wpe.val()));
    if let Some(lm_head) = &model.lm_head {
        put("lm_head.weight".to_owned(), bf16(lm_head.val()));
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
    write_file(&dir.join("config.json"), format!("{json:#}\n").as_bytes())
}

fn bf16<const D: usize>(tensor: Tensor<D>) -> (Vec<usize>, Vec<u8>) {
    let shape = tensor.dims().to_vec();
    let data = tensor.into_data().convert::<half::bf16>();
    (shape, data.as_bytes().to_vec())
}
