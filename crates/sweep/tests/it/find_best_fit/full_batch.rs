//! L-BFGS and the recipes against the same training of single modules, and early stopping.

use attention_probes_probes::{
    Attention, AttentionProbe, Labels, Linear, Loss, Mlp, Optimizer, Probe, ProbeConfig,
    ProbeState, Retraining, TrainConfig, TrainingData, ensemble_with_mean, evaluate_probe,
    train_any_probe,
};
use attention_probes_sweep::{
    FitConfig, GroupFit, Keep, Method, Recipe, Trial, TrialFit, TrialGroup, predict_logits,
};
use burn::tensor::{Device, Tensor, TensorData};

use crate::find_best_fit::toy::{self, D_MODEL, N, Toy, config, predict, probes, toy, trials};

/// Examples that the toy trains on.
pub(crate) const N_TRAIN: usize = 44;

/// The training examples as padded tensors.
pub(crate) fn padded(toy: &Toy) -> TrainingData {
    let (device, longest) = (Device::flex(), 9);
    let mut x = vec![0.0_f32; N_TRAIN * longest * D_MODEL];
    let mut padding = vec![true; N_TRAIN * longest];
    for (i, row) in toy.rows[..N_TRAIN].iter().enumerate() {
        x[i * longest * D_MODEL..][..row.len()].copy_from_slice(row);
        padding[i * longest..][..row.len() / D_MODEL].fill(false);
    }
    let x = Tensor::from_data(TensorData::new(x, [N_TRAIN, longest, D_MODEL]), &device);
    let padding = Tensor::from_data(TensorData::new(padding, [N_TRAIN, longest]), &device);
    let labels = Labels::numbered(toy.labels[..N_TRAIN].to_vec(), toy.n_classes);
    TrainingData::new(x, padding, labels).unwrap()
}

/// As the toy weighs them.
pub(crate) fn class_weights(n_classes: usize) -> Vec<f64> {
    (0..n_classes).map(|class| 1.0 + class as f64 * 0.5).collect()
}

pub(crate) fn lbfgs(weight_decay: f64, seed: u64) -> (Method, Trial) {
    let method = Method { optimizer: Optimizer::Lbfgs, ..Method::default() };
    (method, Trial { learning_rate: 1.0, weight_decay, seed })
}

pub(crate) fn group(probe: &ProbeConfig, method: Method, trials: Vec<Trial>) -> TrialGroup {
    TrialGroup { method, ..toy::group(probe, trials) }
}

/// Logits of one trial on every example of the toy.
fn logits(toy: &mut Toy, fit: &GroupFit, trial: &TrialFit) -> Vec<f32> {
    let group = group(&fit.probe, Method::default(), vec![trial.trial]);
    let examples = toy.prefixes.clone();
    let groups = [(group, vec![trial.state.clone()])];
    predict_logits(&mut toy.source, &examples, &groups, &predict(16)).unwrap().remove(0)
}

fn same_bits(a: &[GroupFit], b: &[GroupFit]) {
    for (a, b) in a.iter().zip(b) {
        assert_eq!((&a.probe, a.best), (&b.probe, b.best));
        for (a, b) in a.trials.iter().zip(&b.trials) {
            assert_eq!(a.state, b.state);
            assert_eq!((&a.history, a.kept), (&b.history, b.kept));
        }
    }
}

/// Means of the pooled training examples of each class, computed plainly.
fn class_means(toy: &Toy) -> Vec<Vec<f64>> {
    let mut means = vec![vec![0.0; D_MODEL]; toy.n_classes];
    let mut counts = vec![0.0; toy.n_classes];
    for (row, &label) in toy.rows[..N_TRAIN].iter().zip(&toy.labels) {
        let n_tokens = (row.len() / D_MODEL) as f64;
        for token in row.chunks(D_MODEL) {
            for (mean, x) in means[label].iter_mut().zip(token) {
                *mean += f64::from(*x) / n_tokens;
            }
        }
        counts[label] += 1.0;
    }
    for (mean, n) in means.iter_mut().zip(counts) {
        for value in mean {
            *value /= n;
        }
    }
    means
}

