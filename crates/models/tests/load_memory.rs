//! What loading takes of memory; alone in its process, so that it measures nothing else.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use attention_probes_models::load::load_model;
use attention_probes_models::save::save_gpt2;
use attention_probes_models::{
    ActivationFunction, Gpt2Config, HookPoint, HookSet, PaddingSide, TokenBatch,
};
use burn::tensor::Device;

const MIB: u64 = 1 << 20;

#[test]
fn loading_peaks_at_the_weights_without_the_embedding() {
    let device = Device::flex();
    let config = Gpt2Config {
        n_layers: 6,
        n_heads: 8,
        d_model: 512,
        d_mlp: 2048,
        d_vocab: 65_536,
        n_ctx: 64,
        activation: ActivationFunction::GeluTanh,
        layer_norm_epsilon: 1e-5,
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        tie_word_embeddings: true,
    };
    let dir = tempfile::tempdir().unwrap();
    save_gpt2(&config.init(&device), dir.path()).unwrap();
    let blocks_bytes = 6 * 12 * 512 * 512 * 4; // 72 MiB in f32
    let table_bytes = 65_536 * 512 * 4; // 128 MiB

    let before = peak_since_reset(true);
    let model = load_model(dir.path(), &device).unwrap();
    let loading = peak_since_reset(false) - before;
    assert!(loading > blocks_bytes * 9 / 10, "{} MiB: is this measured?", loading / MIB);
    assert!(loading < blocks_bytes * 11 / 10 + 4 * MIB, "loading took {} MiB", loading / MIB);

    let texts: Vec<Vec<u32>> = (0..4).map(|b| (0..64).map(|p| b * 16_000 + p).collect()).collect();
    let batch = TokenBatch::new(&texts, PaddingSide::Right, &device).unwrap();
    let last = HookSet::new([HookPoint::ResidPost(5)]);
    model.run_with_cache(&batch, &last).unwrap();
    let running = peak_since_reset(false) - before;
    assert!(running < loading + table_bytes / 4, "running took {} MiB", running / MIB);
}

/// Most memory that the process has held so far, or since a reset.
fn peak_since_reset(reset: bool) -> u64 {
    if reset {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}
