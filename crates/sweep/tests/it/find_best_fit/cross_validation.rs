//! Cross-validation of the weight decay against plain modules, trained fold by fold.

use attention_probes_probes::{
    Attention, Folds, Labels, Linear, Optimizer, ProbeConfig, ProbeError, TrainConfig,
    TrainingData, evaluate_probe, train_any_probe,
};
use attention_probes_sweep::{
    FitConfig, FitData, FitRun, Method, SelectBy, SweepError, Trial, TrialGroup, find_best_fit,
};
use burn::tensor::{Device, Tensor, TensorData};

use crate::find_best_fit::full_batch::{N_TRAIN, class_weights, group};
use crate::find_best_fit::toy::{D_MODEL, N, Toy, config, toy};

const DECAYS: [f64; 4] = [1.0, 0.003, 0.1, 30.0];

/// A group of linear probes with folds, out of order.
fn folded(n_classes: usize, folds: Option<usize>) -> TrialGroup {
    let probe: ProbeConfig = ProbeConfig::new(Linear::default(), D_MODEL, n_classes);
    let method = Method { optimizer: Optimizer::Lbfgs, folds, ..Method::default() };
    let trial = |weight_decay| Trial { learning_rate: 1.0, weight_decay, seed: 1 };
    group(&probe, method, DECAYS.map(trial).to_vec())
}

/// The mean tokens of some training examples.
fn means(toy: &Toy, examples: &[usize]) -> TrainingData {
    let mean = |row: &Vec<f32>| -> Vec<f32> {
        let n_tokens = (row.len() / D_MODEL) as f32;
        (0..D_MODEL).map(|d| row.iter().skip(d).step_by(D_MODEL).sum::<f32>() / n_tokens).collect()
    };
    let device = Device::flex();
    let n = examples.len();
    let values: Vec<f32> = examples.iter().flat_map(|&i| mean(&toy.rows[i])).collect();
    let x = Tensor::from_data(TensorData::new(values, [n, 1, D_MODEL]), &device);
    let padding = Tensor::<2>::zeros([n, 1], &device).bool();
    let labels = examples.iter().map(|&i| toy.labels[i]).collect();
    TrainingData::new(x, padding, Labels::numbered(labels, toy.n_classes)).unwrap()
}

/// What examples of these classes weigh together.
fn total_weight(toy: &Toy, examples: &[usize]) -> f64 {
    let weights = class_weights(toy.n_classes);
    examples.iter().map(|&i| weights[toy.labels[i]]).sum()
}

/// Balanced accuracy and mean cross-entropy of a decay: one module per fold, trained on the others.
fn slowly(toy: &Toy, folds: &Folds, weight_decay: f64) -> (f64, f64) {
    let device = Device::flex();
    let n_classes = toy.n_classes;
    let width = if n_classes == 2 { 1 } else { n_classes };
    let all: Vec<usize> = (0..N_TRAIN).collect();
    let (mut right, mut of_class, mut loss) = (vec![0.0; n_classes], vec![0.0; n_classes], 0.0);
    for fold in 0..folds.n_folds() {
        let held_out = folds.held_out(fold);
        let rest: Vec<usize> = all.iter().copied().filter(|i| !held_out.contains(i)).collect();
        // The same penalty on the sum of the losses, so more on the mean of fewer.
        let factor = total_weight(toy, &all) / total_weight(toy, &rest);
        let train = TrainConfig {
            weight_decay: weight_decay * factor,
            class_weights: Some(class_weights(n_classes)),
            ..TrainConfig::default()
        };
        let probe: ProbeConfig = ProbeConfig::new(Linear::default(), D_MODEL, n_classes);
        let trained = train_any_probe(&means(toy, &rest), &probe, &train, &device).unwrap();
        let judged = evaluate_probe(&trained.probe, &means(toy, &held_out), &device).unwrap();
        for (&example, logits) in held_out.iter().zip(judged.logits.chunks(width)) {
            let logits: Vec<f64> = match logits {
                [logit] => vec![0.0, f64::from(*logit)],
                logits => logits.iter().map(|logit| f64::from(*logit)).collect(),
            };
            let label = toy.labels[example];
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            loss -= (logits[label].exp() / sum).ln();
            let best = (1..n_classes).fold(0, |a, b| if logits[b] >= logits[a] { b } else { a });
            of_class[label] += 1.0;
            right[label] += f64::from(u8::from(best == label));
        }
    }
    let recalls = right.iter().zip(&of_class).map(|(right, n)| right / n);
    (recalls.sum::<f64>() / n_classes as f64, loss / N_TRAIN as f64)
}

