//! Compares every metric with scikit-learn's, from `golden/make_metrics.py`.

use attention_probes_metrics::ClassificationReport;
use serde::Deserialize;
use serde_json::Value;

const TOLERANCE: f64 = 1e-10;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    n_classes: usize,
    labels: Vec<usize>,
    probabilities: Vec<f64>,
    expected: serde_json::Map<String, Value>,
}

#[test]
fn every_metric_equals_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
    assert!(golden.cases.len() >= 7);
    for case in golden.cases {
        let report =
            ClassificationReport::new(&case.labels, &case.probabilities, case.n_classes, 0)
                .unwrap();
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
            assert!((actual - expected).abs() <= TOLERANCE, "{what}: {actual} is not {expected}");
        }
        _ => assert_eq!(actual, expected, "{what}"),
    }
}
