//! Losses on stacked logits and their gradients.

use std::ops::Range;

use attention_probes_activations::{LabelValues, Labels};
use attention_probes_kernels::{Margin, SoftmaxSum, binary_cross_entropy, sigmoid};

use crate::{Loss, OutputScale, n_out};

/// Labels of a batch, and what each class weighs in the loss.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    values: Values<'a>,
    /// Number of texts.
    n: usize,
    class_weights: &'a [f32],
    /// Weights of all texts of the batch.
    total: f64,
    loss: Loss,
    n_out: usize,
    scale: OutputScale,
    /// What is added to the logits, `[n_examples, n_out]`.
    offsets: Option<&'a [f32]>,
}

/// Labels of a batch, by kind.
#[derive(Clone, Copy, Debug)]
enum Values<'a> {
    Classes(&'a [usize]),
    Numbers(&'a [f64]),
    /// `[n, n_labels]`
    Labels(&'a [f64]),
    /// `[n, n_classes]`
    Distributions(&'a [f64]),
}

impl<'a> Targets<'a> {
    /// Classes of a batch, and the weight of each class in the loss; the loss is the cross-entropy of
    /// one output for two classes.
    pub fn new(labels: &'a [usize], class_weights: &'a [f32]) -> Self {
        let total = labels.iter().map(|&label| f64::from(class_weights[label])).sum();
        let n_out = n_out(class_weights.len());
        let values = Values::Classes(labels);
        let (loss, scale) = (Loss::CrossEntropy, OutputScale::default());
        Self { values, n: labels.len(), class_weights, total, loss, n_out, scale, offsets: None }
    }

    /// Labels of any kind; each example weighs the same where they are not classes.
    pub fn of_labels(labels: &'a Labels, class_weights: &'a [f32]) -> Self {
        let (values, n_out) = match &labels.values {
            LabelValues::Class(values) => return Self::new(values, class_weights),
            LabelValues::Number(values) => (Values::Numbers(values), 1),
            LabelValues::Labels(values) => (Values::Labels(values), labels.names.len()),
            LabelValues::Distribution(values) => {
                (Values::Distributions(values), n_out(labels.names.len()))
            }
        };
        let (n, scale) = (labels.len(), OutputScale::default());
        let loss = Loss::default().of_kind(labels.kind()).unwrap_or_default();
        Self { values, n, class_weights, total: n as f64, loss, n_out, scale, offsets: None }
    }

    /// The same under another loss.
    #[must_use]
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// The same where the outputs of a probe stand for numbers of another scale.
    #[must_use]
    pub fn with_scale(self, scale: OutputScale) -> Self {
        Self { scale, ..self }
    }

    /// The same under another loss, of so many outputs; numbers have one loss, whatever it is called.
    pub(super) fn of(&self, loss: Loss, n_out: usize, scale: OutputScale) -> Self {
        let is_number = matches!(self.values, Values::Numbers(_));
        let loss = if is_number { Loss::SquaredError } else { loss };
        Self { loss, n_out, scale, ..*self }
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
        let n = self.n.max(1);
        let range = |len: usize| examples.start * (len / n)..examples.end * (len / n);
        let values = match self.values {
            Values::Classes(labels) => Values::Classes(&labels[examples.clone()]),
            Values::Numbers(values) => Values::Numbers(&values[examples.clone()]),
            Values::Labels(values) => Values::Labels(&values[range(values.len())]),
            Values::Distributions(values) => Values::Distributions(&values[range(values.len())]),
        };
        let offsets = self.offsets.map(|offsets| &offsets[range(offsets.len())]);
        Self { values, n: examples.len(), offsets, ..*self }
    }

    /// What is added to the logits, `[n_examples, n_out]`.
    pub(super) fn offsets(&self) -> Option<&'a [f32]> {
        self.offsets
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Class of each text; none where labels are not classes.
    pub fn labels(&self) -> &'a [usize] {
        match self.values {
            Values::Classes(labels) => labels,
            _ => &[],
        }
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
        let weight = match self.values {
            Values::Classes(labels) => f64::from(self.class_weights[labels[example]]),
            _ => 1.0,
        };
        (weight / self.total) as f32
    }

    /// What an output is to be, `[n_examples, n_out]`: the probability of class 1, of each label, or
    /// of each class, or the number in the scale of the outputs.
    pub(super) fn wanted(&self) -> Vec<f32> {
        let n_out = self.n_out;
        match self.values {
            Values::Classes(labels) if n_out == 1 => {
                labels.iter().map(|&label| f32::from(u8::from(label == 1))).collect()
            }
            Values::Classes(labels) => {
                let mut values = vec![0.0; labels.len() * n_out];
                for (row, &label) in values.chunks_exact_mut(n_out).zip(labels) {
                    row[label] = 1.0;
                }
                values
            }
            Values::Numbers(values) => {
                let offset = |i: usize| self.offsets.map_or(0.0, |offsets| f64::from(offsets[i]));
                let of = |(i, &y): (usize, &f64)| self.scale.invert(y - offset(i)) as f32;
                values.iter().enumerate().map(of).collect()
            }
            Values::Distributions(values) if n_out == 1 => {
                values.chunks_exact(2).map(|row| row[1] as f32).collect()
            }
            Values::Labels(values) | Values::Distributions(values) => {
                values.iter().map(|&value| value as f32).collect()
            }
        }
    }

    /// Whether outputs are logits of a softmax over classes.
    pub(super) fn is_softmax(&self) -> bool {
        self.n_out > 1 && matches!(self.values, Values::Classes(_) | Values::Distributions(_))
    }

    /// Replaces the logits of one trial by the gradient of its mean loss and returns that loss.
    ///
    /// ```text
    /// loss = Σ_i w[y_i] loss_i / Σ_i w[y_i]         the lower sum over the whole batch
    /// ```
    ///
    /// One output is a sigmoid of class 1, several are a softmax. A class of weight 2 counts as if
    /// each of its texts were there twice. Of several labels `loss_i` is the sum of their
    /// cross-entropies, of a distribution the cross-entropy to it, and of a number
    /// `((mean + scale z - y) / scale)² / 2` by the [`OutputScale`] of the probe.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n_examples, n_out]`
    pub fn loss_and_gradient(&self, logits: &mut [f32]) -> f64 {
        if let Values::Numbers(numbers) = self.values {
            return self.squared_error(numbers, logits);
        }
        for (logit, offset) in logits.iter_mut().zip(self.offsets.unwrap_or_default()) {
            *logit += offset;
        }
        let mut sum = 0.0;
        for (example, logits) in logits.chunks_mut(self.n_out).enumerate() {
            let share = self.share(example);
            let of_example = match self.values {
                Values::Classes(labels) if self.n_out == 1 => {
                    binary(&mut logits[0], labels[example] == 1, self.loss)
                }
                Values::Classes(labels) => softmax(logits, labels[example], self.loss),
                Values::Distributions(rows) if self.n_out == 1 => {
                    soft_binary(&mut logits[0], rows[2 * example + 1])
                }
                Values::Distributions(rows) => {
                    soft_softmax(logits, &rows[example * self.n_out..][..self.n_out])
                }
                Values::Labels(rows) => {
                    let row = &rows[example * self.n_out..][..self.n_out];
                    logits.iter_mut().zip(row).map(|(logit, &p)| soft_binary(logit, p)).sum()
                }
                Values::Numbers(_) => 0.0, // above
            };
            sum += f64::from(share) * of_example;
            for gradient in logits {
                *gradient *= share;
            }
        }
        sum
    }

    /// Half the mean squared error, in units of the scale of the outputs.
    fn squared_error(&self, numbers: &[f64], outputs: &mut [f32]) -> f64 {
        let mut sum = 0.0;
        for (example, (output, &y)) in outputs.iter_mut().zip(numbers).enumerate() {
            let offset = self.offsets.map_or(0.0, |offsets| f64::from(offsets[example]));
            let error = f64::from(*output) - self.scale.invert(y - offset);
            let share = f64::from(self.share(example));
            sum += share * error * error / 2.0;
            *output = (share * error) as f32;
        }
        sum
    }

    /// The mean loss of one trial without the parameters of a loss of its own: the cross-entropy, or
    /// of numbers half the squared error. Outputs are as [`Probe::forward`](crate::Probe::forward)
    /// returns them, `[n_examples, n_out]`, and offsets are in them.
    pub fn plain_loss(&self, outputs: &[f32]) -> f64 {
        let plain = Targets { offsets: None, ..*self };
        if let Values::Numbers(numbers) = self.values {
            let raw = |output: &f32| self.scale.invert(f64::from(*output)) as f32;
            return plain.squared_error(numbers, &mut outputs.iter().map(raw).collect::<Vec<_>>());
        }
        let plain = plain.with_loss(Loss::CrossEntropy);
        plain.loss_and_gradient(&mut outputs.to_vec())
    }
}

/// Loss of a sigmoid whose target is a probability; the logit becomes its gradient.
fn soft_binary(logit: &mut f32, p: f64) -> f64 {
    let z = f64::from(*logit);
    *logit = (sigmoid(z) - p) as f32;
    binary_cross_entropy(z, p)
}

/// Loss of a softmax whose target is a distribution; the logits become their gradients.
fn soft_softmax(logits: &mut [f32], target: &[f64]) -> f64 {
    let sum = SoftmaxSum::new(logits);
    let mut loss = 0.0;
    for (z, &p) in logits.iter_mut().zip(target) {
        if p > 0.0 {
            loss += p * sum.cross_entropy(*z);
        }
        *z = (sum.probability(*z) - p) as f32;
    }
    loss
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

    /// Every number of the gradient is the slope of the loss.
    fn check_slopes(targets: &Targets<'_>, logits: &[f32]) {
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
            let logits = [0.3, -2.0, 4.0, 0.0, 0.1, 0.2];
            let plain = OutputScale::default();
            let two = Targets::new(&[1, 0, 0], &[1.0, 2.0]).of(loss, 1, plain);
            check_slopes(&two, &logits[..3]);
            check_slopes(&Targets::new(&[2, 0], &[1.0, 2.0, 0.5]).of(loss, 3, plain), &logits);
        }
    }

    fn check_labels(labels: &Labels, scale: OutputScale, offsets: Option<&[f32]>, logits: &[f32]) {
        let targets = Targets::of_labels(labels, &[]).with_scale(scale).with_offsets(offsets);
        check_slopes(&targets, logits);
        // Parts of a batch add up to it.
        let (n, width) = (labels.len(), logits.len() / labels.len());
        let whole = targets.loss_and_gradient(&mut logits.to_vec());
        let parts: f64 = (0..n)
            .map(|i| {
                let mut logits = logits[i * width..(i + 1) * width].to_vec();
                targets.part(i..i + 1).loss_and_gradient(&mut logits)
            })
            .sum();
        approx::assert_abs_diff_eq!(whole, parts, epsilon = 1e-12);
    }

    #[test]
    fn labels_of_every_kind_have_gradients_and_parts() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let plain = OutputScale::default();
        let several = Labels::of_labels(vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0], names(3));
        let logits = [0.3, -2.0, 1.0, 0.0, 0.4, 0.9];
        check_labels(&several, plain, None, &logits);
        check_labels(&several, plain, Some(&[0.1; 6]), &logits);
        let soft = Labels::of_distributions(vec![0.25, 0.75, 1.0, 0.0], names(2));
        check_labels(&soft, plain, None, &logits[..2]);
        let three = Labels::of_distributions(vec![0.5, 0.25, 0.25, 0.0, 1.0, 0.0], names(3));
        check_labels(&three, plain, None, &logits);
        let numbers = Labels::of_numbers(vec![3.0, -1.0, 12.0], "y");
        let scale = OutputScale { mean: 4.0, scale: 5.0 };
        check_labels(&numbers, scale, None, &logits[..3]);
        check_labels(&numbers, scale, Some(&[1.0, 0.0, -1.0]), &logits[..3]);
    }

    #[test]
    fn the_loss_of_a_label_of_any_kind_is_what_its_formula_says() {
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let loss = |labels: &Labels, scale: OutputScale, outputs: &[f32]| {
            Targets::of_labels(labels, &[]).with_scale(scale).plain_loss(outputs)
        };
        let plain = OutputScale::default();
        // Two labels, each undecided: twice ln 2.
        let several = Labels::of_labels(vec![1.0, 0.0], names());
        approx::assert_abs_diff_eq!(loss(&several, plain, &[0.0; 2]), 2.0 * 2.0_f64.ln());
        // A whole distribution is a class.
        let soft = Labels::of_distributions(vec![0.0, 1.0], names());
        let class = Targets::new(&[1], &[1.0, 1.0]).plain_loss(&[0.7]);
        approx::assert_abs_diff_eq!(loss(&soft, plain, &[0.7]), class, epsilon = 1e-7);
        // Three away, in standard deviations of 2: (3/2)²/2.
        let number = Labels::of_numbers(vec![10.0], "y");
        let scale = OutputScale { mean: 1.0, scale: 2.0 };
        approx::assert_abs_diff_eq!(loss(&number, scale, &[7.0]), 1.125, epsilon = 1e-6);
    }

    #[test]
    fn an_undecided_binary_probe_loses_ln_2() {
        let targets = Targets::new(&[0, 1], &[1.0, 1.0]);
        approx::assert_abs_diff_eq!(targets.plain_loss(&[0.0, 0.0]), 2.0_f64.ln());
    }

    #[test]
    fn a_class_of_weight_2_counts_as_if_it_were_there_twice() {
        let weighed = Targets::new(&[0, 1], &[1.0, 2.0]);
        let twice = Targets::new(&[0, 1, 1], &[1.0, 1.0]);
        let expected = twice.plain_loss(&[0.3, -1.0, -1.0]);
        approx::assert_abs_diff_eq!(weighed.plain_loss(&[0.3, -1.0]), expected, epsilon = 1e-12);
    }

    #[test]
    fn an_extreme_logit_gives_a_finite_loss() {
        let targets = Targets::new(&[0, 1], &[1.0, 1.0]);
        assert!(targets.plain_loss(&[1e30, 1e30]).is_finite());
        for gamma in [0.5, 2.0] {
            let mut logits = [1e30, 1e30];
            assert!(
                targets.with_loss(Loss::Focal { gamma }).loss_and_gradient(&mut logits).is_finite()
            );
            assert!(logits.iter().all(|gradient| gradient.is_finite()));
        }
    }

    #[test]
    fn parts_of_a_batch_add_up_to_it() {
        let targets = Targets::new(&[0, 1, 1, 0], &[1.0, 3.0]);
        let logits = [0.3, -1.0, 2.0, 0.5];
        let whole = targets.plain_loss(&logits);
        let parts = targets.part(0..1).plain_loss(&logits[..1])
            + targets.part(1..4).plain_loss(&logits[1..]);
        approx::assert_abs_diff_eq!(whole, parts, epsilon = 1e-12);
    }
}
