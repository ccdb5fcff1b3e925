//! Peak memory of training a sparse autoencoder beside its floor: weights, the two moments of Adam,
//! and one batch.
//!
//! 4,096 rows of width 768, 6,144 and 24,576 features, `f32`, `TopK` and `standard`; each in a
//! process of its own, whose peak Linux knows.
//!
//! ```sh
//! cargo bench --bench sae_memory
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::process::Command;
use std::{env, fs};

use attention_probes::sae::{
    CoefficientSchedule, LearningRateSchedule, SaeTrainConfig, SaeTrainer, TrainArchitecture,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const D_IN: usize = 768;
const BATCH: usize = 4096;
const STEPS: usize = 4;

/// Says which autoencoder a process trains.
const CHILD: &str = "SAE_MEMORY_OF";

const MIB: f64 = (1 << 20) as f64;

fn config(name: &str, d_sae: usize) -> SaeTrainConfig {
    let architecture = match name {
        "topk" => TrainArchitecture::TopK { k: 32, aux_loss_coefficient: 1.0 },
        _ => TrainArchitecture::Standard { l1: CoefficientSchedule::constant(1.0) },
    };
    let learning_rate = LearningRateSchedule::constant(3e-4);
    SaeTrainConfig { architecture, d_sae, learning_rate, ..SaeTrainConfig::default() }
}

/// Bytes that `/proc/self/status` names.
fn status(key: &str) -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such line")?;
    let kib: f64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).trim().parse()?;
    Ok(kib * 1024.0)
}

/// Trains, and prints the bytes that this took beyond what the process had before.
fn child(name: &str, d_sae: usize) -> Result<(), Box<dyn Error>> {
    let before = status("VmRSS")?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let x: Vec<f32> = (0..BATCH * D_IN).map(|_| rng.random_range(-1.7..1.7)).collect();
    let mut trainer = SaeTrainer::new(config(name, d_sae), D_IN, 1)?;
    for _ in 0..STEPS {
        trainer.step(&x)?;
    }
    println!("{}", status("VmHWM")? - before);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(of) = env::var(CHILD) {
        let (name, d_sae) = of.split_once(' ').ok_or("a name and a width")?;
        return child(name, d_sae.parse()?);
    }
    for d_sae in [6144, 24576] {
        for name in ["topk", "standard"] {
            let of = format!("{name} {d_sae}");
            let output = Command::new(env::current_exe()?).env(CHILD, &of).output()?;
            let peak: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
            let weights = (2 * D_IN * d_sae + d_sae + D_IN) as f64 * 4.0;
            let floor = 3.0 * weights + (BATCH * D_IN) as f64 * 4.0;
            println!(
                "{name} of {d_sae}: peak {:.0} MiB; weights, moments, and a batch {:.0} MiB, ratio \
                 {:.2}",
                peak / MIB,
                floor / MIB,
                peak / floor
            );
        }
    }
    Ok(())
}
