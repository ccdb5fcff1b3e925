//! Training one probe, plainly: read this first.
//!
//! [`train_probe`] trains an attention probe, [`train_any_probe`] any kind.
//! Two optimizers: `AdamW` goes through batches and can stop early on a validation set, L-BFGS
//! minimises the loss of all examples at once.

use attention_probes_errors::ValueError;
use attention_probes_kernels::{Lbfgs, LbfgsStop};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::batches::Batches;
use crate::engine::{Rate, Targets, Trials, TrialsConfig};
use crate::evaluate::check_data;
use crate::kinds::PaddedTokens;
use crate::{
    AttentionActivation, AttentionProbe, AttentionProbeTrainConfig, Optimizer, Pool, Probe,
    ProbeConfig, ProbeError, ProbeState, TrainConfig, TrainSides, TrainingData, evaluate_probe,
};

/// A trained probe and how it came about.
#[derive(Clone, Debug)]
pub struct TrainedProbe {
    /// The probe, at its best step where there was a validation set.
    pub probe: Probe,
    /// One record per step, in order.
    pub history: Vec<StepRecord>,
    /// Step whose weights `probe` has: that many updates were made.
    pub best_step: usize,
    /// Whether L-BFGS met a tolerance; `None` for `AdamW`, which has none.
    pub converged: Option<bool>,
}

/// Losses at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of updates made so far.
    pub step: usize,
    /// Loss of the batch before the next update in nats; under L-BFGS of all examples, with decay.
    pub loss_nats: f64,
    /// Loss of the validation set in nats, where it was looked at.
    pub validation_loss_nats: Option<f64>,
}

/// Trains an attention probe.
///
/// # Errors
///
/// As [`train_any_probe`].
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{
///     AttentionProbeTrainConfig, Labels, TrainingData, compute_metrics, evaluate_probe,
///     train_probe,
/// };
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let x = Tensor::from_data([[[1.0]], [[2.0]], [[-1.0]], [[-2.0_f32]]], &device);
/// let mask_pad = Tensor::<2>::zeros([4, 1], &device).bool();
/// let data = TrainingData::new(x, mask_pad, Labels::numbered(vec![1, 1, 0, 0], 2))?;
///
/// let config = AttentionProbeTrainConfig { weight_decay: 0.01, ..Default::default() };
/// let probe = train_probe(&data, &config, &device)?;
/// let evaluation = evaluate_probe(&probe, &data, &device)?;
/// assert_eq!(compute_metrics(&evaluation, &data, 0)?.accuracy, 1.0);
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
pub fn train_probe(
    data: &TrainingData,
    config: &AttentionProbeTrainConfig,
    device: &Device,
) -> Result<AttentionProbe, ProbeError> {
    let probe_config = config.probe_config(data.d_model(), 2).for_labels(data.labels());
    let pooled;
    let data = if config.take_mean {
        check_take_mean(config)?;
        pooled = data.pool(Pool::Mean);
        &pooled
    } else {
        data
    };
    let trained = train_any_probe(data, &probe_config, &config.train_config(), device)?;
    Ok(AttentionProbe::new(trained.probe))
}

/// Refuses what no mean of the tokens can stand for.
fn check_take_mean(config: &AttentionProbeTrainConfig) -> Result<(), ProbeError> {
    let reason = if config.activation == AttentionActivation::Tanh {
        "needs `activation = \"softmax\"`: without queries, tanh weighs every token 0"
    } else if config.last_only {
        "cannot stand beside `last_only`, choose one"
    } else if config.attention_dropout > 0.0 {
        "needs `attention_dropout = 0`: there is one token only"
    } else {
        return Ok(());
    };
    Err(ProbeError::Recipe { name: "take_mean", reason })
}

/// Trains a probe of any kind on labels of any kind; [`ProbeConfig::for_labels`] gives a config the
/// outputs that they need.
///
/// Where they are numbers, the probe learns them with mean 0 and standard deviation 1, and says them
/// as they are, by its [`OutputScale`](crate::OutputScale).
///
/// With a validation set `AdamW` looks at it every `validate_every` steps, stops after `patience`
/// looks without improvement, and returns the weights that did best on it. L-BFGS has nothing to
/// stop early and does not look at it.
///
/// The result depends on the data, the configs, and the device alone.
///
/// # Errors
///
/// - [`ProbeError::Hyperparameter`] if a field of a config is out of range.
/// - [`ProbeError::SizeMismatch`] if config, data, and validation set do not fit together.
/// - [`ProbeError::LossOfLabels`] if the loss is not for labels of this kind.
/// - [`ProbeError::Diverged`] if the loss becomes NaN or infinite.
/// - [`ProbeError::Stopped`] if [`TrainConfig::stop`] is given.
pub fn train_any_probe<'a>(
    sides: impl Into<TrainSides<'a>>,
    probe_config: &ProbeConfig,
    config: &TrainConfig,
    device: &Device,
) -> Result<TrainedProbe, ProbeError> {
    probe_config.check()?;
    let state = probe_config.init_state(config.seed);
    train_from_state(sides, (probe_config, &state), config, device)
}

