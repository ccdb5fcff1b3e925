//! Kinds of probes, each by one definition.
//!
//! A folder has the definition in `kind.rs`, the same on the host with gradients by hand in
//! `kernel.rs`, and token by token in `stream.rs`.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

mod attention;
mod batch;
mod contribution;
mod gated_bipolar;
mod kind;
mod layout;
mod linear;
mod mlp;
mod multi_max;
mod pooled;
mod reads;
mod reduce;
mod registry;
mod rolling_attention;
mod token;
mod unknown;
mod vector;

pub use attention::{Attention, AttentionActivation};
pub(crate) use batch::right_padded;
pub use batch::{Batch, PaddedTokens};
pub use contribution::{TextReading, TokenContributions};
pub use gated_bipolar::GatedBipolar;
pub use kind::{ProbeKind, TokenDropout, TokenWeights};
pub use layout::{Layout, ProbeSize};
pub use linear::Linear;
pub use mlp::Mlp;
pub use multi_max::MultiMax;
pub use reads::{NORM_EPSILON, Reads};
pub use reduce::weighted_mean;
pub(crate) use reduce::{partial_windows, rolling_mean};
pub use registry::Kinds;
pub use rolling_attention::RollingAttention;
pub use token::{Aggregation, TokenScores};
pub(crate) use unknown::UnknownKind;