#[test]
fn a_formula_gives_the_probe_of_the_pooled_training_examples() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let probe: ProbeConfig = ProbeConfig::new(Linear::default(), D_MODEL, 2);
    let trial = Trial { learning_rate: 1.0, weight_decay: 0.0, seed: 1 };
    let of = |recipe| {
        let method = Method { recipe: Some(recipe), ..Method::default() };
        group(&probe, method, vec![trial])
    };
    let recipes = [Recipe::MassMean, Recipe::MassMeanWhitened, Recipe::Lda];
    let fits = toy.fit(&recipes.map(of), &config());
    let means = class_means(&toy);
    let weights: Vec<Vec<f64>> = fits
        .iter()
        .map(|fit| {
            assert_eq!(fit.trials[0].history.len(), 1);
            fit.trials[0].state["weight"].values.iter().map(|w| f64::from(*w)).collect()
        })
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let theta: Vec<f64> = means[1].iter().zip(&means[0]).map(|(a, b)| a - b).collect();
    // The direction is that of the difference, and both biases are halfway between the means.
    let cosine =
        dot(&weights[0], &theta) / (dot(&weights[0], &weights[0]) * dot(&theta, &theta)).sqrt();
    approx::assert_abs_diff_eq!(cosine, 1.0, epsilon = 1e-6);
    let middle: Vec<f64> = means[0].iter().zip(&means[1]).map(|(a, b)| (a + b) / 2.0).collect();
    for (fit, weight) in fits.iter().zip(&weights).take(2) {
        let bias = f64::from(fit.trials[0].state["bias"].values[0]);
        approx::assert_abs_diff_eq!(bias, -dot(weight, &middle), epsilon = 1e-4);
    }
    // The discriminant has the same direction as the whitened difference.
    let cosine = dot(&weights[1], &weights[2])
        / (dot(&weights[1], &weights[1]) * dot(&weights[2], &weights[2])).sqrt();
    approx::assert_abs_diff_eq!(cosine, 1.0, epsilon = 1e-6);
    let whole = toy.fit(&[of(Recipe::Lda)], &config());
    assert_eq!(whole[0].trials[0].state, fits[2].trials[0].state);
}

#[test]
fn lbfgs_ends_where_a_single_module_ends() {
    let folder = tempfile::tempdir().unwrap();
    for n_classes in [2, 3] {
        let mut toy = toy(n_classes, folder.path());
        let data = padded(&toy);
        for (index, probe) in probes(n_classes).into_iter().enumerate() {
            let (method, trial) = lbfgs(0.1, 5);
            let fit = toy.fit(&[group(&probe, method, vec![trial])], &config()).remove(0);
            let train = TrainConfig {
                weight_decay: 0.1,
                seed: 5,
                class_weights: Some(class_weights(n_classes)),
                ..TrainConfig::default()
            };
            let expected = train_any_probe(&data, &probe, &train, &Device::flex()).unwrap();
            let expected_loss = expected.history[expected.best_step].loss_nats;
            let found = &fit.trials[0];
            let decays_all = probe.kind_as::<Attention>().is_some();
            let squares: f64 = squares(&found.state, |rank| decays_all || rank > 1);
            let loss = found.history[0].train_loss + 0.05 * squares;
            // A maximum over tokens has kinks that a line search may end at, here or there.
            let is_smooth = index < 5 || index == 6 || index == 7 || index == 10;
            let epsilon = if is_smooth { 2e-5 } else { 2e-2 };
            assert!((loss - expected_loss).abs() < epsilon, "{probe:?}: {loss} {expected_loss}");
            assert_eq!((found.history.len(), found.kept, found.history[0].epoch), (1, 0, 1));
            if probe.kind_as::<Linear>().is_some() {
                // Biases of a softmax are free up to a constant.
                let expected = &expected.probe.state().unwrap()["weight"];
                for (a, b) in found.state["weight"].values.iter().zip(&expected.values) {
                    approx::assert_abs_diff_eq!(*a, *b, epsilon = 2e-3);
                }
                assert_eq!(found.converged, Some(true));
            }
        }
    }
}

fn squares(state: &ProbeState, is_decayed: impl Fn(usize) -> bool) -> f64 {
    let arrays = state.values().filter(|array| is_decayed(array.shape.len()));
    arrays.flat_map(|array| &array.values).map(|&w| f64::from(w).powi(2)).sum()
}

#[test]
fn the_focal_loss_and_no_decay_have_a_minimum_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let data = padded(&toy);
    let probe: ProbeConfig = ProbeConfig::new(Linear::default(), D_MODEL, 2);
    for (loss, weight_decay) in [(Loss::Focal { gamma: 2.0 }, 0.01), (Loss::CrossEntropy, 0.0)] {
        let (method, trial) = lbfgs(weight_decay, 1);
        let group = TrialGroup { loss, ..group(&probe, method, vec![trial]) };
        let fit = toy.fit(&[group], &config()).remove(0);
        let train = TrainConfig {
            weight_decay,
            seed: 1,
            loss,
            class_weights: Some(class_weights(2)),
            ..TrainConfig::default()
        };
        let expected = train_any_probe(&data, &probe, &train, &Device::flex()).unwrap();
        let found = fit.trials[0].history[0].train_loss
            + weight_decay / 2.0 * squares(&fit.trials[0].state, |rank| rank > 1);
        let expected = expected.history[expected.best_step].loss_nats;
        assert!((found - expected).abs() < 1e-5, "{loss:?}: {found} {expected}");
    }
}

