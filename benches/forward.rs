//! GPT-2 small and Gemma 3 270M with random weights, 8 texts of 256 tokens, every residual stream
//! kept, then everything that `TransformerLens` caches by default, beside the time their matrix
//! products would take at the machine's rate; and one long text.
//!
//! ```sh
//! cargo bench --bench forward
//! ```

#![expect(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use attention_probes::models::{
    ActivationFunction, GemmaConfig, GemmaGeneration, Gpt2Config, HookPoint, HookSet, HookedModel,
    LayerKind, ModelShape, PaddingSide, Rope, TokenBatch,
};
use attention_probes_cli::allocator::keep_freed_memory;
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 8;
const POS: usize = 256;
const LONG_POS: usize = 32_768;

fn forward(criterion: &mut Criterion) {
    keep_freed_memory();
    let device = Device::flex();
    device.seed(0);
    let gpt2 = gpt2_small().init(&device);
    let gemma = gemma3_270m().init(&device);
    let models: [(&str, &dyn HookedModel, f64); 2] = [
        ("gpt2-small", &gpt2, flops(gpt2.shape(), 2)),
        ("gemma-3-270m", &gemma, flops(gemma.shape(), 3)),
    ];
    let square = Tensor::<2>::random([2048, 2048], Distribution::Default, &device);
    let product = || {
        let start = Instant::now();
        black_box(square.clone().matmul(square.clone()));
        start.elapsed()
    };

    let mut benches = criterion.benchmark_group("forward");
    benches.sample_size(10);
    for (name, model, flops) in models {
        let batch = batch(BATCH, POS, model.shape().d_vocab, &device);
        let residuals = HookSet::new((0..model.shape().n_layers).map(HookPoint::ResidPost));
        // What TransformerLens caches by default: not what each head adds to the stream.
        let cached = model.hooks().into_iter().filter(|hook| !matches!(hook, HookPoint::Result(_)));
        let everything = HookSet::new(cached);
        let run = |hooks: &HookSet| {
            let start = Instant::now();
            black_box(model.run_with_cache(&batch, hooks).expect("the batch fits the model"));
            start.elapsed()
        };
        benches.bench_function(format!("{name}/residuals"), |b| b.iter(|| run(&residuals)));
        benches.bench_function(format!("{name}/everything"), |b| b.iter(|| run(&everything)));

        // In turns, so that all three see the same machine.
        let turns: Vec<[Duration; 3]> =
            (0..7).map(|_| [run(&residuals), run(&everything), product()]).collect();
        let median = |of: usize| {
            let mut times: Vec<Duration> = turns.iter().map(|turn| turn[of]).collect();
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64()
        };
        let rate = 2.0 * 2048_f64.powi(3) / median(2);
        let tokens = (BATCH * POS) as f64;
        let floor = tokens * rate / flops;
        eprintln!(
            "{name}: residuals {:.0} tokens/s; everything {:.0} tokens/s; floor at {:.0} GFLOP/s \
             {floor:.0} tokens/s, ratio {:.2}",
            tokens / median(0),
            tokens / median(1),
            rate / 1e9,
            floor * median(0) / tokens
        );
    }
    benches.finish();

    let long = batch(1, LONG_POS, gemma.shape().d_vocab, &device);
    let last = HookSet::new([HookPoint::ResidPost(17)]);
    let start = Instant::now();
    black_box(gemma.run_with_cache(&long, &last).expect("the text fits the model"));
    eprintln!(
        "gemma-3-270m, one text of {LONG_POS} tokens: {:.0} s",
        start.elapsed().as_secs_f64()
    );
}

fn gpt2_small() -> Gpt2Config {
    Gpt2Config {
        n_layers: 12,
        n_heads: 12,
        d_model: 768,
        d_mlp: 3072,
        d_vocab: 50257,
        n_ctx: 1024,
        activation: ActivationFunction::GeluTanh,
        layer_norm_epsilon: 1e-5,
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        tie_word_embeddings: true,
    }
}

fn gemma3_270m() -> GemmaConfig {
    let kind = |layer: usize| {
        if (layer + 1).is_multiple_of(6) { LayerKind::Full } else { LayerKind::Sliding }
    };
    GemmaConfig {
        generation: GemmaGeneration::Three,
        n_heads: 4,
        n_key_value_heads: 1,
        d_head: 256,
        d_model: 640,
        d_mlp: 2048,
        d_vocab: 262_144,
        n_ctx: LONG_POS,
        activation: ActivationFunction::GeluTanh,
        rms_norm_epsilon: 1e-6,
        query_pre_attn_scalar: 256.0,
        attn_softcap: None,
        logit_softcap: None,
        sliding_window: 512,
        layers: (0..18).map(kind).collect(),
        rope_full: Rope { theta: 1e6, factor: 1.0 },
        rope_sliding: Rope { theta: 1e4, factor: 1.0 },
        tie_word_embeddings: true,
    }
}

/// What the products of one pass take, the full square of scores as peers count it.
fn flops(shape: &ModelShape, mlp_matrices: usize) -> f64 {
    let d_q = shape.n_heads * shape.d_head;
    let d_kv = shape.n_key_value_heads * shape.d_head;
    let weights = shape.d_model * (2 * d_q + 2 * d_kv + mlp_matrices * shape.d_mlp);
    let per_token = shape.n_layers * (2 * weights + 4 * POS * d_q);
    (per_token * BATCH * POS) as f64
}

fn batch(n_texts: usize, pos: usize, d_vocab: usize, device: &Device) -> TokenBatch {
    let id = |b: usize, p: usize| ((b * 7919 + p * 104_729) % d_vocab) as u32;
    let texts: Vec<Vec<u32>> = (0..n_texts).map(|b| (0..pos).map(|p| id(b, p)).collect()).collect();
    TokenBatch::new(&texts, PaddingSide::Right, device).expect("the batch is not empty")
}

criterion_group!(benches, forward);
criterion_main!(benches);
