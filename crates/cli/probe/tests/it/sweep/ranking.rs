//! Rows whose logits are too large for a probability are ranked by their logits.

use std::fs;

use attention_probes_activations::{NpzArray, read_npz, write_npz};
use serde_json::Value;

use crate::call;

const CONFIG: &str = r#"
run = "large"

[[data]]
name = "rows"
path = "rows.npz"
test = 0.3

[[architectures]]
name = "linear"
learning_rates = [1.0]
weight_decays = [0.0]

[sweep]
epochs = 3
select_by = "auroc"
"#;

/// Rows of norm 3,000 or so, of which the first number says a little about the class.
fn write_rows(path: &std::path::Path) {
    let (n, d) = (240, 8);
    let noise = |i: usize| ((i * 7919 + i / 3 * 31) % 2003) as f32 - 1001.0;
    let x = |i: usize| {
        let (row, column) = (i / d, i % d);
        let shift = if row % 2 == 1 && column == 0 { 500.0 } else { 0.0 };
        1.8 * noise(i) + shift
    };
    let arrays = [
        ("x", NpzArray::new(vec![n, 1, d], (0..n * d).map(x).collect::<Vec<f32>>())),
        ("mask", NpzArray::new(vec![n, 1], vec![1_i64; n])),
        ("y", NpzArray::new(vec![n], (0..n as i64).map(|i| i % 2).collect::<Vec<i64>>())),
    ];
    write_npz(path, &arrays).unwrap();
}

/// The share of pairs in the right order, a tie as half, pair by pair.
fn counted(logits: &[f32], labels: &[i64]) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    let of = |class: i64| logits.iter().zip(labels).filter(move |(_, l)| **l == class);
    for (positive, _) in of(1) {
        for (negative, _) in of(0) {
            n += 1.0;
            sum += if positive > negative {
                1.0
            } else if positive < negative {
                0.0
            } else {
                0.5
            };
        }
    }
    sum / n
}

#[test]
fn a_sweep_on_large_rows_ranks_by_logits() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(&folder.path().join("rows.npz"));
    fs::write(folder.path().join("large.toml"), CONFIG).unwrap();
    call::succeed(&mut call::command(folder.path(), &["sweep", "large.toml"]));

    let run = folder.path().join("results/large/seed_42/rows");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(run.join(name)).unwrap()).unwrap()
    };
    let arrays = read_npz(run.join("predictions.npz")).unwrap();
    let probe = &read("best.json")["architectures"][0];
    let trial = &read("metrics.json")[0];
    for side in ["validation", "test"] {
        let logits = arrays[&format!("{side}/logits/linear")].data.clone().into_f32().unwrap();
        let labels = arrays[&format!("{side}/labels")].data.clone().into_i64().unwrap();
        // Many logits are beyond 36.74, where every probability is 1.
        assert!(logits.iter().filter(|logit| **logit > 37.0).count() > 4, "{logits:?}");
        let expected = counted(&logits, &labels);
        let auroc = |report: &Value| report[side]["auroc"].as_f64().unwrap();
        assert!((auroc(probe) - expected).abs() < 1e-9, "{side}: {expected}");
        assert!((auroc(trial) - expected).abs() < 1e-9, "{side}: {expected}");
    }
}
