//! What the words alone tell of targets other than classes: regressions on sparse rows.

use attention_probes_activations::{LabelKind, Labels, Split};
use attention_probes_errors::Stop;
use attention_probes_kernels::{ConjugateGradients, conjugate_gradients, dot_f64_in_order as dot};
use attention_probes_metrics::r_squared;
use attention_probes_probes::{LinearReadout, LogisticTargets};

use crate::SweepError;
use crate::judge::bag_of_words::{BagOfWords, FitFollower, WordTargets};
use crate::train::penalty_path::mean_log_loss;

/// Penalties that a ridge regression chooses from; rows have length 1.
const RIDGE_PENALTIES: [f64; 6] = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// When conjugate gradients end.
const UNTIL: ConjugateGradients = ConjugateGradients { max_steps: 500, tolerance: 1e-8 };

/// The penalty that validation chose, and the logits of a logistic regression for every test
/// example, `[n, n_out]`.
///
/// One penalty for all labels, chosen by their log loss.
pub(crate) fn logistic_on_words(
    words: &BagOfWords,
    targets: &Labels,
    split: &Split,
    follower: FitFollower<'_>,
) -> Result<(f64, Vec<f32>), SweepError> {
    let (train, validation) = (targets.select(&split.train), targets.select(&split.validation));
    let learned = LogisticTargets::of_labels(&train)?;
    let vocabulary = words.vocabulary(&split.train);
    let held_out = words.features(&vocabulary, &split.validation);
    let mut best: Option<(f64, f64, LinearReadout)> = None;
    let mut choose = |penalty, readout: LinearReadout| {
        let loss = log_loss(&held_out.outputs(&readout)?, &validation);
        if best.as_ref().is_none_or(|(known, ..)| loss < *known) {
            best = Some((loss, penalty, readout));
        }
        Ok(())
    };
    let learned = WordTargets { targets: &learned, weights: None };
    words.path((&vocabulary, &split.train), learned, follower, &mut choose)?;
    let (_, penalty, readout) = best.ok_or(SweepError::Empty { key: "sweep.penalties" })?;
    Ok((penalty, words.features(&vocabulary, &split.test).outputs(&readout)?))
}

/// Mean log loss in nats, summed over labels.
fn log_loss(logits: &[f32], targets: &Labels) -> f64 {
    if targets.kind() != LabelKind::Labels {
        return mean_log_loss(logits, targets, 0);
    }
    let n_labels = targets.n_columns();
    let of_label = |label: usize| {
        let logits: Vec<f32> = logits.iter().skip(label).step_by(n_labels).copied().collect();
        mean_log_loss(&logits, targets, label)
    };
    (0..n_labels).map(of_label).sum()
}

/// The penalty that validation chose, and what the bag of words then says of every test example.
pub(crate) fn ridge_on_words(
    words: &BagOfWords,
    targets: &[f64],
    split: &Split,
    stop: &Stop,
) -> Result<(f64, Vec<f32>), SweepError> {
    let validation: Vec<f64> = split.validation.iter().map(|&i| targets[i]).collect();
    let mut best: Option<(f64, f64, Vec<f64>)> = None;
    let mut params = vec![0.0; words.n_features()];
    // From the strongest penalty on, each solution is a good start for the next.
    for penalty in RIDGE_PENALTIES.into_iter().rev() {
        stop.check()?;
        let problem = RidgeProblem::new(words, targets, &split.train, penalty);
        params = problem.solve(params);
        let outputs: Vec<f64> =
            split.validation.iter().map(|&row| problem.predict(&params, row)).collect();
        let score = r_squared(&validation, &outputs)?;
        if best.as_ref().is_none_or(|(known, ..)| score > *known) {
            let test = split.test.iter().map(|&row| problem.predict(&params, row)).collect();
            best = Some((score, penalty, test));
        }
    }
    let (_, penalty, test) = best.ok_or(SweepError::Empty { key: "sweep.penalties" })?;
    Ok((penalty, test.into_iter().map(|value| value as f32).collect()))
}

/// Ridge regression on sparse rows, with a free bias.
///
/// ```text
/// minimise over w:   Σ_i (y_i - ȳ - w·(x_i - x̄))² + penalty ‖w‖²
/// ```
struct RidgeProblem<'a> {
    words: &'a BagOfWords,
    train: &'a [usize],
    penalty: f64,
    mean: f64,
    mean_row: Vec<f64>,
    /// `X'y`, centred.
    products: Vec<f64>,
}

impl<'a> RidgeProblem<'a> {
    fn new(words: &'a BagOfWords, targets: &[f64], train: &'a [usize], penalty: f64) -> Self {
        let n = train.len() as f64;
        let mean = train.iter().map(|&row| targets[row] / n).sum::<f64>();
        let mut mean_row = vec![0.0; words.n_features()];
        let mut products = vec![0.0; words.n_features()];
        for &row in train {
            for &(word, x) in words.row(row) {
                mean_row[word] += f64::from(x) / n;
                // The deviations have no sum, so x needs no centring here.
                products[word] += (targets[row] - mean) * f64::from(x);
            }
        }
        Self { words, train, penalty, mean, mean_row, products }
    }

