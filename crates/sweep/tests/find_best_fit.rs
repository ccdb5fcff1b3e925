//! Trials trained together against the same trials trained alone and against plain modules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use attention_probes_activations::{
    ActivationSource, ExternalActivations, MemoryActivations, NpzArray, write_npz,
};
use attention_probes_probes::{
    Aggregation, AnyProbe, AttentionActivation, AttentionProbeConfig, GatedBipolarProbeConfig,
    LinearProbeConfig, Loss, MlpProbeConfig, MultiMaxProbeConfig, Pool, Probe, ProbeConfig,
    ProbeState, RollingAttentionProbeConfig, TokenProbeConfig, loss_per_example,
    softmax_weighted_loss, targets_from_labels,
};
use attention_probes_sweep::{
    FitConfig, FitData, GroupFit, SelectBy, Trial, TrialGroup, find_best_fit, predict_logits,
};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const D_MODEL: usize = 12;
const N: usize = 60;

/// Ragged random activations in which one direction of one token tells the class.
struct Toy {
    source: MemoryActivations,
    rows: Vec<Vec<f32>>,
    labels: Vec<usize>,
    prefixes: Vec<(usize, usize)>,
    n_classes: usize,
}

fn toy(n_classes: usize, folder: &std::path::Path) -> Toy {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let longest = 9;
    let (mut x, mut mask, mut rows, mut prefixes) = (vec![], vec![], vec![], vec![]);
    let labels: Vec<usize> = (0..N).map(|i| i % n_classes).collect();
    for (i, label) in labels.iter().enumerate() {
        let length = rng.random_range(3..=longest);
        let mut row: Vec<f32> =
            (0..length * D_MODEL).map(|_| rng.random_range(-1.0..1.0)).collect();
        let key = rng.random_range(0..length);
        row[key * D_MODEL + label] += 2.5;
        row[key * D_MODEL + D_MODEL - 1] += 2.0;
        x.extend_from_slice(&row);
        x.extend(std::iter::repeat_n(0.0, (longest - length) * D_MODEL));
        mask.extend((0..longest).map(|t| u8::from(t < length)));
        prefixes.push((i, length));
        rows.push(row);
    }
    let path = folder.join("toy.npz");
    let y: Vec<i64> = labels.iter().map(|label| *label as i64).collect();
    let arrays = [
        ("x", NpzArray::new(vec![N, longest, D_MODEL], x)),
        ("mask", NpzArray::new(vec![N, longest], mask)),
        ("y", NpzArray::new(vec![N], y)),
    ];
    write_npz(&path, &arrays).unwrap();
    let source = MemoryActivations::from(ExternalActivations::read(&path).unwrap());
    Toy { source, rows, labels, prefixes, n_classes }
}

impl Toy {
    fn fit(&mut self, groups: &[TrialGroup], config: &FitConfig) -> Vec<GroupFit> {
        self.fit_with(groups, config, None, &mut |_| ())
    }

    fn fit_with(
        &mut self,
        groups: &[TrialGroup],
        config: &FitConfig,
        checkpoint: Option<&std::path::Path>,
        on_epoch: &mut dyn FnMut(usize),
    ) -> Vec<GroupFit> {
        let (train, validation): (Vec<usize>, Vec<usize>) = (0..N).partition(|i| *i < 44);
        let weights: Vec<f32> = (0..self.n_classes).map(|class| 1.0 + class as f32 * 0.5).collect();
        let data = FitData {
            examples: &self.prefixes,
            labels: &self.labels,
            n_classes: self.n_classes,
            class_weights: &weights,
            train: &train,
            validation: &validation,
        };
        find_best_fit(&mut self.source, &data, groups, config, checkpoint, on_epoch).unwrap()
    }
}

fn config() -> FitConfig {
    FitConfig { epochs: 3, batch_size: 16, seed: 7, select_by: SelectBy::BalancedAccuracy }
}

