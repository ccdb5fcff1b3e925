//! Ways of training that take several steps: again with another seed, from a probe on one token,
//! and with a head that takes the mean.
//!
//! They follow `train_probe_repeatedly` of the reference, `EleutherAI/attention-probes`,
//! `attention_probe/trainer.py`; what is done in another way is said at each of them.

use attention_probes_errors::ValueError;
use attention_probes_kernels::standard_normal;
use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::train::training_loss;
use crate::{
    Attention, AttentionActivation, AttentionProbe, Optimizer, ParamArray, Pool, Probe,
    ProbeConfig, ProbeError, ProbeState, TrainConfig, TrainSides, TrainedProbe, TrainingData,
    train_any_probe, train_from_state,
};

/// Standard deviation of the queries and position weights that a fine-tuned probe begins with.
pub const FINETUNE_DEVIATION: f64 = 0.01;

/// Stream of the generator that draws them; streams below are those of weights, batches, dropout.
const FINETUNE_STREAM: u64 = 3;

/// When a probe is trained again with another seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retraining {
    /// Training loss above which it is, in nats; 0.5 by default.
    pub above: f64,
    /// How often at most, 5 by default.
    pub times: usize,
}

impl Default for Retraining {
    fn default() -> Self {
        Self { above: 0.5, times: 5 }
    }
}

/// Trains a probe, and again with the next seed while its training loss is too high; returns the
/// probe with the lowest.
///
/// The loss is that of all training examples under the weights that are returned, as training
/// weighs them but without any decay. A training that diverges has failed too. The reference looks
/// at the loss of the last batch, decay included; its next seed changes nothing, because it seeds
/// nothing; and it keeps the last probe, not the best.
///
/// # Errors
///
/// - [`ProbeError::Hyperparameter`] if `above` is NaN.
/// - [`ProbeError::Diverged`] if every training diverges.
/// - Else as [`train_any_probe`].
pub fn train_repeatedly<'a>(
    sides: impl Into<TrainSides<'a>>,
    probe_config: &ProbeConfig,
    (config, retraining): (&TrainConfig, Retraining),
    device: &Device,
) -> Result<TrainedProbe, ProbeError> {
    let sides = sides.into();
    if retraining.above.is_nan() {
        let (name, value, expected) = ("above", retraining.above, "a loss in nats");
        return Err(ValueError::new(name, value, expected).into());
    }
    let mut best: Option<(f64, TrainedProbe)> = None;
    let mut diverged = None;
    for attempt in 0..=retraining.times {
        let seed = config.seed.wrapping_add(attempt as u64);
        let config = TrainConfig { seed, ..config.clone() };
        match train_any_probe(sides, probe_config, &config, device) {
            Ok(trained) => {
                let loss = training_loss(&trained.probe, sides.train, &config, device)?;
                if best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
                    best = Some((loss, trained));
                }
                if loss <= retraining.above {
                    break;
                }
            }
            Err(error @ ProbeError::Diverged { .. }) => diverged = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (best, diverged) {
        (Some((_, trained)), _) => Ok(trained),
        (None, Some(error)) => Err(error),
        (None, None) => unreachable!("a probe is trained at least once"),
    }
}

/// Trains an attention probe from a probe that reads one token: the reference's `finetune_attn`.
///
/// 1. L-BFGS trains the probe on the mean or the last token of every example, with the weight decay
///    of the config; queries have no say there, and stay 0.
/// 2. [`finetune_start`] gives it small random queries and position weights.
/// 3. `AdamW` trains all of it on all tokens.
///
/// The reference pools its data in place, so where they are tensors already, its third step sees
/// the pooled ones too; here it sees all tokens.
///
/// # Errors
///
/// - [`ProbeError::Recipe`] if the pool is neither the mean nor the last token, or the probe weighs
///   tokens with tanh or sees the last one only.
/// - Else as [`train_any_probe`].
pub fn finetune_attention<'a>(
    sides: impl Into<TrainSides<'a>>,
    (kind, pool): (&Attention, Pool),
    config: &TrainConfig,
    device: &Device,
) -> Result<TrainedProbe, ProbeError> {
    let sides = sides.into();
    let data = sides.train;
    check_finetune(kind, pool)?;
    let of = |kind: Attention| {
        let config = ProbeConfig::new(kind, data.d_model(), 2).for_labels(data.labels());
        config.with_output_scale(data.output_scale())
    };
    let one_token = of(Attention { attention_dropout: 0.0, ..kind.clone() });
    let first = TrainConfig { optimizer: Optimizer::Lbfgs, ..config.clone() };
    let first = train_any_probe(&data.pool(pool), &one_token, &first, device)?;
    let start = finetune_start(first.probe.state()?, FINETUNE_DEVIATION, config.seed);
    let second = TrainConfig { optimizer: Optimizer::AdamW, ..config.clone() };
    train_from_state(sides, (&of(kind.clone()), &start), &second, device)
}

