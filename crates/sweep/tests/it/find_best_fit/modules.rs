//! Trials against modules of burn with automatic differentiation, the slow oracle.

use attention_probes_probes::{
    Aggregation, AnyProbe, AttentionActivation, AttentionProbeConfig, LinearProbeConfig, Loss,
    Probe, ProbeConfig, ProbeState, TokenProbeConfig, loss_per_example, softmax_weighted_loss,
    targets_from_labels,
};
use attention_probes_sweep::{Trial, TrialGroup, predict_logits};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::find_best_fit::toy::{
    D_MODEL, N, Toy, config, group, largest_difference, probes, toy, trials,
};

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
            let group = group(&probe, vec![trial]);
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
        let group = TrialGroup { loss, ..group(&probe, vec![trial]) };
        let fit = toy.fit(&[group], &config());
        let oracle = trained_by_autodiff(&toy, &probe, loss, trial);
        let difference = largest_difference(&fit[0].trials[0].state, &oracle);
        assert!(difference < 1e-4, "{probe:?}, {loss:?}: {difference}");
    }
}

#[test]
fn predictions_equal_those_of_the_saved_modules() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let device = Device::flex();
    for probe in probes(3) {
        let group = group(&probe, trials());
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
