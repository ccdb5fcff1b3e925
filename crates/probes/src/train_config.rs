//! How to train a probe, as a person writes it.

use attention_probes_activations::Labels;
use attention_probes_errors::{Stop, ValueError};
use serde::{Deserialize, Serialize};

use crate::{Attention, AttentionActivation, Loss, ProbeConfig, ProbeError};

/// How to make and train an attention probe. Defaults are those of the reference's trainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionProbeTrainConfig {
    /// Number of heads, 1 by default.
    pub n_heads: usize,
    /// Width of the hidden layer after the attention, none by default.
    pub hidden_dim: Option<usize>,
    /// How scores become weights, the softmax by default.
    pub activation: AttentionActivation,
    /// Probability that a token is hidden from a head in training, 0 by default.
    pub attention_dropout: f64,
    /// Whether only the last real token is seen, `false` by default.
    pub last_only: bool,
    /// Whether it learns from the mean of the tokens, `false` by default. Its queries stay 0, so
    /// that it takes the mean of whatever it reads, where the reference's must be given means.
    pub take_mean: bool,
    /// Which optimizer, L-BFGS by default.
    pub optimizer: Optimizer,
    /// Step size of `AdamW`, 1e-4 by default. L-BFGS finds its own.
    pub learning_rate: f64,
    /// Weight decay, 0 by default; what it does is said at [`Optimizer`].
    pub weight_decay: f64,
    /// Most steps of `AdamW` or iterations of L-BFGS, 2000 by default.
    pub n_steps: usize,
    /// Examples per step of `AdamW`, 2048 by default; L-BFGS sums over all of them in such pieces.
    pub batch_size: usize,
    /// Steps of `AdamW` between two looks at the validation set, 10 by default.
    pub validate_every: usize,
    /// Looks without improvement after which `AdamW` stops, 10 by default.
    pub patience: usize,
    /// What is made small: by default the cross-entropy, or the squared error of numbers.
    pub loss: Loss,
    /// Weight of each class in the loss, equal by default.
    pub class_weights: Option<Vec<f64>>,
    /// Seed of initial weights, batches, and dropout, 0 by default.
    pub seed: u64,
    /// Asked once a batch; given, the training ends with [`ProbeError::Stopped`]. Never by default,
    /// and no part of what is written.
    #[serde(skip)]
    pub stop: Stop,
}

/// How to train a probe of any kind. Defaults are those of [`AttentionProbeTrainConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Which optimizer, L-BFGS by default.
    pub optimizer: Optimizer,
    /// Step size of `AdamW`, 1e-4 by default. L-BFGS finds its own.
    pub learning_rate: f64,
    /// Weight decay, 0 by default; what it does is said at [`Optimizer`].
    pub weight_decay: f64,
    /// Most steps of `AdamW` or iterations of L-BFGS, 2000 by default.
    pub n_steps: usize,
    /// Examples per step of `AdamW`, 2048 by default; L-BFGS sums over all of them in such pieces.
    pub batch_size: usize,
    /// Steps of `AdamW` between two looks at the validation set, 10 by default.
    pub validate_every: usize,
    /// Looks without improvement after which `AdamW` stops, 10 by default.
    pub patience: usize,
    /// What is made small: by default the cross-entropy, or the squared error of numbers.
    pub loss: Loss,
    /// Weight of each class in the loss, equal by default.
    pub class_weights: Option<Vec<f64>>,
    /// Seed of initial weights, batches, and dropout, 0 by default.
    pub seed: u64,
    /// Asked once a batch; given, the training ends with [`ProbeError::Stopped`]. Never by default,
    /// and no part of what is written.
    #[serde(skip)]
    pub stop: Stop,
}

/// How the loss is made small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// L-BFGS on all examples; deterministic, and for a linear probe it finds the optimum.
    ///
    /// Weight decay adds `weight_decay / 2 · Σ w²` to the loss: over every parameter of an
    /// attention probe, as in the reference; over the matrices of linear and MLP probes, but not
    /// their biases, so that the decay never moves the base rate.
    #[default]
    Lbfgs,
    /// `AdamW` (betas 0.9 and 0.999, epsilon 1e-8) on shuffled batches.
    ///
    /// Weight decay is decoupled and acts on every parameter:
    /// `w -= learning_rate · weight_decay · w`.
    AdamW,
}

impl Default for AttentionProbeTrainConfig {
    fn default() -> Self {
        let probe = Attention::default();
        let train = TrainConfig::default();
        Self {
            n_heads: probe.n_heads,
            hidden_dim: probe.hidden_dim,
            activation: probe.activation,
            attention_dropout: probe.attention_dropout,
            last_only: probe.last_only,
            take_mean: false,
            optimizer: train.optimizer,
            learning_rate: train.learning_rate,
            weight_decay: train.weight_decay,
            n_steps: train.n_steps,
            batch_size: train.batch_size,
            validate_every: train.validate_every,
            patience: train.patience,
            loss: train.loss,
            class_weights: train.class_weights,
            seed: train.seed,
            stop: train.stop,
        }
    }
}

impl AttentionProbeTrainConfig {
    /// Returns the part that describes the probe.
    pub fn probe_config(&self, d_model: usize, n_classes: usize) -> ProbeConfig {
        let kind = Attention {
            n_heads: self.n_heads,
            hidden_dim: self.hidden_dim,
            activation: self.activation,
            attention_dropout: self.attention_dropout,
            last_only: self.last_only,
        };
        ProbeConfig::new(kind, d_model, n_classes)
    }

    /// Returns the part that describes the training.
    pub fn train_config(&self) -> TrainConfig {
        TrainConfig {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            n_steps: self.n_steps,
            batch_size: self.batch_size,
            validate_every: self.validate_every,
            patience: self.patience,
            loss: self.loss,
            class_weights: self.class_weights.clone(),
            seed: self.seed,
            stop: self.stop.clone(),
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::default(),
            learning_rate: 1e-4,
            weight_decay: 0.0,
            n_steps: 2000,
            batch_size: 2048,
            validate_every: 10,
            patience: 10,
            loss: Loss::CrossEntropy,
            class_weights: None,
            seed: 0,
            stop: Stop::never(),
        }
    }
}

impl TrainConfig {
    /// Checks every field.
    pub(crate) fn check(&self, labels: &Labels) -> Result<(), ProbeError> {
        let error =
            |name, value, expected| ProbeError::from(ValueError::new(name, value, expected));
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(error("learning_rate", self.learning_rate, "a number above 0"));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(error("weight_decay", self.weight_decay, "0 or a number above it"));
        }
        for (name, value) in [
            ("n_steps", self.n_steps),
            ("batch_size", self.batch_size),
            ("validate_every", self.validate_every),
            ("patience", self.patience),
        ] {
            if value == 0 {
                return Err(error(name, 0.0, "at least 1"));
            }
        }
        if let Some(weights) = &self.class_weights {
            if !labels.kind().is_class() {
                let (what, kind) = ("class weights", labels.kind().as_str());
                return Err(ProbeError::ForClasses { what, kind });
            }
            if weights.len() != labels.names.len() {
                let what = "the number of class weights";
                let (found, expected) = (weights.len(), labels.names.len());
                return Err(ProbeError::SizeMismatch { what, found, expected });
            }
            if let Some(&weight) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
                return Err(error("class_weights", weight, "numbers above 0"));
            }
        }
        Ok(())
    }
}
