//! Probes whose training is a convex problem, solved as one: on the host, without gradients on a
//! tape, and to the same bits every time.
//!
//! They read [`Features`], one row of pooled activations per example, and end as a
//! [`LinearReadout`], which is the state of a [`Linear`](crate::Linear) probe.

mod block;
mod covariance;
mod discriminant;
mod features;
mod folds;
mod gram;
mod logistic;
mod objective;
mod preconditioner;
mod problem;
mod readout;
mod ridge;
mod selection;
mod solver;
mod sparse;
mod sparse_logistic;
mod targets;

pub use covariance::Shrinkage;
pub use discriminant::{MassMean, discriminant, mass_mean};
pub use features::Features;
pub use folds::Folds;
pub use logistic::{
    LogisticConfig, LogisticData, LogisticFit, follow_logistic_path, logistic_path,
};
pub use readout::LinearReadout;
pub use ridge::{RidgeConfig, RidgeFit, ridge_path};
pub use selection::{
    LogisticSelection, PenaltyScore, SelectPenaltyBy, cross_validate_logistic,
    follow_cross_validation, select_logistic,
};
pub use sparse::SparseFeatures;
pub use sparse_logistic::{SparseLogistic, SparseLogisticData};
pub use targets::LogisticTargets;
