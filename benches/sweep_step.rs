//! One epoch of an 81-trial sweep, beside the matrix products it cannot do without.
//!
//! 2,048 sequences in batches of 256, `d_model` 640, 81 trials. First one-head attention probes on
//! full sequences of 64 tokens and ragged ones of 24 to 64, then every kind that reads all tokens on
//! the ragged ones. The floor is two products a step, scores and gradients, of all rows that the
//! trials have for a token, `[162, 640]` for attention, with the batch's tokens, through burn's CPU
//! backend.
//!
//! ```sh
//! cargo bench --bench sweep_step
//! ```

#![expect(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use attention_probes::activations::{ActivationError, ActivationSource};
use attention_probes::errors::Stop;
use attention_probes::probes::{
    Aggregation, Attention, GatedBipolar, Labels, Loss, MultiMax, ProbeConfig, RollingAttention,
    TokenScores,
};
use attention_probes::sweep::{
    FitConfig, FitData, FitRun, Keep, Method, SelectBy, SweepConfig, Trial, TrialGroup,
    find_best_fit,
};
use attention_probes_cli::allocator::keep_freed_memory;
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const D_MODEL: usize = 640;
const N: usize = 2048;
const BATCH: usize = 256;
const LONGEST: usize = 64;

/// Random activations in memory.
struct Random {
    x: Vec<f32>,
    lengths: Vec<usize>,
}

impl Random {
    fn new(shortest: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let lengths = (0..N).map(|_| rng.random_range(shortest..=LONGEST)).collect();
        let x = (0..N * LONGEST * D_MODEL).map(|_| rng.random_range(-1.7..1.7)).collect();
        Self { x, lengths }
    }

    fn n_tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Trains one epoch with next to no validation.
    fn epoch(&mut self, group: &TrialGroup) -> Duration {
        let prefixes: Vec<(usize, usize)> = self.lengths.iter().copied().enumerate().collect();
        let labels = Labels::numbered((0..N).map(|i| i % 2).collect(), 2);
        let train: Vec<usize> = (0..N).collect();
        let data = FitData {
            examples: &prefixes,
            labels: &labels,
            class_weights: &[1.0, 1.0],
            groups: None,
            train: &train,
            validation: &train[..2],
        };
        let config = FitConfig {
            epochs: 1,
            batch_size: BATCH,
            seed: 1,
            select_by: SelectBy::BalancedAccuracy,
            patience: 0,
            keep: Keep::Last,
            race: None,
            stop: Stop::never(),
            device: Device::flex(),
        };
        let start = Instant::now();
        let fit = find_best_fit(
            self,
            &FitRun {
                data: &data,
                groups: std::slice::from_ref(group),
                config: &config,
                checkpoint: None,
            },
            &mut |_| (),
        );
        black_box(fit.expect("random activations train"));
        start.elapsed()
    }
}

impl ActivationSource for Random {
    fn n_sites(&self) -> usize {
        1
    }

    fn d_model(&self) -> usize {
        D_MODEL
    }

    fn n_sequences(&self) -> usize {
        N
    }

    fn skipped(&self) -> &[usize] {
        &[]
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[Vec<&[f32]>]),
    ) -> Result<(), ActivationError> {
        let from = |sequence: usize| sequence * LONGEST * D_MODEL;
        let row = |&(i, end): &(usize, usize)| &self.x[from(i)..from(i) + end * D_MODEL];
        use_rows(&[examples.iter().map(row).collect()]);
        Ok(())
    }
}

