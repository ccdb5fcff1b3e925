//! What a sweep found.

use attention_probes_metrics::{AxisSpread, CalibrationScores};
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
    /// Name of the data set that it is judged on.
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
    /// Number of training examples.
    pub n_train: usize,
    /// Number of validation examples.
    pub n_validation: usize,
    /// Number of examples that thresholds and calibrators alone were fitted on.
    pub n_calibration: usize,
    /// Number of test examples.
    pub n_test: usize,
    /// Number of examples left out because their activations have NaN or infinity.
    pub n_skipped: usize,
    /// What a probe has to beat.
    pub baselines: SweepBaselines,
    /// The best probe of each architecture.
    pub architectures: Vec<SweepArchitecture>,
    /// Names of the architectures of which every trial diverged.
    pub diverged: Vec<String>,
}

/// What a probe has to beat, as balanced accuracy on the test examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepBaselines {
    /// Always saying the most frequent class.
    pub majority: f64,
    /// Logistic regression on token counts, where there are tokens.
    pub bag_of_words: Option<Estimate>,
    /// The share of minimal pairs that the same tells apart, where the data are pairs.
    #[serde(default)]
    pub bag_of_words_pairs: Option<Estimate>,
    /// The best probe's setting trained on shuffled labels, where it was.
    pub shuffled_labels: Option<Estimate>,
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
    /// Balanced accuracy on the examples that chose it.
    pub validation: Estimate,
    /// Balanced accuracy on examples that nothing was chosen by.
    pub test: Estimate,
    /// The share of minimal pairs of the test side that are told apart, where the data are pairs.
    #[serde(default)]
    pub pairs: Option<Estimate>,
    /// Further numbers, in the order of the table.
    pub metrics: Vec<SweepMetric>,
    /// Every trial, the chosen one among them.
    pub trials: Vec<SweepTrial>,
    /// What each axis of the grid bought, on validation.
    pub axes: Vec<AxisSpread>,
    /// Test examples by true class (rows) and predicted class (columns); may be empty.
    pub confusion: Vec<Vec<usize>>,
    /// Points of the ROC curve on test, (false, true) positive rate; may be empty.
    pub roc: Vec<(f64, f64)>,
    /// Points of the precision-recall curve on test, (recall, precision); may be empty.
    pub precision_recall: Vec<(f64, f64)>,
    /// Confidence against accuracy on test; may be empty.
    pub reliability: Vec<ReliabilityBar>,
    /// Decision thresholds and what they cost on test; may be empty.
    pub thresholds: Vec<ThresholdRow>,
    /// How well probabilities mean what they say; may be empty.
    pub calibrations: Vec<CalibrationRow>,
    /// What is to be known of the thresholds and calibrators; may be empty.
    pub thresholds_note: String,
    /// The metrics of shorter and longer texts; may be empty.
    pub lengths: Vec<LengthRow>,
    /// Balanced accuracy against others, on the same examples; may be empty.
    pub comparisons: Vec<ComparisonRow>,
    /// The chosen setting over several seeds, where there are several.
    pub seeds: Option<SeedsSummary>,
}

/// The metrics of texts of some lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LengthRow {
    /// Fewest tokens.
    pub from: usize,
    /// Most tokens.
    pub to: usize,
    /// Number of test examples.
    pub n: usize,
    /// Share of right answers.
    pub accuracy: Estimate,
    /// Mean recall over the classes; NaN if a class is missing.
    pub balanced_accuracy: f64,
    /// Area under the ROC curve; NaN if a class is missing.
    pub auroc: f64,
}

/// How much better a probe is than something else, by a paired bootstrap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// What it is compared with, such as `bag of words`.
    pub with: String,
    /// Balanced accuracy of the probe minus that of the other.
    pub difference: Estimate,
    /// How often the choice of examples alone would bring about such a difference.
    pub p_value: f64,
}

/// One setting over several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedsSummary {
    /// Number of seeds.
    pub n_seeds: usize,
    /// Mean balanced accuracy on test, with an interval over seeds.
    pub balanced_accuracy: Estimate,
    /// Standard deviation of one seed.
    pub std: f64,
    /// Mean share of equal predictions of two seeds.
    pub agreement: f64,
    /// Agreement beyond chance; NaN if it is undefined.
    pub fleiss_kappa: f64,
}

/// One number of a chosen trial, on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepMetric {
    /// What it is called.
    pub name: String,
    /// On the examples that chose the trial.
    pub validation: Estimate,
    /// On examples that nothing was chosen by.
    pub test: Estimate,
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

/// A decision threshold and what it costs; NaN where a number is undefined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdRow {
    /// How it was chosen, such as `1 % false positives`.
    pub rule: String,
    /// Logit of class 1 from which on the probe says 1.
    pub threshold: f64,
    /// Share of the positives that are found.
    pub true_positive_rate: Estimate,
    /// Share of the negatives that are taken for positives.
    pub false_positive_rate: Estimate,
    /// What is to be known of the row, such as that it is above its promise; may be empty.
    pub note: String,
    /// Share of the found that are positive.
    pub precision: f64,
    /// Mean recall over both classes.
    pub balanced_accuracy: f64,
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
                let (name, confusion) = (&architecture.config_name, &architecture.confusion);
                let at = || format!("experiment `{}`, probe `{name}`", experiment.experiment);
                if !confusion.is_empty() {
                    check_length(at, "confusion", confusion.len(), n_classes)?;
                }
                for row in confusion {
                    check_length(at, "confusion", row.len(), n_classes)?;
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