fn probes(n_classes: usize) -> Vec<ProbeConfig> {
    let attention = AttentionProbeConfig::new(D_MODEL, n_classes);
    let tanh = AttentionActivation::Tanh;
    let token = |aggregation| TokenProbeConfig::new(D_MODEL, n_classes, aggregation).into();
    vec![
        AttentionProbeConfig { n_heads: 1, ..attention.clone() }.into(),
        AttentionProbeConfig { n_heads: 3, ..attention.clone() }.into(),
        AttentionProbeConfig { n_heads: 2, activation: tanh, ..attention.clone() }.into(),
        LinearProbeConfig { pool: Pool::Mean, ..LinearProbeConfig::new(D_MODEL, n_classes) }.into(),
        LinearProbeConfig { pool: Pool::AbsMax, ..LinearProbeConfig::new(D_MODEL, n_classes) }
            .into(),
        MlpProbeConfig {
            hidden_dim: 5,
            pool: Pool::Max,
            ..MlpProbeConfig::new(D_MODEL, n_classes)
        }
        .into(),
        AttentionProbeConfig { n_heads: 2, hidden_dim: Some(4), ..attention }.into(),
        token(Aggregation::Softmax { temperature: 2.0 }),
        token(Aggregation::TopMean { k: 3 }),
        token(Aggregation::RollingMax { window: 3 }),
        token(Aggregation::Ema { alpha: 0.4 }),
        MultiMaxProbeConfig { n_heads: 3, ..MultiMaxProbeConfig::new(D_MODEL, n_classes) }.into(),
        RollingAttentionProbeConfig {
            n_heads: 2,
            window: 3,
            ..RollingAttentionProbeConfig::new(D_MODEL, n_classes)
        }
        .into(),
        GatedBipolarProbeConfig { d_gate: 4, ..GatedBipolarProbeConfig::new(D_MODEL, n_classes) }
            .into(),
    ]
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for learning_rate in [1e-3, 1e-2, 5e-2] {
        for weight_decay in [0.0, 0.1] {
            trials.push(Trial { learning_rate, weight_decay, seed: 1 });
        }
    }
    trials
}

fn largest_difference(a: &ProbeState, b: &ProbeState) -> f32 {
    assert!(a.keys().eq(b.keys()));
    let pairs = a.values().zip(b.values());
    let differences = pairs.flat_map(|(a, b)| {
        assert_eq!(a.shape, b.shape);
        a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs())
    });
    differences.fold(0.0, f32::max)
}

#[test]
fn every_trial_equals_the_same_trial_trained_alone() {
    let folder = tempfile::tempdir().unwrap();
    for n_classes in [2, 3] {
        let mut toy = toy(n_classes, folder.path());
        for probe in probes(n_classes) {
            let together = vec![TrialGroup {
                site: 0,
                probe: probe.clone(),
                loss: Loss::CrossEntropy,
                trials: trials(),
            }];
            let together = toy.fit(&together, &config());
            for (trial, expected) in trials().into_iter().zip(&together[0].trials) {
                let alone = vec![TrialGroup {
                    site: 0,
                    probe: probe.clone(),
                    loss: Loss::CrossEntropy,
                    trials: vec![trial],
                }];
                let alone = toy.fit(&alone, &config());
                // Products of another size round differently; Adam divides by small numbers.
                let difference = largest_difference(&alone[0].trials[0].state, &expected.state);
                assert!(difference < 2e-5, "{probe:?} {trial:?}: {difference}");
            }
        }
    }
}