/// Refuses a probe that cannot begin as one of a single token, or a pool that is none of its own.
///
/// # Errors
///
/// [`ProbeError::Recipe`] with what [`finetune_attention`] needs.
pub fn check_finetune(config: &Attention, pool: Pool) -> Result<(), ProbeError> {
    let reason = if config.activation == AttentionActivation::Tanh {
        "needs `activation = \"softmax\"`: with small queries tanh weighs every token nearly 0"
    } else if config.last_only {
        "needs a probe that sees all tokens, not `last_only`"
    } else if !matches!(pool, Pool::Mean | Pool::Last) {
        "begins with `pool = \"mean\"` or `pool = \"last\"`"
    } else {
        return Ok(());
    };
    Err(ProbeError::Recipe { name: "finetune_attn", reason })
}

/// Weights of a probe of one token, with queries and position weights drawn from `N(0, deviation²)`.
///
/// With a deviation of 0 the probe says of every example what that of one token says of its mean.
pub fn finetune_start(mut state: ProbeState, deviation: f64, seed: u64) -> ProbeState {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(FINETUNE_STREAM);
    for name in ["q.weight", "position_weight"] {
        if let Some(array) = state.get_mut(name) {
            array
                .values
                .iter_mut()
                .for_each(|x| *x = (deviation * standard_normal(&mut rng)) as f32);
        }
    }
    state
}

/// Adds a head that takes the mean to a trained attention probe: the reference's `ensemble_mean`.
///
/// The head is trained by L-BFGS on what the probe leaves over: its logits are added to those of
/// the head as [offsets](TrainingData::with_offsets). Then it joins the probe, whose logits become
/// the sum of both. The probe itself stays as it is.
///
/// The reference trains as many such heads as the probe has, which are one head written several
/// times; it adds the logits of all examples to every batch, which fails as soon as there is more
/// than one; and with a hidden layer it joins two output layers into one that fits neither.
///
/// Returns the joined probe, with the history of the head.
///
/// # Errors
///
/// - [`ProbeError::Recipe`] if the probe has a hidden layer, weighs tokens with tanh, or sees the
///   last one only: no further head of it takes the mean.
/// - Else as [`train_any_probe`].
pub fn ensemble_with_mean(
    probe: &AttentionProbe,
    data: &TrainingData,
    config: &TrainConfig,
    device: &Device,
) -> Result<TrainedProbe, ProbeError> {
    let kind = probe.attention();
    check_ensemble(kind)?;
    crate::evaluate::check_data(probe.config(), data)?;
    let on_device = probe.to_device(device)?;
    let mut offsets = Vec::new();
    for chunk in data.chunks(config.batch_size.max(1)) {
        offsets.extend(on_device.logits(chunk.tokens(device))?);
    }
    data.add_offsets(&mut offsets);
    let sizes = probe.config();
    let head = ProbeConfig::new(Attention::default(), sizes.d_model(), 2).for_labels(data.labels());
    // The offsets have the mean of the numbers already.
    let head = head.with_output_scale(sizes.output_scale().without_mean());
    let head_config = TrainConfig { optimizer: Optimizer::Lbfgs, ..config.clone() };
    let data = data.pool(Pool::Mean).with_offsets(offsets)?;
    let trained = train_any_probe(&data, &head, &head_config, device)?;
    let joined = join_heads(probe.state()?, &trained.probe.state()?);
    let joined_kind = std::sync::Arc::new(ensemble_config(kind));
    let probe = Probe::from_state(&joined, &sizes.with_kind(joined_kind), device)?;
    Ok(TrainedProbe { probe, ..trained })
}

