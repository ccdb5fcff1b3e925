//! From activations that another program wrote to a saved probe and a streamed score.
//!
//! ```text
//! cargo run --release --example npz_to_probe [FILE.npz]
//! ```
//!
//! The file has `x`, activations `[n, d_model]` or `[n, pos, d_model]`, with `mask` `[n, pos]` where
//! lengths differ, and `y`, classes `[n]`; without one, rows that are made up here. Prints how well the
//! probe does on rows that it has not seen, and what it says of one of them, token by token.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::path::{Path, PathBuf};

use attention_probes::activations::{NpzArray, write_npz};
use attention_probes::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir();
    let file = match std::env::args().nth(1) {
        Some(file) => PathBuf::from(file),
        None => made_up(&folder)?,
    };
    let device = Device::default();
    let data = TrainingData::from_external(&ExternalActivations::read(&file)?, &device)?;
    let sides = data.split(&SplitConfig { validation: 0.0, test: 0.3, seed: 42 })?;
    let config = AttentionProbeTrainConfig { n_steps: 100, ..Default::default() };
    let probe = train_probe(&sides.train, &config, &device)?;
    let test = sides.test.ok_or("a part was asked for")?;
    let report = compute_metrics(&evaluate_probe(&probe, &test, &device)?, &test, 42)?;
    let (n, accuracy) = (test.n_examples(), report.accuracy);
    println!("{n} rows of width {} to test, accuracy {accuracy:.3}", test.d_model());

    let metadata = sides.train.metadata(probe.config());
    let path = SavedProbe::from_probe(&probe, metadata)?.save(&folder, "npz_to_probe")?;
    println!("saved {}", path.display());

    // A stream takes one token at a time, and keeps a state of fixed size.
    let mut stream = StreamingProbe::from_saved(&SavedProbe::load(&path)?)?;
    for position in 0..4 {
        let token: Vec<f32> = (0..test.d_model()).map(|i| value(position, i)).collect();
        println!("token {position}: logits {:?}", stream.push(&token));
    }
    Ok(())
}

/// A number between -1 and 1 that looks like chance.
fn value(row: usize, column: usize) -> f32 {
    ((row * 7919 + column * 104_729 + row * column * 31) % 2003) as f32 / 1001.5 - 1.0
}

/// Texts of 6 tokens of width 16; of class 1 are those of which one token is high in one direction.
fn made_up(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let (n, pos, d_model) = (400, 6, 16);
    let x = (0..n * pos * d_model).map(|i| {
        let (row, position, column) = (i / (pos * d_model), i / d_model % pos, i % d_model);
        let is_telling = row % 2 == 1 && position == row % pos && column < 4;
        value(row * pos + position, column) + if is_telling { 2.0 } else { 0.0 }
    });
    let x = NpzArray::new(vec![n, pos, d_model], x.collect::<Vec<f32>>());
    let mask = NpzArray::new(vec![n, pos], vec![1_i64; n * pos]);
    let y = NpzArray::new(vec![n], (0..n as i64).map(|row| row % 2).collect::<Vec<i64>>());
    let file = folder.join("attention-probes-rows.npz");
    write_npz(&file, &[("x", x), ("mask", mask), ("y", y)])?;
    Ok(file)
}
