//! Curves of a chosen probe on the test examples.

use attention_probes_metrics::{
    Binning, ClassScores, MetricError, ReliabilityBin, precision_recall_curve, reliability_bins,
    roc_curve,
};
use attention_probes_report::ReliabilityBar;

/// Most points of a curve, more than a screen has.
const MAX_POINTS: usize = 200;

/// Bins of the reliability diagram.
const N_BINS: usize = 10;

/// What is drawn of the test side; empty where it is not defined.
#[derive(Default)]
pub(super) struct Curves {
    pub(super) roc: Vec<(f64, f64)>,
    pub(super) precision_recall: Vec<(f64, f64)>,
    pub(super) reliability: Vec<ReliabilityBar>,
}

impl Curves {
    pub(super) fn new(scores: &ClassScores, labels: &[usize]) -> Result<Self, MetricError> {
        let rows = scores.probabilities().chunks_exact(scores.n_classes());
        let (confidences, correct): (Vec<f64>, Vec<bool>) = rows
            .zip(scores.predicted())
            .zip(labels)
            .map(|((row, class), &label)| (row[class], class == label))
            .unzip();
        let bins = reliability_bins(&confidences, &correct, Binning::EqualMass(N_BINS))?;
        let (mut roc, mut precision_recall) = (Vec::new(), Vec::new());
        if scores.n_classes() == 2 {
            let scores = scores.of_class(1);
            let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
            let points = roc_curve(&scores, &labels, MAX_POINTS)?;
            roc = points.iter().map(|point| (point.fpr, point.tpr)).collect();
            let points = precision_recall_curve(&scores, &labels, MAX_POINTS)?;
            precision_recall = points.iter().map(|point| (point.recall, point.precision)).collect();
        }
        Ok(Self { roc, precision_recall, reliability: reliability(&bins, &confidences) })
    }
}

/// Bins with their ends: a bin begins where the one before it ends.
fn reliability(bins: &[ReliabilityBin], confidences: &[f64]) -> Vec<ReliabilityBar> {
    let mut sorted = confidences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut from = 0;
    let bin = |bin: &ReliabilityBin| {
        let range = &sorted[from..from + bin.n_examples];
        from += bin.n_examples;
        ReliabilityBar {
            lower: range.first().copied().unwrap_or(f64::NAN),
            upper: range.last().copied().unwrap_or(f64::NAN),
            n: bin.n_examples,
            confidence: bin.mean_confidence,
            accuracy: bin.share_correct,
        }
    };
    bins.iter().map(bin).collect()
}
