//! Metrics of what a probe says, whatever its labels are.

use attention_probes_activations::{LabelValues, Labels};
use attention_probes_kernels::cross_entropy;
use attention_probes_metrics::{
    Bootstrap, ClassScores, ClassificationReport, Interval, MetricError, MultilabelReport,
    RegressionReport, bootstrap, bootstrap_macro_auroc,
};
use serde::{Deserialize, Serialize};

use crate::{OutputMetrics, probabilities_from_logits};

/// Metrics on the examples of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideReport {
    /// Of classes.
    Class(ClassificationReport),
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

impl SideReport {
    /// Evaluates outputs, `[n, n_out]`: numbers, or logits. Of two classes, 1 is said from probability
    /// 1/2 on. `resamples` says how those of the intervals are drawn.
    ///
    /// # Errors
    ///
    /// [`MetricError`] if a number is not finite, the numbers to predict are all alike, or there is not
    /// a group for each example.
    pub fn new(
        labels: &Labels,
        outputs: &[f32],
        resamples: &Bootstrap<'_>,
    ) -> Result<Self, MetricError> {
        let n_columns = labels.n_columns();
        match &labels.values {
            LabelValues::Class(classes) => {
                let scores = ClassScores::from_logits(outputs, labels.names.len())?;
                Ok(Self::Class(ClassificationReport::new(classes, &scores, resamples)?))
            }
            LabelValues::Number(numbers) => {
                let outputs: Vec<f64> = outputs.iter().map(|output| f64::from(*output)).collect();
                Ok(Self::Number(RegressionReport::new(numbers, &outputs, resamples)?))
            }
            LabelValues::Labels(values) => {
                let labels: Vec<bool> = values.iter().map(|value| *value > 0.5).collect();
                // A label is ranked by its logit, and there from a probability of 1/2 on.
                let scores: Vec<f64> = outputs.iter().map(|logit| f64::from(*logit)).collect();
                let report = MultilabelReport::new(&labels, &scores, &vec![0.0; n_columns])?;
                let interval = bootstrap_macro_auroc(&labels, &scores, n_columns, resamples);
                let macro_auroc_interval = match interval {
                    Err(MetricError::UndefinedStatistic { .. }) => None,
                    interval => Some(interval?),
                };
                Ok(Self::Labels { macro_auroc_interval, report })
            }
            LabelValues::Distribution(_) => {
                let losses = target_cross_entropies(outputs, labels);
                let n = losses.len() as f64;
                let mean_of = |indices: &[usize]| {
                    indices.iter().map(|&i| losses[i]).sum::<f64>() / indices.len() as f64
                };
                let cross_entropy_interval = bootstrap(losses.len(), resamples, mean_of)?;
                let scores = ClassScores::from_logits(outputs, n_columns)?;
                let labels = labels.likeliest();
                Ok(Self::Distribution {
                    cross_entropy: losses.iter().sum::<f64>() / n,
                    cross_entropy_interval,
                    likeliest: ClassificationReport::new(&labels, &scores, resamples)?,
                })
            }
        }
    }

    /// Name of the number that sums the report up, its value, and its interval, where it has them.
    pub fn headline(&self) -> (&'static str, Option<f64>, Option<Interval>) {
        match self {
            Self::Class(report) => (
                "balanced accuracy",
                Some(report.balanced_accuracy),
                Some(report.balanced_accuracy_interval),
            ),
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
            Self::Class(report) => vec![
                ("AUROC", report.auroc),
                ("accuracy", Some(report.accuracy)),
                ("log loss (nats)", Some(report.log_loss)),
            ],
            Self::Distribution { likeliest, .. } => vec![
                ("balanced accuracy", Some(likeliest.balanced_accuracy)),
                ("AUROC", likeliest.auroc),
                ("accuracy", Some(likeliest.accuracy)),
            ],
        }
    }

    /// What a saved probe keeps of outputs that are no classes.
    pub fn output_metrics(validation: &Self, test: &Self) -> Option<OutputMetrics> {
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

    /// The report of classes, or of the likeliest class of distributions.
    pub fn likeliest(&self) -> Option<ClassificationReport> {
        match self {
            Self::Class(report) | Self::Distribution { likeliest: report, .. } => {
                Some(report.clone())
            }
            _ => None,
        }
    }
}

/// Cross-entropy in nats of each example: of the distribution that is its label, `[n, n_classes]`,
/// from the logits of its classes, `[n, n_out]`.
pub fn target_cross_entropies(logits: &[f32], targets: &Labels) -> Vec<f64> {
    let n_classes = targets.n_columns();
    let probabilities = probabilities_from_logits(logits, n_classes);
    let rows = targets.numbers().chunks_exact(n_classes).zip(probabilities.chunks_exact(n_classes));
    rows.map(|(target, given)| cross_entropy(target, given)).collect()
}
