//! Losses on stacked logits and their gradients.

/// Labels of a batch and what each class weighs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets<'a> {
    /// Class of each example.
    pub(crate) labels: &'a [usize],
    /// Weight of each class in the loss.
    pub(crate) class_weights: &'a [f32],
}

impl Targets<'_> {
    /// Replaces the logits of one trial by the gradient of its mean loss and returns that loss.
    ///
    /// ```text
    /// loss = Σ_i w[y_i] loss_i / Σ_i w[y_i]
    /// ```
    ///
    /// One output is a sigmoid of class 1 (binary cross-entropy), several are a softmax (cross
    /// entropy). A class of weight 2 counts as if each of its examples were there twice.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n_examples, n_out]`
    pub(crate) fn loss_and_gradient(&self, logits: &mut [f32], n_out: usize) -> f64 {
        let total: f64 =
            self.labels.iter().map(|&label| f64::from(self.class_weights[label])).sum();
        let mut sum = 0.0;
        for (logits, &label) in logits.chunks_mut(n_out).zip(self.labels) {
            let weight = self.class_weights[label];
            let loss = if n_out == 1 {
                binary(&mut logits[0], label == 1)
            } else {
                softmax(logits, label)
            };
            sum += f64::from(weight) * loss;
            for gradient in logits {
                *gradient *= weight / total as f32;
            }
        }
        sum / total
    }

    /// The mean loss of one trial.
    pub(crate) fn loss(&self, logits: &[f32], n_out: usize) -> f64 {
        self.loss_and_gradient(&mut logits.to_vec(), n_out)
    }
}

/// Cross-entropy of a sigmoid; the logit becomes its gradient.
fn binary(logit: &mut f32, positive: bool) -> f64 {
    let z = f64::from(*logit);
    let target = if positive { 1.0 } else { 0.0 };
    let decayed = (-z.abs()).exp();
    let loss = z.max(0.0) - z * target + decayed.ln_1p();
    let sigmoid = if z >= 0.0 { 1.0 / (1.0 + decayed) } else { decayed / (1.0 + decayed) };
    *logit = (sigmoid - target) as f32;
    loss
}

/// Cross-entropy of a softmax; the logits become their gradients.
fn softmax(logits: &mut [f32], label: usize) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|z| f64::from(z - highest).exp()).sum();
    let loss = sum.ln() - f64::from(logits[label] - highest);
    for (class, z) in logits.iter_mut().enumerate() {
        let probability = f64::from(*z - highest).exp() / sum;
        *z = (probability - if class == label { 1.0 } else { 0.0 }) as f32;
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logits: &[f32], labels: &[usize], n_out: usize, class_weights: &[f32]) {
        let targets = Targets { labels, class_weights };
        let mut gradient = logits.to_vec();
        targets.loss_and_gradient(&mut gradient, n_out);
        for i in 0..logits.len() {
            let moved = |by: f32| {
                let mut logits = logits.to_vec();
                logits[i] += by;
                targets.loss(&logits, n_out)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            approx::assert_abs_diff_eq!(f64::from(gradient[i]), slope, epsilon = 1e-4);
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        check(&[0.3, -2.0, 4.0], &[1, 0, 0], 1, &[1.0, 2.0]);
        check(&[0.3, -2.0, 4.0, 0.0, 0.1, 0.2], &[2, 0], 3, &[1.0, 2.0, 0.5]);
    }

    #[test]
    fn an_undecided_binary_probe_loses_ln_2() {
        let targets = Targets { labels: &[0, 1], class_weights: &[1.0, 1.0] };
        approx::assert_abs_diff_eq!(targets.loss(&[0.0, 0.0], 1), 2.0_f64.ln());
    }

    #[test]
    fn a_class_of_weight_2_counts_as_if_it_were_there_twice() {
        let weighed = Targets { labels: &[0, 1], class_weights: &[1.0, 2.0] };
        let twice = Targets { labels: &[0, 1, 1], class_weights: &[1.0, 1.0] };
        let expected = twice.loss(&[0.3, -1.0, -1.0], 1);
        approx::assert_abs_diff_eq!(weighed.loss(&[0.3, -1.0], 1), expected, epsilon = 1e-12);
    }

    #[test]
    fn an_extreme_logit_gives_a_finite_loss() {
        let targets = Targets { labels: &[0], class_weights: &[1.0, 1.0] };
        assert!(targets.loss(&[1e30], 1).is_finite());
    }
}
