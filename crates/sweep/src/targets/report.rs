//! What was found about labels that are no classes, as it is written and printed.

use attention_probes_activations::{LabelKind, Targets};
use attention_probes_metrics::{
    Bootstrap, ClassScores, ClassificationReport, Interval, MetricError, MultilabelReport,
    RegressionReport, bootstrap, bootstrap_macro_auroc,
};
use attention_probes_probes::{OutputMetrics, Pool};
use serde::{Deserialize, Serialize};

use super::fit::cross_entropies;
use crate::SweepError;
use crate::judged::LEVEL;
use crate::report::Origin;
use crate::warning::Warning;

/// Resamples of a bootstrap.
const N_RESAMPLES: usize = 1000;

/// One data set at one layer whose labels are no classes: the content of `best.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Name of the experiment and of its folder.
    pub experiment: String,
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the data are activations, and where several layers are joined.
    pub layer: Option<usize>,
    /// The layers whose rows stand side by side, where several are joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
    /// Place in the layer; `None` where the data are activations.
    pub component: Option<String>,
    /// What the results depend on beside the configuration.
    pub origin: Origin,
    /// What a label is.
    pub label_kind: LabelKind,
    /// Name of the number, or of each label or class.
    pub names: Vec<String>,
    /// Number of examples to train on.
    pub n_train: usize,
    /// Number of validation examples.
    pub n_validation: usize,
    /// Number of test examples.
    pub n_test: usize,
    /// Texts or examples left out because their activations have NaN or infinity.
    pub n_skipped: usize,
    /// What a probe has to beat.
    pub baselines: TargetBaselines,
    /// The probe of each architecture.
    pub probes: Vec<TargetProbe>,
    /// What looks wrong in the data or the results; may be empty.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// What a probe has to beat, on the test examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetBaselines {
    /// Always saying the mean of the training labels.
    pub mean: SideReport,
    /// Ridge regression of a number, or logistic regression of labels, on token counts; `None`
    /// where there are no tokens.
    pub bag_of_words: Option<SideReport>,
    /// Its penalty, chosen on validation.
    pub bag_of_words_penalty: Option<f64>,
}

/// The probe of an architecture with the penalties that validation chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetProbe {
    /// Prefix of the file names.
    pub config_name: String,
    /// How it pools tokens.
    pub pool: Pool,
    /// Number of penalties that it was chosen from.
    pub n_penalties: usize,
    /// The chosen penalty: one for all outputs, or one for each label.
    pub penalties: Vec<f64>,
    /// Its file in `trained/`.
    pub file: String,
    /// On the examples that chose the penalties.
    pub validation: SideReport,
    /// On examples that nothing was chosen by.
    pub test: SideReport,
    /// The same penalties on training labels that were dealt out anew, judged on test; `None` if
    /// not wanted, or if the solver did not come to the minimum.
    #[serde(default)]
    pub shuffled_labels: Option<SideReport>,
}

/// One penalty in `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PenaltyScore {
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// The label that it is about, where each has a penalty of its own.
    pub output: Option<String>,
    /// The penalty.
    pub penalty: f64,
    /// On validation: R² of a number, else the log loss negated.
    pub validation: f64,
    /// Whether the solver came to the minimum; a fit that did not is never chosen.
    pub converged: bool,
}

/// Metrics on the examples of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideReport {
    /// Of a number.
    Number(RegressionReport),
    /// Of several labels.
    Labels {
        /// Percentile bootstrap of the mean AUROC; `None` if it is not defined.
        macro_auroc_interval: Option<Interval>,
        /// Everything, a label being there from probability 1/2 on.
        report: MultilabelReport,
    },
    /// Of distributions over classes.
    Distribution {
        /// Mean cross-entropy against the distributions, in nats.
        cross_entropy: f64,
        /// Its percentile bootstrap.
        cross_entropy_interval: Interval,
        /// The likeliest class taken for the label.
        likeliest: ClassificationReport,
    },
}

impl TargetReport {
    /// Whether the text of a `best.json` is one of these, and not about classes.
    pub(crate) fn is_in(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            label_kind: LabelKind,
        }
        serde_json::from_str::<Kind>(text).is_ok_and(|found| !found.label_kind.is_class())
    }
}