/// Trains a probe of any kind on from given weights, as [`train_any_probe`] does from drawn ones.
///
/// # Errors
///
/// As [`train_any_probe`], and [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`],
/// [`ProbeError::ArrayShape`], or [`ProbeError::NonFinite`] if the weights are not those of the
/// config.
pub fn train_from_state<'a>(
    sides: impl Into<TrainSides<'a>>,
    (probe_config, state): (&ProbeConfig, &ProbeState),
    config: &TrainConfig,
    device: &Device,
) -> Result<TrainedProbe, ProbeError> {
    let TrainSides { train: data, validation } = sides.into();
    check_data(probe_config, data)?;
    config.check(data.labels())?;
    let loss = config.loss.of_kind(data.labels().kind());
    let loss = loss.ok_or(ProbeError::LossOfLabels { kind: data.labels().kind().as_str() })?;
    let config = &TrainConfig { loss, ..config.clone() };
    probe_config.check_loss(&config.loss)?;
    let probe_config = &probe_config.or_output_scale(data.output_scale());
    if let Some(validation) = validation {
        check_data(probe_config, validation)?;
    }
    probe_config.check_state(state)?;
    let data = prepare(data, probe_config, device);
    let validation = validation.map(|validation| prepare(validation, probe_config, device));
    let mut training = Training::new((probe_config, state), &data, config, device);
    match config.optimizer {
        Optimizer::AdamW => training.adamw(validation.as_ref()),
        Optimizer::Lbfgs => training.lbfgs(),
    }
}

/// The mean loss of all examples, weighed as training weighs them, without any decay.
pub(crate) fn training_loss(
    probe: &Probe,
    data: &TrainingData,
    config: &TrainConfig,
    device: &Device,
) -> Result<f64, ProbeError> {
    let data = prepare(data, probe.config(), device);
    let state = probe.state()?;
    let mut training = Training::new((probe.config(), &state), &data, config, device);
    training.forget_dropout();
    Ok(training.look(&training.params())?.0)
}

/// Pools once what every pass would pool again, and moves the data to the device.
fn prepare(data: &TrainingData, config: &ProbeConfig, device: &Device) -> TrainingData {
    let data = data.to_device(device);
    match config.kind().reads().pool() {
        Some(pool) => data.pool(pool),
        None => data,
    }
}

/// One probe in training: a stack of one trial.
struct Training<'a> {
    trials: Trials,
    probe: &'a ProbeConfig,
    data: &'a TrainingData,
    config: &'a TrainConfig,
    class_weights: Vec<f32>,
    device: &'a Device,
    /// The data as one batch, or in pieces.
    pieces: Vec<(TrainingData, PaddedTokens)>,
}

