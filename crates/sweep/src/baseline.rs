//! What a probe has to beat: the words alone, without a model.

use std::collections::BTreeMap;

use attention_probes_probes::{Lbfgs, n_out};

/// Tokens of some examples, as counts by id.
#[derive(Clone, Debug)]
pub struct BagOfWords {
    rows: Vec<Vec<(usize, f32)>>,
    n_features: usize,
}

/// Penalty on the squared weights, per example; scikit-learn's `C = 1`.
const PENALTY: f64 = 1.0;

impl BagOfWords {
    /// Counts the tokens of each text; rows are scaled to length 1.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut n_features = 0;
        let rows = texts
            .into_iter()
            .map(|ids| {
                let mut counts: BTreeMap<usize, f32> = BTreeMap::new();
                for &id in ids {
                    *counts.entry(id as usize).or_default() += 1.0;
                    n_features = n_features.max(id as usize + 1);
                }
                let length = counts.values().map(|count| count * count).sum::<f32>().sqrt();
                counts.into_iter().map(|(id, count)| (id, count / length)).collect()
            })
            .collect();
        Self { rows, n_features }
    }

    /// Fits a logistic regression by L-BFGS on some rows and predicts the class of others.
    ///
    /// # Panics
    ///
    /// If an index is not a row, or `labels` is shorter than the rows.
    pub fn predict(
        &self,
        labels: &[usize],
        n_classes: usize,
        train: &[usize],
        test: &[usize],
    ) -> Vec<usize> {
        let n_out = n_out(n_classes);
        let width = self.n_features + 1;
        let mut loss = |params: &[f32]| self.loss(params, labels, n_out, train);
        let fit = Lbfgs { max_iter: 200, ..Lbfgs::default() }
            .minimise(&vec![0.0; n_out * width], &mut loss);
        let predict = |&row: &usize| {
            let logits = self.logits(&fit.params, n_out, row);
            if n_out == 1 {
                return usize::from(logits[0] > 0.0);
            }
            let best = (0..n_out).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)));
            best.unwrap_or(0)
        };
        test.iter().map(predict).collect()
    }

    /// Logits of a row; the last parameter of each class is its bias.
    fn logits(&self, params: &[f32], n_out: usize, row: usize) -> Vec<f64> {
        let width = self.n_features + 1;
        let class = |class: usize| {
            let params = &params[class * width..][..width];
            let seen = self.rows[row].iter().map(|(id, x)| f64::from(params[*id] * x));
            seen.sum::<f64>() + f64::from(params[width - 1])
        };
        (0..n_out).map(class).collect()
    }

    /// Sum of losses plus half the squared weights (biases free), and its gradient, both divided
    /// by the number of examples.
    fn loss(
        &self,
        params: &[f32],
        labels: &[usize],
        n_out: usize,
        train: &[usize],
    ) -> (f64, Vec<f32>) {
        let width = self.n_features + 1;
        let n = train.len() as f64;
        let mut gradient = vec![0.0_f64; params.len()];
        let mut sum = 0.0;
        for &row in train {
            let mut logits = self.logits(params, n_out, row);
            sum += cross_entropy(&mut logits, labels[row]);
            for (class, residual) in logits.iter().enumerate() {
                let gradient = &mut gradient[class * width..][..width];
                for (id, x) in &self.rows[row] {
                    gradient[*id] += residual * f64::from(*x);
                }
                gradient[width - 1] += residual;
            }
        }
        for (i, (gradient, param)) in gradient.iter_mut().zip(params).enumerate() {
            if i % width != width - 1 {
                let param = f64::from(*param);
                sum += 0.5 * PENALTY * param * param;
                *gradient += PENALTY * param;
            }
        }
        (sum / n, gradient.into_iter().map(|g| (g / n) as f32).collect())
    }
}

/// Loss of one example; the logits become their gradients.
fn cross_entropy(logits: &mut [f64], label: usize) -> f64 {
    if let [logit] = logits {
        let target = if label == 1 { 1.0 } else { 0.0 };
        let loss = logit.max(0.0) - *logit * target + (-logit.abs()).exp().ln_1p();
        *logit = 1.0 / (1.0 + (-*logit).exp()) - target;
        return loss;
    }
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - highest).exp()).sum();
    let loss = sum.ln() - (logits[label] - highest);
    for (class, z) in logits.iter_mut().enumerate() {
        *z = (*z - highest).exp() / sum - if class == label { 1.0 } else { 0.0 };
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_tell_the_class_are_found() {
        let texts: Vec<Vec<u32>> = (0..40).map(|i| vec![i % 7 + 10, i % 2, i % 5 + 20]).collect();
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let (train, test): (Vec<usize>, Vec<usize>) = (0..40).partition(|i| *i < 30);
        assert_eq!(bag.predict(&labels, 2, &train, &test), labels[30..]);
    }

    #[test]
    fn three_classes_are_told_apart() {
        let texts: Vec<Vec<u32>> = (0..60).map(|i| vec![i % 3, 9, i % 11 + 10]).collect();
        let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let (train, test): (Vec<usize>, Vec<usize>) = (0..60).partition(|i| *i < 45);
        assert_eq!(bag.predict(&labels, 3, &train, &test), labels[45..]);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let texts = [vec![0, 1], vec![1, 2], vec![2]];
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let labels = [0, 1, 2];
        let params: Vec<f32> = (0..12).map(|i| (i as f32 - 6.0) / 10.0).collect();
        let loss = |params: &[f32]| bag.loss(params, &labels, 3, &[0, 1, 2]);
        let (_, gradient) = loss(&params);
        for i in 0..params.len() {
            let moved = |by: f32| {
                let mut params = params.clone();
                params[i] += by;
                loss(&params).0
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            approx::assert_abs_diff_eq!(f64::from(gradient[i]), slope, epsilon = 1e-4);
        }
    }
}