/// The slow oracle: one trial as a module with automatic differentiation and burn's `AdamW`.
fn trained_by_autodiff(toy: &Toy, probe: &ProbeConfig, loss: Loss, trial: Trial) -> ProbeState {
    let device = Device::flex().autodiff();
    let mut module = AnyProbe::from_state(&probe.init_state(trial.seed), probe, &device).unwrap();
    let mut optimizer =
        AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(trial.weight_decay as f32).init();
    let config = config();
    let mut step = 0;
    for epoch in 0..config.epochs {
        let mut order: Vec<usize> = (0..44).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(epoch as u64 + 1);
        rand::seq::SliceRandom::shuffle(&mut order[..], &mut rng);
        for batch in order.chunks(config.batch_size) {
            let longest = batch.iter().map(|&i| toy.prefixes[i].1).max().unwrap();
            let (mut x, mut mask) = (vec![], vec![]);
            for &i in batch {
                let length = toy.prefixes[i].1;
                x.extend_from_slice(&toy.rows[i]);
                x.extend(std::iter::repeat_n(0.0, (longest - length) * D_MODEL));
                mask.extend((0..longest).map(|t| t >= length));
            }
            let n = batch.len();
            let x = Tensor::<3>::from_data(TensorData::new(x, [n, longest, D_MODEL]), &device);
            let mask = Tensor::<2, Bool>::from_data(TensorData::new(mask, [n, longest]), &device);
            let labels: Vec<usize> = batch.iter().map(|&i| toy.labels[i]).collect();
            let weights: Vec<f32> = labels.iter().map(|&l| 1.0 + l as f32 * 0.5).collect();
            let targets = targets_from_labels(&labels, toy.n_classes, &device);
            let weights = Tensor::from_floats(&weights[..], &device);
            let lengths: Vec<usize> = batch.iter().map(|&i| toy.prefixes[i].1).collect();
            let dropped = dropped(probe, config.seed, step, &lengths);
            step += 1;
            let logits = |module: &AnyProbe, x, mask| match (module, dropped) {
                (AnyProbe::Attention(module), Some(dropped)) => {
                    let dropped = Tensor::<3, Bool>::from_data(dropped, &device);
                    module.forward_dropped(x, mask, Some(dropped)).logits
                }
                _ => module.forward(x, mask).logits,
            };
            let losses = match (loss, &module) {
                (Loss::SoftmaxWeighted { window, temperature }, AnyProbe::Token(module)) => {
                    softmax_weighted_loss(module.scores(x), mask, targets, window, temperature)
                }
                (Loss::Focal { gamma }, _) => {
                    let losses = loss_per_example(logits(&module, x, mask), targets);
                    (-(-losses.clone()).exp() + 1.0).powf_scalar(gamma) * losses
                }
                _ => loss_per_example(logits(&module, x, mask), targets),
            };
            let loss = (losses * weights.clone()).sum() / weights.sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &module);
            module = optimizer.step(trial.learning_rate, module, gradients);
        }
    }
    module.state().unwrap()
}

#[test]
fn every_kind_equals_its_module_with_automatic_differentiation() {
    let folder = tempfile::tempdir().unwrap();
    for n_classes in [2, 3] {
        let mut toy = toy(n_classes, folder.path());
        for probe in probes(n_classes) {
            let trial = Trial { learning_rate: 1e-2, weight_decay: 0.1, seed: 5 };
            let group = TrialGroup {
                site: 0,
                probe: probe.clone(),
                loss: Loss::CrossEntropy,
                trials: vec![trial],
            };
            let fit = toy.fit(&[group], &config());
            let oracle = trained_by_autodiff(&toy, &probe, Loss::CrossEntropy, trial);
            let difference = largest_difference(&fit[0].trials[0].state, &oracle);
            assert!(difference < 1e-4, "{probe:?}: {difference}");
        }
    }
}

/// Tokens that a step hides, `[batch, n_heads, pos]`: drawn head by head over the tokens of the
/// batch, from a stream of their own for each step.
fn dropped(probe: &ProbeConfig, seed: u64, step: u64, lengths: &[usize]) -> Option<TensorData> {
    let ProbeConfig::Attention(config) = probe else { return None };
    if config.attention_dropout == 0.0 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((1 << 32) + step);
    let (n_heads, longest) = (config.n_heads, lengths.iter().copied().max().unwrap());
    let mut dropped = vec![false; lengths.len() * n_heads * longest];
    for head in 0..n_heads {
        for (example, &length) in lengths.iter().enumerate() {
            for token in 0..length {
                dropped[(example * n_heads + head) * longest + token] =
                    rng.random::<f64>() < config.attention_dropout;
            }
        }
    }
    Some(TensorData::new(dropped, [lengths.len(), n_heads, longest]))
}

