//! What loading and long texts take of memory, each in a process that does nothing else.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use attention_probes_models::load::load_model;
use attention_probes_models::save::save_gpt2;
use attention_probes_models::{
    ActivationFunction, GemmaConfig, GemmaGeneration, Gpt2Config, HookPoint, HookSet, HookedModel,
    LayerKind, PaddingSide, Rope, TokenBatch,
};
use burn::tensor::Device;

const MIB: u64 = 1 << 20;

/// Set in the process that measures: the folder that it works on.
const FOLDER: &str = "MEASURED_FOLDER";

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
    let Some(dir) = measured_folder() else {
        let dir = tempfile::tempdir().unwrap();
        save_gpt2(&config.init(&device), dir.path()).unwrap();
        return measure("loading_peaks_at_the_weights_without_the_embedding", dir.path());
    };
    let blocks_bytes = 6 * 12 * 512 * 512 * 4; // 72 MiB in f32
    let table_bytes = 65_536 * 512 * 4; // 128 MiB

    let before = peak_since_reset(true);
    let model = load_model(&dir, &device).unwrap();
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

#[test]
fn long_texts_need_no_square_of_scores() {
    if measured_folder().is_none() {
        return measure("long_texts_need_no_square_of_scores", Path::new("."));
    }
    let device = Device::flex();
    let pos = 32_768;
    let config = GemmaConfig {
        generation: GemmaGeneration::Three,
        n_heads: 2,
        n_key_value_heads: 1,
        d_head: 8,
        d_model: 16,
        d_mlp: 32,
        d_vocab: 64,
        n_ctx: pos,
        activation: ActivationFunction::GeluTanh,
        rms_norm_epsilon: 1e-6,
        query_pre_attn_scalar: 8.0,
        attn_softcap: None,
        logit_softcap: None,
        sliding_window: 512,
        layers: vec![LayerKind::Sliding, LayerKind::Full, LayerKind::Sliding],
        rope_full: Rope { theta: 1e6, factor: 1.0 },
        rope_sliding: Rope { theta: 1e4, factor: 1.0 },
        tie_word_embeddings: true,
    };
    let model = config.init(&device);
    let text: Vec<u32> = (0..pos as u32).map(|p| p * 7 % 64).collect();
    let batch = TokenBatch::new(&[text], PaddingSide::Right, &device).unwrap();
    let before = peak_since_reset(true);
    let hooks = HookSet::new((0..3).map(HookPoint::ResidPost));
    model.run_with_cache(&batch, &hooks).unwrap();
    let peak = peak_since_reset(false) - before;
    // The scores of one head alone would be 4 GiB, a mask of them 1 GiB.
    assert!(peak < 256 * MIB, "{} MiB", peak / MIB);
}

fn measured_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs one test of this file in a process of its own.
fn measure(test: &str, folder: &Path) {
    let mut this = Command::new(std::env::current_exe().unwrap());
    let output =
        this.args(["--exact", &format!("memory::{test}")]).env(FOLDER, folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
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
