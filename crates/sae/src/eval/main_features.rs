//! The features that stand for a concept: those on which a small probe knows it.

use attention_probes_probes::{
    Features, LogisticConfig, LogisticData, LogisticTargets, logistic_path,
};

use super::absorption::AbsorptionConfig;
use crate::{SaeError, SparseCodes};

/// Grows the set of features while F1 rises.
pub(super) fn main_features(
    weights: &[f32],
    [train, test]: [&SparseCodes; 2],
    [train_labels, test_labels]: &[Vec<usize>; 2],
    config: &AbsorptionConfig,
) -> Result<Vec<u32>, SaeError> {
    let mut order: Vec<u32> = (0..weights.len() as u32).collect();
    order.sort_by(|a, b| weights[*b as usize].total_cmp(&weights[*a as usize]));
    let n = train_labels.len() as f64;
    let n_positive = train_labels.iter().sum::<usize>() as f64;
    // scikit-learn's `class_weight="balanced"`.
    let balanced = train_labels
        .iter()
        .map(|label| n / (2.0 * if *label == 1 { n_positive } else { n - n_positive }));
    let balanced: Vec<f64> = balanced.collect();
    let targets = LogisticTargets::classes(train_labels, 2)?;
    let truth: Vec<bool> = test_labels.iter().map(|label| *label == 1).collect();
    let mut best = f64::NEG_INFINITY;
    let mut main = Vec::new();
    for k in 1..=config.max_k_value.min(order.len()) {
        let chosen = &order[..k];
        let values = columns(train, chosen);
        let data = LogisticData {
            features: Features::new(&values, k)?,
            targets: &targets,
            weights: Some(&balanced),
        };
        let config_of_fit = LogisticConfig {
            penalties: vec![1.0],
            keep_unconverged: true,
            stop: config.stop.clone(),
            ..LogisticConfig::default()
        };
        let fits = logistic_path(data, &config_of_fit)?;
        let logits = fits[0].readout.outputs(Features::new(&columns(test, chosen), k)?)?;
        let said: Vec<bool> = logits.iter().map(|logit| *logit > 0.0).collect();
        let found = f1(&truth, &said);
        if found <= best + config.f1_jump_threshold {
            break;
        }
        best = found;
        main = chosen.to_vec();
    }
    Ok(main)
}

/// Some features of every row, `[n, n_features]`.
fn columns(codes: &SparseCodes, chosen: &[u32]) -> Vec<f32> {
    let mut values = vec![0.0; codes.n_rows() * chosen.len()];
    for ((features, row), values) in codes.rows().zip(values.chunks_exact_mut(chosen.len())) {
        for (value, feature) in values.iter_mut().zip(chosen) {
            if let Ok(at) = features.binary_search(feature) {
                *value = row[at];
            }
        }
    }
    values
}

/// Harmonic mean of precision and recall, 0 where nothing is right.
pub(super) fn f1(truth: &[bool], said: &[bool]) -> f64 {
    let n_right = truth.iter().zip(said).filter(|(truth, said)| **truth && **said).count();
    let n_both =
        [truth, said].map(|all| all.iter().filter(|is| **is).count()).iter().sum::<usize>();
    if n_right == 0 { 0.0 } else { 2.0 * n_right as f64 / n_both as f64 }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn f1_is_the_harmonic_mean_of_precision_and_recall() {
        let truth = [true, true, true, false];
        assert_relative_eq!(f1(&truth, &[true, false, false, true]), 0.4); // 1/2 and 1/3
        assert_relative_eq!(f1(&truth, &[false; 4]), 0.0);
    }

    #[test]
    fn columns_come_in_the_order_they_are_asked_for() {
        let mut codes = SparseCodes::new(5);
        codes.push_row([(1, 2.0), (4, 3.0)]);
        codes.push_row([(0, 1.0)]);
        assert_eq!(columns(&codes, &[4, 1]), [3.0, 2.0, 0.0, 0.0]);
    }
}