/// Refuses a probe to which no head can be added that takes the mean.
///
/// # Errors
///
/// [`ProbeError::Recipe`] with what [`ensemble_with_mean`] needs.
pub fn check_ensemble(config: &Attention) -> Result<(), ProbeError> {
    let reason = if config.hidden_dim.is_some() {
        "needs a probe without `hidden_dim`: the heads meet before a hidden layer, not after it"
    } else if config.activation == AttentionActivation::Tanh {
        "needs `activation = \"softmax\"`: without queries, tanh weighs every token 0"
    } else if config.last_only {
        "needs a probe that sees all tokens, not `last_only`"
    } else {
        return Ok(());
    };
    Err(ProbeError::Recipe { name: "ensemble_mean", reason })
}

/// The config of a probe with one head more.
pub fn ensemble_config(config: &Attention) -> Attention {
    Attention { n_heads: config.n_heads + 1, ..config.clone() }
}

/// Puts the heads of two attention probes without a hidden layer beside each other.
pub fn join_heads(mut state: ProbeState, other: &ProbeState) -> ProbeState {
    for (name, array) in &mut state {
        if let Some(ParamArray { shape, values }) = other.get(name) {
            array.shape[0] += shape[0];
            array.values.extend_from_slice(values);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use attention_probes_activations::{NpzData, read_npz};
    use burn::tensor::{Tensor, TensorData};
    use rand::Rng;

    use super::*;
    use crate::{AttentionProbeTrainConfig, Labels, Linear, evaluate_probe};

    const D_MODEL: usize = 6;

    /// Ragged noise with a token that tells the class, and a mean that tells it too.
    fn data(n_examples: usize, n_classes: usize) -> TrainingData {
        let (pos, device) = (7, Device::flex());
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let labels: Vec<usize> = (0..n_examples).map(|i| i % n_classes).collect();
        let mut x = vec![0.0_f32; n_examples * pos * D_MODEL];
        let mut padding = vec![true; n_examples * pos];
        for (i, label) in labels.iter().enumerate() {
            let length = rng.random_range(2..=pos);
            for t in 0..length {
                padding[i * pos + t] = false;
                for d in 0..D_MODEL {
                    x[(i * pos + t) * D_MODEL + d] = rng.random_range(-1.0..1.0);
                }
                x[(i * pos + t) * D_MODEL + label] += 0.3;
            }
            x[(i * pos + rng.random_range(0..length)) * D_MODEL + 3] += *label as f32;
        }
        let x = Tensor::from_data(TensorData::new(x, [n_examples, pos, D_MODEL]), &device);
        let padding = Tensor::from_data(TensorData::new(padding, [n_examples, pos]), &device);
        TrainingData::new(x, padding, Labels::numbered(labels, n_classes)).unwrap()
    }

    fn logits(probe: &Probe, data: &TrainingData) -> Vec<f32> {
        evaluate_probe(probe, data, &Device::flex()).unwrap().logits
    }

    fn assert_all_close(found: &[f32], expected: &[f32], epsilon: f32) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_abs_diff_eq!(*found, *expected, epsilon = epsilon);
        }
    }

    fn lbfgs(weight_decay: f64) -> TrainConfig {
        TrainConfig { weight_decay, ..TrainConfig::default() }
    }

    #[test]
    fn the_best_of_several_seeds_is_kept_and_a_good_one_ends_the_search() {
        let device = Device::flex();
        let data = data(40, 2);
        let config = ProbeConfig::new(Attention::default(), D_MODEL, 2);
        let train = TrainConfig {
            optimizer: Optimizer::AdamW,
            learning_rate: 1e-3,
            n_steps: 3,
            ..TrainConfig::default()
        };
        let loss_of = |seed| {
            let train = TrainConfig { seed, ..train.clone() };
            let trained = train_any_probe(&data, &config, &train, &device).unwrap();
            evaluate_probe(&trained.probe, &data, &device).unwrap().loss_nats
        };
        let losses: Vec<f64> = (0..4).map(loss_of).collect();
        let repeated = |above, times| {
            let retraining = Retraining { above, times };
            let trained = train_repeatedly(&data, &config, (&train, retraining), &device).unwrap();
            evaluate_probe(&trained.probe, &data, &device).unwrap().loss_nats
        };
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_abs_diff_eq!(repeated(0.0, 3), lowest, epsilon = 1e-12);
        assert_abs_diff_eq!(repeated(f64::INFINITY, 3), losses[0], epsilon = 1e-12);
        assert_abs_diff_eq!(repeated(0.0, 0), losses[0], epsilon = 1e-12);
    }

    #[test]
    fn a_training_that_always_diverges_is_an_error() {
        let device = Device::flex();
        let train = TrainConfig {
            optimizer: Optimizer::AdamW,
            learning_rate: 1e300,
            n_steps: 5,
            ..TrainConfig::default()
        };
        let config = ProbeConfig::new(Linear::default(), D_MODEL, 2);
        let retraining = Retraining::default();
        let error = train_repeatedly(&data(8, 2), &config, (&train, retraining), &device);
        assert!(matches!(error, Err(ProbeError::Diverged { .. })));
        let retraining = Retraining { above: f64::NAN, times: 1 };
        let error = train_repeatedly(&data(8, 2), &config, (&train, retraining), &device);
        assert!(error.unwrap_err().to_string().contains("`above` is NaN"));
    }

    #[test]
    fn a_fine_tuned_probe_begins_as_the_probe_of_one_token() {
        let device = Device::flex();
        for (n_classes, hidden_dim) in [(2, None), (3, None), (3, Some(4))] {
            let data = data(30, n_classes);
            let kind = Attention { n_heads: 2, hidden_dim, ..Attention::default() };
            let config = ProbeConfig::new(kind, D_MODEL, n_classes);
            let pooled = data.pool(Pool::Mean);
            let mean = train_any_probe(&pooled, &config, &lbfgs(0.01), &device).unwrap();
            let start = finetune_start(mean.probe.state().unwrap(), 0.0, 5);
            let start = Probe::from_state(&start, &config, &device).unwrap();
            assert_all_close(&logits(&start, &data), &logits(&mean.probe, &pooled), 1e-5);
        }
    }

    #[test]
    fn drawn_queries_have_their_deviation() {
        let zeros = ProbeState::from([("q.weight".to_owned(), ParamArray::zeros(&[100, 100]))]);
        let values = &finetune_start(zeros.clone(), 0.01, 3)["q.weight"].values;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e4;
        let squares = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e4;
        assert_abs_diff_eq!(mean, 0.0, epsilon = 4e-4);
        assert_abs_diff_eq!(squares.sqrt(), 0.01, epsilon = 3e-4);
        assert_eq!(finetune_start(zeros.clone(), 0.01, 3)["q.weight"].values, *values);
        assert_ne!(finetune_start(zeros, 0.01, 4)["q.weight"].values, *values);
    }

    #[test]
    fn fine_tuning_finds_the_token_that_the_mean_drowns() {
        let device = Device::flex();
        let data = data(60, 2);
        let config = ProbeConfig::new(Attention::default(), D_MODEL, 2);
        let mean = train_any_probe(&data.pool(Pool::Mean), &config, &lbfgs(0.01), &device).unwrap();
        let before = evaluate_probe(&mean.probe, &data.pool(Pool::Mean), &device).unwrap();
        let train =
            TrainConfig { learning_rate: 0.02, n_steps: 300, weight_decay: 0.01, ..lbfgs(0.01) };
        for pool in [Pool::Mean, Pool::Last] {
            let tuned =
                finetune_attention(&data, (&Attention::default(), pool), &train, &device).unwrap();
            let after = evaluate_probe(&tuned.probe, &data, &device).unwrap();
            assert!(after.loss_nats < before.loss_nats - 0.02, "{pool:?}: {}", after.loss_nats);
            assert_eq!(tuned.converged, None);
            // The data are as they were.
            assert_eq!(data.x().dims()[1], 7);
        }
    }

    #[test]
    fn the_logits_of_an_ensemble_are_those_of_the_probe_plus_those_of_the_mean_head() {
        let device = Device::flex();
        for n_classes in [2, 3] {
            let data = data(50, n_classes);
            let config = ProbeConfig::new(
                Attention { n_heads: 2, ..Attention::default() },
                D_MODEL,
                n_classes,
            );
            let train = TrainConfig {
                optimizer: Optimizer::AdamW,
                learning_rate: 0.01,
                n_steps: 20,
                ..TrainConfig::default()
            };
            let trained = train_any_probe(&data, &config, &train, &device).unwrap();
            let probe = AttentionProbe::of(trained.probe.clone()).unwrap();
            let attention = logits(&probe, &data);
            // Batches of seven: each example keeps the logits that are its own.
            for batch_size in [2048, 7] {
                let train = TrainConfig { batch_size, ..lbfgs(0.01) };
                let ensemble = ensemble_with_mean(&probe, &data, &train, &device).unwrap();
                let state = ensemble.probe.state().unwrap();
                let head_config = ProbeConfig::new(Attention::default(), D_MODEL, n_classes);
                let head = last_head(&state, &head_config);
                let head = Probe::from_state(&head, &head_config, &device).unwrap();
                let sums = attention.iter().zip(logits(&head, &data)).map(|(a, b)| a + b);
                let found = logits(&ensemble.probe, &data);
                assert_all_close(&found, &sums.collect::<Vec<_>>(), 1e-5);
                assert!(state["q.weight"].values[2 * D_MODEL..].iter().all(|&q| q == 0.0));

                // No other head would be better: the gradient of the objective is 0 there.
                let loss = |probe: &Probe| evaluate_probe(probe, &data, &device).unwrap();
                assert!(loss(&ensemble.probe).loss_nats < loss(&trained.probe).loss_nats);
                assert_eq!(ensemble.converged, Some(true));
            }
        }
    }

    /// The head that was joined last.
    fn last_head(state: &ProbeState, config: &ProbeConfig) -> ProbeState {
        let shapes = config.init_state(0).into_iter();
        shapes
            .map(|(name, ParamArray { shape, values })| {
                let all = &state[&name].values;
                let values = all[all.len() - values.len()..].to_vec();
                (name, ParamArray { shape, values })
            })
            .collect()
    }

    #[test]
    fn an_ensemble_ends_where_pytorch_ends() {
        let device = Device::flex();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/recipes.npz");
        let arrays = read_npz(path).unwrap();
        for n_classes in [2, 3] {
            let get = |name: &str| {
                let array = &arrays[&format!("c{n_classes}/{name}")];
                let NpzData::F32(values) = array.data.clone() else { panic!("{name} is no f32") };
                ParamArray { shape: array.shape.clone(), values }
            };
            let tensor = |name: &str| {
                let array = get(name);
                TensorData::new(array.values, array.shape)
            };
            let labels = arrays[&format!("c{n_classes}/labels")].data.clone().into_i64().unwrap();
            let labels = labels.into_iter().map(|label| label as usize).collect();
            let mask_pad = Tensor::<2>::from_data(tensor("mask"), &device).bool().bool_not();
            let x = Tensor::from_data(tensor("x"), &device);
            let data = TrainingData::new(x, mask_pad, Labels::numbered(labels, n_classes)).unwrap();
            let names = ["q.weight", "v.weight", "v.bias", "position_weight"];
            let state: ProbeState =
                names.map(|name| (name.to_owned(), get(&format!("attention/{name}")))).into();
            let config =
                ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, 5, n_classes);
            let probe = Probe::from_state(&state, &config, &device).unwrap();
            let probe = AttentionProbe::of(probe).unwrap();
            let ensemble = ensemble_with_mean(&probe, &data, &lbfgs(0.1), &device).unwrap();
            assert_all_close(&logits(&ensemble.probe, &data), &get("logits").values, 1e-3);
            let found = ensemble.history[ensemble.best_step].loss_nats;
            assert_abs_diff_eq!(found, f64::from(get("loss").values[0]), epsilon = 1e-6);

            // And the mean probe that fine-tuning begins with.
            let config = ProbeConfig::new(Attention::default(), 5, n_classes);
            let pooled = data.pool(Pool::Mean);
            let mean = train_any_probe(&pooled, &config, &lbfgs(0.1), &device).unwrap();
            assert_all_close(&logits(&mean.probe, &pooled), &get("mean_logits").values, 1e-3);
        }
    }

    #[test]
    fn a_recipe_that_does_not_fit_is_refused_by_name() {
        let base = Attention::default();
        let tanh = Attention { activation: AttentionActivation::Tanh, ..base.clone() };
        let hidden = Attention { hidden_dim: Some(3), ..base.clone() };
        let last = Attention { last_only: true, ..base.clone() };
        let message = |result: Result<(), ProbeError>| result.unwrap_err().to_string();
        assert!(
            message(check_ensemble(&hidden)).starts_with("`ensemble_mean` needs a probe without")
        );
        assert!(message(check_ensemble(&tanh)).contains("tanh weighs every token 0"));
        assert!(message(check_ensemble(&last)).contains("`last_only`"));
        assert!(message(check_finetune(&tanh, Pool::Mean)).starts_with("`finetune_attn` needs"));
        assert!(message(check_finetune(&base, Pool::Max)).contains("`pool = \"mean\"`"));
        assert!(check_finetune(&hidden, Pool::Last).is_ok() && check_ensemble(&base).is_ok());
    }

    #[test]
    fn a_probe_trained_on_means_takes_the_mean_of_all_tokens() {
        let device = Device::flex();
        let data = data(30, 2);
        let config = crate::AttentionProbeTrainConfig {
            take_mean: true,
            weight_decay: 0.01,
            ..Default::default()
        };
        let probe = crate::train_probe(&data, &config, &device).unwrap();
        let on_means = logits(&probe, &data.pool(Pool::Mean));
        assert_all_close(&logits(&probe, &data), &on_means, 1e-5);
        let tanh =
            crate::AttentionProbeTrainConfig { activation: AttentionActivation::Tanh, ..config };
        let error = crate::train_probe(&data, &tanh, &device).unwrap_err();
        assert!(error.to_string().starts_with("`take_mean` needs"), "{error}");
    }

    #[test]
    fn recipes_of_numbers_say_them_as_they_are() {
        let device = Device::flex();
        // Of the last numbers the mean is 1 and the standard deviation 1, of the first they are not.
        for (low, high) in [(-30.0, 70.0), (0.0, 2.0)] {
            let rows: Vec<f32> =
                (0..80).flat_map(|i| [[-1.0, 0.5], [1.0, 0.5]][i / 2 % 2]).collect();
            let y = (0..40).map(|i| if i % 2 == 0 { low } else { high }).collect();
            let labels = Labels::of_numbers(y, "y");
            let data = TrainingData::from_rows(&rows, &[2; 40], labels, &device).unwrap();
            let config = AttentionProbeTrainConfig { weight_decay: 1e-3, ..Default::default() };
            let first = AttentionProbeTrainConfig { n_steps: 1, ..config.clone() };
            let probe = crate::train_probe(&data, &first, &device).unwrap();
            let train = config.train_config();
            let joined = ensemble_with_mean(&probe, &data, &train, &device).unwrap().probe;
            let kind = Attention::default();
            let tuned = TrainConfig { n_steps: 50, learning_rate: 1e-3, ..train };
            let tuned =
                finetune_attention(&data, (&kind, Pool::Mean), &tuned, &device).unwrap().probe;
            for (probe, of) in [(joined, "joined"), (tuned, "tuned")] {
                let found = evaluate_probe(&probe, &data, &device).unwrap();
                for (found, y) in found.logits.iter().zip(data.labels().numbers()) {
                    let error = (f64::from(*found) - y).abs();
                    assert!(error < 0.2 * (high - low), "{of}: {found} instead of {y}");
                }
            }
        }
    }
}
