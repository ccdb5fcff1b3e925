//! A probe beside a running model: nanoseconds per token and probe.
//!
//! Activations of `d_model` 640 (Gemma 3 270M) and 2,304 (Gemma 2 2B) one at a time through every
//! kind of probe at its default size. The floor is what no probe can do without: one vectorised
//! multiply-add in `f32` for each of its weights on activations, everything in the cache.
//!
//! ```sh
//! cargo bench --bench streaming
//! ```

#![expect(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use attention_probes::probes::{
    Aggregation, Attention, GatedBipolar, Linear, Mlp, MultiMax, ProbeConfig, RollingAttention,
    StreamingProbe, TokenScores,
};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Activations that take turns, few enough to stay in the cache.
const N_ACTIVATIONS: usize = 16;

/// Tokens of a text.
const N_TOKENS: usize = 1024;

/// Independent partial sums, so that a sum vectorises.
const LANES: usize = 64;

/// How long criterion looks at each kind, and before that warms up.
const SHORT: Duration = Duration::from_millis(300);

/// Every kind at its default size.
fn kinds(d_model: usize) -> Vec<(&'static str, ProbeConfig)> {
    let token = |aggregation| ProbeConfig::new(TokenScores { aggregation }, d_model, 2);
    let attention =
        |n_heads| ProbeConfig::new(Attention { n_heads, ..Attention::default() }, d_model, 2);
    vec![
        ("linear, mean", ProbeConfig::new(Linear::default(), d_model, 2)),
        ("attention, 1 head", attention(1)),
        ("attention, 8 heads", attention(8)),
        ("token, EMA", token(Aggregation::Ema { alpha: 0.5 })),
        ("token, rolling 10", token(Aggregation::RollingMax { window: 10 })),
        ("token, softmax", token(Aggregation::Softmax { temperature: 1.0 })),
        ("multimax, 10 heads", ProbeConfig::new(MultiMax::default(), d_model, 2)),
        ("rolling attention, 10", ProbeConfig::new(RollingAttention::default(), d_model, 2)),
        ("gated bipolar, 64", ProbeConfig::new(GatedBipolar::default(), d_model, 2)),
        ("mlp, mean, 64", ProbeConfig::new(Mlp::default(), d_model, 2)),
    ]
}

fn random(n: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Time of a text.
fn read(probe: &mut StreamingProbe, activations: &[Vec<f32>]) -> Duration {
    probe.reset();
    let start = Instant::now();
    for token in 0..N_TOKENS {
        black_box(probe.push(black_box(&activations[token % N_ACTIVATIONS])));
    }
    start.elapsed()
}

/// Time of the bare products of a text.
fn floor(weights: &[f32], activations: &[Vec<f32>]) -> Duration {
    let arch = pulp::Arch::new();
    let d_model = activations[0].len();
    let start = Instant::now();
    for token in 0..N_TOKENS {
        let x = black_box(&activations[token % N_ACTIVATIONS]);
        arch.dispatch(
            #[inline(always)]
            || {
                for row in weights.chunks_exact(d_model) {
                    black_box(dot(row, x));
                }
            },
        );
    }
    start.elapsed()
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "only then is it compiled for the wide registers")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    // Halves first: one after the other, the lanes would take longer than the products.
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        for lane in 0..n {
            sums[lane] += sums[lane + n];
        }
    }
    sums[0]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn streaming(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("streaming");
    benches.sample_size(10).warm_up_time(SHORT).measurement_time(SHORT);
    for d_model in [640, 2304] {
        let activations: Vec<Vec<f32>> =
            random(N_ACTIVATIONS * d_model).chunks(d_model).map(<[f32]>::to_vec).collect();
        for (name, config) in kinds(d_model) {
            let state = config.init_state(1);
            let n_rows: usize = state
                .values()
                .filter(|array| array.shape.last() == Some(&d_model))
                .map(|array| array.values.len() / d_model)
                .sum();
            let weights = random(n_rows * d_model);
            let mut probe = StreamingProbe::new(&config, &state).expect("its own initial state");
            benches.bench_function(format!("{d_model}/{name}"), |b| {
                b.iter(|| read(&mut probe, &activations));
            });
            // Ours and the floor in turn, so that the ratio is of one moment.
            let turns: Vec<(Duration, Duration)> = (0..21)
                .map(|_| (read(&mut probe, &activations), floor(&weights, &activations)))
                .collect();
            let per_token = |time: Duration| time.as_nanos() as f64 / N_TOKENS as f64;
            let ours = per_token(median(turns.iter().map(|turn| turn.0).collect()));
            let bare = per_token(median(turns.iter().map(|turn| turn.1).collect()));
            eprintln!(
                "{d_model} {name}: {ours:.0} ns a token, bare products {bare:.0} ns, ratio {:.2}",
                ours / bare
            );
        }
    }
    benches.finish();
}

criterion_group!(benches, streaming);
criterion_main!(benches);
