//! Golden values of scikit-learn, and formulas that follow from each other.

use attention_probes_probes::{
    Features, LogisticConfig, LogisticData, LogisticTargets, MassMean, ProbeError, RidgeConfig,
    Shrinkage, discriminant, logistic_path, mass_mean, n_out, ridge_path,
};
use serde::Deserialize;

use crate::convex::examples::{assert_close, config};

/// What `tests/golden/make_convex.py` wrote.
#[derive(Deserialize)]
struct Golden {
    d_model: usize,
    logistic: Vec<GoldenLogistic>,
    discriminant: Vec<GoldenDiscriminant>,
    ridge: GoldenRidge,
}

#[derive(Deserialize)]
struct GoldenLogistic {
    n_classes: usize,
    x: Vec<f32>,
    labels: Vec<usize>,
    weights: Vec<f64>,
    raw: Vec<GoldenFit>,
    standardized: Vec<GoldenFit>,
}

#[derive(Deserialize)]
struct GoldenFit {
    penalty: f64,
    logits: Vec<f64>,
    objective: f64,
}

#[derive(Deserialize)]
struct GoldenDiscriminant {
    n_classes: usize,
    x: Vec<f32>,
    labels: Vec<usize>,
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
struct GoldenCase {
    shrinkage: Option<f64>,
    logits: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenRidge {
    x: Vec<f32>,
    targets: Vec<f32>,
    raw: Vec<GoldenRidgeFit>,
    standardized: Vec<GoldenRidgeFit>,
}

#[derive(Deserialize)]
struct GoldenRidgeFit {
    penalty: f64,
    predictions: Vec<f64>,
    leave_one_out_r_squared: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../golden/convex.json")).unwrap()
}

#[test]
fn logistic_regressions_are_those_of_scikit_learn() {
    let golden = golden();
    for case in &golden.logistic {
        let features = Features::new(&case.x, golden.d_model).unwrap();
        let targets = LogisticTargets::classes(&case.labels, case.n_classes).unwrap();
        for (fits, weights, standardize) in
            [(&case.raw, Some(&case.weights[..]), false), (&case.standardized, None, true)]
        {
            let penalties: Vec<f64> = fits.iter().map(|fit| fit.penalty).collect();
            let config = LogisticConfig { standardize, ..config(&penalties) };
            let data = LogisticData { features, targets: &targets, weights };
            for (found, expected) in logistic_path(data, &config).unwrap().iter().zip(fits) {
                assert_close(&found.readout.outputs(features).unwrap(), &expected.logits, 2e-5);
                approx::assert_relative_eq!(
                    found.objective,
                    expected.objective,
                    max_relative = 1e-7
                );
                assert!(found.converged && found.gradient_norm <= 1e-6);
            }
        }
    }
}

#[test]
fn discriminants_are_those_of_scikit_learn() {
    let golden = golden();
    for case in &golden.discriminant {
        let features = Features::new(&case.x, golden.d_model).unwrap();
        for expected in &case.cases {
            let shrinkage = expected.shrinkage.map_or(Shrinkage::LedoitWolf, Shrinkage::Fixed);
            let found = discriminant(features, &case.labels, case.n_classes, shrinkage).unwrap();
            assert_eq!(found.n_out(), n_out(case.n_classes));
            let mut found = found.outputs(features).unwrap();
            let mut expected = expected.logits.clone();
            // Of several scores only the differences mean anything: ours leave a common term out.
            if case.n_classes > 2 {
                for row in found.chunks_exact_mut(case.n_classes) {
                    let mean = row.iter().sum::<f32>() / row.len() as f32;
                    for score in row {
                        *score -= mean;
                    }
                }
                for row in expected.chunks_exact_mut(case.n_classes) {
                    let mean = row.iter().sum::<f64>() / row.len() as f64;
                    for score in row {
                        *score -= mean;
                    }
                }
            }
            assert_close(&found, &expected, 1e-4);
        }
    }
}

#[test]
fn ridge_regressions_are_those_of_scikit_learn() {
    let golden = golden();
    let case = &golden.ridge;
    let features = Features::new(&case.x, golden.d_model).unwrap();
    for (fits, standardize) in [(&case.raw, false), (&case.standardized, true)] {
        let penalties = fits.iter().map(|fit| fit.penalty).collect();
        let found =
            ridge_path(features, &case.targets, &RidgeConfig { penalties, standardize }).unwrap();
        for (found, expected) in found.iter().zip(fits) {
            assert_close(&found.readout.outputs(features).unwrap(), &expected.predictions, 1e-5);
            let r_squared = found.leave_one_out_r_squared.iter().flatten();
            let pairs: Vec<_> = r_squared.zip(&expected.leave_one_out_r_squared).collect();
            assert_eq!(pairs.len(), 2);
            for (found, expected) in pairs {
                approx::assert_abs_diff_eq!(found, expected, epsilon = 2e-5);
            }
        }
        assert!(found[0].degrees_of_freedom > found[1].degrees_of_freedom);
    }
}

#[test]
fn whitened_mass_mean_is_the_discriminant_of_equal_priors() {
    let golden = golden();
    let case = &golden.discriminant[0];
    let features = Features::new(&case.x, golden.d_model).unwrap();
    let shrinkage = Shrinkage::Fixed(0.1);
    let mass_mean = mass_mean(features, &case.labels, MassMean::Whitened(shrinkage)).unwrap();
    let discriminant = discriminant(features, &case.labels, 2, shrinkage).unwrap();
    assert_close(
        mass_mean.weight(),
        &discriminant.weight().iter().map(|w| f64::from(*w)).collect::<Vec<_>>(),
        1e-6,
    );
    let n_positive = case.labels.iter().sum::<usize>() as f64;
    let log_odds = (n_positive / (case.labels.len() as f64 - n_positive)).ln();
    let expected = f64::from(mass_mean.bias()[0]) + log_odds;
    approx::assert_relative_eq!(f64::from(discriminant.bias()[0]), expected, max_relative = 1e-4);
}

#[test]
fn a_scaled_mass_mean_is_the_log_odds_of_projected_gaussians() {
    // Class means at -1 and 3 on the first axis, variance 4 within both: log-odds 4/4 (x - 1).
    let x = [-3.0, 5.0, 1.0, 5.0, 1.0, 5.0, 5.0, 5.0];
    let features = Features::new(&x, 2).unwrap();
    let readout = mass_mean(features, &[0, 0, 1, 1], MassMean::Scaled).unwrap();
    assert_eq!((readout.weight(), readout.bias()), (&[1.0, 0.0][..], &[-1.0][..]));
    let apart = Features::new(&[0.0, 0.0, 1.0, 1.0], 1).unwrap();
    let error = mass_mean(apart, &[0, 0, 1, 1], MassMean::Scaled).unwrap_err();
    assert!(matches!(error, ProbeError::SingularCovariance));
    let alike = Features::new(&[1.0, 2.0, 1.0, 2.0], 1).unwrap();
    assert_eq!(mass_mean(alike, &[0, 0, 1, 1], MassMean::Scaled).unwrap().weight(), [0.0]);
}
