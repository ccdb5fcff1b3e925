//! Attention probes, checked by hand.

use approx::assert_abs_diff_eq;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::{Rate, Targets, Trials, TrialsConfig};
use crate::golden::golden_cases;
use crate::kinds::PaddedTokens;
use crate::testing::host_values;
use crate::{
    Attention, AttentionActivation, Linear, Loss, ParamArray, Probe, ProbeConfig, ProbeState,
};

const D_MODEL: usize = 5;

/// Weights that are all different from 0, which those of an untrained probe are not.
fn random_state(config: &ProbeConfig, seed: u64) -> ProbeState {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shapes = config.kind().layout(config.size()).shapes(config.size()).into_iter();
    shapes.map(|(name, s)| (name.to_owned(), ParamArray::uniform(&s, 1, &mut rng))).collect()
}

/// Sequences of the given lengths, padded with large numbers before and after.
fn padded(
    lengths: &[usize],
    n_before: impl Fn(usize) -> usize,
    pos: usize,
    seed: u64,
) -> (Tensor<3>, Tensor<2, Bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut x = vec![77.0_f32; lengths.len() * pos * D_MODEL];
    let mut padding = vec![true; lengths.len() * pos];
    for (i, &length) in lengths.iter().enumerate() {
        let start = i * pos + n_before(i);
        padding[start..start + length].fill(false);
        for value in &mut x[start * D_MODEL..(start + length) * D_MODEL] {
            *value = rng.random::<f32>() * 2.0 - 1.0;
        }
    }
    let device = Device::flex();
    (
        Tensor::from_data(TensorData::new(x, [lengths.len(), pos, D_MODEL]), &device),
        Tensor::from_data(TensorData::new(padding, [lengths.len(), pos]), &device),
    )
}

fn assert_close(found: &[f32], expected: &[f32], epsilon: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= epsilon, "{what}[{i}]: {found} instead of {expected}");
    }
}

/// The definition as it is written down: a value per token, heads summed, in `f64`.
fn naive_logits(
    probe: &Probe,
    x: &Tensor<3>,
    mask_pad: &Tensor<2, Bool>,
    dropped: Option<&[bool]>,
) -> Vec<f32> {
    let config: &Attention = probe.config().kind_as().unwrap();
    let n_out = probe.config().n_out();
    let [batch, pos, d_model] = x.dims();
    let (n_heads, d_value) = (config.n_heads, config.hidden_dim.unwrap_or(n_out));
    let state = probe.state().unwrap();
    let weight = |name: &str, index: usize| f64::from(state[name].values[index]);
    let x = host_values(x.clone());
    let padding = host_values(mask_pad.clone().float());

    let mut logits = Vec::new();
    for b in 0..batch {
        let token = |p: usize, d: usize| f64::from(x[(b * pos + p) * d_model + d]);
        let real: Vec<usize> = (0..pos).filter(|p| padding[b * pos + p] == 0.0).collect();
        let mut z = vec![0.0; d_value];
        for h in 0..n_heads {
            let mut scores = Vec::new();
            for (position, &p) in real.iter().enumerate() {
                if config.last_only && position + 1 < real.len() {
                    continue;
                }
                let q = (0..d_model).map(|d| weight("q.weight", h * d_model + d) * token(p, d));
                let k = q.sum::<f64>() + weight("position_weight", h) * position as f64;
                let is_dropped = dropped.is_some_and(|d| d[(b * n_heads + h) * pos + p]);
                scores.push((p, if is_dropped { -1e9 } else { k }));
            }
            let largest = scores.iter().fold(f64::NEG_INFINITY, |a, (_, k)| a.max(*k));
            let sum: f64 = scores.iter().map(|(_, k)| (k - largest).exp()).sum();
            for (p, k) in scores {
                let p_weight = match config.activation {
                    AttentionActivation::Softmax => (k - largest).exp() / sum,
                    AttentionActivation::Tanh if k < -1e8 => 0.0,
                    AttentionActivation::Tanh => k.tanh(),
                };
                for (i, z) in z.iter_mut().enumerate() {
                    let row = h * d_value + i;
                    let v = |d| weight("v.weight", row * d_model + d) * token(p, d);
                    *z += p_weight * ((0..d_model).map(v).sum::<f64>() + weight("v.bias", row));
                }
            }
        }
        if config.hidden_dim.is_some() {
            for c in 0..n_out {
                let hidden = z.iter().enumerate();
                let sum: f64 =
                    hidden.map(|(i, z)| weight("o.weight", c * d_value + i) * z.max(0.0)).sum();
                logits.push((sum + weight("o.bias", c)) as f32);
            }
        } else {
            logits.extend(z.iter().map(|&z| z as f32));
        }
    }
    logits
}

