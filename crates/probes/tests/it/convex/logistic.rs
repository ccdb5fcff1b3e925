//! Logistic regression against slower ways to the same minimum.

use attention_probes_models::host_values;
use attention_probes_probes::{
    Features, Folds, LogisticConfig, LogisticData, LogisticTargets, Pool, Probe, SelectPenaltyBy,
    cross_validate_logistic, logistic_path, probabilities_from_logits, select_logistic,
};
use burn::tensor::{Device, Tensor, TensorData};

use crate::convex::examples::{assert_close, config, noisy_labels, numbers};

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
                let probabilities = probabilities_from_logits(&logits, n_classes);
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
fn a_readout_is_a_linear_probe_of_the_same_logits() {
    let (n, d) = (50, 3);
    let x = numbers(n * d, 10);
    let labels = noisy_labels(&x, d, 3);
    let targets = LogisticTargets::classes(&labels, 3).unwrap();
    let features = Features::new(&x, d).unwrap();
    let data = LogisticData { features, targets: &targets, weights: None };
    let fit = logistic_path(data, &config(&[1.0])).unwrap().swap_remove(0);
    let (config, state) = fit.readout.to_linear_probe(3, Pool::Mean).unwrap();
    let probe = Probe::from_state(&state, &config, &Device::flex()).unwrap();
    let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [n, 1, d]), &Device::flex());
    let mask_pad = Tensor::<2>::zeros([n, 1], &Device::flex()).bool();
    let found = host_values(probe.forward(tensor, mask_pad).logits).unwrap();
    for (found, expected) in found.iter().zip(fit.readout.outputs(features).unwrap()) {
        approx::assert_abs_diff_eq!(*found, expected, epsilon = 1e-5);
    }
}
