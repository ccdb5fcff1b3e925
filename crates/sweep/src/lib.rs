//! Whole hyperparameter grids of probes trained as one batch.
//!
//! [`find_best_fit`] trains all trials (learning rate × weight decay × seed) of all layers and
//! probe kinds on each batch together, as a few large matrix products; [`run_sweep`] is the whole
//! story from a [`SweepConfig`] to a folder of results.

mod adamw;
mod baseline;
mod checkpoint;
pub mod config;
mod error;
mod experiment;
mod find_best_fit;
mod folder;
mod held_out;
mod input;
mod linalg;
mod plan;
mod report;
mod results;
mod run;
mod select;
mod stacked;
mod tracker;

pub use baseline::{BagOfWords, BagOfWordsFit};
pub use config::{SelectBy, SweepConfig};
pub use error::SweepError;
pub use find_best_fit::{
    EpochRecord, FitConfig, FitData, GroupFit, TrialFit, TrialGroup, find_best_fit, predict_logits,
};
pub use plan::{SweepPlan, Trial};
pub use report::{
    ArchitectureReport, AxisSpread, BagOfWordsBaseline, Baselines, ExperimentReport, Origin,
    SplitMetrics, SweepReport, TrialMetrics,
};
pub use run::{RunOptions, check_sweep, run_sweep};
pub use select::Score;
pub use tracker::{NoTracker, Tracker};
