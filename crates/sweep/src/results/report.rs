//! What a run found, as it is written and printed.

use std::path::PathBuf;

use attention_probes_metrics::{
    AxisSpread, Baselines, ClassificationReport, ComparedLayers, ExampleCounts, PairAccuracy,
};
use attention_probes_probes::Optimizer;
use serde::{Deserialize, Serialize};

use crate::config::SelectBy;
use crate::judge::evaluation::TestEvaluation;
use crate::judge::judged::SplitMetrics;
use crate::results::origin::Origin;
use crate::results::target_report::TargetReport;
use crate::train::cross_validation::CrossValidation;
use crate::train::fit::{GroupFit, TrialFit};
use crate::train::score::Score;
use crate::warning::Warning;

/// What [`run_sweep`](crate::run_sweep) returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepReport {
    /// Folder of the run, `<output>/<run>/seed_<seed>`.
    pub folder: PathBuf,
    /// One entry per data set and layer.
    pub experiments: Vec<ExperimentReport>,
    /// One entry per data set and layer whose labels are no classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetReport>,
    /// Chosen probes on the test examples of other data sets.
    pub transfers: Vec<TransferReport>,
    /// The layer that validation chose against the first and the middle one, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ComparedLayers>,
}

/// One data set at one layer: the content of `best.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentReport {
    /// Name of the experiment and of its folder.
    pub experiment: String,
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the activations do not say it, and where several layers are joined.
    pub layer: Option<usize>,
    /// The layers whose rows stand side by side, where several are joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
    /// Place in the layer; `None` where the activations do not say it.
    #[serde(default)]
    pub component: Option<String>,
    /// What the results depend on beside the configuration.
    pub origin: Origin,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Number of examples to train on, to choose by, and to judge by.
    #[serde(flatten)]
    pub counts: ExampleCounts,
    /// What a probe has to beat.
    pub baselines: Baselines,
    /// The best probe of each architecture.
    pub architectures: Vec<ArchitectureReport>,
    /// Prefixes of the architectures of which every trial diverged.
    pub diverged: Vec<String>,
    /// What looks wrong in the data or the results; may be empty.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// The trial of an architecture that validation chose, and what the grid was worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchitectureReport {
    /// Prefix of the file names.
    pub config_name: String,
    /// Number of trials it was chosen from.
    pub n_trials: usize,
    /// How it was trained; absent where a formula gives the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// Step size of the chosen trial; 1 with L-BFGS.
    pub learning_rate: f64,
    /// Weight decay of the chosen trial.
    pub weight_decay: f64,
    /// Seed of the chosen trial.
    pub seed: u64,
    /// Its file in `trained/`.
    pub file: String,
    /// The metric that chose it, on validation or in cross-validation.
    pub selected_by: SelectBy,
    /// Its value, the higher the better: a loss is negated. `None` where it is undefined.
    pub selected_value: Option<f64>,
    /// What cross-validation inside the training examples said, where it chose the weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidation>,
    /// On the examples that chose it.
    pub validation: ClassificationReport,
    /// On examples that nothing was chosen by.
    pub test: ClassificationReport,
    /// On the test examples, how often the good text of a minimal pair scores higher than the bad;
    /// absent where the data are no pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_accuracy: Option<PairAccuracy>,
    /// What it is worth beyond its metrics.
    pub evaluation: TestEvaluation,
    /// What each axis of the grid bought, on validation.
    pub axes: Vec<AxisSpread>,
}

/// One trial in `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialMetrics {
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// Step size.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights.
    pub seed: u64,
    /// On the validation examples; `None` if the trial diverged.
    pub validation: Option<SplitMetrics>,
    /// On the test examples; `None` if the trial diverged.
    pub test: Option<SplitMetrics>,
}

/// A chosen probe on the test examples of another data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferReport {
    /// Experiment that the probe was trained in.
    pub experiment: String,
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// Name of the data set that it is tested on.
    pub judged_on: String,
    /// Test examples of that data set that are left out, since the probe was trained or selected on
    /// an equal text, or equal activations.
    #[serde(default)]
    pub n_left_out: usize,
    /// On the other test examples of that data set.
    pub test: ClassificationReport,
}

/// Spreads along every axis of a grid.
pub(crate) fn axis_spreads(fit: &GroupFit) -> Vec<AxisSpread> {
    // The key of an axis is its value; the key of its rest is everything that stays.
    type Key = fn(&TrialFit) -> (u64, (u64, u64));
    let axes: [(&str, Key); 3] = [
        ("learning_rate", |fit| {
            let trial = fit.trial;
            (trial.learning_rate.to_bits(), (trial.weight_decay.to_bits(), trial.seed))
        }),
        ("weight_decay", |fit| {
            let trial = fit.trial;
            (trial.weight_decay.to_bits(), (trial.learning_rate.to_bits(), trial.seed))
        }),
        ("seed", |fit| {
            let trial = fit.trial;
            (trial.seed, (trial.learning_rate.to_bits(), trial.weight_decay.to_bits()))
        }),
    ];
    axes.iter().map(|(axis, key)| spread_along(axis, fit, *key)).collect()
}

fn spread_along(axis: &str, fit: &GroupFit, key: fn(&TrialFit) -> (u64, (u64, u64))) -> AxisSpread {
    let mut values: Vec<u64> = fit.trials.iter().map(|trial| key(trial).0).collect();
    values.sort_unstable();
    values.dedup();
    let mut rests: Vec<(u64, u64)> = fit.trials.iter().map(|trial| key(trial).1).collect();
    rests.sort_unstable();
    rests.dedup();
    let spread = |metric: fn(Score) -> f64| {
        let of_rest = |rest: &(u64, u64)| {
            let same = fit.trials.iter().filter(|trial| key(trial).1 == *rest);
            let scores = same.filter_map(TrialFit::score).map(metric).filter(|x| x.is_finite());
            let (low, high) =
                scores.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            (high - low).max(0.0)
        };
        rests.iter().map(of_rest).fold(0.0, f64::max)
    };
    AxisSpread {
        axis: axis.to_owned(),
        n_values: values.len(),
        loss: spread(|score| score.loss),
        balanced_accuracy: spread(|score| score.balanced_accuracy.unwrap_or(f64::NAN)),
    }
}