impl<'a> Training<'a> {
    fn new(
        (probe, state): (&'a ProbeConfig, &ProbeState),
        data: &'a TrainingData,
        config: &'a TrainConfig,
        device: &'a Device,
    ) -> Self {
        let TrainConfig { learning_rate, weight_decay, loss, seed, .. } = *config;
        let of_trials = TrialsConfig { probe, loss, seed, device, by_definition: true };
        let rates = vec![Rate { learning_rate, weight_decay }];
        let class_weights = match &config.class_weights {
            Some(weights) => weights.iter().map(|&weight| weight as f32).collect(),
            None => vec![1.0; data.n_classes()],
        };
        Self {
            trials: Trials::new(&of_trials, std::slice::from_ref(state), rates),
            probe,
            data,
            config,
            class_weights,
            device,
            pieces: Vec::new(),
        }
    }

    /// Hides no tokens.
    fn forget_dropout(&mut self) {
        self.trials.forget_dropout();
    }

    /// Batches of all examples, each on the device.
    fn pieces(&mut self) {
        if self.pieces.is_empty() {
            let piece = |piece: TrainingData| {
                let tokens = piece.tokens(self.device);
                (piece, tokens)
            };
            self.pieces = self.data.chunks(self.config.batch_size).map(piece).collect();
        }
    }

    /// Parameters, part by part.
    fn params(&self) -> Vec<f32> {
        self.trials.stack().flat_params()
    }

    /// Mean loss of all examples and its gradient at some parameters, without decay.
    fn look(&mut self, values: &[f32]) -> Result<(f64, Vec<f32>), ProbeError> {
        self.pieces();
        self.trials.stack_mut().set_params(values);
        let all = Targets::of_labels(self.data.labels(), &self.class_weights);
        let all = all.with_offsets(self.data.offsets());
        let (mut loss, mut gradient) = ([0.0], vec![0.0_f32; values.len()]);
        let mut from = 0;
        for (piece, tokens) in &self.pieces {
            self.config.stop.check()?;
            let targets = all.part(from..from + piece.n_examples());
            self.trials.differentiate_padded(tokens, &targets, &mut loss)?;
            let found = self.trials.gradients().iter().flatten();
            gradient.iter_mut().zip(found).for_each(|(sum, value)| *sum += value);
            from += piece.n_examples();
        }
        Ok((loss[0], gradient))
    }

    /// Goes through shuffled batches.
    fn adamw(&mut self, validation: Option<&TrainingData>) -> Result<TrainedProbe, ProbeError> {
        let config = self.config;
        let mut batches = Batches::new(self.data.n_examples(), config.batch_size, config.seed);
        let mut history = Vec::with_capacity(config.n_steps);
        let mut best: Option<(f64, usize, ProbeState)> = None;
        let mut n_without_improvement = 0;

        for step in 0..config.n_steps {
            config.stop.check()?;
            let loss_nats = self.adamw_step(batches.next_batch())?;
            if !loss_nats.is_finite() {
                return Err(ProbeError::Diverged { step, loss: loss_nats });
            }
            history.push(StepRecord { step, loss_nats, validation_loss_nats: None });

            let n_updates = step + 1;
            let is_look = n_updates % config.validate_every == 0 || n_updates == config.n_steps;
            if let (Some(validation), true) = (validation, is_look) {
                let state = self.finite_state(n_updates)?;
                let probe = Probe::from_state(&state, self.probe, self.device)?;
                let loss = evaluate_probe(&probe, validation, self.device)?.loss_nats;
                history[step].validation_loss_nats = Some(loss);
                if best.as_ref().is_none_or(|(best_loss, ..)| loss < *best_loss) {
                    best = Some((loss, n_updates, state));
                    n_without_improvement = 0;
                } else {
                    n_without_improvement += 1;
                    if n_without_improvement == config.patience {
                        break;
                    }
                }
            }
        }

        let (best_step, state) = match best {
            Some((_, best_step, state)) => (best_step, state),
            None => (history.len(), self.finite_state(history.len())?),
        };
        let probe = Probe::from_state(&state, self.probe, self.device)?;
        Ok(TrainedProbe { probe, history, best_step, converged: None })
    }

    /// One step on some examples, or on all; returns the mean loss before it.
    fn adamw_step(&mut self, examples: Option<&[usize]>) -> Result<f64, ProbeError> {
        let (batch, tokens) = if let Some(examples) = examples {
            let batch = self.data.select(examples);
            let tokens = batch.tokens(self.device);
            (batch, tokens)
        } else {
            self.pieces();
            self.pieces[0].clone()
        };
        let targets = Targets::of_labels(batch.labels(), &self.class_weights);
        let targets = targets.with_offsets(batch.offsets());
        let mut loss = [0.0];
        self.trials.differentiate_padded(&tokens, &targets, &mut loss)?;
        self.trials.update();
        Ok(loss[0])
    }

    /// Minimises the loss of all examples at once.
    fn lbfgs(&mut self) -> Result<TrainedProbe, ProbeError> {
        if let Some(dropout) = self.probe.kind().dropout() {
            let expected = "0 with L-BFGS, which needs a loss that is the same at every look";
            let (name, value) = ("attention_dropout", dropout.probability);
            return Err(ValueError::new(name, value, expected).into());
        }
        let TrainConfig { weight_decay, n_steps, .. } = *self.config;
        let is_decayed = self.trials.is_decayed(self.probe.kind());
        let start = self.params();
        let mut objective = |params: &[f32]| -> Result<(f64, Vec<f32>), ProbeError> {
            let (mut loss, mut gradient) = self.look(params)?;
            let pairs = gradient.iter_mut().zip(params).zip(&is_decayed);
            for ((gradient, &value), _) in pairs.filter(|(_, is_decayed)| **is_decayed) {
                loss += 0.5 * weight_decay * f64::from(value).powi(2);
                *gradient += (weight_decay * f64::from(value)) as f32;
            }
            Ok((loss, gradient))
        };
        let optimizer = Lbfgs { max_iter: n_steps, ..Lbfgs::default() };
        let result = optimizer.try_minimise(&start, &mut objective)?;

        let history = result.losses.iter().enumerate();
        let history: Vec<StepRecord> = history
            .map(|(step, &loss_nats)| StepRecord { step, loss_nats, validation_loss_nats: None })
            .collect();
        let best_step = history.len() - 1;
        if result.stop == LbfgsStop::NotFinite {
            let loss = history[best_step].loss_nats;
            return Err(ProbeError::Diverged { step: best_step, loss });
        }
        if !result.converged() {
            tracing::warn!(n_steps, "L-BFGS did not converge");
        }
        self.trials.stack_mut().set_params(&result.params);
        let state = self.finite_state(best_step)?;
        let probe = Probe::from_state(&state, self.probe, self.device)?;
        Ok(TrainedProbe { probe, history, best_step, converged: Some(result.converged()) })
    }

    /// The weights, which must be finite.
    fn finite_state(&self, step: usize) -> Result<ProbeState, ProbeError> {
        let state = self.trials.state(0);
        let mut values = state.values().flat_map(|array| &array.values);
        if values.all(|value| value.is_finite()) {
            Ok(state)
        } else {
            Err(ProbeError::Diverged { step, loss: f64::NAN })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use approx::assert_abs_diff_eq;
    use attention_probes_errors::Stop;
    use attention_probes_metrics::Bootstrap;
    use burn::tensor::{Tensor, TensorData};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::golden::golden_cases;
    use crate::testing::every_kind;
    use crate::{
        Attention, Labels, Linear, Loss, Mlp, SavedProbe, SideReport, StreamingProbe,
        compute_metrics,
    };

    /// Examples of one token.
    fn one_token(rows: &[&[f32]], labels: &[usize]) -> TrainingData {
        let shape = [rows.len(), 1, rows[0].len()];
        let x = Tensor::from_data(TensorData::new(rows.concat(), shape), &Device::flex());
        let mask_pad = Tensor::<2>::zeros([rows.len(), 1], &Device::flex()).bool();
        TrainingData::new(x, mask_pad, Labels::numbered(labels.to_vec(), 2)).unwrap()
    }

    /// Noise in which label 1 has one token, anywhere, that points along the first axis.
    fn needle(n_examples: usize, seed: u64) -> TrainingData {
        let (pos, d_model) = (12, 8);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut x: Vec<f32> =
            (0..n_examples * pos * d_model).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        let labels: Vec<usize> = (0..n_examples).map(|i| i % 2).collect();
        for (i, &label) in labels.iter().enumerate() {
            let token = i * pos + rng.random_range(0..pos);
            x[token * d_model] = if label == 1 { 3.0 } else { -3.0 };
            x[token * d_model + 1] = 3.0; // marks the token, whatever the label
        }
        let x = TensorData::new(x, [n_examples, pos, d_model]);
        let mask_pad = Tensor::<2>::zeros([n_examples, pos], &Device::flex()).bool();
        let x = Tensor::from_data(x, &Device::flex());
        TrainingData::new(x, mask_pad, Labels::numbered(labels, 2)).unwrap()
    }

    /// Gives a signal at the second time that it is asked.
    fn stop_second() -> Stop {
        let n_asked = AtomicUsize::new(0);
        Stop::when(move || n_asked.fetch_add(1, Ordering::Relaxed) == 1)
    }

    #[test]
    fn training_ends_when_it_is_told_to() {
        let data = one_token(&[&[1.0], &[2.0], &[-1.0], &[-2.0]], &[1, 1, 0, 0]);
        for optimizer in [Optimizer::Lbfgs, Optimizer::AdamW] {
            let config =
                AttentionProbeTrainConfig { optimizer, stop: stop_second(), ..Default::default() };
            let error = train_probe(&data, &config, &Device::flex()).unwrap_err();
            assert!(matches!(error, ProbeError::Stopped(_)), "{error:?}");
        }
    }

    fn adamw(learning_rate: f64, n_steps: usize) -> TrainConfig {
        TrainConfig {
            optimizer: Optimizer::AdamW,
            learning_rate,
            n_steps,
            ..TrainConfig::default()
        }
    }

    #[test]
    fn adamw_follows_pytorch_step_by_step() {
        let device = Device::flex();
        for case in golden_cases(&device) {
            let config = TrainConfig { weight_decay: 0.1, ..adamw(1e-2, case.losses.len()) };
            let start = (&case.config, &case.state);
            let trained = train_from_state(&case.data(), start, &config, &device).unwrap();
            for (record, expected) in trained.history.iter().zip(&case.losses) {
                assert_abs_diff_eq!(record.loss_nats, f64::from(*expected), epsilon = 1e-5);
            }
            for (name, expected) in &case.final_state {
                let found = &trained.probe.state().unwrap()[name];
                for (found, expected) in found.values.iter().zip(&expected.values) {
                    assert_abs_diff_eq!(*found, *expected, epsilon = 1e-4);
                }
            }
            assert_eq!(trained.best_step, case.losses.len());
            assert_eq!(trained.converged, None);
        }
    }

    #[test]
    fn lbfgs_finds_the_closed_form_of_a_logistic_regression() {
        // One in four is positive at 0, three in four at 1: bias -ln 3, weight 2 ln 3.
        let rows: [&[f32]; 8] = [&[0.0], &[0.0], &[0.0], &[0.0], &[1.0], &[1.0], &[1.0], &[1.0]];
        let data = one_token(&rows, &[0, 0, 0, 1, 0, 1, 1, 1]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let train = TrainConfig::default();
        let trained = train_any_probe(&data, &config, &train, &Device::flex()).unwrap();
        assert_eq!(trained.converged, Some(true));
        let state = trained.probe.state().unwrap();
        let ln3 = 3.0_f32.ln();
        assert_abs_diff_eq!(state["weight"].values[0], 2.0 * ln3, epsilon = 1e-3);
        assert_abs_diff_eq!(state["bias"].values[0], -ln3, epsilon = 1e-3);

        // Pieces of three examples are the same objective.
        let pieces = TrainConfig { batch_size: 3, ..train };
        let trained = train_any_probe(&data, &config, &pieces, &Device::flex()).unwrap();
        assert_abs_diff_eq!(
            trained.probe.state().unwrap()["weight"].values[0],
            2.0 * ln3,
            epsilon = 1e-3
        );
    }

    #[test]
    fn lbfgs_shrinks_the_weights_of_a_linear_probe_but_not_its_bias() {
        // All features equal: the weight can only shrink to 0, and the bias is the log odds.
        let data = one_token(&[&[0.0], &[0.0], &[0.0], &[0.0]], &[1, 1, 1, 0]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let train = TrainConfig { weight_decay: 0.1, ..TrainConfig::default() };
        let trained = train_any_probe(&data, &config, &train, &Device::flex()).unwrap();
        let state = trained.probe.state().unwrap();
        assert_abs_diff_eq!(state["weight"].values[0], 0.0, epsilon = 1e-5);
        assert_abs_diff_eq!(state["bias"].values[0], 3.0_f32.ln(), epsilon = 1e-3);
    }

    #[test]
    fn lbfgs_adds_the_decay_of_every_parameter_of_an_attention_probe() {
        let data = one_token(&[&[1.0, 0.5], &[-1.0, 0.5]], &[1, 0]);
        let config = AttentionProbeTrainConfig { weight_decay: 0.5, seed: 3, ..Default::default() };
        let probe_config = config.probe_config(2, 2);
        let untrained = probe_config.init(3, &Device::flex()).unwrap();
        let plain = evaluate_probe(&untrained, &data, &Device::flex()).unwrap().loss_nats;
        let squares: f64 = untrained
            .state()
            .unwrap()
            .values()
            .flat_map(|a| &a.values)
            .map(|&w| f64::from(w).powi(2))
            .sum();
        let train = config.train_config();
        let trained = train_any_probe(&data, &probe_config, &train, &Device::flex()).unwrap();
        assert_abs_diff_eq!(trained.history[0].loss_nats, plain + 0.25 * squares, epsilon = 1e-6);
        assert!(trained.converged.unwrap());
    }

    #[test]
    fn class_weights_move_the_base_rate() {
        let data = one_token(&[&[0.0], &[0.0], &[0.0], &[0.0]], &[1, 1, 1, 0]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let class_weights = Some(vec![3.0, 1.0]);
        let train = TrainConfig { class_weights, weight_decay: 0.1, ..TrainConfig::default() };
        let trained = train_any_probe(&data, &config, &train, &Device::flex()).unwrap();
        assert_abs_diff_eq!(trained.probe.state().unwrap()["bias"].values[0], 0.0, epsilon = 1e-4);
    }

    #[test]
    fn attention_finds_a_token_that_a_mean_drowns() {
        let device = Device::flex();
        let (train, test) = (needle(256, 1), needle(256, 2));
        let mut accuracies = Vec::new();
        let attention = ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, 8, 2);
        for config in [attention, ProbeConfig::new(Linear::default(), 8, 2)] {
            let trained = train_any_probe(&train, &config, &adamw(0.05, 150), &device).unwrap();
            let evaluation = evaluate_probe(&trained.probe, &test, &device).unwrap();
            accuracies.push(compute_metrics(&evaluation, &test, 0).unwrap().accuracy);
            if let Some(entropy) = evaluation.pattern_entropy {
                assert!(entropy < 0.7 * evaluation.entropy_baseline.unwrap(), "{entropy}");
            }
        }
        assert!(accuracies[0] > 0.97, "{accuracies:?}");
        assert!(accuracies[0] > accuracies[1] + 0.02, "{accuracies:?}");
    }

    #[test]
    fn an_mlp_learns_what_no_linear_probe_can() {
        let rows: [&[f32]; 4] = [&[0.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 1.0]];
        let data = one_token(&rows, &[0, 1, 1, 0]);
        let device = Device::flex();
        let config = ProbeConfig::new(Mlp { hidden_dim: 16, ..Mlp::default() }, 2, 2);
        let trained = train_any_probe(&data, &config, &adamw(0.05, 200), &device).unwrap();
        let evaluation = evaluate_probe(&trained.probe, &data, &device).unwrap();
        assert_abs_diff_eq!(compute_metrics(&evaluation, &data, 0).unwrap().accuracy, 1.0);
    }

    /// Texts whose second number is what a probe can learn: 40 more than thrice the sum over tokens
    /// of the first.
    fn numbers(n: usize) -> (Vec<f32>, Vec<usize>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut rows, mut lengths, mut y) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n {
            let value = rng.random_range(-1.0..1.0_f32);
            let length = rng.random_range(1..4_usize);
            for _ in 0..length {
                rows.extend([value, rng.random_range(-1.0..1.0), 1.0]);
            }
            lengths.push(length);
            y.push(40.0 + 300.0 * f64::from(value));
        }
        (rows, lengths, y)
    }

    #[test]
    fn every_kind_learns_numbers_labels_and_distributions() {
        let device = Device::flex();
        let (rows, lengths, y) = numbers(120);
        let is_high = |y: &f64| f64::from(u8::from(*y > 40.0));
        let names = || vec!["low".to_owned(), "high".to_owned()];
        let several: Vec<f64> = y.iter().flat_map(|y| [1.0 - is_high(y), is_high(y)]).collect();
        let shares = y.iter().flat_map(|y| [0.8 - 0.6 * is_high(y), 0.2 + 0.6 * is_high(y)]);
        let of_kind = [
            Labels::of_numbers(y.clone(), "y"),
            Labels::of_labels(several, names()),
            Labels::of_distributions(shares.collect(), names()),
        ];
        for labels in of_kind {
            let data = TrainingData::from_rows(&rows, &lengths, labels, &device).unwrap();
            // Behind sums that begin at 0, a hidden layer may be dead from the start.
            let may_be_dead = |config: &ProbeConfig| {
                config.kind_as::<Attention>().is_some_and(|kind| {
                    kind.hidden_dim.is_some() && kind.activation == AttentionActivation::Tanh
                })
            };
            for config in every_kind(3, 2).into_iter().filter(|one| !may_be_dead(one)) {
                let config = config.for_labels(data.labels());
                let train = TrainConfig { weight_decay: 1e-4, ..adamw(0.05, 500) };
                let trained = train_any_probe(&data, &config, &train, &device).unwrap();
                let evaluation = evaluate_probe(&trained.probe, &data, &device).unwrap();
                let report =
                    SideReport::new(data.labels(), &evaluation.logits, &Bootstrap::default())
                        .unwrap();
                let name = format!("{:?}", config.kind());
                match report {
                    SideReport::Number(found) => {
                        assert!(found.r_squared > 0.6, "{name}: {}", found.r_squared);
                        let loss = (1.0 - found.r_squared) / 2.0;
                        assert_abs_diff_eq!(evaluation.loss_nats, loss, epsilon = 1e-4);
                    }
                    SideReport::Labels { report, .. } => {
                        assert!(report.macro_auroc.unwrap() > 0.9, "{name}: {report:?}");
                    }
                    SideReport::Distribution { cross_entropy, likeliest, .. } => {
                        // The entropy of 0.2 and 0.8 is 0.500.
                        assert!(cross_entropy < 0.6, "{name}: {cross_entropy}");
                        assert!(likeliest.accuracy > 0.8, "{name}");
                    }
                    SideReport::Class(_) => panic!("no labels are classes"),
                }
            }
        }
    }

    #[test]
    fn a_probe_of_numbers_says_them_as_they_are_wherever_it_is_used() {
        let device = Device::flex();
        let (rows, lengths, y) = numbers(60);
        let labels = Labels::of_numbers(y, "y");
        let data = TrainingData::from_rows(&rows, &lengths, labels, &device).unwrap();
        for config in every_kind(3, 2) {
            let config = config.for_labels(data.labels());
            let trained = train_any_probe(&data, &config, &adamw(0.05, 40), &device).unwrap();
            let evaluation = evaluate_probe(&trained.probe, &data, &device).unwrap();
            let loss = training_loss(&trained.probe, &data, &adamw(0.05, 40), &device).unwrap();
            assert_abs_diff_eq!(loss, evaluation.loss_nats, epsilon = 1e-4);
            let found = evaluation.logits;
            let mut metadata = data.metadata(trained.probe.config());
            metadata.seed = 3;
            let saved = SavedProbe::from_probe(&trained.probe, metadata).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let loaded = SavedProbe::load(&saved.save(folder.path(), "numbers").unwrap()).unwrap();
            assert_eq!(loaded, saved);
            let mut stream = StreamingProbe::from_saved(&loaded).unwrap();
            let mut at = 0;
            for (&length, found) in lengths.iter().zip(found) {
                stream.reset();
                let mut last = f32::NAN;
                for token in rows[at..at + length * 3].chunks(3) {
                    last = stream.push(token)[0];
                }
                at += length * 3;
                assert_abs_diff_eq!(last, found, epsilon = 0.02);
            }
        }
    }

    #[test]
    fn a_loss_or_weights_of_classes_are_refused_elsewhere() {
        let device = Device::flex();
        let labels = Labels::of_numbers(vec![1.0, 2.0], "y");
        let data = TrainingData::from_rows(&[1.0, -1.0], &[1, 1], labels, &device).unwrap();
        let config = ProbeConfig::new(Linear::default(), 1, 2).for_labels(data.labels());
        let refused = |config: &ProbeConfig, train: TrainConfig| {
            train_any_probe(&data, config, &train, &device).unwrap_err().to_string()
        };
        let focal = TrainConfig { loss: Loss::Focal { gamma: 2.0 }, ..TrainConfig::default() };
        assert_eq!(
            refused(&config, focal),
            "the loss is not for labels of kind `number`; use `cross_entropy`"
        );
        let weighed = TrainConfig { class_weights: Some(vec![1.0]), ..TrainConfig::default() };
        assert_eq!(
            refused(&config, weighed),
            "class weights are for classes, and labels are of kind `number`"
        );
        let of_classes = ProbeConfig::new(Linear::default(), 1, 2);
        let error = refused(&of_classes, TrainConfig::default());
        assert_eq!(error, "the number of classes is 0, expected 2");
    }

    #[test]
    fn early_stopping_returns_the_weights_that_did_best_on_the_validation_set() {
        let device = Device::flex();
        // What is learned here is wrong there, so validation only gets worse.
        let train = one_token(&[&[1.0], &[-1.0]], &[1, 0]);
        let validation = one_token(&[&[1.0], &[-1.0]], &[0, 1]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let train_config = TrainConfig { validate_every: 5, patience: 3, ..adamw(0.1, 500) };
        let trained =
            train_any_probe((&train, &validation), &config, &train_config, &device).unwrap();
        assert_eq!(trained.best_step, 5);
        assert_eq!(trained.history.len(), 20);
        let looks: Vec<usize> = trained
            .history
            .iter()
            .filter(|record| record.validation_loss_nats.is_some())
            .map(|record| record.step)
            .collect();
        assert_eq!(looks, [4, 9, 14, 19]);
        let loss = evaluate_probe(&trained.probe, &validation, &device).unwrap().loss_nats;
        assert_eq!(Some(loss), trained.history[4].validation_loss_nats);
    }

    #[test]
    fn one_seed_gives_one_result_to_the_last_bit() {
        let device = Device::flex();
        let data = needle(40, 3);
        let config = ProbeConfig::new(
            Attention {
                n_heads: 2,
                hidden_dim: Some(4),
                attention_dropout: 0.2,
                ..Attention::default()
            },
            8,
            2,
        );
        let train = |seed| {
            let train = TrainConfig { batch_size: 16, seed, ..adamw(0.01, 12) };
            train_any_probe(&data, &config, &train, &device).unwrap()
        };
        let (a, b) = (train(5), train(5));
        assert_eq!(a.probe.state().unwrap(), b.probe.state().unwrap());
        assert_eq!(a.history, b.history);
        assert_ne!(a.probe.state().unwrap(), train(6).probe.state().unwrap());
    }

    #[test]
    fn an_epoch_shows_every_example_once() {
        let mut batches = Batches::new(10, 4, 0);
        for _ in 0..3 {
            let mut seen = Vec::new();
            for expected in [4, 4, 2] {
                let batch = batches.next_batch().unwrap();
                assert_eq!(batch.len(), expected);
                seen.extend_from_slice(batch);
            }
            assert_ne!(seen, (0..10).collect::<Vec<_>>());
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(Batches::new(10, 10, 0).next_batch(), None);
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_an_error() {
        let data = one_token(&[&[9.0], &[9.0]], &[1, 0]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let device = Device::flex();
        let error = train_any_probe(&data, &config, &adamw(1e38, 5), &device).unwrap_err();
        assert!(matches!(error, ProbeError::Diverged { .. }), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused_before_training() {
        let device = Device::flex();
        let data = one_token(&[&[1.0], &[-1.0]], &[1, 0]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let message = |config: &ProbeConfig,
                       train: TrainConfig,
                       validation: Option<&TrainingData>| {
            train_any_probe((&data, validation), config, &train, &device).unwrap_err().to_string()
        };
        let base = TrainConfig::default();
        assert_eq!(
            message(&config, TrainConfig { learning_rate: 0.0, ..base.clone() }, None),
            "`learning_rate` is 0, expected a number above 0"
        );
        assert_eq!(
            message(&config, TrainConfig { weight_decay: f64::NAN, ..base.clone() }, None),
            "`weight_decay` is NaN, expected 0 or a number above it"
        );
        assert_eq!(
            message(&config, TrainConfig { batch_size: 0, ..base.clone() }, None),
            "`batch_size` is 0, expected at least 1"
        );
        let class_weights = Some(vec![1.0; 3]);
        assert_eq!(
            message(&config, TrainConfig { class_weights, ..base.clone() }, None),
            "the number of class weights is 3, expected 2"
        );
        let wide = one_token(&[&[1.0, 0.0], &[-1.0, 0.0]], &[1, 0]);
        assert_eq!(
            message(&config, base.clone(), Some(&wide)),
            "the width of the activations is 2, expected 1"
        );
        let dropout =
            ProbeConfig::new(Attention { attention_dropout: 0.5, ..Attention::default() }, 1, 2);
        assert!(
            message(&dropout, base, None).starts_with("`attention_dropout` is 0.5, expected 0")
        );
    }

    #[test]
    fn a_config_has_the_reference_defaults_and_refuses_unknown_keys() {
        let config: AttentionProbeTrainConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config, AttentionProbeTrainConfig::default());
        assert_eq!(config.optimizer, Optimizer::Lbfgs);
        assert_eq!((config.learning_rate, config.n_steps, config.batch_size), (1e-4, 2000, 2048));
        let config: TrainConfig = serde_json::from_str(r#"{"optimizer":"adamw"}"#).unwrap();
        assert_eq!(config.optimizer, Optimizer::AdamW);
        assert!(serde_json::from_str::<TrainConfig>(r#"{"lr":1.0}"#).is_err());
    }
}
