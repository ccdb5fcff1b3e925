//! Overfits an attention probe on random numbers: the smallest proof that training works.
//!
//! ```text
//! cargo run --release --example overfit_attention_probe
//! ```
//!
//! 1024 sequences of 16 tokens, 256 wide, with random labels hold nothing to learn, only something
//! to memorise. Prints the loss of every tenth step, the final accuracy, and the time; fails below
//! 99 %.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::time::Instant;

use anyhow::ensure;
use attention_probes_probes::{
    Attention, Labels, Optimizer, ProbeConfig, TrainConfig, TrainingData, compute_metrics,
    evaluate_probe, train_any_probe,
};
use burn::tensor::{Device, Distribution, Tensor};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const N_EXAMPLES: usize = 1024;
const POS: usize = 16;
const D_MODEL: usize = 256;

fn main() -> anyhow::Result<()> {
    let device = Device::default();
    device.seed(0);
    let x = Tensor::<3>::random([N_EXAMPLES, POS, D_MODEL], Distribution::Default, &device);
    let coins = Tensor::<1>::random([N_EXAMPLES], Distribution::Bernoulli(0.5), &device);
    let labels = coins.try_into_vec_as::<f32>()?.into_iter().map(|coin| coin as usize).collect();
    let mask_pad = Tensor::<2>::zeros([N_EXAMPLES, POS], &device).bool();
    let data = TrainingData::new(x - 0.5, mask_pad, Labels::numbered(labels, 2))?;

    let kind = Attention { n_heads: 2, hidden_dim: Some(256), ..Attention::default() };
    let probe = ProbeConfig::new(kind, D_MODEL, 2);
    let config = TrainConfig {
        optimizer: Optimizer::AdamW,
        learning_rate: 5e-3,
        n_steps: 100,
        ..TrainConfig::default()
    };

    let start = Instant::now();
    let trained = train_any_probe(&data, &probe, &config, &device)?;
    let elapsed_s = start.elapsed().as_secs_f64();

    for record in trained.history.iter().step_by(10) {
        println!("step {:3}  loss {:.4}", record.step, record.loss_nats);
    }
    let evaluation = evaluate_probe(&trained.probe, &data, &device)?;
    let accuracy = compute_metrics(&evaluation, &data, 0)?.accuracy;
    println!("final     loss {:.4}  accuracy {accuracy:.4}", evaluation.loss_nats);
    let step_ms = 1e3 * elapsed_s / trained.history.len() as f64;
    println!("{} steps in {elapsed_s:.2} s, {step_ms:.1} ms each", trained.history.len());

    ensure!(accuracy >= 0.99, "accuracy {accuracy} is below 0.99");
    Ok(())
}
