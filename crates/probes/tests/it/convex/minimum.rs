//! Whether a minimum is one.

use attention_probes_probes::{
    Features, LinearReadout, LogisticData, LogisticFit, LogisticTargets, logistic_path,
    probabilities_from_logits,
};
use proptest::prelude::*;

use crate::convex::examples::{config, noisy_labels, numbers};

/// Refuses a fit that is not what it says, or that a step along a weight would lower.
fn assert_minimum(fit: &LogisticFit, features: Features<'_>, labels: &[usize]) {
    let n_classes = fit.readout.n_out().max(2);
    let objective = |weight: &[f32], bias: &[f32]| {
        let weight: Vec<f64> = weight.iter().map(|w| f64::from(*w)).collect();
        let bias: Vec<f64> = bias.iter().map(|b| f64::from(*b)).collect();
        let readout = LinearReadout::new(&weight, &bias).unwrap();
        let logits = readout.outputs(features).unwrap();
        let probabilities = probabilities_from_logits(&logits, n_classes);
        let rows = probabilities.chunks(n_classes).zip(labels);
        let losses: f64 = rows.map(|(row, label)| -row[*label].ln()).sum();
        losses + fit.penalty / 2.0 * weight.iter().map(|w| w * w).sum::<f64>()
    };
    let (weight, bias) = (fit.readout.weight(), fit.readout.bias());
    let lowest = objective(weight, bias);
    assert!((lowest - fit.objective).abs() <= 1e-5 * (1.0 + lowest));
    for step in [-0.01, 0.01] {
        for j in 0..weight.len() {
            let mut moved = weight.to_vec();
            moved[j] += step;
            assert!(objective(&moved, bias) >= lowest - 1e-6 * (1.0 + lowest));
        }
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
    assert!(fit.converged);
    assert_minimum(&fit, features, &labels);
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
        assert_minimum(&fit, features, &labels);
    }
}
