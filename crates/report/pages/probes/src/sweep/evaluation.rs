//! What a chosen probe is worth beyond its metrics, as tables and sentences.

use attention_probes_metrics::{Bucket, CalibrationScores, Calibrator, Comparison, Guarantee};
use attention_probes_report::{CalibrationRow, ComparisonRow, LengthRow, fixed, measured};
use attention_probes_sweep::{FittedOn, TestEvaluation};

pub(super) fn calibrations(evaluation: &TestEvaluation) -> Vec<CalibrationRow> {
    let row = |method: String, scores: CalibrationScores| CalibrationRow { method, scores };
    let before = evaluation.calibrations.first().map(|fitted| fitted.report.before);
    let before = before.map(|scores| row("as trained".to_owned(), scores));
    let after = evaluation.calibrations.iter().map(|fitted| {
        let method = match &fitted.calibrator {
            Calibrator::Temperature(temperature) => {
                format!("temperature {}", measured(temperature.temperature()))
            }
            Calibrator::Platt(_) => "Platt scaling".to_owned(),
            Calibrator::Isotonic(_) => "isotonic regression".to_owned(),
        };
        row(method, fitted.report.after)
    });
    before.into_iter().chain(after).collect()
}

pub(super) fn thresholds_note(evaluation: &TestEvaluation) -> String {
    let side = match evaluation.fitted_on {
        FittedOn::Calibration => {
            "Fitted on the calibration examples, which nothing else was done with"
        }
        FittedOn::Validation => {
            "Fitted on the validation examples, which also chose the trial; set some apart \
             (evaluation.calibration) for guarantees that hold as they stand"
        }
    };
    let deferral = evaluation.deferral.map_or_else(String::new, |report| {
        let [deferred, fpr, fnr] =
            [report.deferred, report.false_positive_rate, report.false_negative_rate]
                .map(|share| format!("{} %", fixed(100.0 * share, 1)));
        format!(
            " Two thresholds, at the logits {} and {}, pass {deferred} of the test examples on to a better \
             judge; of the negatives {fpr} are called positive, of the positives {fnr} negative.",
            measured(report.fitted.low),
            measured(report.fitted.high),
        )
    });
    match evaluation.thresholds.first().map(|report| report.fitted.guarantee) {
        Some(Guarantee::Marginal) => format!(
            "{side}. Thresholds keep to their rate of false positives on average over \
             calibration sets.{deferral}"
        ),
        Some(Guarantee::Confidence { confidence }) => format!(
            "{side}. Thresholds keep to their rate of false positives with probability \
             {confidence} over calibration sets.{deferral}"
        ),
        None if evaluation.calibrations.is_empty() => String::new(),
        None => format!("{side}.{deferral}"),
    }
}

/// The buckets with their ends as they occur.
pub(super) fn lengths(buckets: &[Bucket], n_tokens: &[usize]) -> Vec<LengthRow> {
    let row = |bucket: &Bucket| {
        let inside = |n: &&usize| **n >= bucket.from && bucket.to.is_none_or(|to| **n < to);
        let members = n_tokens.iter().filter(inside);
        let (shortest, longest) = (members.clone().min().copied()?, members.max().copied()?);
        Some(LengthRow { shortest, longest, bucket: bucket.clone() })
    };
    // One bucket says nothing that the other tables do not.
    if buckets.len() < 2 { Vec::new() } else { buckets.iter().filter_map(row).collect() }
}

pub(super) fn comparisons(evaluation: &TestEvaluation) -> Vec<ComparisonRow> {
    let others = [
        ("bag of words", evaluation.over_bag_of_words),
        ("best of the layer", evaluation.over_best),
    ];
    let row = |(with, comparison): (&str, Option<Comparison>)| {
        Some(ComparisonRow { with: with.to_owned(), comparison: comparison? })
    };
    others.into_iter().filter_map(row).collect()
}
