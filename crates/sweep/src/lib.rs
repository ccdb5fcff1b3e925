//! Whole hyperparameter grids of probes trained as one batch.
//!
//! [`find_best_fit`] trains all trials (learning rate × weight decay × seed) of all layers and
//! probe kinds on each batch together, as a few large matrix products; [`run_sweep`] is the whole
//! story from a [`SweepConfig`] to a folder of results.

mod activation_sites;
mod architecture_config;
mod architecture_plan;
mod asking;
mod bag_of_words;
mod baseline;
mod batched;
mod checkpoint;
mod chosen;
mod compare;
pub mod config;
mod control;
mod cross_validation;
mod data_config;
mod data_plan;
mod data_run;
mod decision;
mod demo;
mod early_stopping;
mod error;
mod error_kind;
mod evaluation;
mod experiment;
mod feasible;
mod find_best_fit;
mod findings;
mod fit;
mod folder;
mod full_batch;
mod grid_end;
mod grid_notes;
mod growth;
mod haystack;
mod held_out;
mod input;
mod judged;
mod layers_warning;
mod leaks;
mod mean_head;
mod method;
mod outline;
mod passes;
mod plan;
mod pooled_rows;
mod predictions;
mod report;
mod results;
mod run;
mod saved_run;
mod select;
mod sides;
mod targets;
#[cfg(feature = "tensorboard")]
mod tensorboard;
mod tracker;
mod training_rows;
mod transfer;
mod underfit;
mod warning;

pub use attention_probes_metrics::{
    BagOfWordsBaseline, Baselines, ComparedProbe, ControlReport, ExampleCounts, SeedReport,
    UnfittedThreshold,
};
pub use bag_of_words::{BagOfWords, BagOfWordsFit};
pub use chosen::{ChosenProbe, chosen, chosen_experiment, chosen_target};
pub use compare::{RunComparison, compare_runs};
pub use config::{Keep, SelectBy, SweepConfig};
pub use cross_validation::{CrossValidation, CrossValidationScore};
pub use demo::demo_sweep;
pub use early_stopping::Race;
pub use error::SweepError;
pub use evaluation::{FittedOn, TestEvaluation};
pub use find_best_fit::find_best_fit;
pub use fit::{
    EpochRecord, EpochReport, FitConfig, FitData, FitEvent, GroupFit, Leader, PassReport, TrialFit,
    TrialGroup,
};
pub use layers_warning::{LayersWarning, experiment_warnings, target_warnings, warnings_by_data};
pub use method::{Method, Recipe};
pub use outline::{ClassCount, DataOutline, SweepOutline};
pub use passes::{PredictConfig, predict_logits};
pub use plan::{SweepPlan, Trial};
pub use predictions::{HeldOutExamples, Predictions, SidePredictions};
pub use report::{
    ArchitectureReport, ExperimentReport, Origin, SplitMetrics, SweepReport, TrialMetrics,
};
pub use results::HistoryRecord;
pub use run::{RunOptions, check_sweep, run_sweep, run_sweep_on};
pub use saved_run::{SavedExperiment, SavedRun};
pub use select::{BinaryCounts, Score};
pub use targets::{PenaltyMetrics, TargetBaselines, TargetProbe, TargetReport};
#[cfg(feature = "tensorboard")]
pub use tensorboard::{TensorBoardTracker, write_tensorboard};
pub use tracker::{ExperimentSite, NoTracker, Tracker};
pub use transfer::TransferReport;
pub use warning::{Warning, WarningKind};
