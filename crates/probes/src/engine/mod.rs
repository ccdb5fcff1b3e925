//! Engines that train trials of any kind of probe, stacked along a leading axis.
//!
//! An engine owns the products of weights and activations, the tape, the optimizer, and the best
//! state; what a kind of probe adds is in [`ProbeKind`](crate::ProbeKind). There are two:
//!
//! | engine | how it differentiates | where |
//! |---|---|---|
//! | kernel | by hand, in the [`HostKernel`] of the kind | on the host |
//! | tape | by automatic differentiation of the kind's [`forward`](crate::ProbeKind::forward) | on any device |
//!
//! Both give the gradients of the mean loss of every trial to the same `AdamW` and L-BFGS, and hide
//! the same tokens from the same heads, so that they agree up to rounding;
//! [`check_kernel`] holds a kernel to the definition.

mod adamw;
mod agreement;
mod core;
mod dropout;
mod kernel;
mod kernel_trials;
mod pooled;
mod ragged;
mod stack;
mod tape;
mod tape_loss;
mod tape_trials;
mod targets;
mod trials;

pub use adamw::{Moments, Rate};
pub use agreement::{Disagreement, check_kernel};
pub use kernel::{Block, HostKernel, KernelLayout, TrialOfBlock, Vectorized};
pub use pooled::pool;
pub use ragged::RaggedBatch;
pub use stack::{Part, Stack};
pub(crate) use tape::{DeviceState, batch_of, device_state};
pub use targets::Targets;
pub use trials::{Trials, TrialsConfig};