    /// `w·(x - x̄)` of a row.
    fn centred(&self, params: &[f64], row: usize) -> f64 {
        let seen = self.words.row(row).iter().map(|&(word, x)| params[word] * f64::from(x));
        seen.sum::<f64>() - dot(params, &self.mean_row)
    }

    fn predict(&self, params: &[f64], row: usize) -> f64 {
        self.mean + self.centred(params, row)
    }

    /// `(X'X + penalty) w`, centred.
    fn apply(&self, params: &[f64]) -> Vec<f64> {
        let mut result: Vec<f64> = params.iter().map(|w| self.penalty * w).collect();
        let offset = dot(params, &self.mean_row);
        for &row in self.train {
            let seen = self.words.row(row).iter().map(|&(word, x)| params[word] * f64::from(x));
            let value = seen.sum::<f64>() - offset;
            // Centred values have no sum either.
            for &(word, x) in self.words.row(row) {
                result[word] += value * f64::from(x);
            }
        }
        result
    }

    /// The solution, from a start.
    fn solve(&self, start: Vec<f64>) -> Vec<f64> {
        conjugate_gradients(|params| self.apply(params), &self.products, start, UNTIL)
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_probes::{
        Features, LogisticConfig, LogisticData, RidgeConfig, logistic_path, ridge_path,
    };

    use super::*;
    use crate::tracker::NoTracker;

    /// The rows of some texts, dense.
    fn dense(words: &BagOfWords, n: usize) -> Vec<f32> {
        let mut dense = vec![0.0; n * words.n_features()];
        for row in 0..n {
            for &(word, x) in words.row(row) {
                dense[row * words.n_features() + word] = x;
            }
        }
        dense
    }

    #[test]
    fn ridge_on_words_is_the_ridge_of_dense_rows() {
        let texts: Vec<Vec<u32>> =
            (0..40_u32).map(|i| vec![i % 5, (i * 3) % 7, i % 2, 6]).collect();
        let words = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let targets: Vec<f64> = (0..40).map(|i| f64::from(i % 5) + f64::from(i % 3)).collect();
        let train: Vec<usize> = (0..40).collect();
        let dense = dense(&words, 40);
        let features = Features::new(&dense, words.n_features()).unwrap();
        let config = RidgeConfig { penalties: vec![0.5], ..RidgeConfig::default() };
        let y: Vec<f32> = targets.iter().map(|value| *value as f32).collect();
        let fits = ridge_path(features, &y, &config).unwrap();
        let expected = fits[0].readout.outputs(features).unwrap();
        let problem = RidgeProblem::new(&words, &targets, &train, 0.5);
        let params = problem.solve(vec![0.0; words.n_features()]);
        for (row, expected) in expected.iter().enumerate() {
            let found = problem.predict(&params, row);
            approx::assert_abs_diff_eq!(found, f64::from(*expected), epsilon = 1e-4);
        }
    }

    /// The solver of dense rows is the oracle; its penalty is on the mean loss.
    fn check(targets: &Labels) {
        let n = targets.len();
        let texts: Vec<Vec<u32>> =
            (0..n as u32).map(|i| vec![i % 5, (i * 3) % 7, i % 2, 6]).collect();
        let words = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let rows: Vec<usize> = (0..n).collect();
        let split = Split { train: rows.clone(), validation: rows.clone(), test: rows };
        let stop = &Stop::never();
        let follower = FitFollower { data: "", folder: None, stop, tracker: &mut NoTracker };
        let (penalty, found) = logistic_on_words(&words, targets, &split, follower).unwrap();
        // Judged on what it learned from, the weakest penalty is the best.
        approx::assert_abs_diff_eq!(penalty, 0.01);
        let dense = dense(&words, n);
        let features = Features::new(&dense, words.n_features()).unwrap();
        let logistic = LogisticTargets::of_labels(targets).unwrap();
        let config = LogisticConfig { penalties: vec![0.01], ..LogisticConfig::default() };
        let data = LogisticData { features, targets: &logistic, weights: None };
        let fits = logistic_path(data, &config).unwrap();
        let n_out = found.len() / n;
        for fit in fits {
            let expected = fit.readout.outputs(features).unwrap();
            let columns = fit.readout.n_out();
            for (i, expected) in expected.iter().enumerate() {
                let at = i / columns * n_out + fit.label + i % columns;
                approx::assert_abs_diff_eq!(found[at], *expected, epsilon = 1e-3);
            }
        }
    }

    #[test]
    fn logistic_on_words_is_that_of_dense_rows() {
        let label = |i: usize, by| if i.is_multiple_of(by) { 1.0 } else { 0.0 };
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect();
        let labels = (0..40).flat_map(|i| [label(i, 5), label(i, 3)]).collect();
        check(&Labels::of_labels(labels, names(2)));
        let two = |i: usize| [0.2 + 0.1 * (i % 5) as f64, 0.8 - 0.1 * (i % 5) as f64];
        check(&Labels::of_distributions((0..40).flat_map(two).collect(), names(2)));
        let three = |i: usize| [0.1 * (i % 5) as f64, 0.5, 0.5 - 0.1 * (i % 5) as f64];
        check(&Labels::of_distributions((0..40).flat_map(three).collect(), names(3)));
    }
}
