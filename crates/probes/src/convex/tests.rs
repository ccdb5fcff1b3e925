//! Convex probes against slow methods, golden values of scikit-learn, and hostile input.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{Pool, ProbeError, n_out};

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
    serde_json::from_str(include_str!("../../tests/golden/convex.json")).unwrap()
}

fn config(penalties: &[f64]) -> LogisticConfig {
    LogisticConfig { penalties: penalties.to_vec(), ..LogisticConfig::default() }
}

/// Numbers without a pattern, about -1 to 1.
fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| (((i + 31 * seed) * 7919 % 1009) as f32 - 504.0) / 504.0).collect()
}

/// Labels that depend on the features, but not wholly.
fn noisy_labels(x: &[f32], d: usize, n_classes: usize) -> Vec<usize> {
    let noise = numbers(x.len() / d, 5);
    let score = |(row, noise): (&[f32], &f32)| {
        let sum = row[0] + 0.5 * row[d - 1] + 0.8 * noise + 2.3;
        (sum / 4.6 * n_classes as f32).clamp(0.0, n_classes as f32 - 1.0) as usize
    };
    x.chunks(d).zip(&noise).map(score).collect()
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(difference <= tolerance * size, "at {i}: {found}, expected {expected}");
    }
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

/// Plain gradient descent in `f64`, the slow way to the same minimum.
fn slow_logistic(x: &[f32], targets: &[f64], weights: &[f64], d: usize, penalty: f64) -> Vec<f64> {
    let mut params = vec![0.0; d + 1];
    let bound: f64 = x
        .chunks(d)
        .zip(weights)
        .map(|(row, w)| w * (1.0 + row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()) / 4.0)
        .sum();
    for _ in 0..40_000 {
        let mut gradient = vec![0.0; d + 1];
        for ((row, target), weight) in x.chunks(d).zip(targets).zip(weights) {
            let products = row.iter().zip(&params).map(|(x, w)| f64::from(*x) * w);
            let logit = products.sum::<f64>() + params[d];
            let residual = weight * (1.0 / (1.0 + (-logit).exp()) - target);
            for (gradient, x) in gradient.iter_mut().zip(row) {
                *gradient += residual * f64::from(*x);
            }
            gradient[d] += residual;
        }
        for j in 0..=d {
            let penalised = if j < d { penalty * params[j] } else { 0.0 };
            params[j] -= (gradient[j] + penalised) / (bound + penalty);
        }
    }
    params
}

#[test]
fn soft_labels_lead_to_the_minimum_of_gradient_descent() {
    let (n, d) = (40, 3);
    let x = numbers(n * d, 1);
    let positive: Vec<f64> = numbers(n, 2).iter().map(|p| f64::from(p.abs())).collect();
    let weights: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
    let values: Vec<f32> = positive.iter().flat_map(|&p| [1.0 - p as f32, p as f32]).collect();
    let targets = LogisticTargets::distributions(&values, 2).unwrap();
    let features = Features::new(&x, d).unwrap();
    let data = LogisticData { features, targets: &targets, weights: Some(&weights) };
    for fit in logistic_path(data, &config(&[0.5, 5.0])).unwrap() {
        let slow = slow_logistic(&x, &positive, &weights, d, fit.penalty);
        assert_close(fit.readout.weight(), &slow[..d], 1e-5);
        assert_close(fit.readout.bias(), &slow[d..], 1e-5);
    }
}