#[test]
fn every_loss_and_dropout_equal_their_modules_with_automatic_differentiation() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let attention = AttentionProbeConfig { n_heads: 2, ..AttentionProbeConfig::new(D_MODEL, 2) };
    let tanh = AttentionActivation::Tanh;
    let token = TokenProbeConfig::new(D_MODEL, 2, Aggregation::Ema { alpha: 0.5 });
    let weighted = Loss::SoftmaxWeighted { window: 4, temperature: 0.8 };
    let cases: Vec<(ProbeConfig, Loss)> = vec![
        (attention.clone().into(), Loss::Focal { gamma: 2.0 }),
        (LinearProbeConfig::new(D_MODEL, 2).into(), Loss::Focal { gamma: 1.5 }),
        (token.into(), weighted),
        (
            AttentionProbeConfig { attention_dropout: 0.3, ..attention.clone() }.into(),
            Loss::CrossEntropy,
        ),
        (
            AttentionProbeConfig { attention_dropout: 0.3, activation: tanh, ..attention }.into(),
            Loss::CrossEntropy,
        ),
    ];
    for (probe, loss) in cases {
        let trial = Trial { learning_rate: 1e-2, weight_decay: 0.1, seed: 5 };
        let group = TrialGroup { site: 0, probe: probe.clone(), loss, trials: vec![trial] };
        let fit = toy.fit(&[group], &config());
        let oracle = trained_by_autodiff(&toy, &probe, loss, trial);
        let difference = largest_difference(&fit[0].trials[0].state, &oracle);
        assert!(difference < 1e-4, "{probe:?}, {loss:?}: {difference}");
    }
}

#[test]
fn a_loss_of_tokens_is_refused_for_a_probe_that_does_not_score_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let (train, validation): (Vec<usize>, Vec<usize>) = (0..N).partition(|i| *i < 44);
    let data = FitData {
        examples: &toy.prefixes,
        labels: &toy.labels,
        n_classes: 2,
        class_weights: &[1.0, 1.0],
        train: &train,
        validation: &validation,
    };
    let group = TrialGroup {
        site: 0,
        probe: LinearProbeConfig::new(D_MODEL, 2).into(),
        loss: Loss::SoftmaxWeighted { window: 4, temperature: 1.0 },
        trials: trials(),
    };
    let error =
        find_best_fit(&mut toy.source, &data, &[group], &config(), None, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("needs a token probe of 2 classes"), "{error}");
}

#[test]
fn two_runs_give_identical_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = TrialGroup {
        site: 0,
        probe: probes(2)[1].clone(),
        loss: Loss::CrossEntropy,
        trials: trials(),
    };
    let first = toy.fit(std::slice::from_ref(&group), &config());
    let second = toy.fit(&[group], &config());
    for (a, b) in first[0].trials.iter().zip(&second[0].trials) {
        assert_eq!(a.state, b.state);
        assert_eq!(a.history, b.history);
    }
}

#[test]
fn a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let groups: Vec<TrialGroup> = probes(3)
        .into_iter()
        .map(|probe| TrialGroup { site: 0, probe, loss: Loss::CrossEntropy, trials: trials() })
        .collect();
    let whole = toy.fit(&groups, &config());
    let checkpoint = folder.path().join("checkpoint");
    for stop in 1..config().epochs {
        let part = FitConfig { epochs: stop, ..config() };
        toy.fit_with(&groups, &part, Some(&checkpoint), &mut |_| ());
        let mut epochs = Vec::new();
        let resumed =
            toy.fit_with(&groups, &config(), Some(&checkpoint), &mut |epoch| epochs.push(epoch));
        assert_eq!(epochs, (stop + 1..=config().epochs).collect::<Vec<_>>());
        for (a, b) in whole.iter().zip(&resumed) {
            for (a, b) in a.trials.iter().zip(&b.trials) {
                assert_eq!(a.state, b.state);
                assert_eq!(a.history, b.history);
            }
        }
        std::fs::remove_file(&checkpoint).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = TrialGroup {
        site: 0,
        probe: probes(2)[0].clone(),
        loss: Loss::CrossEntropy,
        trials: trials(),
    };
    let checkpoint = folder.path().join("checkpoint");
    toy.fit_with(std::slice::from_ref(&group), &config(), Some(&checkpoint), &mut |_| ());
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&checkpoint, bytes).unwrap();
    let (train, validation): (Vec<usize>, Vec<usize>) = (0..N).partition(|i| *i < 44);
    let data = FitData {
        examples: &toy.prefixes,
        labels: &toy.labels,
        n_classes: 2,
        class_weights: &[1.0, 1.0],
        train: &train,
        validation: &validation,
    };
    let error =
        find_best_fit(&mut toy.source, &data, &[group], &config(), Some(&checkpoint), &mut |_| ());
    assert!(error.unwrap_err().to_string().contains("is damaged"));
}