#[test]
fn an_ensemble_is_the_attention_probe_plus_a_head_that_takes_the_mean() {
    let folder = tempfile::tempdir().unwrap();
    for n_classes in [2, 3] {
        let mut toy = toy(n_classes, folder.path());
        let data = padded(&toy);
        let probe =
            ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, D_MODEL, n_classes);
        let method = Method { recipe: Some(Recipe::EnsembleMean), ..Method::default() };
        let plain = toy.fit(&[group(&probe, Method::default(), trials())], &config()).remove(0);
        let fit = toy.fit(&[group(&probe, method, trials())], &config()).remove(0);
        assert_eq!(fit.probe.kind_as().map(|kind: &Attention| kind.n_heads), Some(3));
        for (plain, ensemble) in plain.trials.iter().zip(&fit.trials) {
            assert_eq!(ensemble.history.len(), plain.history.len() + 1);
            assert_eq!(ensemble.kept, plain.history.len());
            assert!(ensemble.history[3].train_loss < 1.0);
            // The library does the same with a single probe.
            let device = Device::flex();
            let single = Probe::from_state(&plain.state, &probe, &device).unwrap();
            let single = AttentionProbe::of(single).unwrap();
            let train = TrainConfig {
                weight_decay: plain.trial.weight_decay,
                class_weights: Some(class_weights(n_classes)),
                ..TrainConfig::default()
            };
            let expected = ensemble_with_mean(&single, &data, &train, &device).unwrap();
            let expected = evaluate_probe(&expected.probe, &data, &device).unwrap().logits;
            let found = logits(&mut toy, &fit, ensemble);
            if plain.trial.weight_decay > 0.0 {
                for (found, expected) in found.iter().zip(&expected) {
                    approx::assert_abs_diff_eq!(*found, *expected, epsilon = 2e-3);
                }
            }
            // And its logits are the sum of both.
            let own = logits(&mut toy, &GroupFit { probe: probe.clone(), ..fit.clone() }, plain);
            let head = last_head(&ensemble.state, n_classes);
            let mean = ProbeConfig::new(Attention::default(), D_MODEL, n_classes);
            let head = TrialFit { state: head, ..ensemble.clone() };
            let head = logits(&mut toy, &GroupFit { probe: mean, ..fit.clone() }, &head);
            assert_eq!(found.len(), N * if n_classes == 2 { 1 } else { 3 });
            for ((found, own), head) in found.iter().zip(own).zip(head) {
                let sum = own + head;
                approx::assert_abs_diff_eq!(*found, sum, epsilon = 1e-5 * sum.abs().max(1.0));
            }
        }
    }
}

/// The head that was joined last, as a probe of its own.
fn last_head(state: &ProbeState, n_classes: usize) -> ProbeState {
    let mut head = ProbeConfig::new(Attention::default(), D_MODEL, n_classes).init_state(0);
    for (name, array) in &mut head {
        let all = &state[name].values;
        let from = all.len() - array.values.len();
        array.values.copy_from_slice(&all[from..]);
    }
    head
}

#[test]
fn a_fine_tuned_probe_begins_as_the_probe_of_the_mean_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let probe: ProbeConfig = ProbeConfig::new(Attention::default(), D_MODEL, 2);
    let method = Method { recipe: Some(Recipe::FinetuneAttn), ..Method::default() };
    // A step so small that the weights stay what they were.
    let trial = Trial { learning_rate: 1e-12, weight_decay: 0.1, seed: 3 };
    let fit = toy.fit(&[group(&probe, method, vec![trial])], &config()).remove(0);
    let state = &fit.trials[0].state;
    assert!(state["q.weight"].values.iter().all(|q| *q != 0.0 && q.abs() < 0.05));
    let mean = |row: &Vec<f32>| -> Vec<f32> {
        let n_tokens = (row.len() / D_MODEL) as f32;
        (0..D_MODEL).map(|d| row.iter().skip(d).step_by(D_MODEL).sum::<f32>() / n_tokens).collect()
    };
    let means: Vec<f32> = toy.rows[..N_TRAIN].iter().flat_map(mean).collect();
    let device = Device::flex();
    let x = Tensor::from_data(TensorData::new(means, [N_TRAIN, 1, D_MODEL]), &device);
    let padding = Tensor::<2>::zeros([N_TRAIN, 1], &device).bool();
    let labels = Labels::numbered(toy.labels[..N_TRAIN].to_vec(), 2);
    let data = TrainingData::new(x, padding, labels).unwrap();
    let class_weights = Some(class_weights(2));
    let train = TrainConfig { weight_decay: 0.1, seed: 3, class_weights, ..TrainConfig::default() };
    let expected = train_any_probe(&data, &probe, &train, &device).unwrap();
    let expected = expected.probe.state().unwrap();
    for name in ["v.weight", "v.bias"] {
        for (found, expected) in state[name].values.iter().zip(&expected[name].values) {
            approx::assert_abs_diff_eq!(*found, *expected, epsilon = 2e-3);
        }
    }
}

