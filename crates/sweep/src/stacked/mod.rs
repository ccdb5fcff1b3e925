//! Probes of one shape trained side by side: parameters with a leading `n_trials` axis.
//!
//! Each kind computes its gradients by hand, on the host, with the products of all trials as one.
//! The same probes as modules with automatic differentiation are the oracle in the tests.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

mod attention;
mod gated_bipolar;
mod kinds;
mod linear;
mod loss;
mod mlp;
mod multi_max;
pub(crate) mod pooled;
mod rolling_attention;
mod token;
mod tokens;
mod trials;
mod vector;

pub(crate) use kinds::stack;
pub(crate) use loss::Targets;
pub(crate) use pooled::pool;
pub(crate) use trials::{RaggedBatch, Stack, StackedProbes};