#[test]
fn selection_looks_at_validation_only_and_saves_the_best_of_every_weight_decay() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = TrialGroup {
        site: 0,
        probe: probes(2)[0].clone(),
        loss: Loss::CrossEntropy,
        trials: trials(),
    };
    let fit = toy.fit(&[group], &config()).remove(0);
    let score = |i: usize| fit.trials[i].score().unwrap();
    for i in 0..fit.trials.len() {
        let (best, other) = (score(fit.best), score(i));
        let better = (best.balanced_accuracy, -best.loss) >= (other.balanced_accuracy, -other.loss);
        assert!(better, "trial {i} beats the chosen one on validation");
    }
    let decays: Vec<f64> =
        fit.best_per_weight_decay.iter().map(|&i| fit.trials[i].trial.weight_decay).collect();
    assert_eq!(decays, [0.0, 0.1]);
    assert!(fit.best_per_weight_decay.contains(&fit.best));
    // The training loss of the chosen trial need not be the lowest: it is never looked at.
    assert!(fit.trials.iter().all(|trial| trial.history.len() == config().epochs));
}

#[test]
fn predictions_equal_those_of_the_saved_modules() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let device = Device::flex();
    for probe in probes(3) {
        let group = TrialGroup {
            site: 0,
            probe: probe.clone(),
            loss: Loss::CrossEntropy,
            trials: trials(),
        };
        let fit = toy.fit(std::slice::from_ref(&group), &config()).remove(0);
        let states: Vec<ProbeState> = fit.trials.iter().map(|t| t.state.clone()).collect();
        let prefixes = toy.prefixes.clone();
        let found = predict_logits(&mut toy.source, &prefixes, &[(group, states)], 13).unwrap();
        let module = AnyProbe::from_state(&fit.trials[4].state, &probe, &device).unwrap();
        for (i, row) in toy.rows.iter().enumerate() {
            let length = toy.prefixes[i].1;
            let x = TensorData::new(row.clone(), [1, length, D_MODEL]);
            let x = Tensor::<3>::from_data(x, &device);
            let mask = Tensor::<2, Bool>::from_data(
                TensorData::new(vec![false; length], [1, length]),
                &device,
            );
            let expected = module.forward(x, mask).logits.into_data();
            let expected = expected.as_slice::<f32>().unwrap();
            let from = (4 * N + i) * 3;
            for (found, expected) in found[0][from..from + 3].iter().zip(expected) {
                approx::assert_abs_diff_eq!(*found, expected, epsilon = 1e-5);
            }
        }
    }
}

#[test]
fn an_attention_probe_finds_what_a_mean_probe_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    assert_eq!(toy.source.d_model(), D_MODEL);
    let trial = Trial { learning_rate: 2e-2, weight_decay: 0.0, seed: 1 };
    let group = TrialGroup {
        site: 0,
        probe: probes(2)[0].clone(),
        loss: Loss::CrossEntropy,
        trials: vec![trial],
    };
    let config = FitConfig { epochs: 60, ..config() };
    let fit = toy.fit(&[group], &config).remove(0);
    let score = fit.trials[0].score().unwrap();
    assert!(score.balanced_accuracy > 0.85, "{score:?}");
}
