//! A model of one layer.

use attention_probes_models::{ActivationFunction, Gpt2, Gpt2Config};
use burn::tensor::Device;

pub(crate) const D_MODEL: usize = 12;

pub(crate) fn model() -> Gpt2 {
    let device = Device::flex();
    device.seed(3);
    Gpt2Config {
        n_layers: 1,
        n_heads: 2,
        d_model: D_MODEL,
        d_mlp: 8,
        d_vocab: 9,
        n_ctx: 20,
        activation: ActivationFunction::GeluTanh,
        layer_norm_epsilon: 1e-5,
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        tie_word_embeddings: true,
    }
    .init(&device)
}
