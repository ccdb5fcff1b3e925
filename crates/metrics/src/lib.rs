//! Numbers from slices: classification, ranking, regression, and calibration metrics, and their
//! intervals; thresholds and calibrators that are fitted on scores; and comparisons of probes.
//!
//! Nothing here knows a tensor, a file, or a model. Labels are class indices (or `bool` where there
//! are two classes), probabilities are row-major slices, and every function checks what it is
//! given: a length that does not fit, a label out of range, or a score that is not finite is a
//! [`MetricError`], never a panic and never a silent NaN.
//!
//! Results that are made of such numbers and that several crates write and show, such as
//! [`Baselines`], [`ExampleCounts`], and [`ComparedProbe`], are plain structs here, so that each is
//! defined once.
//!
//! Definitions agree with scikit-learn's, whose values the tests compare with; where the two could
//! differ, the doc comment says how.
//!
//! # Examples
//!
//! ```
//! use attention_probes::metrics::{Bootstrap, ClassScores, ClassificationReport, auroc};
//!
//! let labels = [0, 0, 1, 1];
//! let scores = ClassScores::from_logits(&[-2.2, -0.4, -0.6, 1.4], 2)?;
//! let report = ClassificationReport::new(&labels, &scores, &Bootstrap::default())?;
//! assert_eq!(report.balanced_accuracy, 0.75);
//! assert_eq!(report.confusion.counts(), [[2, 0], [1, 1]]);
//!
//! let scores = [0.1, 0.4, 0.35, 0.8];
//! assert_eq!(auroc(&scores, &[false, false, true, true])?, 0.75);
//! # Ok::<(), attention_probes::metrics::MetricError>(())
//! ```

mod agreement;
mod axis_spread;
mod baselines;
mod bins;
mod buckets;
mod calibration;
mod calibrator;
mod check;
mod class_scores;
mod classification;
mod clustered;
mod compare;
mod compared_layers;
mod compared_probe;
mod confusion;
mod curve;
mod decision_report;
mod deferral;
mod distribution;
mod error;
mod example_counts;
mod interval;
mod isotonic;
mod metric_values;
mod multilabel;
mod pairs;
mod platt;
mod ranking;
mod regression;
mod resample;
mod self_interactions;
mod temperature;
mod threshold;

pub use agreement::{Agreement, SeedReport, SeedSummary};
pub use axis_spread::AxisSpread;
pub use baselines::{BagOfWordsBaseline, Baselines, ControlReport};
pub use bins::Binning;
pub use buckets::{Bucket, BucketEdges, buckets};
pub use calibration::{binary_log_loss, brier, brier_multiclass, ece, ece_equal_mass, log_loss};
pub use calibrator::{
    Calibration, CalibrationMethod, CalibrationReport, CalibrationScores, Calibrator,
    LabelledLogits, calibrate,
};
pub use class_scores::{ClassScores, class_probabilities, predicted_class};
pub use classification::ClassificationReport;
pub use clustered::ClusteredRatio;
pub use compare::{Comparison, compare_auroc, compare_balanced_accuracy};
pub use compared_layers::ComparedLayers;
pub use compared_probe::ComparedProbe;
pub use confusion::ConfusionMatrix;
pub use curve::{
    PrecisionRecall, ReliabilityBin, precision_recall_curve, reliability_bins, roc_curve,
};
pub use decision_report::{DeferralReport, ThresholdReport};
pub use deferral::{Decision, Deferral, DeferralTarget};
pub use error::MetricError;
pub use example_counts::ExampleCounts;
pub use interval::{
    Interval, Resampled, bootstrap, bootstrap_balanced_accuracy, clopper_pearson, wilson,
};
pub use isotonic::Isotonic;
pub use metric_values::MetricValues;
pub use multilabel::{LabelScores, MultilabelReport, bootstrap_macro_auroc};
pub use pairs::PairAccuracy;
pub use platt::Platt;
pub use ranking::{OperatingPoint, auroc, auroc_one_vs_rest, average_precision, tpr_at_fpr};
pub use regression::{
    RegressionReport, bootstrap_r_squared, mean_absolute_error, mean_squared_error, pearson,
    r_squared, spearman,
};
pub use resample::Bootstrap;
pub use self_interactions::SelfInteractions;
pub use temperature::Temperature;
pub use threshold::{FprThreshold, Guarantee, UnfittedThreshold};