#[test]
fn logits_and_gradients_equal_pytorch() {
    let device = Device::flex();
    for case in golden_cases(&device) {
        let probe = Probe::from_state(&case.state, &case.config, &device).unwrap();
        let logits = probe.forward(case.x.clone(), case.mask_pad.clone()).logits;
        assert_close(&host_values(logits), &case.logits, 1e-5, &case.name);

        let data = case.data();
        let config = TrialsConfig {
            probe: &case.config,
            loss: Loss::CrossEntropy,
            seed: 0,
            device: &device,
            by_definition: true,
        };
        let rate = Rate { learning_rate: 1.0, weight_decay: 0.0 };
        let mut trials = Trials::new(&config, std::slice::from_ref(&case.state), vec![rate]);
        let class_weights = vec![1.0; data.n_classes()];
        let targets = Targets::of_labels(data.labels(), &class_weights);
        trials.differentiate_padded(&data.tokens(&device), &targets, &mut [0.0]).unwrap();
        let found = trials.gradient(0);
        for (name, expected) in &case.grad {
            let what = format!("{} {name}", case.name);
            assert_close(&found[name].values, &expected.values, 1e-5, &what);
        }
    }
}

#[test]
fn pooling_before_projecting_equals_the_naive_form() {
    let lengths = [4, 1, 7, 3];
    let (x, mask_pad) = padded(&lengths, |_| 0, 9, 5);
    for activation in [AttentionActivation::Softmax, AttentionActivation::Tanh] {
        for hidden_dim in [None, Some(6)] {
            for (last_only, with_dropped) in [(false, false), (false, true), (true, false)] {
                let config = ProbeConfig::new(
                    Attention {
                        n_heads: 3,
                        hidden_dim,
                        activation,
                        last_only,
                        ..Attention::default()
                    },
                    D_MODEL,
                    3,
                );
                let state = random_state(&config, 11);
                let probe = Probe::from_state(&state, &config, &Device::flex()).unwrap();
                let mut rng = ChaCha8Rng::seed_from_u64(8);
                let dropped: Vec<bool> = (0..4 * 3 * 9).map(|_| rng.random_bool(0.3)).collect();
                let dropped = with_dropped.then_some(dropped);
                let expected = naive_logits(&probe, &x, &mask_pad, dropped.as_deref());
                let tokens = PaddedTokens::from_mask(x.clone(), mask_pad.clone());
                let tokens = match dropped {
                    Some(dropped) => tokens.with_dropped(dropped, 3),
                    None => tokens,
                };
                let output = probe.forward_padded(tokens);
                let what = format!("{activation:?} {hidden_dim:?} {last_only} {with_dropped}");
                assert_close(&host_values(output.logits), &expected, 2e-5, &what);
            }
        }
    }
}

#[test]
fn an_untrained_probe_is_a_mean_probe() {
    let config = ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, D_MODEL, 2);
    let state = config.init_state(9);
    let probe = Probe::from_state(&state, &config, &Device::flex()).unwrap();
    let sum_heads = |name: &str, shape: &[usize]| {
        let (a, b) = state[name].values.split_at(state[name].values.len() / 2);
        let values = a.iter().zip(b).map(|(a, b)| a + b).collect();
        ParamArray { shape: shape.to_vec(), values }
    };
    let linear_state = ProbeState::from([
        ("weight".to_owned(), sum_heads("v.weight", &[1, D_MODEL])),
        ("bias".to_owned(), sum_heads("v.bias", &[1])),
    ]);
    let linear_config = ProbeConfig::new(Linear::default(), D_MODEL, 2);
    let linear = Probe::from_state(&linear_state, &linear_config, &Device::flex()).unwrap();

    let lengths = [4, 1, 6];
    let (x, mask_pad) = padded(&lengths, |i| i, 8, 2);
    let output = probe.forward(x.clone(), mask_pad.clone());
    let expected = host_values(linear.forward(x, mask_pad).logits);
    assert_close(&host_values(output.logits), &expected, 1e-5, "logits");

    let pattern = host_values(output.pattern.unwrap());
    for (i, weight) in pattern.iter().enumerate() {
        let (b, p) = (i / 16, i % 8);
        let expected = if p < lengths[b] { 1.0 / lengths[b] as f32 } else { 0.0 };
        assert_abs_diff_eq!(*weight, expected, epsilon = 1e-6);
    }
}

