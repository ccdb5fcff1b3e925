//! Losses on stacked logits and their gradients.

use std::ops::Range;

use attention_probes_kernels::{Margin, SoftmaxSum};

use crate::{Loss, n_out};

/// Labels of a batch, and what each class weighs in the loss.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    labels: &'a [usize],
    class_weights: &'a [f32],
    /// Weights of all texts of the batch.
    total: f64,
    loss: Loss,
    n_out: usize,
    /// What is added to the logits, `[n_examples, n_out]`.
    offsets: Option<&'a [f32]>,
}

impl<'a> Targets<'a> {
    /// Labels of a batch, and the weight of each class in the loss; the loss is the cross-entropy of
    /// one output for two classes.
    pub fn new(labels: &'a [usize], class_weights: &'a [f32]) -> Self {
        let total = labels.iter().map(|&label| f64::from(class_weights[label])).sum();
        let n_out = n_out(class_weights.len());
        Self { labels, class_weights, total, loss: Loss::CrossEntropy, n_out, offsets: None }
    }

    /// The same under another loss.
    #[must_use]
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// The same under another loss, of so many outputs.
    pub(super) fn of(&self, loss: Loss, n_out: usize) -> Self {
        Self { loss, n_out, ..*self }
    }

    /// Adds numbers to the logits before the loss, `[n_examples, n_out]`: what a probe then learns is
    /// what they leave over.
    #[must_use]
    pub fn with_offsets(self, offsets: Option<&'a [f32]>) -> Self {
        Self { offsets, ..self }
    }

    /// Some texts, which weigh what they weigh in the whole batch.
    #[must_use]
    pub fn part(&self, examples: Range<usize>) -> Self {
        let part = |offsets: &'a [f32]| {
            let width = offsets.len() / self.labels.len();
            &offsets[examples.start * width..examples.end * width]
        };
        let offsets = self.offsets.map(part);
        Self { labels: &self.labels[examples], offsets, ..*self }
    }

    /// What is added to the logits, `[n_examples, n_out]`.
    pub(super) fn offsets(&self) -> Option<&'a [f32]> {
        self.offsets
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class of each text.
    pub fn labels(&self) -> &'a [usize] {
        self.labels
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Number of outputs of a probe.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// What a text counts for in the mean loss.
    pub fn share(&self, example: usize) -> f32 {
        (f64::from(self.class_weights[self.labels[example]]) / self.total) as f32
    }

    /// Replaces the logits of one trial by the gradient of its mean loss and returns that loss.
    ///
    /// ```text
    /// loss = Σ_i w[y_i] loss_i / Σ_i w[y_i]         the lower sum over the whole batch
    /// ```
    ///
    /// One output is a sigmoid of class 1, several are a softmax. A class of weight 2 counts as if
    /// each of its texts were there twice.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n_examples, n_out]`
    pub fn loss_and_gradient(&self, logits: &mut [f32]) -> f64 {
        for (logit, offset) in logits.iter_mut().zip(self.offsets.unwrap_or_default()) {
            *logit += offset;
        }
        let mut sum = 0.0;
        for (example, logits) in logits.chunks_mut(self.n_out).enumerate() {
            let (label, share) = (self.labels[example], self.share(example));
            let of_example = if self.n_out == 1 {
                binary(&mut logits[0], label == 1, self.loss)
            } else {
                softmax(logits, label, self.loss)
            };
            sum += f64::from(share) * of_example;
            for gradient in logits {
                *gradient *= share;
            }
        }
        sum
    }

    /// The mean cross-entropy of one trial, of logits `[n_examples, n_out]`.
    pub fn cross_entropy(&self, logits: &[f32]) -> f64 {
        self.of(Loss::CrossEntropy, self.n_out).loss_and_gradient(&mut logits.to_vec())
    }
}

/// Loss of a sigmoid; the logit becomes its gradient.
fn binary(logit: &mut f32, positive: bool, loss: Loss) -> f64 {
    let sign = if positive { 1.0 } else { -1.0 };
    let Margin { cross_entropy, wrong } = Margin::new(sign * f64::from(*logit));
    let (value, slope) = focal(loss, cross_entropy, wrong);
    *logit = (-sign * slope * wrong) as f32;
    value
}

