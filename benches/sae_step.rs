//! A training step of a sparse autoencoder beside the one dense product that it cannot do without.
//!
//! 4,096 rows of width 768, 6,144 and 24,576 features, `f32`: `TopK` and `BatchTopK` with 32 active
//! features, and `standard` with its L1 loss. The floor is the product of the rows with the encoder,
//! `[4096, 768] x [768, d_sae]`, by the same routine, into memory that is there already.
//!
//! ```sh
//! cargo bench --bench sae_step
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::{Duration, Instant};

use attention_probes::kernels::{Matrix, Write, matmul};
use attention_probes::sae::{
    CoefficientSchedule, LearningRateSchedule, SaeTrainConfig, SaeTrainer, TrainArchitecture,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const D_IN: usize = 768;
const BATCH: usize = 4096;

/// Batches that are drawn once and take turns.
const N_BATCHES: usize = 4;

/// Steps before the clock starts, and steps that it sees.
const WARM_UP: usize = 3;
const STEPS: usize = 8;

/// Sums of 24 of 1,536 directions and a little noise, of norm `√768` on average.
fn batches() -> Vec<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let n_true = 2 * D_IN;
    let normal =
        |rng: &mut ChaCha8Rng| -> f32 { (0..12).map(|_| rng.random_range(-0.5_f32..0.5)).sum() };
    let mut directions: Vec<f32> = (0..n_true * D_IN).map(|_| normal(&mut rng)).collect();
    for row in directions.chunks_exact_mut(D_IN) {
        let norm = row.iter().map(|w| w * w).sum::<f32>().sqrt();
        for w in row {
            *w /= norm;
        }
    }
    let mut batches: Vec<Vec<f32>> = Vec::new();
    for _ in 0..N_BATCHES {
        let mut x = vec![0.0; BATCH * D_IN];
        for row in x.chunks_exact_mut(D_IN) {
            for _ in 0..24 {
                let (i, size) = (rng.random_range(0..n_true), rng.random_range(0.5..1.5));
                for (x, d) in row.iter_mut().zip(&directions[i * D_IN..]) {
                    *x += size * d;
                }
            }
            for x in row.iter_mut() {
                *x += 0.05 * normal(&mut rng);
            }
        }
        batches.push(x);
    }
    let norms = batches.iter().flat_map(|x| x.chunks_exact(D_IN));
    let mean = norms.map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt()).sum::<f32>()
        / (N_BATCHES * BATCH) as f32;
    let scale = (D_IN as f32).sqrt() / mean;
    for x in batches.iter_mut().flatten() {
        *x *= scale;
    }
    batches
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Time of the product of a batch with an encoder.
fn floor(x: &[f32], d_sae: usize) -> Duration {
    let encoder = vec![0.01; d_sae * D_IN];
    let mut pre = vec![0.0; BATCH * d_sae];
    let mut times = Vec::new();
    for _ in 0..STEPS {
        let start = Instant::now();
        matmul(
            &mut pre,
            Matrix::new(x, BATCH, D_IN),
            Matrix::new(&encoder, d_sae, D_IN).transpose(),
            Write::Replace,
        );
        times.push(start.elapsed());
    }
    median(times)
}

fn main() {
    let batches = batches();
    for d_sae in [6144, 24576] {
        for architecture in [
            TrainArchitecture::TopK { k: 32, aux_loss_coefficient: 1.0 },
            TrainArchitecture::BatchTopK {
                k: 32.0,
                aux_loss_coefficient: 1.0,
                topk_threshold_lr: 0.01,
            },
            TrainArchitecture::Standard { l1: CoefficientSchedule::constant(1.0) },
        ] {
            let config = SaeTrainConfig {
                architecture,
                d_sae,
                learning_rate: LearningRateSchedule::constant(3e-4),
                ..SaeTrainConfig::default()
            };
            let mut trainer = match SaeTrainer::new(config, D_IN, 1) {
                Ok(trainer) => trainer,
                Err(error) => panic!("{error}"),
            };
            let (mut times, mut last) = (Vec::new(), None);
            for step in 0..WARM_UP + STEPS {
                let start = Instant::now();
                match trainer.step(&batches[step % N_BATCHES]) {
                    Ok(report) => last = Some(report),
                    Err(error) => panic!("{error}"),
                }
                if step >= WARM_UP {
                    times.push(start.elapsed());
                }
            }
            let (step, product) = (median(times), floor(&batches[0], d_sae));
            println!(
                "{} of {d_sae}: {:.0} ms a step, {:.0} tokens/s; one product {:.0} ms, ratio {:.2}; loss {:.1}",
                architecture.as_str(),
                1e3 * step.as_secs_f64(),
                BATCH as f64 / step.as_secs_f64(),
                1e3 * product.as_secs_f64(),
                step.as_secs_f64() / product.as_secs_f64(),
                last.map_or(0.0, |report| report.loss),
            );
        }
    }
}
