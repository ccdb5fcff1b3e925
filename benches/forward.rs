//! GPT-2 small with random weights, 8 texts of 256 tokens, every residual stream kept, beside the
//! time its matrix products would take at the machine's rate.
//!
//! ```sh
//! cargo bench --bench forward
//! ```

#![expect(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use attention_probes::models::{
    ActivationFunction, Gpt2Config, HookPoint, HookSet, HookedModel, PaddingSide, TokenBatch,
};
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 8;
const POS: usize = 256;

fn forward(criterion: &mut Criterion) {
    let device = Device::flex();
    device.seed(0);
    let config = Gpt2Config {
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
    };
    let model = config.init(&device);
    let texts: Vec<Vec<u32>> = (0..BATCH as u32)
        .map(|b| (0..POS as u32).map(|p| (b * 7919 + p * 104_729) % 50257).collect())
        .collect();
    let batch =
        TokenBatch::new(&texts, PaddingSide::Right, &device).expect("the batch is not empty");
    let residuals = HookSet::new((0..12).map(HookPoint::ResidPost));
    let everything = HookSet::new(model.hooks());
    let run = |hooks: &HookSet| -> Duration {
        let start = Instant::now();
        black_box(model.run_with_cache(&batch, hooks).expect("the batch fits the model"));
        start.elapsed()
    };

    let square = Tensor::<2>::random([2048, 2048], Distribution::Default, &device);
    let product = || -> Duration {
        let start = Instant::now();
        black_box(square.clone().matmul(square.clone()));
        start.elapsed()
    };
    // 2 x (4 + 8) d_model^2 per token and layer, and the full square of scores as peers count it.
    let flops = 12.0 * (f64::from(24 * 768 * 768) + (4 * POS * 768) as f64) * (BATCH * POS) as f64;
    let square_flops = 2.0 * 2048_f64.powi(3);

    let mut benches = criterion.benchmark_group("forward");
    benches.sample_size(10);
    benches.bench_function("gpt2-small/residuals", |b| b.iter(|| run(&residuals)));
    benches.bench_function("gpt2-small/everything", |b| b.iter(|| run(&everything)));
    benches.finish();

    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let turns: Vec<(Duration, Duration, Duration)> =
        (0..7).map(|_| (run(&residuals), run(&everything), product())).collect();
    let residuals = median(turns.iter().map(|turn| turn.0).collect());
    let everything = median(turns.iter().map(|turn| turn.1).collect());
    let rate = square_flops / median(turns.iter().map(|turn| turn.2).collect());
    let tokens = (BATCH * POS) as f64;
    eprintln!(
        "residuals: {:.0} tokens/s; everything: {:.0} tokens/s; floor at {:.0} GFLOP/s: {:.0} \
         tokens/s, ratio {:.2}",
        tokens / residuals,
        tokens / everything,
        rate / 1e9,
        tokens * rate / flops,
        residuals * rate / flops
    );
}

criterion_group!(benches, forward);
criterion_main!(benches);
