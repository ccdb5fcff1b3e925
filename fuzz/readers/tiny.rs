//! A model of one layer, and an autoencoder of its residual stream.

use attention_probes_models::{ActivationFunction, Gpt2, Gpt2Config, HookPoint};
use attention_probes_sae::{Activation, Sae, SaeConfig};
use burn::tensor::Device;

const D_MODEL: usize = 12;

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

#[allow(dead_code, reason = "a run makes its own")]
pub(crate) fn sae() -> Sae {
    let d_sae = 16;
    let wave = |at: f32| (0..D_MODEL * d_sae).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
    let mut sae = Sae {
        config: SaeConfig::new(D_MODEL, d_sae),
        activation: Activation::Standard { b_enc: vec![0.01; d_sae] },
        encoder: wave(0.9),
        decoder: wave(1.3),
        b_dec: vec![0.0; D_MODEL],
    };
    sae.set_hook(HookPoint::ResidPre(0));
    sae
}