impl SideReport {
    /// Judges outputs, `[n, n_out]`: numbers, or logits.
    ///
    /// # Errors
    ///
    /// [`SweepError::Metric`] if a number is not finite, or the numbers to predict are all alike.
    pub fn new(targets: &Targets, outputs: &[f32], seed: u64) -> Result<Self, SweepError> {
        let n_columns = targets.n_columns();
        match targets.kind {
            LabelKind::Class | LabelKind::Number => {
                let outputs: Vec<f64> = outputs.iter().map(|output| f64::from(*output)).collect();
                Ok(Self::Number(RegressionReport::new(&targets.values, &outputs, seed)?))
            }
            LabelKind::Labels => {
                let labels: Vec<bool> = targets.values.iter().map(|value| *value > 0.5).collect();
                // A label is ranked by its logit, and there from a probability of 1/2 on.
                let scores: Vec<f64> = outputs.iter().map(|logit| f64::from(*logit)).collect();
                let report = MultilabelReport::new(&labels, &scores, &vec![0.0; n_columns])?;
                let interval =
                    bootstrap_macro_auroc(&labels, &scores, n_columns, N_RESAMPLES, LEVEL, seed);
                let macro_auroc_interval = match interval {
                    Err(MetricError::UndefinedStatistic { .. }) => None,
                    interval => Some(interval?),
                };
                Ok(Self::Labels { macro_auroc_interval, report })
            }
            LabelKind::Distribution => {
                let losses = cross_entropies(outputs, targets);
                let n = losses.len() as f64;
                let cross_entropy_interval =
                    bootstrap(losses.len(), N_RESAMPLES, LEVEL, seed, |indices| {
                        indices.iter().map(|&i| losses[i]).sum::<f64>() / n
                    })?;
                let scores = ClassScores::from_logits(outputs, n_columns)?;
                let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
                let labels = targets.likeliest();
                Ok(Self::Distribution {
                    cross_entropy: losses.iter().sum::<f64>() / n,
                    cross_entropy_interval,
                    likeliest: ClassificationReport::new(&labels, &scores, &bootstrap)?,
                })
            }
        }
    }

    /// Name of the number that sums the report up, its value, and its interval, where it has them.
    pub fn headline(&self) -> (&'static str, Option<f64>, Option<Interval>) {
        match self {
            Self::Number(report) => ("R²", Some(report.r_squared), Some(report.r_squared_interval)),
            Self::Labels { macro_auroc_interval, report } => {
                ("macro AUROC", report.macro_auroc, *macro_auroc_interval)
            }
            Self::Distribution { cross_entropy, cross_entropy_interval, .. } => {
                ("cross-entropy (nats)", Some(*cross_entropy), Some(*cross_entropy_interval))
            }
        }
    }

    /// Further numbers, by name.
    pub fn details(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Number(report) => vec![
                ("MSE", Some(report.mean_squared_error)),
                ("MAE", Some(report.mean_absolute_error)),
                ("Pearson", report.pearson),
                ("Spearman", report.spearman),
            ],
            Self::Labels { report, .. } => vec![
                ("mAP", report.mean_average_precision),
                ("micro F1", Some(report.micro_f1)),
                ("macro F1", Some(report.macro_f1)),
                ("subset accuracy", Some(report.subset_accuracy)),
                ("Hamming loss", Some(report.hamming_loss)),
            ],
            Self::Distribution { likeliest, .. } => vec![
                ("balanced accuracy", Some(likeliest.balanced_accuracy)),
                ("AUROC", likeliest.auroc),
                ("accuracy", Some(likeliest.accuracy)),
            ],
        }
    }

    /// What a saved probe keeps; `None` of distributions, whose outputs are classes.
    pub(super) fn output_metrics(validation: &Self, test: &Self) -> Option<OutputMetrics> {
        match (validation, test) {
            (Self::Number(validation), Self::Number(test)) => {
                Some(OutputMetrics::Number { validation: *validation, test: *test })
            }
            (Self::Labels { report: validation, .. }, Self::Labels { report: test, .. }) => {
                let (validation, test) = (validation.clone(), test.clone());
                Some(OutputMetrics::Labels { validation, test })
            }
            _ => None,
        }
    }

    /// The report of the likeliest class.
    pub(super) fn likeliest(&self) -> Option<ClassificationReport> {
        match self {
            Self::Distribution { likeliest, .. } => Some(likeliest.clone()),
            _ => None,
        }
    }
}