#[test]
fn each_label_is_fitted_as_if_it_were_alone() {
    let (n, d) = (60, 4);
    let x = numbers(n * d, 3);
    let values: Vec<f32> = numbers(n * 3, 4).iter().map(|v| f32::from(*v > 0.2)).collect();
    let targets = LogisticTargets::multilabel(&values, 3).unwrap();
    let features = Features::new(&x, d).unwrap();
    let data = LogisticData { features, targets: &targets, weights: None };
    let together = logistic_path(data, &config(&[0.1, 10.0])).unwrap();
    assert_eq!(together.len(), 6);
    for fit in &together {
        let labels: Vec<usize> =
            values.iter().skip(fit.label).step_by(3).map(|v| *v as usize).collect();
        let alone = LogisticTargets::classes(&labels, 2).unwrap();
        let data = LogisticData { features, targets: &alone, weights: None };
        let alone = &logistic_path(data, &config(&[fit.penalty])).unwrap()[0];
        approx::assert_relative_eq!(fit.objective, alone.objective, max_relative = 1e-7);
    }
    let selections =
        select_logistic(data, data, &config(&[0.1, 10.0]), SelectPenaltyBy::LogLoss).unwrap();
    assert_eq!(
        selections.iter().map(|s| (s.label, s.best)).collect::<Vec<_>>(),
        [(0, 0), (1, 0), (2, 0)]
    );
}

#[test]
fn a_fold_is_fitted_as_if_its_examples_were_gone() {
    let (n, d) = (72, 3);
    let x = numbers(n * d, 6);
    for (n_classes, standardize) in [(2, true), (3, false)] {
        let labels = noisy_labels(&x, d, n_classes);
        let targets = LogisticTargets::classes(&labels, n_classes).unwrap();
        let features = Features::new(&x, d).unwrap();
        let data = LogisticData { features, targets: &targets, weights: None };
        let folds = Folds::stratified(&labels, None, 4, 9).unwrap();
        let config = LogisticConfig { standardize, ..config(&[0.05, 1.0, 50.0]) };
        let by = SelectPenaltyBy::LogLoss;
        let found = cross_validate_logistic(data, &folds, &config, by).unwrap().swap_remove(0);
        let mut losses = vec![0.0; 3];
        for fold in 0..4 {
            let rows = |keep: bool| -> (Vec<f32>, Vec<usize>) {
                let kept = (0..n).filter(|&i| (folds.of()[i] == fold) != keep);
                kept.map(|i| (features.row(i), labels[i])).fold(
                    (Vec::new(), Vec::new()),
                    |(mut x, mut labels), (row, label)| {
                        x.extend_from_slice(row);
                        labels.push(label);
                        (x, labels)
                    },
                )
            };
            let ((x, labels), (held_x, held_labels)) = (rows(true), rows(false));
            let targets = LogisticTargets::classes(&labels, n_classes).unwrap();
            let features = Features::new(&x, d).unwrap();
            let data = LogisticData { features, targets: &targets, weights: None };
            let held_out = Features::new(&held_x, d).unwrap();
            for (loss, fit) in losses.iter_mut().zip(logistic_path(data, &config).unwrap()) {
                let logits = fit.readout.outputs(held_out).unwrap();
                let probabilities = crate::probabilities_from_logits(&logits, n_classes);
                for (row, label) in probabilities.chunks(n_classes).zip(&held_labels) {
                    *loss -= row[*label].ln() / n as f64;
                }
            }
        }
        for (score, expected) in found.scores.iter().zip(&losses) {
            // Off the minimum, a held-out loss changes as the weights do, not as their square.
            approx::assert_abs_diff_eq!(score.log_loss, expected, epsilon = 5e-5);
        }
        let best = (0..3).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
        assert_eq!(found.best, best);
        let whole = &logistic_path(data, &config).unwrap()[best];
        approx::assert_relative_eq!(found.fit.objective, whole.objective, max_relative = 1e-7);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (n, d) = (1500, 40);
    let x = numbers(n * d, 11);
    let labels = noisy_labels(&x, d, 3);
    let targets = LogisticTargets::classes(&labels, 3).unwrap();
    let features = Features::new(&x, d).unwrap();
    let data = LogisticData { features, targets: &targets, weights: None };
    let fits = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| logistic_path(data, &config(&[1e-3, 1.0])).unwrap())
    };
    assert_eq!(fits(1), fits(3));
}

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

