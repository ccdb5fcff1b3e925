//! Losses of all trials on a device.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use super::Targets;
use crate::Loss;
use crate::kinds::{Batch, ProbeKind, partial_windows, rolling_mean};

/// Labels of a batch on a device.
pub(super) struct DeviceTargets {
    /// Of one output -1 or 1, of several 1 in the row of the class, `[1, n_out, batch]`.
    targets: Tensor<3>,
    /// What a text counts for in the mean, `[1, batch]`.
    shares: Tensor<2>,
    loss: Loss,
    /// What is added to the logits, `[1, n_out, batch]`.
    offsets: Option<Tensor<3>>,
}

impl DeviceTargets {
    pub(super) fn new(targets: &Targets<'_>, device: &Device) -> Self {
        let (n, n_out) = (targets.len(), targets.n_out());
        let mut values = vec![0.0_f32; n * n_out];
        for (example, &label) in targets.labels().iter().enumerate() {
            if n_out == 1 {
                values[example] = if label == 1 { 1.0 } else { -1.0 };
            } else {
                values[label * n + example] = 1.0;
            }
        }
        let shares: Vec<f32> = (0..n).map(|example| targets.share(example)).collect();
        Self {
            targets: Tensor::from_data(TensorData::new(values, [1, n_out, n]), device),
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
        if n_out == 1 {
            return of_margin(logits * self.targets.clone()).reshape([n_trials, n]);
        }
        let right = log_softmax(logits, 1) * self.targets.clone();
        (-right.sum_dim(1)).reshape([n_trials, n])
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
