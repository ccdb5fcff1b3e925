//! Compares every metric with scikit-learn's, from `golden/make_metrics.py`.

use attention_probes_metrics::{
    Bootstrap, CalibrationMethod, Calibrator, ClassScores, ClassificationReport, FprThreshold,
    Guarantee, LabelledLogits, MultilabelReport, RegressionReport, SeedSummary, Temperature,
    calibrate, clopper_pearson, precision_recall_curve, roc_curve,
};
use serde::Deserialize;
use serde_json::Value;

const TOLERANCE: f64 = 1e-10;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    clopper_pearson: Vec<(usize, usize, f64, f64, f64)>,
    seed_summaries: Vec<(Vec<f64>, f64, f64, f64, f64, f64)>,
    thresholds: Vec<(usize, f64, f64, usize)>,
    calibrators: Vec<CalibratorCase>,
    multiclass_temperature: TemperatureCase,
    curves: Vec<CurveCase>,
    regressions: Vec<RegressionCase>,
    multilabel: MultilabelCase,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    n_classes: usize,
    labels: Vec<usize>,
    probabilities: Vec<f64>,
    expected: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Rankings {
    cases: Vec<RankingCase>,
}

#[derive(Deserialize)]
struct RankingCase {
    name: String,
    n_classes: usize,
    labels: Vec<usize>,
    logits: Vec<f64>,
    log_odds: Option<Vec<f64>>,
    expected: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct CalibratorCase {
    logits: Vec<f64>,
    labels: Vec<bool>,
    at: Vec<f64>,
    temperature: f64,
    platt: [f64; 2],
    isotonic: Vec<f64>,
    ece_equal_mass: f64,
}

#[derive(Deserialize)]
struct TemperatureCase {
    logits: Vec<f64>,
    labels: Vec<usize>,
    temperature: f64,
}

#[derive(Deserialize)]
struct CurveCase {
    labels: Vec<bool>,
    scores: Vec<f64>,
    roc: Vec<[f64; 3]>,
    precision_recall: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct RegressionCase {
    targets: Vec<f64>,
    predictions: Vec<f64>,
    expected: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct MultilabelCase {
    labels: Vec<bool>,
    scores: Vec<f64>,
    auroc: Vec<Option<f64>>,
    average_precision: Vec<Option<f64>>,
    f1: Vec<f64>,
    expected: serde_json::Map<String, Value>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/metrics.json")).expect("make_metrics.py wrote it")
}

#[test]
fn every_metric_equals_scikit_learn() {
    let golden = golden();
    assert!(golden.cases.len() >= 7);
    for case in golden.cases {
        let scores = ClassScores::from_probabilities(&case.probabilities, case.n_classes).unwrap();
        let report =
            ClassificationReport::new(&case.labels, &scores, &Bootstrap::default()).unwrap();
        let mut actual = serde_json::to_value(&report).unwrap();
        let interval = actual["accuracy_interval"].take();
        actual["accuracy_interval"] = Value::from(vec![
            interval["lower"].as_f64().unwrap(),
            interval["upper"].as_f64().unwrap(),
        ]);
        for name in ["tpr_at_1_percent_fpr", "tpr_at_5_percent_fpr"] {
            actual[name] = actual[name]["tpr"].take();
        }
        for (metric, expected) in &case.expected {
            assert_same(&actual[metric], expected, &format!("{metric} of {}", case.name));
        }
    }
}

#[test]
fn logits_of_any_size_are_ranked_as_scikit_learn_ranks_them() {
    let text = include_str!("golden/rankings.json");
    let Rankings { cases } = serde_json::from_str(text).expect("make_rankings.py wrote it");
    assert!(cases.len() >= 7);
    for case in cases {
        let scores = ClassScores::from_logits(&case.logits, case.n_classes).unwrap();
        for (found, expected) in scores.log_odds().iter().zip(case.log_odds.iter().flatten()) {
            assert!((found - expected).abs() <= 1e-8, "{}: {found}, {expected}", case.name);
        }
        let report =
            ClassificationReport::new(&case.labels, &scores, &Bootstrap::default()).unwrap();
        let mut actual = serde_json::to_value(&report).unwrap();
        for name in ["tpr_at_1_percent_fpr", "tpr_at_5_percent_fpr"] {
            actual[name] = actual[name]["tpr"].take();
        }
        for (metric, expected) in &case.expected {
            assert_same(&actual[metric], expected, &format!("{metric} of {}", case.name));
        }
    }
}

#[test]
fn exact_intervals_equal_scipy() {
    for (successes, n, level, lower, upper) in golden().clopper_pearson {
        let interval = clopper_pearson(successes, n, level).unwrap();
        let what = format!("{successes} of {n} at {level}");
        assert_near(interval.lower, lower, &what);
        assert_near(interval.upper, upper, &what);
        // SciPy's own search is good to about 9 digits where the share is tiny.
        assert!((interval.upper - upper).abs() <= 1e-8 * upper, "{what}");
    }
}

#[test]
fn seed_summaries_equal_scipy() {
    for (values, level, mean, std, lower, upper) in golden().seed_summaries {
        let summary = SeedSummary::new(&values, level).unwrap();
        assert_near(summary.mean, mean, "mean");
        assert_near(summary.std, std, "std");
        assert_near(summary.interval.lower, lower, "lower");
        assert_near(summary.interval.upper, upper, "upper");
    }
}

#[test]
fn thresholds_take_the_rank_that_scipy_gives() {
    for (n, target, confidence, n_above) in golden().thresholds {
        let negatives: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let guarantee = Guarantee::Confidence { confidence };
        let fitted = FprThreshold::fit(&negatives, target, guarantee).unwrap();
        assert_near(fitted.calibration_fpr, n_above as f64 / n as f64, "false-positive rate");
    }
}

#[test]
fn calibrators_equal_scikit_learn() {
    for case in golden().calibrators {
        let data = LabelledLogits { logits: &case.logits, labels: &case.labels };
        for method in
            [CalibrationMethod::Temperature, CalibrationMethod::Platt, CalibrationMethod::Isotonic]
        {
            let fitted = calibrate(method, data, data).unwrap();
            assert_near(fitted.report.before.ece_equal_mass, case.ece_equal_mass, "equal mass");
            match fitted.calibrator {
                Calibrator::Temperature(fitted) => {
                    assert_near(fitted.temperature(), case.temperature, "temperature");
                }
                Calibrator::Platt(fitted) => {
                    assert_near(fitted.slope(), case.platt[0], "slope");
                    assert_near(fitted.intercept(), case.platt[1], "intercept");
                }
                Calibrator::Isotonic(fitted) => {
                    for (&at, &expected) in case.at.iter().zip(&case.isotonic) {
                        assert_near(fitted.apply(at), expected, &format!("isotonic at {at}"));
                    }
                }
            }
        }
    }
    let case = golden().multiclass_temperature;
    let fitted = Temperature::fit_multiclass(&case.logits, &case.labels, 4).unwrap();
    assert_near(fitted.temperature(), case.temperature, "temperature of four classes");
}

#[test]
fn curves_equal_scikit_learn() {
    for case in golden().curves {
        let roc = roc_curve(&case.scores, &case.labels, 1000).unwrap();
        let roc = roc.iter().map(|point| [point.fpr, point.tpr, point.threshold]);
        assert_same_points(roc.collect(), &case.roc);
        let curve = precision_recall_curve(&case.scores, &case.labels, 1000).unwrap();
        let curve = curve.iter().map(|point| [point.recall, point.precision, point.threshold]);
        assert_same_points(curve.collect(), &case.precision_recall);
    }
}

#[test]
fn regressions_equal_scikit_learn() {
    for case in golden().regressions {
        let report =
            RegressionReport::new(&case.targets, &case.predictions, &Bootstrap::default()).unwrap();
        let actual = serde_json::to_value(report).unwrap();
        for (metric, expected) in &case.expected {
            assert_same(&actual[metric], expected, metric);
        }
    }
}

#[test]
fn several_labels_equal_scikit_learn() {
    let case = golden().multilabel;
    let report = MultilabelReport::new(&case.labels, &case.scores, &[0.5; 4]).unwrap();
    let actual = serde_json::to_value(&report).unwrap();
    for (metric, expected) in &case.expected {
        assert_same(&actual[metric], expected, metric);
    }
    for (label, scores) in report.per_label.iter().enumerate() {
        assert_same(&Value::from(scores.auroc), &Value::from(case.auroc[label]), "auroc");
        let expected = Value::from(case.average_precision[label]);
        assert_same(&Value::from(scores.average_precision), &expected, "average_precision");
        assert_near(scores.f1, case.f1[label], "f1");
    }
}

/// Compares points; the threshold of the first, which scikit-learn gives none, is left out.
fn assert_same_points(mut actual: Vec<[f64; 3]>, expected: &[[f64; 3]]) {
    actual[0][2] = 0.0;
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().flatten().zip(expected.iter().flatten()) {
        assert_near(*actual, *expected, "point");
    }
}

fn assert_near(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() <= TOLERANCE, "{what}: {actual} is not {expected}");
}

/// Compares numbers within the tolerance, lists entry by entry, and nothing with nothing.
fn assert_same(actual: &Value, expected: &Value, what: &str) {
    match (actual, expected) {
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{what}");
            for (actual, expected) in actual.iter().zip(expected) {
                assert_same(actual, expected, what);
            }
        }
        (Value::Number(actual), Value::Number(expected)) => {
            let (actual, expected) = (actual.as_f64(), expected.as_f64());
            let (actual, expected) = actual.zip(expected).expect("numbers fit f64");
            assert_near(actual, expected, what);
        }
        _ => assert_eq!(actual, expected, "{what}"),
    }
}