#[test]
fn a_readout_is_a_linear_probe_of_the_same_logits() {
    use burn::tensor::{Device, Tensor, TensorData};

    use crate::{AnyProbe, Probe};

    let (n, d) = (50, 3);
    let x = numbers(n * d, 10);
    let labels = noisy_labels(&x, d, 3);
    let targets = LogisticTargets::classes(&labels, 3).unwrap();
    let features = Features::new(&x, d).unwrap();
    let data = LogisticData { features, targets: &targets, weights: None };
    let fit = logistic_path(data, &config(&[1.0])).unwrap().swap_remove(0);
    let (config, state) = fit.readout.to_linear_probe(3, Pool::Mean).unwrap();
    let probe = AnyProbe::from_state(&state, &config, &Device::flex()).unwrap();
    let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [n, 1, d]), &Device::flex());
    let mask_pad = Tensor::<2>::zeros([n, 1], &Device::flex()).bool();
    let found = crate::testing::host_values(probe.forward(tensor, mask_pad).logits);
    for (found, expected) in found.iter().zip(fit.readout.outputs(features).unwrap()) {
        approx::assert_abs_diff_eq!(*found, expected, epsilon = 1e-5);
    }
}

/// Nineteen examples that thirteen features nearly separate: logits so large that their rounding
/// alone moves the gradient by more than the tolerance.
#[test]
fn a_fit_whose_gradient_is_all_rounding_has_converged() {
    let (n, d) = (19, 13);
    let x = numbers(n * d, 16);
    let mut labels = noisy_labels(&x, d, 4);
    (labels[0], labels[1]) = (0, 1);
    let features = Features::new(&x, d).unwrap();
    let targets = LogisticTargets::classes(&labels, 4).unwrap();
    let data = LogisticData { features, targets: &targets, weights: None };
    let fit = logistic_path(data, &config(&[0.1])).unwrap().swap_remove(0);
    assert!(fit.converged && fit.gradient_norm > 1e-6, "{}", fit.gradient_norm);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_minimum_is_a_minimum_and_the_same_bits_every_time(
        n in 8_usize..200,
        d in 1_usize..20,
        seed in 0_usize..100,
        n_classes in 2_usize..5,
        exponent in -3_i32..4,
    ) {
        let x = numbers(n * d, seed);
        let mut labels = noisy_labels(&x, d, n_classes);
        (labels[0], labels[1]) = (0, 1);
        let features = Features::new(&x, d).unwrap();
        let targets = LogisticTargets::classes(&labels, n_classes).unwrap();
        let data = LogisticData { features, targets: &targets, weights: None };
        let config = config(&[10.0_f64.powi(exponent)]);
        let fit = logistic_path(data, &config).unwrap().swap_remove(0);
        prop_assert_eq!(&fit, &logistic_path(data, &config).unwrap()[0]);

        let objective = |weight: &[f32], bias: &[f32]| {
            let weight: Vec<f64> = weight.iter().map(|w| f64::from(*w)).collect();
            let bias: Vec<f64> = bias.iter().map(|b| f64::from(*b)).collect();
            let readout = LinearReadout::new(&weight, &bias).unwrap();
            let logits = readout.outputs(features).unwrap();
            let probabilities = crate::probabilities_from_logits(&logits, n_classes);
            let rows = probabilities.chunks(n_classes).zip(&labels);
            let losses: f64 = rows.map(|(row, label)| -row[*label].ln()).sum();
            losses + fit.penalty / 2.0 * weight.iter().map(|w| w * w).sum::<f64>()
        };
        let (weight, bias) = (fit.readout.weight(), fit.readout.bias());
        let lowest = objective(weight, bias);
        prop_assert!((lowest - fit.objective).abs() <= 1e-5 * (1.0 + lowest));
        for step in [-0.01, 0.01] {
            for j in 0..weight.len() {
                let mut moved = weight.to_vec();
                moved[j] += step;
                prop_assert!(objective(&moved, bias) >= lowest - 1e-6 * (1.0 + lowest));
            }
        }
    }
}