#[test]
fn a_head_that_sees_nothing_averages_the_real_tokens_under_softmax_and_adds_nothing_under_tanh() {
    let (x, mask_pad) = padded(&[2], |_| 1, 4, 3);
    for (activation, expected) in [
        (AttentionActivation::Softmax, [0.5, 0.5, 0.0, 0.0]),
        (AttentionActivation::Tanh, [0.0; 4]),
    ] {
        let config = ProbeConfig::new(Attention { activation, ..Attention::default() }, D_MODEL, 2);
        let state = random_state(&config, 4);
        let probe = Probe::from_state(&state, &config, &Device::flex()).unwrap();
        let tokens = PaddedTokens::from_mask(x.clone(), mask_pad.clone());
        let output = probe.forward_padded(tokens.with_dropped(vec![true; 4], 1));
        assert_eq!(host_values(output.pattern.unwrap()), expected, "{activation:?}");
    }
}

#[test]
fn under_last_only_the_last_real_token_has_all_the_weight() {
    let config =
        ProbeConfig::new(Attention { last_only: true, ..Attention::default() }, D_MODEL, 2);
    assert_eq!(config.init_state(0)["position_weight"].values, [1.0]);
    let probe = config.init(0, &Device::flex()).unwrap();
    let (x, mask_pad) = padded(&[3, 2], |i| i, 4, 3);
    let pattern = host_values(probe.forward(x, mask_pad).pattern.unwrap());
    assert_eq!(pattern, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn one_seed_gives_one_set_of_weights() {
    let config = ProbeConfig::new(Attention { hidden_dim: Some(4), ..Attention::default() }, 16, 2);
    let state = config.init_state(42);
    assert_eq!(state, config.init_state(42));
    assert_ne!(state, config.init_state(43));
    assert!(state["q.weight"].values.iter().all(|&value| value == 0.0));
    let bits: Vec<u32> =
        ["v.weight", "v.bias", "o.weight", "o.bias"].map(|n| state[n].values[0].to_bits()).to_vec();
    assert_eq!(bits, [3_188_540_746, 3_185_238_228, 3_202_919_850, 1_047_721_920]);
}

#[test]
fn hyperparameters_out_of_range_are_refused() {
    let device = Device::flex();
    let kind = Attention::default();
    for (kind, message) in [
        (Attention { n_heads: 0, ..kind.clone() }, "`n_heads` is 0, expected at least 1"),
        (
            Attention { hidden_dim: Some(0), ..kind.clone() },
            "`hidden_dim` is 0, expected at least 1",
        ),
        (
            Attention { attention_dropout: 1.0, ..kind.clone() },
            "`attention_dropout` is 1, expected at least 0 and below 1",
        ),
        (
            Attention { attention_dropout: f64::NAN, ..kind },
            "`attention_dropout` is NaN, expected at least 0 and below 1",
        ),
    ] {
        assert_eq!(ProbeConfig::new(kind, 4, 2).init(0, &device).unwrap_err().to_string(), message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn padding_and_its_side_change_nothing(
        lengths in prop::collection::vec(1_usize..6, 1..4),
        n_extra in 0_usize..4,
        is_tanh in any::<bool>(),
        n_heads in 1_usize..4,
        seed in any::<u64>(),
    ) {
        let activation =
            if is_tanh { AttentionActivation::Tanh } else { AttentionActivation::Softmax };
        let config = ProbeConfig::new(Attention { n_heads,
            activation, ..Attention::default() }, D_MODEL, 3);
        let state = random_state(&config, seed);
        let probe = Probe::from_state(&state, &config, &Device::flex()).unwrap();
        let longest = lengths.iter().copied().max().unwrap();
        let logits = |n_before: &dyn Fn(usize) -> usize, pos: usize| {
            let (x, mask_pad) = padded(&lengths, n_before, pos, seed);
            host_values(probe.forward(x, mask_pad).logits)
        };
        let tight = logits(&|_| 0, longest);
        assert_close(&logits(&|_| 0, longest + n_extra), &tight, 1e-5, "after");
        assert_close(&logits(&|i| longest - lengths[i], longest), &tight, 1e-5, "before");
    }

    #[test]
    fn a_permutation_of_heads_keeps_the_logits(
        seed in any::<u64>(),
        is_hidden in any::<bool>(),
    ) {
        let config = ProbeConfig::new(Attention { n_heads: 3,
            hidden_dim: is_hidden.then_some(4), ..Attention::default() }, D_MODEL, 2);
        let state = random_state(&config, seed);
        let mut permuted = state.clone();
        for name in ["q.weight", "v.weight", "v.bias", "position_weight"] {
            let values = &mut permuted.get_mut(name).unwrap().values;
            let per_head = values.len() / 3;
            values.rotate_left(per_head);
        }
        prop_assert_ne!(&permuted, &state);
        let (x, mask_pad) = padded(&[3, 5], |_| 0, 5, seed);
        let logits = |state: &ProbeState| {
            let probe = Probe::from_state(state, &config, &Device::flex()).unwrap();
            host_values(probe.forward(x.clone(), mask_pad.clone()).logits)
        };
        assert_close(&logits(&permuted), &logits(&state), 1e-5, "logits");
    }
}