/// The bare products of an epoch over as many tokens.
fn floor(n_rows: usize, n_tokens: usize) -> Duration {
    let device = Device::flex();
    let per_step = n_tokens / (N / BATCH);
    let random =
        |rows, columns| Tensor::<2>::random([rows, columns], Distribution::Default, &device);
    let (x, rows, gradients) =
        (random(per_step, D_MODEL), random(n_rows, D_MODEL), random(n_rows, per_step));
    let start = Instant::now();
    for _ in 0..N / BATCH {
        black_box(rows.clone().matmul(x.clone().transpose()));
        black_box(gradients.clone().matmul(x.clone()));
    }
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn sweep_step(criterion: &mut Criterion) {
    keep_freed_memory();
    let trials = SweepConfig::parse("[[data]]\npath = \"x.npz\"\n")
        .and_then(SweepConfig::check)
        .expect("the default grid is valid")
        .trials()
        .to_vec();
    let probe = ProbeConfig::new(Attention::default(), D_MODEL, 2);
    let group = TrialGroup {
        method: Method::default(),
        site: 0,
        probe,
        loss: Loss::CrossEntropy,
        trials: trials.clone(),
    };
    let mut benches = criterion.benchmark_group("sweep_step");
    benches.sample_size(10);
    let mut means = Vec::new();
    for (name, shortest) in [("full", LONGEST), ("ragged", 24)] {
        let mut data = Random::new(shortest);
        let n_tokens = data.n_tokens();
        benches.bench_function(format!("{name}/81 trials"), |b| b.iter(|| data.epoch(&group)));
        benches.bench_function(format!("{name}/floor"), |b| {
            b.iter(|| floor(2 * trials.len(), n_tokens));
        });
        // Ours and the floor in turn, so that the ratio is of one moment.
        let turns: Vec<(Duration, Duration)> =
            (0..9).map(|_| (data.epoch(&group), floor(2 * trials.len(), n_tokens))).collect();
        let ours = median(turns.iter().map(|turn| turn.0).collect());
        let bare = median(turns.iter().map(|turn| turn.1).collect());
        let step = |time: Duration| 1e3 * time.as_secs_f64() / (N / BATCH) as f64;
        eprintln!(
            "{name}: {:.1} ms a step, bare products {:.1} ms, ratio {:.2}",
            step(ours),
            step(bare),
            ours.as_secs_f64() / bare.as_secs_f64()
        );
        means.push(ours);
    }
    eprintln!("ragged over full: {:.2}", means[1].as_secs_f64() / means[0].as_secs_f64());
    benches.finish();
    every_kind(&trials);
}

/// Every kind whose trials say something about each token, in turn with its floor.
fn every_kind(trials: &[Trial]) {
    let token = |aggregation| ProbeConfig::new(TokenScores { aggregation }, D_MODEL, 2);
    let attention = Attention { n_heads: 8, ..Attention::default() };
    let rolling = RollingAttention { n_heads: 4, ..RollingAttention::default() };
    // Name, probe, and its rows for a token.
    let kinds: [(&str, ProbeConfig, usize); 8] = [
        ("attention, 8 heads", ProbeConfig::new(attention, D_MODEL, 2), 16),
        ("token, softmax", token(Aggregation::Softmax { temperature: 1.0 }), 1),
        ("token, top 10", token(Aggregation::TopMean { k: 10 }), 1),
        ("token, rolling 10", token(Aggregation::RollingMax { window: 10 }), 1),
        ("token, EMA", token(Aggregation::Ema { alpha: 0.5 }), 1),
        ("multimax, 10 heads", ProbeConfig::new(MultiMax::default(), D_MODEL, 2), 10),
        ("rolling attention, 4 heads", ProbeConfig::new(rolling, D_MODEL, 2), 8),
        ("gated bipolar, 8 features", ProbeConfig::new(GatedBipolar { d_gate: 8 }, D_MODEL, 2), 16),
    ];
    let mut data = Random::new(24);
    let n_tokens = data.n_tokens();
    for (name, probe, n_rows) in kinds {
        let group = TrialGroup {
            method: Method::default(),
            site: 0,
            probe,
            loss: Loss::CrossEntropy,
            trials: trials.to_vec(),
        };
        let turns: Vec<(Duration, Duration)> =
            (0..5).map(|_| (data.epoch(&group), floor(n_rows * trials.len(), n_tokens))).collect();
        let ours = median(turns.iter().map(|turn| turn.0).collect());
        let bare = median(turns.iter().map(|turn| turn.1).collect());
        let step = |time: Duration| 1e3 * time.as_secs_f64() / (N / BATCH) as f64;
        eprintln!(
            "{name}, ragged: {:.1} ms a step, bare products {:.1} ms, ratio {:.2}",
            step(ours),
            step(bare),
            ours.as_secs_f64() / bare.as_secs_f64()
        );
    }
}

criterion_group!(benches, sweep_step);
criterion_main!(benches);
