//! What a sweep found.

use attention_probes_metrics::{
    AxisSpread, Baselines, Bucket, CalibrationScores, ClassificationReport, ComparedLayers,
    Comparison, ControlReport, ExampleCounts, PairAccuracy, SeedReport, ThresholdReport,
    UnfittedThreshold,
};
use serde::{Deserialize, Serialize};

use crate::document::{Template, render};
use crate::error::check_length;
use crate::{Estimate, ReportError, TargetTable};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/sweep.html"),
    style: include_str!("../templates/sweep.css"),
    script: concat!(
        include_str!("../templates/sweep.js"),
        include_str!("../templates/sweep_grid.js"),
        include_str!("../templates/sweep_panels.js"),
        include_str!("../templates/sweep_evaluation.js"),
        include_str!("../templates/sweep_targets.js"),
        include_str!("../templates/sweep_detail.js"),
    ),
    has_charts: true,
};

/// A run of a sweep: the best probes, curves over layers, the grid of each, controls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepPage {
    /// Name of the run.
    pub run: String,
    /// Model whose activations were read; may be empty.
    pub model: String,
    /// Version of the library that trained the probes.
    pub library_version: String,
    /// The resolved configuration, TOML.
    pub config: String,
    /// What looks wrong in the data or the results, shown on top; may be empty.
    #[serde(default)]
    pub warnings: Vec<SweepWarning>,
    /// One entry per data set, layer, and component.
    pub experiments: Vec<SweepExperiment>,
    /// Data sets whose labels are no classes; may be empty.
    #[serde(default)]
    pub targets: Vec<TargetTable>,
    /// Probes on the test examples of other data sets; may be empty.
    pub transfers: Vec<SweepTransfer>,
    /// The layer that validation chose against others; may be empty.
    #[serde(default)]
    pub layers: Vec<ComparedLayers>,
}

/// Something that looks wrong, with its number and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepWarning {
    /// Name of the data set that it is about.
    pub data: String,
    /// One sentence.
    pub message: String,
}

/// A chosen probe on the test examples of another data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepTransfer {
    /// Name of the data set that it was trained on.
    pub trained_on: String,
    /// Name of the data set that it is tested on.
    pub judged_on: String,
    /// The layer; `None` where the data are activations.
    pub layer: Option<usize>,
    /// The place in the layer; may be empty.
    pub component: String,
    /// Name of the architecture.
    pub config_name: String,
    /// Balanced accuracy on the test examples of the other data set.
    pub balanced_accuracy: Estimate,
    /// Number of those examples.
    pub n_test: usize,
}

/// One data set at one layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepExperiment {
    /// Name of the experiment and of its folder.
    pub experiment: String,
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the data are activations.
    pub layer: Option<usize>,
    /// The place in the layer, such as `resid_post`; may be empty.
    pub component: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Number of examples of each side.
    #[serde(flatten)]
    pub counts: ExampleCounts,
    /// What a probe has to beat.
    pub baselines: Baselines,
    /// The setting of the best probe of all trained on shuffled labels, where it was.
    pub shuffled_labels: Option<ControlReport>,
    /// The best probe of each architecture.
    pub architectures: Vec<SweepArchitecture>,
    /// Names of the architectures of which every trial diverged.
    pub diverged: Vec<String>,
}

