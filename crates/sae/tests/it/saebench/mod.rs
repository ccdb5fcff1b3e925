//! The evaluations against outputs of `sae-bench` 0.6.0, `tests/golden/saebench/README.md`.

mod absorption;
mod core_metrics;
mod golden;
mod output;
mod perturbation;
mod sparse_probing;
mod stopped;
