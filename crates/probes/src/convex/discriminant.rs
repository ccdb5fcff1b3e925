//! Probes in closed form, from the means of the classes: mass-mean and linear discriminant analysis.

use super::covariance::{Classes, Shrinkage, solve};
use super::features::Features;
use super::readout::LinearReadout;
use crate::{ProbeError, n_out};

/// What a mass-mean probe makes of the difference of the means, `θ = μ₁ - μ₀`.
///
/// `Σ` is the covariance within the classes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MassMean {
    /// `w = θ`: the direction alone. Its logits order examples; they are no log-odds.
    Direction,
    /// `w = θ (θ'θ) / (θ'Σθ)`: the direction, in the scale in which the logit is the log-odds if
    /// the projections of both classes are Gaussian with one variance.
    #[default]
    Scaled,
    /// `w = Σ⁻¹θ`: the logit is the log-odds if both classes are Gaussian with the covariance `Σ`.
    Whitened(Shrinkage),
}

/// Makes a probe of the difference of two classes' means, with the bias halfway between them.
///
/// ```text
/// logit = w·x - w·(μ₀ + μ₁) / 2
/// ```
///
/// Marks and Tegmark, "The geometry of truth" (2024), section 4.1, whose `Σ⁻¹` form is
/// [`MassMean::Whitened`]. The midpoint says that both classes are equally frequent, whatever they
/// are in the data: log-odds under other shares are those plus `ln(n₁ / n₀)`, as in
/// [`discriminant`].
///
/// # Errors
///
/// - [`ProbeError::SizeMismatch`] if the labels are not as many as the examples.
/// - [`ProbeError::LabelOutOfRange`], [`ProbeError::NoExamples`], or [`ProbeError::OneClass`] if
///   the labels are not 0 and 1.
/// - [`ProbeError::Hyperparameter`] if the shrinkage is out of range.
/// - [`ProbeError::SingularCovariance`] if `Σ` has no inverse, or the classes no spread along `θ`.
/// - [`ProbeError::NonFinite`] if a weight does not fit into `f32`.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Features, MassMean, mass_mean};
///
/// let x = [0.0, 1.0, 0.0, 3.0, 4.0, 1.0, 4.0, 3.0]; // [n_examples, 2]
/// let readout = mass_mean(Features::new(&x, 2)?, &[0, 0, 1, 1], MassMean::Direction)?;
/// assert_eq!((readout.weight(), readout.bias()), (&[4.0, 0.0][..], &[-8.0][..]));
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
pub fn mass_mean(
    features: Features<'_>,
    labels: &[usize],
    kind: MassMean,
) -> Result<LinearReadout, ProbeError> {
    let classes = Classes::new(features, labels, 2)?;
    let pairs = || classes.mean(0).iter().zip(classes.mean(1));
    let difference: Vec<f64> = pairs().map(|(low, high)| high - low).collect();
    let weight = match kind {
        MassMean::Direction => difference,
        MassMean::Scaled => {
            let square: f64 = difference.iter().map(|w| w * w).sum();
            let variance = classes.projected_variance(&difference);
            if square == 0.0 {
                difference
            } else if variance > f64::EPSILON * square * square {
                difference.iter().map(|w| w * square / variance).collect()
            } else {
                return Err(ProbeError::SingularCovariance);
            }
        }
        MassMean::Whitened(shrinkage) => {
            let covariance = classes.covariance(shrinkage)?;
            solve(&covariance, &[difference])?.swap_remove(0)
        }
    };
    let midpoint: f64 = pairs().zip(&weight).map(|((low, high), w)| w * (low + high) / 2.0).sum();
    LinearReadout::new(&weight, &[-midpoint])
}

/// Linear discriminant analysis: Gaussian classes that share one covariance `Σ`.
///
/// ```text
/// score_k = μ_k'Σ⁻¹x - μ_k'Σ⁻¹μ_k / 2 + ln prior_k
/// ```
///
/// The logits of scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr", shrinkage=…)`
/// (`sklearn/discriminant_analysis.py`): for two classes the difference of the scores. Priors are
/// the shares of the classes. Hastie, Tibshirani, and Friedman, "The elements of statistical
/// learning", 2nd edition, equation 4.10.
///
/// # Memory
///
/// A copy of the features by class, and two squares of `d_model` in `f64`.
///
/// # Errors
///
/// - [`ProbeError::SizeMismatch`] if the labels are not as many as the examples.
/// - [`ProbeError::Hyperparameter`] if `n_classes` is below 2, or the shrinkage out of range.
/// - [`ProbeError::LabelOutOfRange`], [`ProbeError::NoExamples`], [`ProbeError::OneClass`], or
///   [`ProbeError::EmptyClass`] if the labels are not all the classes.
/// - [`ProbeError::SingularCovariance`] if `Σ` has no inverse.
/// - [`ProbeError::NonFinite`] if a weight does not fit into `f32`.
pub fn discriminant(
    features: Features<'_>,
    labels: &[usize],
    n_classes: usize,
    shrinkage: Shrinkage,
) -> Result<LinearReadout, ProbeError> {
    let classes = Classes::new(features, labels, n_classes)?;
    let covariance = classes.covariance(shrinkage)?;
    // Means are taken from the first class's, which changes all scores alike, and costs no digits
    // where all means are far away.
    let origin = classes.mean(0);
    let distance = |class: usize| -> Vec<f64> {
        classes.mean(class).iter().zip(origin).map(|(mean, origin)| mean - origin).collect()
    };
    let distances: Vec<Vec<f64>> = (0..n_classes).map(distance).collect();
    let mut weights = solve(&covariance, &distances)?;
    let score_bias = |class: usize| {
        let terms = weights[class].iter().zip(&distances[class]).zip(origin);
        let moved: f64 = terms.map(|((w, distance), origin)| w * (distance / 2.0 + origin)).sum();
        classes.priors[class].ln() - moved
    };
    let mut biases: Vec<f64> = (0..n_classes).map(score_bias).collect();
    if n_out(n_classes) == 1 {
        weights = vec![weights[1].iter().zip(&weights[0]).map(|(high, low)| high - low).collect()];
        biases = vec![biases[1] - biases[0]];
    }
    LinearReadout::new(&weights.concat(), &biases)
}
