//! Whole hyperparameter grids of probes trained as one batch.
//!
//! [`find_best_fit`] trains all trials (learning rate × weight decay × seed) of all layers and
//! probe kinds on each batch together, as a few large matrix products; [`run_sweep`] is the whole
//! story from a [`SweepConfig`] to a folder of results.

pub mod config;
mod data;
mod demo;
mod error;
mod error_kind;
mod experiments;
mod in_memory;
mod judge;
mod material;
mod results;
mod run;
mod sweep_source;
mod tracker;
mod train;
mod train_classes;
mod train_targets;
mod warning;

pub use attention_probes_metrics::{
    BagOfWordsBaseline, Baselines, ComparedProbe, ControlReport, ExampleCounts, SeedReport,
    UnfittedThreshold,
};
pub use config::plan::SweepPlan;
pub use config::trial::Trial;
pub use config::{Keep, SelectBy, SweepConfig};
pub use data::outline::{ClassCount, DataOutline, SweepOutline};
pub use demo::demo_sweep;
pub use error::SweepError;
pub use in_memory::{SweptData, SweptLabels, sweep_data, sweep_labels};
pub use judge::bag_of_words::{BagOfWords, BagOfWordsFit};
pub use judge::evaluation::{FittedOn, TestEvaluation};
pub use judge::judged::SplitMetrics;
pub use results::chosen::{ChosenProbe, chosen, chosen_experiment, chosen_target};
pub use results::compare::{RunComparison, compare_runs};
pub use results::compared_layers::compare_layers;
pub use results::history::HistoryRecord;
pub use results::layers_warning::{
    LayersWarning, experiment_warnings, target_warnings, warnings_by_data,
};
pub use results::origin::Origin;
pub use results::predictions::{HeldOutExamples, Predictions, SidePredictions};
pub use results::report::{
    ArchitectureReport, ExperimentReport, SweepReport, TransferReport, TrialMetrics,
};
pub use results::saved_run::{SavedExperiment, SavedRun, SavedTargets};
pub use results::swept::SweptExperiment;
pub use results::swept_targets::SweptTargets;
pub use results::target_report::{
    ChosenTrial, PenaltyMetrics, TargetBaselines, TargetMetrics, TargetProbe, TargetReport,
    TrialLosses,
};
#[cfg(feature = "tensorboard")]
pub use results::tensorboard::{TensorBoardTracker, write_tensorboard};
pub use run::{RunOptions, check_sweep, run_sweep, run_sweep_on};
pub use sweep_source::{LabelledSource, SweepDataConfig, SweptSource, sweep_source};
pub use tracker::{ExperimentSite, NoTracker, Tracker};
pub use train::cross_validation::{CrossValidation, CrossValidationScore};
pub use train::early_stopping::Race;
pub use train::find_best_fit::{FitRun, find_best_fit};
pub use train::fit::{GroupFit, TrialFit};
pub use train::fit_config::{FitConfig, PredictConfig};
pub use train::fit_data::FitData;
pub use train::group::TrialGroup;
pub use train::method::{Method, Recipe};
pub use train::passes::predict_logits;
pub use train::record::{EpochRecord, EpochReport, FitEvent, Leader, PassReport};
pub use train::score::{BinaryCounts, Score};
pub use warning::{Warning, WarningKind};
