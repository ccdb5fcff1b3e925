//! Pooled activations on the host, checked once, and their scale.

use attention_probes_kernels::vectorize;
use rayon::prelude::*;

use crate::ProbeError;

/// Largest magnitude of a feature; the square of anything larger leaves the range of `f32`.
const LARGEST: f32 = 1e18;

/// Rows per task when columns are summed.
const ROWS: usize = 1024;

/// One row of numbers per example: activations after pooling.
///
/// Every number is finite and at most 1e18 in magnitude. The numbers are borrowed: nothing here
/// copies them.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    values: &'a [f32],
    d_model: usize,
}

impl<'a> Features<'a> {
    /// Checks features.
    ///
    /// # Shapes
    ///
    /// - `values`: `[n_examples, d_model]`, row-major
    ///
    /// # Errors
    ///
    /// - [`ProbeError::NoExamples`] if there are no numbers, or rows of no numbers.
    /// - [`ProbeError::SizeMismatch`] if the last row is short.
    /// - [`ProbeError::BadFeature`] if a number is NaN, infinite, or above 1e18 in magnitude.
    pub fn new(values: &'a [f32], d_model: usize) -> Result<Self, ProbeError> {
        if values.is_empty() || d_model == 0 {
            return Err(ProbeError::NoExamples { n_skipped: 0 });
        }
        if !values.len().is_multiple_of(d_model) {
            let expected = values.len().next_multiple_of(d_model);
            let what = "the number of features of all examples";
            return Err(ProbeError::SizeMismatch { what, found: values.len(), expected });
        }
        let is_bad = |value: &f32| value.is_nan() || value.abs() > LARGEST;
        let bad = values.par_chunks(ROWS * d_model).enumerate().find_map_first(|(chunk, rows)| {
            // Without a way out of the loop it vectorises.
            let all_good = rows.iter().fold(true, |good, x| good & (x.abs() <= LARGEST));
            (!all_good)
                .then(|| chunk * ROWS * d_model + rows.iter().position(is_bad).unwrap_or_default())
        });
        match bad {
            Some(index) => Err(ProbeError::BadFeature {
                example: index / d_model,
                feature: index % d_model,
                value: values[index],
            }),
            None => Ok(Self { values, d_model }),
        }
    }

    /// Returns the numbers, row-major.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Returns the width of a row.
    pub fn d_model(&self) -> usize {
        self.d_model
    }

    /// Returns the number of rows.
    pub fn n_examples(&self) -> usize {
        self.values.len() / self.d_model
    }

    /// Returns one row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, example: usize) -> &'a [f32] {
        &self.values[example * self.d_model..][..self.d_model]
    }
}

/// Mean and standard deviation of each feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) mean: Vec<f64>,
    /// 0 for a feature that is the same in every example, up to rounding.
    pub(super) deviation: Vec<f64>,
}

impl Moments {
    /// Weighs each example; without weights all weigh 1. Sums are in `f64`.
    ///
    /// The weights must have a sum above 0.
    pub(super) fn new(features: Features<'_>, weights: Option<&[f64]>) -> Self {
        let d = features.d_model;
        let origin = features.row(0);
        let parts: Vec<Sums> = features
            .values
            .par_chunks(ROWS * d)
            .enumerate()
            .map(|(chunk, rows)| {
                let mut sums = Sums::new(d);
                vectorize(
                    #[inline(always)]
                    || {
                        for (i, row) in rows.chunks_exact(d).enumerate() {
                            let weight = weights.map_or(1.0, |weights| weights[chunk * ROWS + i]);
                            sums.add(row, origin, weight);
                        }
                    },
                );
                sums
            })
            .collect();
        let mut total = Sums::new(d);
        for part in &parts {
            total.merge(part);
        }
        total.moments(origin)
    }
}

