//! A whole sweep: 2,048 sequences of 24 to 64 tokens, `d_model` 640, 81 trials, 10 epochs.
//!
//! In every sequence two key tokens carry the class and four decoys carry it at random, so that a
//! probe that weighs all tokens alike is drowned and an attention probe has to find the key.
//! `SWEEP81_NPZ` names an `.npz` with `x`, `mask`, and `y` to train on instead, 2,048 training
//! rows and then the validation rows. Prints the time, the best validation accuracy, and the time
//! of the bare matrix products of its steps, measured in the same run.
//!
//! ```sh
//! cargo bench --bench sweep81
//! ```

use std::io::Write;
use std::time::Instant;

use attention_probes::activations::{
    ActivationSource, ExternalActivations, MemoryActivations, NpzArray, write_npz,
};
use attention_probes::errors::Stop;
use attention_probes::probes::{Attention, Labels, Loss, ProbeConfig};
use attention_probes::sweep::{
    FitConfig, FitData, FitRun, Keep, Method, SelectBy, SweepConfig, TrialFit, TrialGroup,
    find_best_fit,
};
use attention_probes_cli::allocator::keep_freed_memory;
use burn::tensor::{Device, Distribution, Tensor};
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const D_MODEL: usize = 640;
const N_TRAIN: usize = 2048;
const N_VALIDATION: usize = 512;
const LONGEST: usize = 64;
const BATCH: usize = 256;
const EPOCHS: usize = 10;
/// Strength of the key and of the class.
const KEY: f32 = 3.0;
const SIGNAL: f32 = 2.0;

/// A standard normal number, by the sum of twelve uniform ones.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

fn unit(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let vector: Vec<f32> = (0..D_MODEL).map(|_| normal(rng)).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

/// Writes the synthetic data set as an npz, the way another program would.
fn write_data(path: &std::path::Path) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(20_240);
    let (signal, key) = (unit(&mut rng), unit(&mut rng));
    let n = N_TRAIN + N_VALIDATION;
    let mut x: Vec<f32> = (0..n * LONGEST * D_MODEL).map(|_| normal(&mut rng)).collect();
    let (mut mask, mut y) = (Vec::new(), Vec::new());
    for i in 0..n {
        let label = rng.random_range(0..2_i64);
        let length = rng.random_range(24..=LONGEST);
        for (order, token) in sample(&mut rng, length, 6).into_iter().enumerate() {
            let is_key = order < 2;
            let positive = if is_key { label == 1 } else { rng.random() };
            let strength = if positive { SIGNAL } else { -SIGNAL };
            let from = (i * LONGEST + token) * D_MODEL;
            for d in 0..D_MODEL {
                let key = if is_key { KEY * key[d] } else { 0.0 };
                x[from + d] += key + strength * signal[d];
            }
        }
        mask.extend((0..LONGEST).map(|t| u8::from(t < length)));
        y.push(label);
    }
    let arrays = [
        ("x", NpzArray::new(vec![n, LONGEST, D_MODEL], x)),
        ("mask", NpzArray::new(vec![n, LONGEST], mask)),
        ("y", NpzArray::new(vec![n], y)),
    ];
    Ok(write_npz(path, &arrays)?)
}

/// Two products a step, scores and gradients, as many as the sweep takes.
fn floor_s(n_tokens: usize) -> f64 {
    let device = Device::flex();
    let n_steps = EPOCHS * N_TRAIN / BATCH;
    let per_step = n_tokens * BATCH / N_TRAIN;
    let random =
        |rows, columns| Tensor::<2>::random([rows, columns], Distribution::Default, &device);
    let (x, rows, slopes) =
        (random(per_step, D_MODEL), random(162, D_MODEL), random(162, per_step));
    let start = Instant::now();
    for _ in 0..n_steps {
        std::hint::black_box(rows.clone().matmul(x.clone().transpose()));
        std::hint::black_box(slopes.clone().matmul(x.clone()));
    }
    start.elapsed().as_secs_f64()
}

fn main() -> anyhow::Result<()> {
    keep_freed_memory();
    let folder = std::env::temp_dir().join("attention-probes-sweep81");
    let path = if let Some(path) = std::env::var_os("SWEEP81_NPZ") {
        path.into()
    } else {
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("data.npz");
        write_data(&path)?;
        path
    };
    let external = ExternalActivations::read(&path)?;
    let labels = external.labels.clone().unwrap_or_default();
    let lengths: Vec<usize> = external.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let n_tokens = lengths[..N_TRAIN].iter().sum();
    let prefixes: Vec<(usize, usize)> = lengths.into_iter().enumerate().collect();
    let mut source = MemoryActivations::from(external);
    let (train, validation): (Vec<usize>, Vec<usize>) =
        (0..labels.len()).partition(|i| *i < N_TRAIN);
    let plan = SweepConfig::parse("[[data]]\npath = \"x.npz\"\n")?.check()?;
    let probe = ProbeConfig::new(Attention::default(), source.d_model(), 2);
    let group = TrialGroup {
        method: Method::default(),
        site: 0,
        probe,
        loss: Loss::CrossEntropy,
        trials: plan.trials().to_vec(),
    };
    let labels = Labels::numbered(labels, 2);
    let data = FitData {
        examples: &prefixes,
        labels: &labels,
        class_weights: &[1.0, 1.0],
        groups: None,
        train: &train,
        validation: &validation,
    };
    let config = FitConfig {
        epochs: EPOCHS,
        batch_size: BATCH,
        seed: 42,
        select_by: SelectBy::BalancedAccuracy,
        patience: 0,
        keep: Keep::Last,
        race: None,
        stop: Stop::never(),
        device: Device::flex(),
    };
    let mut stdout = std::io::stdout().lock();
    for _ in 0..3 {
        let start = Instant::now();
        let fits = find_best_fit(
            &mut source,
            &FitRun {
                data: &data,
                groups: std::slice::from_ref(&group),
                config: &config,
                checkpoint: None,
            },
            &mut |_| (),
        )?;
        let elapsed_s = start.elapsed().as_secs_f64();
        let floor_s = floor_s(n_tokens);
        let scores = fits[0].trials.iter().filter_map(TrialFit::score);
        let best = scores.filter_map(|score| score.accuracy).fold(0.0, f64::max);
        writeln!(
            stdout,
            "81 trials, {EPOCHS} epochs: {elapsed_s:.2} s, best validation accuracy {best:.3}; \
             bare products {floor_s:.2} s, ratio {:.2}",
            elapsed_s / floor_s
        )?;
    }
    Ok(())
}
