//! What a probe of labels that are no classes has to beat: their mean, and the words alone.

use attention_probes_activations::{LabelKind, Split, Targets};
use attention_probes_metrics::r_squared;

use super::report::{SideReport, TargetBaselines};
use crate::SweepError;
use crate::baseline::BagOfWords;

/// Penalties that the bag of words chooses from; its rows have length 1.
const PENALTIES: [f64; 6] = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// Most steps of conjugate gradients.
const MAX_STEPS: usize = 500;

/// Size of the residual, as a share of what it was at the beginning, at which they end.
const TOLERANCE: f64 = 1e-8;

/// Largest logit of a mean that is 0 or 1.
const LARGEST_LOGIT: f64 = 30.0;

/// Judges the mean of the training labels, and where there are words, ridge regression of a number.
pub(super) fn baselines(
    targets: &Targets,
    split: &Split,
    words: Option<&BagOfWords>,
    seed: u64,
) -> Result<TargetBaselines, SweepError> {
    let test = targets.rows(&split.test);
    let outputs = mean_outputs(&targets.rows(&split.train));
    let outputs: Vec<f32> = split.test.iter().flat_map(|_| &outputs).copied().collect();
    let mean = SideReport::new(&test, &outputs, seed)?;
    let (mut bag_of_words, mut bag_of_words_penalty) = (None, None);
    if let (Some(words), LabelKind::Number) = (words, targets.kind) {
        let (penalty, outputs) = ridge_on_words(words, &targets.values, split)?;
        bag_of_words = Some(SideReport::new(&test, &outputs, seed)?);
        bag_of_words_penalty = Some(penalty);
    }
    Ok(TargetBaselines { mean, bag_of_words, bag_of_words_penalty })
}

/// What a probe would say that knows the mean of the labels alone.
fn mean_outputs(train: &Targets) -> Vec<f32> {
    let (n, n_columns) = (train.len() as f64, train.n_columns());
    let mean = |column: usize| {
        train.values.iter().skip(column).step_by(n_columns).map(|value| value / n).sum::<f64>()
    };
    let means: Vec<f64> = (0..n_columns).map(mean).collect();
    let logit = |p: f64| (p / (1.0 - p)).ln().clamp(-LARGEST_LOGIT, LARGEST_LOGIT) as f32;
    match (train.kind, &means[..]) {
        (LabelKind::Class | LabelKind::Number, _) => {
            means.iter().map(|mean| *mean as f32).collect()
        }
        (LabelKind::Labels, _) => means.iter().map(|&mean| logit(mean)).collect(),
        (LabelKind::Distribution, [_, second]) => vec![logit(*second)],
        (LabelKind::Distribution, _) => {
            means.iter().map(|mean| mean.ln().max(-LARGEST_LOGIT) as f32).collect()
        }
    }
}

/// The penalty that validation chose, and what the bag of words then says of every test example.
fn ridge_on_words(
    words: &BagOfWords,
    targets: &[f64],
    split: &Split,
) -> Result<(f64, Vec<f32>), SweepError> {
    let validation: Vec<f64> = split.validation.iter().map(|&i| targets[i]).collect();
    let mut best: Option<(f64, f64, Vec<f64>)> = None;
    let mut params = vec![0.0; words.n_features()];
    // From the strongest penalty on, each solution is a good start for the next.
    for penalty in PENALTIES.into_iter().rev() {
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

    /// Conjugate gradients (Hestenes and Stiefel, 1952) from a start.
    fn solve(&self, mut params: Vec<f64>) -> Vec<f64> {
        let applied = self.apply(&params);
        let mut residual: Vec<f64> =
            self.products.iter().zip(&applied).map(|(b, a)| b - a).collect();
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        let enough = TOLERANCE * TOLERANCE * dot(&self.products, &self.products);
        for _ in 0..MAX_STEPS {
            if square <= enough {
                break;
            }
            let applied = self.apply(&direction);
            let step = square / dot(&direction, &applied);
            for ((w, r), (d, a)) in
                params.iter_mut().zip(&mut residual).zip(direction.iter().zip(&applied))
            {
                *w += step * d;
                *r -= step * a;
            }
            let next = dot(&residual, &residual);
            for (d, r) in direction.iter_mut().zip(&residual) {
                *d = r + next / square * *d;
            }
            square = next;
        }
        params
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use attention_probes_probes::{Features, RidgeConfig, ridge_path};

    use super::*;

    #[test]
    fn ridge_on_words_is_the_ridge_of_dense_rows() {
        let texts: Vec<Vec<u32>> =
            (0..40_u32).map(|i| vec![i % 5, (i * 3) % 7, i % 2, 6]).collect();
        let words = BagOfWords::new(texts.iter().map(Vec::as_slice));
        let targets: Vec<f64> = (0..40).map(|i| f64::from(i % 5) + f64::from(i % 3)).collect();
        let train: Vec<usize> = (0..40).collect();
        let mut dense = vec![0.0; 40 * words.n_features()];
        for row in 0..40 {
            for &(word, x) in words.row(row) {
                dense[row * words.n_features() + word] = x;
            }
        }
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

    #[test]
    fn the_mean_is_said_as_a_probe_would_say_it() {
        let targets = |kind, n: usize, values: &[f64]| Targets {
            kind,
            names: (0..n).map(|i| i.to_string()).collect(),
            values: values.to_vec(),
        };
        let number = mean_outputs(&targets(LabelKind::Number, 1, &[1.0, 3.0]));
        approx::assert_abs_diff_eq!(number[0], 2.0);
        let labels = mean_outputs(&targets(LabelKind::Labels, 2, &[1.0, 0.0, 0.0, 0.0]));
        approx::assert_abs_diff_eq!(labels[0], 0.0);
        approx::assert_abs_diff_eq!(labels[1], -30.0);
        let shares = mean_outputs(&targets(LabelKind::Distribution, 2, &[0.25, 0.75]));
        approx::assert_abs_diff_eq!(shares[0], 3.0_f32.ln(), epsilon = 1e-6);
    }
}