/// Sums of weighed distances from one row, and of their squares.
struct Sums {
    weight: f64,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Sums {
    fn new(d: usize) -> Self {
        Self { weight: 0.0, first: vec![0.0; d], second: vec![0.0; d] }
    }

    #[expect(clippy::inline_always, reason = "the loop gets the caller's instructions")]
    #[inline(always)]
    fn add(&mut self, row: &[f32], origin: &[f32], weight: f64) {
        self.weight += weight;
        let sums = self.first.iter_mut().zip(&mut self.second);
        for ((first, second), (x, origin)) in sums.zip(row.iter().zip(origin)) {
            let distance = f64::from(*x) - f64::from(*origin);
            *first += weight * distance;
            *second += weight * distance * distance;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.weight += other.weight;
        for (sum, part) in self.first.iter_mut().zip(&other.first) {
            *sum += part;
        }
        for (sum, part) in self.second.iter_mut().zip(&other.second) {
            *sum += part;
        }
    }

    fn moments(&self, origin: &[f32]) -> Moments {
        let (mut mean, mut deviation) = (Vec::new(), Vec::new());
        for ((first, second), origin) in self.first.iter().zip(&self.second).zip(origin) {
            let distance = first / self.weight;
            let variance = (second / self.weight - distance * distance).max(0.0);
            let centre = f64::from(*origin) + distance;
            // Rounding makes a constant feature vary; what is below it varies in name only.
            let rounding = f64::from(f32::EPSILON) * centre.abs() + f64::EPSILON * distance.abs();
            let varies = variance.sqrt() > rounding.max(1e-30);
            mean.push(centre);
            deviation.push(if varies { variance.sqrt() } else { 0.0 });
        }
        Moments { mean, deviation }
    }
}

/// The scale in which problems are solved: each feature centred, and divided by its deviation.
///
/// Centring only moves the bias, which is free, and dividing only changes the penalty of each
/// weight, which [`Problem`](super::problem::Problem) is told; so every problem is solved exactly,
/// in numbers of one size. A constant feature becomes 0.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    /// What is subtracted.
    shift: Vec<f32>,
    /// What the difference is multiplied by.
    factor: Vec<f32>,
    /// Whether the features are near enough to their scaled form to be used as they lie.
    as_they_lie: bool,
}

impl Scaling {
    /// Leaves features that have nearly this scale as they are, which saves a pass through them.
    pub(super) fn new(moments: &Moments) -> Self {
        let near =
            |(mean, deviation): (&f64, &f64)| mean.abs() <= 0.01 && (0.5..=2.0).contains(deviation);
        if moments.mean.iter().zip(&moments.deviation).all(near) {
            let d = moments.mean.len();
            return Self { shift: vec![0.0; d], factor: vec![1.0; d], as_they_lie: true };
        }
        Self::exact(moments)
    }

    /// Leaves every feature with a mean of 0.
    pub(super) fn exact(moments: &Moments) -> Self {
        let factor =
            |&deviation: &f64| if deviation > 0.0 { (1.0 / deviation) as f32 } else { 0.0 };
        Self {
            shift: moments.mean.iter().map(|&mean| mean as f32).collect(),
            factor: moments.deviation.iter().map(factor).collect(),
            as_they_lie: false,
        }
    }

    /// What each centred feature is multiplied by.
    pub(super) fn factors(&self) -> &[f32] {
        &self.factor
    }

    /// Whether a feature is the same in every example.
    pub(super) fn is_constant(&self, feature: usize) -> bool {
        self.factor[feature] == 0.0
    }

    /// Whether features are used as they lie, without a change.
    pub(super) fn is_identity(&self) -> bool {
        self.as_they_lie
    }

    /// Rows as they are multiplied, in `scratch` unless they can be used where they lie.
    pub(super) fn rows<'r>(&self, rows: &'r [f32], scratch: &'r mut Vec<f32>) -> &'r [f32] {
        if self.as_they_lie {
            return rows;
        }
        scratch.resize(rows.len(), 0.0);
        self.scale_rows(rows, None, scratch);
        scratch
    }

