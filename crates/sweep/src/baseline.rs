//! What a probe has to beat: the most frequent class, and the words alone, without a model.

use std::collections::BTreeMap;

use attention_probes_activations::TokenizedDataset;
use attention_probes_metrics::{ConfusionMatrix, bootstrap_balanced_accuracy, predicted_class};
use attention_probes_probes::{Lbfgs, n_out, probabilities_from_logits};

use crate::SweepError;
use crate::config::SelectBy;
use crate::fit::FitData;
use crate::judged::LEVEL;
use crate::report::{BagOfWordsBaseline, Baselines};
use crate::select::{Score, compare};
use crate::stacked::Targets;

/// Penalties that the bag of words chooses from: scikit-learn's `1 / C` for `C` from 100 to 0.01.
pub(crate) const PENALTIES: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 100.0];

/// Resamples of the bootstrap.
const N_RESAMPLES: usize = 1000;

/// The baselines, and what the bag of words says about every test example.
pub(crate) struct FittedBaselines {
    pub(crate) report: Baselines,
    /// Classes that the bag of words predicts, where there are tokens.
    pub(crate) bag_of_words: Option<Vec<usize>>,
}

impl FittedBaselines {
    /// Trains on the training examples and judges on `test`.
    ///
    /// Without tokens there is no bag of words. `seed` fixes the bootstrap.
    pub(crate) fn new(
        data: &FitData<'_>,
        test: &[usize],
        tokens: Option<&TokenizedDataset>,
        seed: u64,
    ) -> Result<Self, SweepError> {
        let n_classes = data.n_classes;
        let mut counts = vec![0; n_classes];
        for &example in data.train {
            counts[data.labels[example]] += 1;
        }
        let majority = (0..n_classes).max_by_key(|&class| (counts[class], n_classes - class));
        let labels: Vec<usize> = test.iter().map(|&example| data.labels[example]).collect();
        let always = vec![majority.unwrap_or(0); test.len()];
        let majority = ConfusionMatrix::new(&labels, &always, n_classes)?;
        let words = tokens.map(|tokens| {
            let prefixes = data.examples.iter();
            let texts = prefixes.map(|&(sequence, end)| &tokens.sequence(sequence)[..end]);
            let fit = BagOfWords::new(texts).fit(data)?;
            let predictions = fit.predict(test);
            let found = ConfusionMatrix::new(&labels, &predictions, n_classes)?;
            let interval = bootstrap_balanced_accuracy(
                &labels,
                &predictions,
                n_classes,
                N_RESAMPLES,
                LEVEL,
                seed,
            )?;
            let balanced_accuracy = found.balanced_accuracy();
            let penalty = fit.penalty;
            let report = BagOfWordsBaseline { balanced_accuracy, interval, penalty };
            Ok::<_, SweepError>((report, predictions))
        });
        let (report, bag_of_words) = words.transpose()?.unzip();
        let report = Baselines {
            majority_accuracy: majority.accuracy(),
            majority_balanced_accuracy: majority.balanced_accuracy(),
            bag_of_words: report,
        };
        Ok(Self { report, bag_of_words })
    }
}

/// Tokens of some examples, as counts by id.
#[derive(Clone, Debug)]
pub struct BagOfWords {
    rows: Vec<Vec<(usize, f32)>>,
    n_features: usize,
}

