//! Targets other than classes: numbers, several labels at once, and distributions.
//!
//! Their probes are linear, each a convex problem over a path of penalties, of which validation
//! chooses one.

mod baseline;
mod experiment;
mod features;
mod fit;
mod report;
mod words;

pub(crate) use experiment::run_target_experiments;
pub use report::{PenaltyMetrics, TargetBaselines, TargetProbe, TargetReport};