#[test]
fn lbfgs_beside_adamw_goes_on_from_a_checkpoint_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let attention: ProbeConfig = ProbeConfig::new(Attention::default(), D_MODEL, 3);
    let (by_lbfgs, trial) = lbfgs(0.01, 1);
    let recipe = |recipe| Method { recipe: Some(recipe), ..Method::default() };
    let groups = [
        group(&attention, by_lbfgs, vec![trial]),
        group(&attention, recipe(Recipe::FinetuneAttn), trials()),
        group(&attention, Method::default(), trials()),
        group(&attention, recipe(Recipe::EnsembleMean), trials()),
    ];
    let config = FitConfig { epochs: 5, patience: 2, keep: Keep::Best, ..config() };
    let whole = toy.fit(&groups, &config);
    let checkpoint = folder.path().join("checkpoint");
    for stop in 1..=config.epochs {
        let part = FitConfig { epochs: stop, ..config.clone() };
        toy.fit_with(&groups, &part, Some(&checkpoint), &mut |_| ());
        let resumed = toy.fit_with(&groups, &config, Some(&checkpoint), &mut |_| ());
        same_bits(&whole, &resumed);
        std::fs::remove_file(&checkpoint).unwrap();
    }
}

#[test]
fn the_best_epoch_is_kept_and_training_ends_when_nothing_gets_better() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let probe: ProbeConfig = ProbeConfig::new(Attention::default(), D_MODEL, 2);
    let trial = Trial { learning_rate: 5e-2, weight_decay: 0.0, seed: 1 };
    let groups = [group(&probe, Method::default(), vec![trial])];
    let long = FitConfig { epochs: 60, ..config() };
    let last = toy.fit(&groups, &long).remove(0).trials.remove(0);
    let best = toy
        .fit(&groups, &FitConfig { keep: Keep::Best, ..long.clone() })
        .remove(0)
        .trials
        .remove(0);
    assert_eq!(last.history, best.history);
    assert_eq!(last.kept, 59);
    assert!(best.kept < 59, "{}", best.kept);
    // Its weights are those of a training that ends there.
    let short = FitConfig { epochs: best.kept + 1, ..long.clone() };
    assert_eq!(toy.fit(&groups, &short)[0].trials[0].state, best.state);
    assert_eq!(best.score(), Some(best.history[best.kept].validation));

    let patient = FitConfig { patience: 4, keep: Keep::Best, ..long.clone() };
    let mut epochs = Vec::new();
    let stopped = toy.fit_with(&groups, &patient, None, &mut |report| {
        epochs.push(report.epoch);
    });
    let stopped = &stopped[0].trials[0];
    // The metric alone counts; the first of equals.
    let value = |index: usize| stopped.history[index].validation.balanced_accuracy;
    let n = stopped.history.len();
    let last_gain =
        (1..n).fold(0, |best, next| if value(next) > value(best) { next } else { best });
    assert_eq!(n, last_gain + 1 + 4);
    assert_eq!(epochs.len(), stopped.history.len());
    assert_eq!(stopped.history[..], last.history[..stopped.history.len()]);
}

#[test]
fn a_loss_that_stays_too_high_is_trained_again_and_the_best_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let probe = ProbeConfig::new(Mlp::default(), D_MODEL, 2);
    let mut loss = |seed, retraining| {
        let (method, trial) = lbfgs(0.1, seed);
        let method = Method { retraining, ..method };
        let fit = toy.fit(&[group(&probe, method, vec![trial])], &config()).remove(0);
        fit.trials[0].history[0].train_loss
    };
    let alone = [loss(1, None), loss(2, None), loss(3, None)];
    let best = alone.iter().copied().fold(f64::INFINITY, f64::min);
    let repeated = loss(1, Some(Retraining { above: 0.0, times: 2 }));
    approx::assert_abs_diff_eq!(repeated, best);
    let enough = loss(1, Some(Retraining { above: 100.0, times: 2 }));
    approx::assert_abs_diff_eq!(enough, alone[0]);
}