/// The chosen trial of an architecture, and those it was chosen from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepArchitecture {
    /// Prefix of the file names.
    pub config_name: String,
    /// Whether L-BFGS fitted it, which finds its own steps.
    #[serde(default)]
    pub has_own_steps: bool,
    /// Step size of the chosen trial; shown unless it has its own steps.
    pub learning_rate: f64,
    /// Weight decay of the chosen trial.
    pub weight_decay: f64,
    /// Seed of the chosen trial.
    pub seed: u64,
    /// Path of its state file, relative to the folder of the page.
    pub file: String,
    /// The metric that chose it, and on which examples: `accuracy on validation`.
    pub selected_by: String,
    /// Whether it is the best of its architecture over the layers of its data set, on validation.
    #[serde(default)]
    pub is_best_layer: bool,
    /// Whether it is the best of all of its data set, on validation.
    #[serde(default)]
    pub is_best: bool,
    /// On the examples that chose it.
    pub validation: ClassificationReport,
    /// On examples that nothing was chosen by.
    pub test: ClassificationReport,
    /// How often the good text of a minimal pair of the test side scores higher than the bad, where
    /// the data are pairs.
    pub pair_accuracy: Option<PairAccuracy>,
    /// The same setting trained on shuffled labels, where it was.
    pub shuffled_labels: Option<ControlReport>,
    /// Every trial, the chosen one among them.
    pub trials: Vec<SweepTrial>,
    /// What each axis of the grid bought, on validation.
    pub axes: Vec<AxisSpread>,
    /// Points of the ROC curve on test, (false, true) positive rate; may be empty.
    pub roc: Vec<(f64, f64)>,
    /// Points of the precision-recall curve on test, (recall, precision); may be empty.
    pub precision_recall: Vec<(f64, f64)>,
    /// Confidence against accuracy on test; may be empty.
    pub reliability: Vec<ReliabilityBar>,
    /// Thresholds at fixed false-positive rates, of two classes; may be empty.
    pub thresholds: Vec<ThresholdRow>,
    /// The rates for which there are too few negatives; may be empty.
    pub unfitted_thresholds: Vec<UnfittedThreshold>,
    /// How well probabilities mean what they say; may be empty.
    pub calibrations: Vec<CalibrationRow>,
    /// What is to be known of the thresholds and calibrators; may be empty.
    pub thresholds_note: String,
    /// The metrics of shorter and longer texts; may be empty.
    pub lengths: Vec<LengthRow>,
    /// Balanced accuracy against others, on the same examples; may be empty.
    pub comparisons: Vec<ComparisonRow>,
    /// The chosen setting over several seeds, where there are several.
    pub seeds: Option<SeedReport>,
}

/// The metrics of texts of some lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LengthRow {
    /// Fewest tokens that occur.
    pub shortest: usize,
    /// Most tokens that occur.
    pub longest: usize,
    /// The metrics, and the numbers of tokens between which they lie.
    #[serde(flatten)]
    pub bucket: Bucket,
}

/// How much better a probe is than something else, by a paired bootstrap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// What it is compared with, such as `bag of words`.
    pub with: String,
    /// Balanced accuracy of the probe minus that of the other.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// One trial: a cell of the grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepTrial {
    /// Step size.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Balanced accuracy on validation; `None` if the trial diverged.
    pub balanced_accuracy: Option<f64>,
    /// Mean loss on validation in nats; `None` if the trial diverged.
    pub loss: Option<f64>,
    /// How it got there; may be empty.
    pub history: TrialHistory,
}

/// Numbers after each epoch, from the first on; NaN where one is undefined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialHistory {
    /// Mean loss on the training examples, in nats.
    pub train_loss: Vec<f64>,
    /// Mean loss on the validation examples, in nats.
    pub validation_loss: Vec<f64>,
    /// Balanced accuracy on the validation examples.
    pub balanced_accuracy: Vec<f64>,
}

/// Examples whose confidence is alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBar {
    /// Lowest confidence of the bin, 0 to 1.
    pub lower: f64,
    /// Highest confidence of the bin, 0 to 1.
    pub upper: f64,
    /// Number of examples.
    pub n: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of them that is right.
    pub accuracy: f64,
}

/// A decision threshold and what it costs on test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdRow {
    /// The threshold and its rates.
    #[serde(flatten)]
    pub report: ThresholdReport,
    /// Whether it lets through more than it promised, by more than chance.
    pub breaks_promise: bool,
}

impl From<ThresholdReport> for ThresholdRow {
    fn from(report: ThresholdReport) -> Self {
        Self { report, breaks_promise: report.breaks_promise() }
    }
}

/// How well probabilities mean what they say, before or after a correction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRow {
    /// What was done to the probabilities, such as `as trained` or `temperature 1.7`.
    pub method: String,
    /// How far they are from what happens.
    #[serde(flatten)]
    pub scores: CalibrationScores,
}

impl SweepPage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Length`] if a confusion matrix does not have one row and one column per
    /// class, or a row of a table not one number per metric.
    pub fn to_html(&self) -> Result<String, ReportError> {
        for experiment in &self.experiments {
            let n_classes = experiment.classes.len();
            for architecture in &experiment.architectures {
                let name = &architecture.config_name;
                let at = || format!("experiment `{}`, probe `{name}`", experiment.experiment);
                for side in [&architecture.validation, &architecture.test] {
                    // A confusion matrix is square.
                    check_length(at, "confusion", side.confusion.n_classes(), n_classes)?;
                }
            }
        }
        for table in &self.targets {
            for row in &table.rows {
                let at = || format!("data set `{}`, probe `{}`", table.data, row.name);
                check_length(at, "details", row.details.len(), table.details.len())?;
            }
        }
        render(&TEMPLATE, &self.run, self)
    }
}