/// Loss of a softmax; the logits become their gradients.
fn softmax(logits: &mut [f32], label: usize, loss: Loss) -> f64 {
    let sum = SoftmaxSum::new(logits);
    let cross_entropy = sum.cross_entropy(logits[label]);
    let (value, slope) = focal(loss, cross_entropy, -(-cross_entropy).exp_m1());
    for (class, z) in logits.iter_mut().enumerate() {
        let wrong = sum.probability(*z) - if class == label { 1.0 } else { 0.0 };
        *z = (slope * wrong) as f32;
    }
    value
}

/// Loss of one example from its cross-entropy and the probability of the wrong classes, and the
/// derivative by the cross-entropy.
///
/// ```text
/// focal = wrong^γ · ce          d focal / d ce = wrong^γ + γ wrong^(γ-1) (1 - wrong) ce
/// ```
fn focal(loss: Loss, cross_entropy: f64, wrong: f64) -> (f64, f64) {
    let Loss::Focal { gamma } = loss else { return (cross_entropy, 1.0) };
    let factor = wrong.powf(gamma);
    // Where the answer is certain, the loss and all its derivatives vanish.
    let lower = if wrong > 0.0 { factor / wrong } else { 0.0 };
    (factor * cross_entropy, factor + gamma * lower * (1.0 - wrong) * cross_entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(loss: Loss, logits: &[f32], labels: &[usize], n_out: usize, class_weights: &[f32]) {
        let targets = Targets::new(labels, class_weights).of(loss, n_out);
        let mut gradient = logits.to_vec();
        targets.loss_and_gradient(&mut gradient);
        for i in 0..logits.len() {
            let moved = |by: f32| {
                let mut logits = logits.to_vec();
                logits[i] += by;
                targets.loss_and_gradient(&mut logits)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            approx::assert_abs_diff_eq!(f64::from(gradient[i]), slope, epsilon = 1e-4);
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        for loss in [Loss::CrossEntropy, Loss::Focal { gamma: 2.0 }, Loss::Focal { gamma: 0.5 }] {
            check(loss, &[0.3, -2.0, 4.0], &[1, 0, 0], 1, &[1.0, 2.0]);
            check(loss, &[0.3, -2.0, 4.0, 0.0, 0.1, 0.2], &[2, 0], 3, &[1.0, 2.0, 0.5]);
        }
    }

    #[test]
    fn an_undecided_binary_probe_loses_ln_2() {
        let targets = Targets::new(&[0, 1], &[1.0, 1.0]);
        approx::assert_abs_diff_eq!(targets.cross_entropy(&[0.0, 0.0]), 2.0_f64.ln());
    }

    #[test]
    fn a_class_of_weight_2_counts_as_if_it_were_there_twice() {
        let weighed = Targets::new(&[0, 1], &[1.0, 2.0]);
        let twice = Targets::new(&[0, 1, 1], &[1.0, 1.0]);
        let expected = twice.cross_entropy(&[0.3, -1.0, -1.0]);
        approx::assert_abs_diff_eq!(weighed.cross_entropy(&[0.3, -1.0]), expected, epsilon = 1e-12);
    }

    #[test]
    fn an_extreme_logit_gives_a_finite_loss() {
        let targets = Targets::new(&[0, 1], &[1.0, 1.0]);
        assert!(targets.cross_entropy(&[1e30, 1e30]).is_finite());
        for gamma in [0.5, 2.0] {
            let mut logits = [1e30, 1e30];
            assert!(
                targets.of(Loss::Focal { gamma }, 1).loss_and_gradient(&mut logits).is_finite()
            );
            assert!(logits.iter().all(|gradient| gradient.is_finite()));
        }
    }

    #[test]
    fn parts_of_a_batch_add_up_to_it() {
        let targets = Targets::new(&[0, 1, 1, 0], &[1.0, 3.0]);
        let logits = [0.3, -1.0, 2.0, 0.5];
        let whole = targets.cross_entropy(&logits);
        let parts = targets.part(0..1).cross_entropy(&logits[..1])
            + targets.part(1..4).cross_entropy(&logits[1..]);
        approx::assert_abs_diff_eq!(whole, parts, epsilon = 1e-12);
    }
}
