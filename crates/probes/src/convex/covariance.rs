//! Means and covariances of classes, and shrinkage.

use attention_probes_errors::ValueError;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::features::{Features, Moments, Scaling};
use super::gram::gram;
use super::targets::check_labels;
use crate::ProbeError;

/// How a covariance is kept away from singular.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Shrinkage {
    /// As much as Ledoit and Wolf estimate, for each class with its features standardised:
    /// scikit-learn's `shrinkage="auto"`.
    ///
    /// Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices"
    /// (2004), lemma 3.3.
    #[default]
    LedoitWolf,
    /// `(1 - s) Σ + s (tr Σ / d_model) I`, `s` from 0 to 1: scikit-learn's `shrinkage=s`.
    Fixed(f64),
    /// `Σ + r I`, `r` from 0 on.
    Ridge(f64),
}

impl Shrinkage {
    fn check(self) -> Result<(), ProbeError> {
        match self {
            Self::LedoitWolf => Ok(()),
            Self::Fixed(value) if (0.0..=1.0).contains(&value) => Ok(()),
            Self::Fixed(value) => {
                let (name, expected) = ("shrinkage", "a share from 0 to 1");
                Err(ValueError::new(name, value, expected).into())
            }
            Self::Ridge(value) if value >= 0.0 && value.is_finite() => Ok(()),
            Self::Ridge(value) => {
                let (name, expected) = ("ridge", "0 or a number above it");
                Err(ValueError::new(name, value, expected).into())
            }
        }
    }
}

/// Mean and share of each class, and the features by class.
pub(super) struct Classes {
    d_model: usize,
    n_examples: usize,
    /// Features of each class, `[n_class, d_model]`.
    rows: Vec<Vec<f32>>,
    /// `[n_classes]`
    pub(super) priors: Vec<f64>,
    moments: Vec<Moments>,
}

impl Classes {
    /// Divides features by class.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if the labels are not as many as the examples.
    /// - As [`check_labels`], and [`ProbeError::EmptyClass`] if a class has no example.
    pub(super) fn new(
        features: Features<'_>,
        labels: &[usize],
        n_classes: usize,
    ) -> Result<Self, ProbeError> {
        let (n_examples, d_model) = (features.n_examples(), features.d_model());
        if labels.len() != n_examples {
            let (what, found) = ("the number of labels", labels.len());
            return Err(ProbeError::SizeMismatch { what, found, expected: n_examples });
        }
        check_labels(labels, n_classes)?;
        if let Some(class) = (0..n_classes).find(|class| !labels.contains(class)) {
            return Err(ProbeError::EmptyClass { class });
        }
        let mut rows = vec![Vec::new(); n_classes];
        for (example, &label) in labels.iter().enumerate() {
            rows[label].extend_from_slice(features.row(example));
        }
        let share = |rows: &Vec<f32>| (rows.len() / d_model) as f64 / n_examples as f64;
        let priors = rows.iter().map(share).collect();
        let moments: Result<Vec<Moments>, ProbeError> =
            rows.iter().map(|rows| Ok(Moments::new(Features::new(rows, d_model)?, None))).collect();
        Ok(Self { d_model, n_examples, rows, priors, moments: moments? })
    }

    pub(super) fn mean(&self, class: usize) -> &[f64] {
        &self.moments[class].mean
    }

    /// Covariance within the classes, their shares as weights, shrunk: `[d_model, d_model]`.
    ///
    /// ```text
    /// Σ = Σ_k prior_k cov_k,   cov_k = Σ_i (x_i - mean_k)(x_i - mean_k)' / n_k
    /// ```
    pub(super) fn covariance(&self, shrinkage: Shrinkage) -> Result<Vec<f64>, ProbeError> {
        shrinkage.check()?;
        let d = self.d_model;
        let mut sum = vec![0.0; d * d];
        for ((rows, moments), prior) in self.rows.iter().zip(&self.moments).zip(&self.priors) {
            let scaling = Scaling::exact(moments);
            let features = Features::new(rows, d)?;
            let n = features.n_examples() as f64;
            let mut correlation = gram(features, &scaling, None);
            for value in &mut correlation {
                *value /= n;
            }
            if shrinkage == Shrinkage::LedoitWolf {
                let share = ledoit_wolf(features, &scaling, &correlation);
                shrink(&mut correlation, share, d);
            }
            // The scale by which the features were multiplied, taken back.
            let scale: Vec<f64> = scaling.factors().iter().map(|&f| inverse(f)).collect();
            for (i, (sum, value)) in sum.iter_mut().zip(&correlation).enumerate() {
                *sum += prior * value * scale[i / d] * scale[i % d];
            }
        }
        match shrinkage {
            Shrinkage::LedoitWolf => {}
            Shrinkage::Fixed(share) => shrink(&mut sum, share, d),
            Shrinkage::Ridge(ridge) => (0..d).for_each(|j| sum[j * d + j] += ridge),
        }
        Ok(sum)
    }

