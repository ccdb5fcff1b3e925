//! Models and drawn autoencoders to try things on.

use std::path::Path;

use attention_probes_models::load::load_model;
use attention_probes_models::{
    ActivationFunction, GemmaConfig, GemmaGeneration, Gpt2Config, HookPoint, HookedModel,
    LayerKind, Rope, open_model,
};
use attention_probes_sae::{Normalization, Sae, SaeActivation, SaeConfig};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Tiny models with random weights, norms and biases among them, and the embedded ones.
pub(crate) const MODELS: [&str; 8] = [
    "gpt2-base",
    "gemma1-base",
    "gemma2-base",
    "gemma3-base",
    "gemma3-pattern-linear",
    "gemma3-v5-linear",
    "demo-gpt2",
    "demo-gemma",
];

pub(crate) fn model(name: &str) -> Box<dyn HookedModel> {
    let device = Device::flex();
    if name.starts_with("demo-") {
        return open_model(name, None, &device).unwrap().model;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
    load_model(&golden.join(name), &device).unwrap()
}

/// Draws every weight anew, those of norms and biases too.
struct Draw(ChaCha8Rng);

impl ModuleMapper for Draw {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| {
            let n = old.shape().num_elements();
            let values: Vec<f32> = (0..n).map(|_| self.0.random_range(-0.5..0.5)).collect();
            Tensor::from_data(TensorData::new(values, old.dims()), &old.device())
        })
    }
}

/// A model of two layers of one of four families (GPT-2, Gemma 1, 2, and 3) with drawn sizes,
/// settings, and weights; of Gemma the first layer has a window.
pub(crate) fn drawn_model(family: u8, seed: u64) -> Box<dyn HookedModel> {
    let device = Device::flex();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n_key_value_heads = rng.random_range(1..4);
    let n_heads = n_key_value_heads * rng.random_range(1..4);
    let d_head = 2 * rng.random_range(1..7);
    let d_mlp = rng.random_range(1..20);
    let (d_vocab, n_ctx, epsilon) = (30, 16, 10.0_f64.powi(rng.random_range(-8..-1)));
    if family == 0 {
        let config = Gpt2Config {
            n_layers: 2,
            n_heads,
            d_model: n_heads * d_head,
            d_mlp,
            d_vocab,
            n_ctx,
            activation: ActivationFunction::GeluTanh,
            layer_norm_epsilon: epsilon,
            scale_attn_weights: rng.random(),
            scale_attn_by_inverse_layer_idx: rng.random(),
            tie_word_embeddings: true,
        };
        return Box::new(config.init(&device).map(&mut Draw(rng)));
    }
    let generation =
        [GemmaGeneration::One, GemmaGeneration::Two, GemmaGeneration::Three][family as usize - 1];
    let has_softcap = generation == GemmaGeneration::Two;
    let mut rope = || Rope {
        theta: rng.random_range(100.0..20_000.0),
        factor: [1.0, 8.0][rng.random_range(0..2)],
    };
    let config = GemmaConfig {
        generation,
        rope_full: rope(),
        rope_sliding: rope(),
        n_heads,
        n_key_value_heads,
        d_head,
        d_model: rng.random_range(6..40),
        d_mlp,
        d_vocab,
        n_ctx,
        activation: ActivationFunction::GeluTanh,
        rms_norm_epsilon: epsilon,
        query_pre_attn_scalar: rng.random_range(2.0..20.0),
        attn_softcap: has_softcap.then(|| rng.random_range(1.0..30.0)),
        logit_softcap: None,
        sliding_window: rng.random_range(1..8),
        layers: vec![LayerKind::Sliding, LayerKind::Full],
        tie_word_embeddings: true,
    };
    Box::new(config.init(&device).map(&mut Draw(rng)))
}

/// The sites that the scores of a layer read.
pub(crate) fn sites(layer: usize) -> Vec<HookPoint> {
    let mut sites = vec![HookPoint::Ln1Normalized(layer), HookPoint::ResidPre(layer)];
    if layer > 0 {
        sites.push(HookPoint::ResidPost(layer - 1));
    }
    sites
}

/// An autoencoder with random weights on a hook; `kind` chooses how it makes features, and whether
/// activations are normalised before.
pub(crate) fn sae(d_in: usize, hook: HookPoint, kind: u8, seed: u64) -> Sae {
    let d_sae = 3 * d_in;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |n: usize, size: f32| -> Vec<f32> {
        (0..n).map(|_| rng.random_range(-size..size)).collect()
    };
    let (encoder, decoder) = (draw(d_sae * d_in, 0.3), draw(d_sae * d_in, 0.3));
    let (b_dec, b_enc) = (draw(d_in, 0.2), draw(d_sae, 0.2));
    let mut config = SaeConfig::new(d_in, d_sae);
    let activation = match kind % 4 {
        0 => SaeActivation::TopK { b_enc, k: 6, rescale_acts_by_decoder_norm: true },
        1 => SaeActivation::Standard { b_enc },
        2 => SaeActivation::JumpRelu { b_enc, threshold: draw(d_sae, 0.4) },
        _ => {
            let (r_mag, b_mag) = (draw(d_sae, 0.3), draw(d_sae, 0.2));
            SaeActivation::Gated { b_gate: b_enc, r_mag, b_mag }
        }
    };
    config.normalize_activations = match kind / 4 {
        0 => Normalization::None,
        1 => Normalization::LayerNorm,
        _ => Normalization::ConstantNormRescale,
    };
    let mut sae = Sae { config, activation, encoder, decoder, b_dec };
    sae.set_hook(hook);
    sae.check().unwrap();
    sae
}

/// Random tokens, of few kinds so that some occur again.
pub(crate) fn ids(n: usize, d_vocab: usize, seed: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kinds: Vec<u32> = (0..6).map(|_| rng.random_range(0..d_vocab as u32)).collect();
    (0..n).map(|_| kinds[rng.random_range(0..kinds.len())]).collect()
}