/// A logistic regression on token counts.
#[derive(Clone, Debug)]
pub struct BagOfWordsFit {
    words: BagOfWords,
    /// Weights and a bias for each output, `[n_out, n_features + 1]`.
    params: Vec<f32>,
    n_classes: usize,
    /// Penalty on half the squared weights that validation chose.
    pub penalty: f64,
}

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

    /// Number of tokens that there can be.
    pub(crate) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Tokens of a row with their share of its length.
    pub(crate) fn row(&self, row: usize) -> &[(usize, f32)] {
        &self.rows[row]
    }

    /// Fits a logistic regression by L-BFGS for each of five penalties; validation chooses.
    ///
    /// It gets what a probe gets: the same examples, the same class weights, and the same choice
    /// of a setting by balanced accuracy and then loss.
    ///
    /// # Errors
    ///
    /// [`SweepError::Metric`] if a label is no class, or a side is empty.
    ///
    /// # Panics
    ///
    /// If an index is not a row.
    pub fn fit(self, data: &FitData<'_>) -> Result<BagOfWordsFit, SweepError> {
        let n_out = n_out(data.n_classes);
        let labels: Vec<usize> = data.validation.iter().map(|&i| data.labels[i]).collect();
        let targets = Targets::new(&labels, data.class_weights);
        let loss_of = |row: usize, logits: &mut [f64]| {
            let label = data.labels[row];
            (f64::from(data.class_weights[label]), cross_entropy(logits, label))
        };
        let mut best = (None, 0.0, Vec::new());
        for (penalty, params) in self.path(n_out, data.train, &loss_of) {
            let logits = self.logits_of(&params, n_out, data.validation);
            let score = Some(Score::new(&logits, &targets, data.n_classes)?);
            if compare(score, best.0, SelectBy::BalancedAccuracy).is_gt() {
                best = (score, penalty, params);
            }
        }
        let (_, penalty, params) = best;
        Ok(BagOfWordsFit { words: self, params, n_classes: data.n_classes, penalty })
    }

    /// Solves the problem of every penalty, from the strongest on: each solution is a good start
    /// for the next.
    ///
    /// `loss_of` gives weight and loss of a row, and turns its logits into their gradients.
    pub(crate) fn path(
        &self,
        n_out: usize,
        train: &[usize],
        loss_of: &impl Fn(usize, &mut [f64]) -> (f64, f64),
    ) -> Vec<(f64, Vec<f32>)> {
        let mut params = vec![0.0; n_out * (self.n_features + 1)];
        let solve = |penalty| {
            let mut loss = |params: &[f32]| self.loss(params, train, penalty, loss_of);
            params =
                Lbfgs { max_iter: 200, ..Lbfgs::default() }.minimise(&params, &mut loss).params;
            (penalty, params.clone())
        };
        PENALTIES.into_iter().rev().map(solve).collect()
    }

    /// Logits of some rows, `[n, n_out]`.
    pub(crate) fn logits_of(&self, params: &[f32], n_out: usize, rows: &[usize]) -> Vec<f32> {
        rows.iter()
            .flat_map(|&row| self.logits(params, n_out, row))
            .map(|logit| logit as f32)
            .collect()
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

    /// Weighed sum of losses plus half the penalised squared weights (biases free), and its
    /// gradient, both divided by the sum of the weights.
    fn loss(
        &self,
        params: &[f32],
        train: &[usize],
        penalty: f64,
        loss_of: &impl Fn(usize, &mut [f64]) -> (f64, f64),
    ) -> (f64, Vec<f32>) {
        let width = self.n_features + 1;
        let mut gradient = vec![0.0_f64; params.len()];
        let (mut sum, mut total) = (0.0, 0.0);
        for &row in train {
            let mut logits = self.logits(params, params.len() / width, row);
            let (weight, loss) = loss_of(row, &mut logits);
            sum += weight * loss;
            total += weight;
            for (class, residual) in logits.iter().enumerate() {
                let gradient = &mut gradient[class * width..][..width];
                for (id, x) in &self.rows[row] {
                    gradient[*id] += weight * residual * f64::from(*x);
                }
                gradient[width - 1] += weight * residual;
            }
        }
        for (i, (gradient, param)) in gradient.iter_mut().zip(params).enumerate() {
            if i % width != width - 1 {
                let param = f64::from(*param);
                sum += 0.5 * penalty * param * param;
                *gradient += penalty * param;
            }
        }
        (sum / total, gradient.into_iter().map(|g| (g / total) as f32).collect())
    }
}

impl BagOfWordsFit {
    /// Class of each of some rows.
    ///
    /// # Panics
    ///
    /// If an index is not a row.
    pub fn predict(&self, rows: &[usize]) -> Vec<usize> {
        let logits = self.words.logits_of(&self.params, n_out(self.n_classes), rows);
        let probabilities = probabilities_from_logits(&logits, self.n_classes);
        probabilities.chunks(self.n_classes).map(|row| predicted_class(row, 0.5)).collect()
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

    /// Trains on the first half of some texts, chooses on the third quarter, predicts the last.
    fn check(texts: &[Vec<u32>], labels: &[usize], n_classes: usize) {
        let examples: Vec<(usize, usize)> = vec![(0, 1); texts.len()];
        let indices: Vec<usize> = (0..texts.len()).collect();
        let (train, rest) = indices.split_at(texts.len() / 2);
        let (validation, test) = rest.split_at(rest.len() / 2);
        let class_weights = vec![1.0; n_classes];
        let examples = &examples[..];
        let class_weights = &class_weights[..];
        let groups = None;
        let data =
            FitData { examples, labels, n_classes, class_weights, groups, train, validation };
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        assert_eq!(bag.fit(&data).unwrap().predict(test), labels[test[0]..]);
    }

    #[test]
    fn words_that_tell_the_class_are_found() {
        let texts: Vec<Vec<u32>> = (0..40).map(|i| vec![i % 7 + 10, i % 2, i % 5 + 20]).collect();
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        check(&texts, &labels, 2);
    }

    #[test]
    fn three_classes_are_told_apart() {
        let texts: Vec<Vec<u32>> = (0..60).map(|i| vec![i % 3, 9, i % 11 + 10]).collect();
        let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
        check(&texts, &labels, 3);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let texts = [vec![0, 1], vec![1, 2], vec![2]];
        let bag = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let loss_of = |row: usize, logits: &mut [f64]| {
            (if row == 1 { 3.0 } else { 1.0 }, cross_entropy(logits, row))
        };
        let params: Vec<f32> = (0..12).map(|i| (i as f32 - 6.0) / 10.0).collect();
        let loss = |params: &[f32]| bag.loss(params, &[0, 1, 2], 0.7, &loss_of);
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