    /// Mean square within the classes of the projection on a direction.
    pub(super) fn projected_variance(&self, direction: &[f64]) -> f64 {
        let mut sum = 0.0;
        for (rows, moments) in self.rows.iter().zip(&self.moments) {
            for row in rows.chunks_exact(self.d_model) {
                let centred = row.iter().zip(&moments.mean).map(|(x, mean)| f64::from(*x) - mean);
                let projection: f64 = centred.zip(direction).map(|(x, w)| x * w).sum();
                sum += projection * projection;
            }
        }
        sum / self.n_examples as f64
    }
}

/// Solves `Σ w = v` for each of some vectors.
///
/// A feature that never varies gets the weight 0.
///
/// # Errors
///
/// [`ProbeError::SingularCovariance`] if the covariance has no inverse.
pub(super) fn solve(covariance: &[f64], vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, ProbeError> {
    let n = vectors.len();
    let d = vectors.first().map_or(0, Vec::len);
    // Features of one size make the factor's rounding that of correlations.
    let scale: Vec<f64> = (0..d).map(|j| covariance[j * d + j].max(0.0).sqrt()).collect();
    let inverse = |j: usize| if scale[j] > 0.0 { 1.0 / scale[j] } else { 0.0 };
    let correlation = Mat::from_fn(d, d, |i, j| {
        if i == j { 1.0 } else { covariance[i * d + j] * inverse(i) * inverse(j) }
    });
    let singular = || ProbeError::SingularCovariance;
    let factor = correlation.llt(Side::Lower).map_err(|_| singular())?;
    // Products in `f32` know a correlation to some 1e-6; less than that is no pivot.
    if !(0..d).all(|j| factor.L()[(j, j)].powi(2) > 1e-6) {
        return Err(singular());
    }
    let sides = Mat::from_fn(d, n, |j, i| vectors[i][j] * inverse(j));
    let solved = factor.solve(&sides);
    Ok((0..n).map(|i| (0..d).map(|j| solved[(j, i)] * inverse(j)).collect()).collect())
}

/// `(1 - share) Σ + share (tr Σ / d) I`, in place.
fn shrink(covariance: &mut [f64], share: f64, d: usize) {
    let mean = (0..d).map(|j| covariance[j * d + j]).sum::<f64>() / d as f64;
    for (i, value) in covariance.iter_mut().enumerate() {
        *value *= 1.0 - share;
        if i / d == i % d {
            *value += share * mean;
        }
    }
}

/// The share that Ledoit and Wolf estimate, of centred and scaled features and their covariance.
///
/// ```text
/// μ = tr S / d,   δ² = ‖S - μ I‖² / d,   β² = min(δ², (Σ_i ‖x_i‖⁴ / n - ‖S‖²) / (n d))
/// share = β² / δ²
/// ```
///
/// as `sklearn/covariance/_shrunk_covariance.py` computes it.
fn ledoit_wolf(features: Features<'_>, scaling: &Scaling, covariance: &[f64]) -> f64 {
    let (n, d) = (features.n_examples() as f64, features.d_model());
    let mean = (0..d).map(|j| covariance[j * d + j]).sum::<f64>() / d as f64;
    let square = covariance.iter().map(|value| value.powi(2)).sum::<f64>();
    let mut row = vec![0.0; d];
    let mut fourth = 0.0;
    for values in features.values().chunks_exact(d) {
        scaling.scale_rows(values, None, &mut row);
        fourth += row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().powi(2);
    }
    let delta = (square - d as f64 * mean * mean) / d as f64;
    let beta = (fourth / n - square) / (n * d as f64);
    if delta > 0.0 && beta > 0.0 { (beta / delta).min(1.0) } else { 0.0 }
}

fn inverse(factor: f32) -> f64 {
    if factor > 0.0 { 1.0 / f64::from(factor) } else { 0.0 }
}
