//! Probes whose training is a convex problem, solved as one: on the host, without gradients on a
//! tape, and to the same bits every time.
//!
//! They read [`Features`], one row of pooled activations per example, and end as a
//! [`LinearReadout`], which is the state of a [`LinearProbe`](crate::LinearProbe).

mod features;
mod gram;
mod logistic;
mod objective;
mod preconditioner;
mod readout;
mod solver;
mod targets;

pub use features::Features;
pub use logistic::{LogisticConfig, LogisticData, LogisticFit, logistic_path};
pub use readout::LinearReadout;
pub use targets::LogisticTargets;
