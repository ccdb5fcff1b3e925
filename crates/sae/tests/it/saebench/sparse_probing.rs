//! k-sparse probing.

use attention_probes_sae::eval::{
    BinaryProbeConfig, Sampling, SparseProbingConfig, sparse_probing,
};

use crate::saebench::golden::{Golden, assert_close};

#[test]
fn features_and_accuracies_are_those_of_sae_bench() {
    let golden = Golden::read();
    let config = SparseProbingConfig {
        k_values: vec![1, 2, 5],
        sampling: Sampling::InOrder,
        full_width: None,
        ..SparseProbingConfig::default()
    };
    let (train, test) = (golden.classes("train"), golden.classes("test"));
    let found = sparse_probing(&golden.sae(), &train, &test, &config).unwrap();
    assert_eq!(found.classes.len(), 4);
    for class in &found.classes {
        assert_eq!((class.sae.len(), class.llm.len()), (3, 3));
        for probe in &class.sae {
            let expected = &golden.json["sparse_probing"][format!("{}.k{}", class.class, probe.k)];
            let numbers = |key: &str| -> Vec<f64> {
                expected[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
            };
            let features: Vec<f64> = probe.features.iter().map(|f| f64::from(*f)).collect();
            assert_eq!(features, numbers("features"), "{} {}", class.class, probe.k);
            // The solver of scikit-learn stops when a gradient is below 1e-4; with a tolerance of
            // 1e-8 its weights are ours to the sixth digit.
            let what = format!("weights of {} with {}", class.class, probe.k);
            assert_close(&probe.coef, &numbers("coef"), 5e-3, &what);
            let intercept = expected["intercept"].as_f64().unwrap();
            assert_close(&[probe.intercept], &[intercept], 5e-3, &what);
            let accuracy = expected["test_accuracy"].as_f64().unwrap();
            assert!((probe.test_accuracy - accuracy).abs() < 1e-3, "{what}");
        }
    }
}

#[test]
fn means_of_texts_are_those_of_sae_bench() {
    let golden = Golden::read();
    let texts = golden.texts("tpp.train.0");
    assert_close(&texts.means(), &golden.array("mean.train.0"), 1e-4, "means");
    let features = texts.feature_means(&golden.sae()).unwrap().to_dense();
    assert_close(&features, &golden.array("sae_mean.train.0"), 1e-4, "means of features");
}

#[test]
fn probes_on_everything_tell_most_texts_right() {
    let golden = Golden::read();
    let config = SparseProbingConfig {
        k_values: vec![],
        full_width: Some(BinaryProbeConfig { batch_size: 20, ..BinaryProbeConfig::full_width() }),
        ..SparseProbingConfig::default()
    };
    let (train, test) = (golden.classes("train"), golden.classes("test"));
    let found = sparse_probing(&golden.sae(), &train, &test, &config).unwrap();
    for class in &found.classes {
        assert!(class.llm_test_accuracy.unwrap() > 0.95, "{class:?}");
        assert!(class.sae_test_accuracy.unwrap() > 0.95, "{class:?}");
    }
}