    /// Scales rows, and multiplies each by a weight of its own if there are weights.
    pub(super) fn scale_rows(&self, rows: &[f32], weights: Option<&[f32]>, scaled: &mut [f32]) {
        let d = self.shift.len();
        vectorize(
            #[inline(always)]
            || {
                let pairs = scaled.chunks_exact_mut(d).zip(rows.chunks_exact(d));
                for (i, (scaled, row)) in pairs.enumerate() {
                    let weight = weights.map_or(1.0, |weights| weights[i]);
                    let numbers = row.iter().zip(&self.shift).zip(&self.factor);
                    for (scaled, ((x, shift), factor)) in scaled.iter_mut().zip(numbers) {
                        *scaled = (x - shift) * factor * weight;
                    }
                }
            },
        );
    }

    /// Weights and bias for the features as they were given.
    ///
    /// ```text
    /// w[j] = v[j] factor[j],   b = c - Σ_j w[j] shift[j]
    /// ```
    pub(super) fn unscale(&self, weights: &[f64], bias: f64) -> (Vec<f64>, f64) {
        let unscaled: Vec<f64> =
            weights.iter().zip(&self.factor).map(|(v, factor)| v * f64::from(*factor)).collect();
        let moved = unscaled.iter().zip(&self.shift).map(|(w, shift)| w * f64::from(*shift));
        let bias = bias - moved.sum::<f64>();
        (unscaled, bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_features_are_named() {
        let refused = |values: &[f32]| Features::new(values, 2).unwrap_err().to_string();
        assert_eq!(
            refused(&[1.0, 2.0, 3.0, f32::NAN]),
            "feature 1 of example 1 is NaN, expected a finite number of magnitude at most 1e18; \
             leave the example out"
        );
        assert!(refused(&[1.0, f32::NEG_INFINITY]).starts_with("feature 1 of example 0 is -inf"));
        assert!(refused(&[-2e18, 1.0]).starts_with("feature 0 of example 0 is -2"));
        assert_eq!(
            refused(&[1.0, 2.0, 3.0]),
            "the number of features of all examples is 3, expected 4"
        );
        assert!(matches!(Features::new(&[], 2), Err(ProbeError::NoExamples { .. })));
        assert!(matches!(Features::new(&[1.0], 0), Err(ProbeError::NoExamples { .. })));
    }

    #[test]
    fn moments_are_weighed_and_a_constant_has_no_deviation() {
        let values = [1.0, 7.0, 3.0, 7.0, 9.0, 7.0];
        let features = Features::new(&values, 2).unwrap();
        let moments = Moments::new(features, Some(&[3.0, 1.0, 0.0]));
        approx::assert_relative_eq!(moments.mean[0], 1.5);
        approx::assert_relative_eq!(moments.deviation[0], 0.75_f64.sqrt());
        assert_eq!((moments.mean[1], moments.deviation[1]), (7.0, 0.0));
    }

    #[test]
    fn a_far_mean_costs_no_digits() {
        let values: Vec<f32> = (0..4000_u16).map(|i| 1e6 + f32::from(i % 8)).collect();
        let moments = Moments::new(Features::new(&values, 1).unwrap(), None);
        approx::assert_relative_eq!(moments.mean[0], 1e6 + 3.5);
        approx::assert_relative_eq!(moments.deviation[0], 5.25_f64.sqrt(), max_relative = 1e-9);
    }

    #[test]
    fn unscaled_weights_give_the_same_logits() {
        let values = [1.0, 20.0, 4.0, 5.0, -2.0, 10.0];
        let features = Features::new(&values, 2).unwrap();
        let scaling = Scaling::new(&Moments::new(features, None));
        let (weights, bias) = scaling.unscale(&[0.5, -2.0], 0.25);
        let mut scratch = Vec::new();
        let scaled = scaling.rows(&values, &mut scratch);
        for (row, scaled) in values.chunks(2).zip(scaled.chunks(2)) {
            let found = weights[0] * f64::from(row[0]) + weights[1] * f64::from(row[1]) + bias;
            let expected = 0.5 * f64::from(scaled[0]) - 2.0 * f64::from(scaled[1]) + 0.25;
            approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-5);
        }
    }
}
