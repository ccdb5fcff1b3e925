//! Models and drawn autoencoders to try things on.

use std::path::Path;

use attention_probes_models::load::load_model;
use attention_probes_models::{HookPoint, HookedModel, open_model};
use attention_probes_sae::{Activation, Normalization, Sae, SaeConfig};
use burn::tensor::Device;
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
        0 => Activation::TopK { b_enc, k: 6, rescale_acts_by_decoder_norm: true },
        1 => Activation::Standard { b_enc },
        2 => Activation::JumpRelu { b_enc, threshold: draw(d_sae, 0.4) },
        _ => {
            let (r_mag, b_mag) = (draw(d_sae, 0.3), draw(d_sae, 0.2));
            Activation::Gated { b_gate: b_enc, r_mag, b_mag }
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
