//! Features and settings that nobody would wish for.

use attention_probes_probes::{
    Features, LogisticConfig, LogisticData, LogisticTargets, MassMean, ProbeError, RidgeConfig,
    Shrinkage, discriminant, logistic_path, mass_mean, ridge_path,
};

use crate::convex::examples::{config, noisy_labels, numbers};

#[test]
fn an_unconverged_fit_is_refused_unless_it_is_wanted() {
    let x = numbers(60, 7);
    let labels = noisy_labels(&x, 3, 2);
    let targets = LogisticTargets::classes(&labels, 2).unwrap();
    let features = Features::new(&x, 3).unwrap();
    let data = LogisticData { features, targets: &targets, weights: None };
    let hasty = LogisticConfig { max_iterations: 1, ..config(&[0.01]) };
    let error = logistic_path(data, &hasty).unwrap_err().to_string();
    assert!(error.starts_with("the fit with penalty 0.01 did not converge: after 1 iterations"));
    assert!(error.ends_with("raise the penalty, `max_iterations`, or `tolerance`"), "{error}");
    let kept = LogisticConfig { keep_unconverged: true, ..hasty };
    let fit = &logistic_path(data, &kept).unwrap()[0];
    assert!(!fit.converged && fit.gradient_norm > 1e-6 && fit.n_iterations == 1);
}

#[test]
fn hostile_features_are_fitted_or_refused_but_never_a_panic() {
    let (n, d) = (30, 4);
    let plain = numbers(n * d, 8);
    let change = |change: &dyn Fn(usize, f32) -> f32| -> Vec<f32> {
        plain.iter().enumerate().map(|(i, x)| change(i, *x)).collect()
    };
    let labels: Vec<usize> = (0..n).map(|i| usize::from(plain[i * d] > 0.0)).collect();
    let wide = numbers(6 * 50, 9);
    let cases: Vec<(&str, Vec<f32>, Vec<usize>, usize)> = vec![
        ("separable", plain.clone(), labels.clone(), d),
        ("constant", change(&|i, x| if i % d == 1 { 7.0 } else { x }), labels.clone(), d),
        ("all constant", vec![3.0; n * d], labels.clone(), d),
        ("zero rows", change(&|i, x| if i / d < 5 { 0.0 } else { x }), labels.clone(), d),
        ("duplicated", change(&|i, _| plain[i / 2 * 2]), labels.clone(), d),
        ("huge", change(&|i, x| if i % d == 0 { x * 1e17 } else { x }), labels.clone(), d),
        ("tiny", change(&|_, x| x * 1e-25), labels.clone(), d),
        ("far", change(&|_, x| x + 1e6), labels.clone(), d),
        ("outlier", change(&|i, x| if i == 2 { 1e15 } else { x }), labels.clone(), d),
        ("wide", wide, vec![0, 1, 0, 1, 1, 0], 50),
    ];
    for (name, x, labels, d) in &cases {
        let features = Features::new(x, *d).unwrap();
        let targets = LogisticTargets::classes(labels, 2).unwrap();
        let data = LogisticData { features, targets: &targets, weights: None };
        for standardize in [false, true] {
            let config = LogisticConfig { standardize, ..config(&[1e-4, 1.0, 1e4]) };
            match logistic_path(data, &config) {
                Ok(fits) => assert!(fits.iter().all(|fit| fit.objective.is_finite()), "{name}"),
                Err(error) => assert!(
                    matches!(error, ProbeError::NonFinite { .. }),
                    "{name}, standardize {standardize}: {error}"
                ),
            }
        }
        for shrinkage in [Shrinkage::LedoitWolf, Shrinkage::Fixed(0.0), Shrinkage::Ridge(1.0)] {
            let _ = discriminant(features, labels, 2, shrinkage);
            let _ = mass_mean(features, labels, MassMean::Whitened(shrinkage));
        }
        let targets: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
        let _ = ridge_path(features, &targets, &RidgeConfig::default());
    }
    let features = Features::new(&plain, d).unwrap();
    let error = discriminant(features, &vec![1; n], 2, Shrinkage::default()).unwrap_err();
    assert!(matches!(error, ProbeError::OneClass { .. }));
    let error = discriminant(features, &labels, 3, Shrinkage::default()).unwrap_err();
    assert!(matches!(error, ProbeError::EmptyClass { class: 2 }));
    let targets = LogisticTargets::classes(&labels, 2).unwrap();
    let data = LogisticData { features, targets: &targets, weights: Some(&[f64::NAN; 30]) };
    let error = logistic_path(data, &config(&[1.0])).unwrap_err();
    assert!(matches!(error, ProbeError::BadWeight { example: 0, .. }));
    let data = LogisticData { weights: None, ..data };
    for penalties in [&[][..], &[0.0], &[f64::NAN], &[-1.0]] {
        assert!(logistic_path(data, &config(penalties)).is_err());
    }
}
