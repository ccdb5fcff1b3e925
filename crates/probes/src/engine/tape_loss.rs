//! Losses of all trials on a device.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use super::Targets;
use crate::Loss;
use crate::kinds::{Batch, ProbeKind, partial_windows, rolling_mean};

/// Labels of a batch on a device.
pub(super) struct DeviceTargets {
    /// What outputs are to be, `[1, n_out, batch]`; -1 or 1 where they are a margin.
    targets: Tensor<3>,
    form: Form,
    /// What a text counts for in the mean, `[1, batch]`.
    shares: Tensor<2>,
    loss: Loss,
    /// What is added to the logits, `[1, n_out, batch]`.
    offsets: Option<Tensor<3>>,
}

/// What the loss makes of outputs and targets.
#[derive(Clone, Copy)]
enum Form {
    /// One output of two classes.
    Margin,
    /// Outputs that are each the logit of a probability.
    Probabilities,
    /// Outputs of a softmax.
    Softmax,
}

impl DeviceTargets {
    pub(super) fn new(targets: &Targets<'_>, device: &Device) -> Self {
        let (n, n_out) = (targets.len(), targets.n_out());
        let form = match (targets.is_softmax(), targets.labels().is_empty()) {
            (true, _) => Form::Softmax,
            (false, true) => Form::Probabilities,
            (false, false) => Form::Margin,
        };
        let wanted = targets.wanted();
        let mut values = vec![0.0_f32; n * n_out];
        for (example, row) in wanted.chunks_exact(n_out).enumerate() {
            for (output, &value) in row.iter().enumerate() {
                let is_margin = matches!(form, Form::Margin);
                values[output * n + example] = if is_margin { 2.0 * value - 1.0 } else { value };
            }
        }
        let shares: Vec<f32> = (0..n).map(|example| targets.share(example)).collect();
        Self {
            targets: Tensor::from_data(TensorData::new(values, [1, n_out, n]), device),
            form,
            shares: Tensor::from_data(TensorData::new(shares, [1, n]), device),
            loss: targets.loss(),
            offsets: targets.offsets().map(|offsets| {
                let offsets = TensorData::new(offsets.to_vec(), [1, n, n_out]);
                Tensor::<3>::from_data(offsets, device).swap_dims(1, 2)
            }),
        }
    }

    /// Mean loss of each trial, `[n_trials]`.
    pub(super) fn losses(&self, kind: &dyn ProbeKind, batch: &Batch) -> Tensor<1> {
        let [n_trials, _, _] = batch.dims();
        let of_examples = match self.loss {
            Loss::CrossEntropy => self.cross_entropy(kind.forward(batch)),
            Loss::SquaredError => self.squared_error(kind.forward(batch)),
            Loss::Focal { gamma } => {
                let loss = self.cross_entropy(kind.forward(batch));
                let wrong = -(-loss.clone()).exp() + 1.0;
                // A power of exactly 0 has no derivative.
                wrong.clamp_min(1e-12).powf_scalar(gamma) * loss
            }
            Loss::SoftmaxWeighted { window, temperature } => match kind.token_scores(batch) {
                Some(scores) => self.weighted(scores, batch, window, temperature),
                None => self.cross_entropy(kind.forward(batch)),
            },
        };
        (of_examples * self.shares.clone()).sum_dim(1).reshape([n_trials])
    }

    /// Cross-entropy of each text, `[n_trials, batch]`, of logits `[n_trials, n_out, batch]`.
    fn cross_entropy(&self, logits: Tensor<3>) -> Tensor<2> {
        let [n_trials, n_out, n] = logits.dims();
        let logits = match &self.offsets {
            Some(offsets) => logits + offsets.clone(),
            None => logits,
        };
        let targets = self.targets.clone();
        let of_outputs = match self.form {
            Form::Margin => of_margin(logits * targets),
            Form::Probabilities => of_probability(logits, targets),
            Form::Softmax => -(log_softmax(logits, 1) * targets),
        };
        let of_examples = if n_out == 1 { of_outputs } else { of_outputs.sum_dim(1) };
        of_examples.reshape([n_trials, n])
    }

    /// Half the squared error of each text, `[n_trials, batch]`, of outputs `[n_trials, 1, batch]`;
    /// offsets are in the targets.
    fn squared_error(&self, outputs: Tensor<3>) -> Tensor<2> {
        let [n_trials, _, n] = outputs.dims();
        let error = (outputs - self.targets.clone()).reshape([n_trials, n]);
        error.clone() * error * 0.5
    }

    /// The loss of every rolling mean of scores `[n_trials, 1, batch, pos]`, weighed by their softmax,
    /// `[n_trials, batch]`.
    fn weighted(
        &self,
        scores: Tensor<4>,
        batch: &Batch,
        window: usize,
        temperature: f64,
    ) -> Tensor<2> {
        let [n_trials, _, n, _] = scores.dims();
        let scores = match &self.offsets {
            Some(offsets) => scores + offsets.clone().reshape([1, 1, n, 1]),
            None => scores,
        };
        let means = rolling_mean(&scores, window);
        let seen = means.clone().div_scalar(temperature) + partial_windows(batch, window);
        let weights = softmax(seen, 3);
        let margins = means * self.targets.clone().reshape([1, 1, n, 1]);
        (weights * of_margin(margins)).sum_dim(3).reshape([n_trials, n])
    }
}

/// `ln(1 + exp(-margin))`, finite everywhere.
///
/// Written with halves rather than a rectifier, whose derivative at 0 is not that of the loss: there
/// it is -1/2, which those of `|margin|`, 0 at 0, leave as it is.
fn of_margin<const D: usize>(margin: Tensor<D>) -> Tensor<D> {
    let magnitude = margin.clone().abs();
    (magnitude.clone() - margin) * 0.5 + (-magnitude).exp().log1p()
}

/// Cross-entropy of logits to probabilities, finite everywhere; written as [`of_margin`] is.
fn of_probability(logits: Tensor<3>, targets: Tensor<3>) -> Tensor<3> {
    let magnitude = logits.clone().abs();
    let positive = (magnitude.clone() + logits.clone()) * 0.5;
    positive - logits * targets + (-magnitude).exp().log1p()
}
