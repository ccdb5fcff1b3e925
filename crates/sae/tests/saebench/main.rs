//! The evaluations against outputs of `sae-bench` 0.6.0, `tests/golden/saebench/README.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod absorption;
mod core_metrics;
mod golden;
mod output;
mod perturbation;
#[path = "../../../report/tests/support/skip.rs"]
mod skip;
mod sparse_probing;