#[test]
fn every_decay_has_the_score_of_modules_trained_fold_by_fold() {
    let folder = tempfile::tempdir().unwrap();
    let threes = Some((0..N).map(|i| i / 3).collect::<Vec<_>>());
    for (n_classes, groups) in [(2, None), (2, threes), (3, None)] {
        let mut toy = toy(n_classes, folder.path());
        toy.groups.clone_from(&groups);
        for select_by in [SelectBy::BalancedAccuracy, SelectBy::Loss] {
            let config = FitConfig { select_by, ..config() };
            let fit = toy.fit(&[folded(n_classes, Some(4))], &config).remove(0);
            let found = fit.cross_validation.as_ref().unwrap();
            let of_train = groups.as_ref().map(|groups| &groups[..N_TRAIN]);
            let folds =
                Folds::stratified(&toy.labels[..N_TRAIN], of_train, 4, config.seed).unwrap();
            let decays: Vec<f64> = found.scores.iter().map(|score| score.weight_decay).collect();
            assert_eq!((found.n_folds, decays), (4, vec![0.003, 0.1, 1.0, 30.0]));
            let mut best = (f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0);
            for score in &found.scores {
                let (accuracy, loss) = slowly(&toy, &folds, score.weight_decay);
                approx::assert_abs_diff_eq!(score.balanced_accuracy, accuracy, epsilon = 1e-9);
                approx::assert_abs_diff_eq!(score.log_loss, loss, epsilon = 1e-3);
                let all: Vec<usize> = (0..N_TRAIN).collect();
                let penalty = score.weight_decay * total_weight(&toy, &all);
                approx::assert_abs_diff_eq!(score.penalty, penalty, epsilon = 1e-9 * penalty);
                let accuracy = if select_by == SelectBy::Loss { 0.0 } else { accuracy };
                if (accuracy, -score.log_loss) > (best.0, best.1) {
                    best = (accuracy, -score.log_loss, score.weight_decay);
                }
            }
            let chosen = fit.trials[fit.best].trial.weight_decay;
            approx::assert_abs_diff_eq!(chosen, best.2);
            approx::assert_abs_diff_eq!(found.chosen().weight_decay, best.2);
        }
    }
}

#[test]
fn folds_choose_a_probe_and_change_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let by_validation = toy.fit(&[folded(3, None)], &config()).remove(0);
    let by_folds = toy.fit(&[folded(3, Some(5))], &config()).remove(0);
    assert_eq!(by_validation.cross_validation, None);
    assert_eq!(by_validation.best_per_weight_decay, by_folds.best_per_weight_decay);
    for (a, b) in by_validation.trials.iter().zip(&by_folds.trials) {
        assert_eq!((&a.state, &a.history), (&b.state, &b.history));
    }
    let again = toy.fit(&[folded(3, Some(5))], &config()).remove(0);
    assert_eq!(by_folds.cross_validation, again.cross_validation);
}

#[test]
fn folds_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let (train, validation): (Vec<usize>, Vec<usize>) = (0..N).partition(|i| *i < N_TRAIN);
    let groups: Vec<usize> = (0..N).map(|i| i % 3).collect();
    let labels = Labels::numbered(toy.labels.clone(), 2);
    let data = FitData {
        examples: &toy.prefixes,
        labels: &labels,
        class_weights: &[1.0, 1.0],
        groups: Some(&groups),
        train: &train,
        validation: &validation,
    };
    let mut refused = |group: TrialGroup, config: &FitConfig| {
        let fitted = find_best_fit(
            &mut toy.source,
            &FitRun { data: &data, groups: &[group], config, checkpoint: None },
            &mut |_| (),
        );
        match fitted.unwrap_err() {
            SweepError::Probe(error) => *error,
            error => panic!("{error}"),
        }
    };
    let found = refused(folded(2, Some(4)), &config());
    assert!(
        matches!(&found, ProbeError::Hyperparameter(error) if error.name == "folds"),
        "{found}"
    );
    let by_auroc = FitConfig { select_by: SelectBy::Auroc, ..config() };
    let found = refused(folded(2, Some(3)), &by_auroc);
    assert!(matches!(found, ProbeError::Recipe { name: "select_by", .. }), "{found}");
    let attention: ProbeConfig = ProbeConfig::new(Attention::default(), D_MODEL, 2);
    let method = Method { optimizer: Optimizer::AdamW, ..folded(2, Some(3)).method };
    for other in [
        TrialGroup { probe: attention, ..folded(2, Some(3)) },
        TrialGroup { method, ..folded(2, Some(3)) },
    ] {
        let found = refused(other, &config());
        assert!(matches!(found, ProbeError::Recipe { name: "folds", .. }), "{found}");
    }
}
