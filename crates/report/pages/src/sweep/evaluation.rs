//! What a chosen probe is worth beyond its metrics, as tables and sentences.

use attention_probes_metrics::{
    Bucket, CalibrationScores, Calibrator, Comparison, Guarantee, ThresholdReport,
};
use attention_probes_report::{
    CalibrationRow, ComparisonRow, Estimate, LengthRow, SeedsSummary, ThresholdRow, fixed, measured,
};
use attention_probes_sweep::{ArchitectureReport, FittedOn, TestEvaluation};

pub(super) fn thresholds(report: &ArchitectureReport) -> Vec<ThresholdRow> {
    if report.test.n_classes != 2 {
        return Vec::new();
    }
    let confusion = report.test.confusion.counts();
    let false_positive_rate = confusion[0][1] as f64 / (confusion[0][0] + confusion[0][1]) as f64;
    let as_trained = ThresholdRow {
        rule: "as trained".to_owned(),
        threshold: 0.0,
        true_positive_rate: report.test.recall.unwrap_or(f64::NAN).into(),
        false_positive_rate: false_positive_rate.into(),
        note: String::new(),
        precision: report.test.precision.unwrap_or(f64::NAN),
        balanced_accuracy: report.test.balanced_accuracy,
    };
    let fitted = report.evaluation.thresholds.iter().map(threshold_row);
    let missing = report.evaluation.unfitted_thresholds.iter().map(|one| ThresholdRow {
        rule: rule(one.target_fpr),
        threshold: f64::NAN,
        true_positive_rate: f64::NAN.into(),
        false_positive_rate: f64::NAN.into(),
        note: format!("{} negatives, {} needed", one.n_negatives, one.n_needed),
        precision: f64::NAN,
        balanced_accuracy: f64::NAN,
    });
    std::iter::once(as_trained).chain(missing).chain(fitted).collect()
}

fn rule(target_fpr: f64) -> String {
    format!("at most {} % false positives", (target_fpr * 1e6).round() / 1e4)
}

fn threshold_row(report: &ThresholdReport) -> ThresholdRow {
    ThresholdRow {
        rule: rule(report.fitted.target_fpr),
        threshold: report.fitted.threshold,
        true_positive_rate: (report.true_positive_rate, report.true_positive_interval).into(),
        false_positive_rate: (report.false_positive_rate, report.false_positive_interval).into(),
        note: if report.breaks_promise() { "above its promise" } else { "" }.to_owned(),
        precision: report.precision.unwrap_or(f64::NAN),
        balanced_accuracy: report.balanced_accuracy,
    }
}

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
        let (from, to) = (members.clone().min().copied()?, members.max().copied()?);
        Some(LengthRow {
            from,
            to,
            n: bucket.n_examples,
            accuracy: Estimate {
                value: bucket.accuracy.unwrap_or(f64::NAN),
                interval: bucket.accuracy_interval,
            },
            balanced_accuracy: bucket.balanced_accuracy.unwrap_or(f64::NAN),
            auroc: bucket.auroc.unwrap_or(f64::NAN),
        })
    };
    // One bucket says nothing that the other tables do not.
    if buckets.len() < 2 { Vec::new() } else { buckets.iter().filter_map(row).collect() }
}

pub(super) fn comparisons(evaluation: &TestEvaluation) -> Vec<ComparisonRow> {
    let row = |(with, comparison): (&str, Comparison)| ComparisonRow {
        with: with.to_owned(),
        difference: (comparison.difference, comparison.interval).into(),
        p_value: comparison.p_value,
    };
    let others = [
        ("bag of words", evaluation.over_bag_of_words),
        ("best of the layer", evaluation.over_best),
    ];
    others.into_iter().filter_map(|(with, found)| Some(row((with, found?)))).collect()
}

pub(super) fn seeds(evaluation: &TestEvaluation) -> Option<SeedsSummary> {
    let seeds = evaluation.seeds.as_ref()?;
    Some(SeedsSummary {
        n_seeds: seeds.agreement.n_seeds,
        balanced_accuracy: (seeds.balanced_accuracy.mean, seeds.balanced_accuracy.interval).into(),
        std: seeds.balanced_accuracy.std,
        agreement: seeds.agreement.mean,
        fleiss_kappa: seeds.agreement.fleiss_kappa.unwrap_or(f64::NAN),
    })
}
