//! Ridge regression over a whole path of penalties, from one eigendecomposition.

use faer::{Mat, Side};
use rayon::prelude::*;

use super::features::{Features, Moments, Scaling};
use super::gram::gram;
use super::readout::LinearReadout;
use crate::ProbeError;
use crate::linalg::{Matrix, Write, matmul_on_one_core};

/// Rows that are multiplied while they lie in a core's cache.
const BLOCK: usize = 128;

/// How to fit ridge regressions.
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeConfig {
    /// Penalties on the squared weights, each above 0, in any order: scikit-learn's `alpha`.
    ///
    /// By default eleven, from 1e-3 to 1e7.
    pub penalties: Vec<f64>,
    /// Whether the weights of features in standard deviations are penalised, as if the features
    /// had been standardised. `false` by default.
    pub standardize: bool,
}

impl Default for RidgeConfig {
    fn default() -> Self {
        Self { penalties: (-3..=7).map(|i| 10.0_f64.powi(i)).collect(), standardize: false }
    }
}

impl RidgeConfig {
    fn check(&self) -> Result<(), ProbeError> {
        let error = |value, expected| {
            Err(ProbeError::Hyperparameter { name: "penalties", value, expected })
        };
        if self.penalties.is_empty() {
            return error(0.0, "at least one");
        }
        match self.penalties.iter().find(|penalty| !(1e-30..=1e30).contains(*penalty)) {
            Some(&penalty) => error(penalty, "numbers from 1e-30 to 1e30"),
            None => Ok(()),
        }
    }
}

/// One ridge regression of all targets.
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeFit {
    /// Penalty on the squared weights.
    pub penalty: f64,
    /// Weights and bias of each target, for the features as they were given.
    pub readout: LinearReadout,
    /// R² of each target, each example predicted by a fit without it, `[n_targets]`.
    ///
    /// `None` for a target that is the same in every example.
    pub leave_one_out_r_squared: Vec<Option<f64>>,
    /// Effective number of parameters, the bias among them: the trace of the hat matrix.
    pub degrees_of_freedom: f64,
}

/// Fits ridge regressions of one or several targets, all penalties from one eigendecomposition.
///
/// ```text
/// minimise over w, b:   Σ_i (y_i - w·x_i - b)² + penalty ‖w‖²
///
/// X'X = V diag(s) V'  (centred),   w = V diag(1 / (s + penalty)) V'X'y
/// h_i = 1/n + Σ_k (x_i'V)_k² / (s_k + penalty),   residual without i = (y_i - ŷ_i) / (1 - h_i)
/// ```
///
/// The objective is that of scikit-learn's `Ridge(alpha=penalty)`, the residuals those of its
/// `RidgeCV`. Hastie, Tibshirani, and Friedman, "The elements of statistical learning", 2nd
/// edition, equations 3.44 and 7.64. Biases are not penalised.
///
/// Products are in `f32` of centred and scaled features, sums over 2048 examples and everything
/// after them in `f64`.
///
/// # Shapes
///
/// - `targets`: `[n_examples, n_targets]`, row-major
/// - returns one fit per penalty, in the order of the config
///
/// # Memory
///
/// Three squares of `d_model` in `f64`.
///
/// # Errors
///
/// - [`ProbeError::Hyperparameter`] if a penalty is out of range.
/// - [`ProbeError::NoExamples`] if there are no targets.
/// - [`ProbeError::SizeMismatch`] if the targets are not as many for every example.
/// - [`ProbeError::BadTarget`] if a target is not finite, or above 1e18 in magnitude.
/// - [`ProbeError::NoEigenvalues`] if the decomposition fails.
/// - [`ProbeError::NonFinite`] if a weight does not fit into `f32`.
///
/// # Examples
///
/// ```
/// use attention_probes_probes::{Features, RidgeConfig, ridge_path};
///
/// let x = [0.0, 1.0, 2.0, 3.0];
/// let config = RidgeConfig { penalties: vec![1e-6], ..RidgeConfig::default() };
/// let fits = ridge_path(Features::new(&x, 1)?, &[1.0, 3.0, 5.0, 7.0], &config)?;
/// assert!((fits[0].readout.weight()[0] - 2.0).abs() < 1e-4);
/// assert!(fits[0].leave_one_out_r_squared[0] > Some(0.999));
/// # Ok::<(), attention_probes_probes::ProbeError>(())
/// ```
pub fn ridge_path(
    features: Features<'_>,
    targets: &[f32],
    config: &RidgeConfig,
) -> Result<Vec<RidgeFit>, ProbeError> {
    config.check()?;
    let targets = Centred::new(targets, features.n_examples())?;
    let spectrum = Spectrum::new(features, &targets, config.standardize)?;
    config
        .penalties
        .iter()
        .map(|&penalty| {
            let weights = spectrum.weights(penalty);
            let leave_one_out_r_squared = spectrum.leave_one_out(&weights, &targets, penalty);
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for (weights, mean) in weights.iter().zip(&targets.means) {
                let (unscaled, moved) = spectrum.scaling.unscale(weights, *mean);
                weight.extend(unscaled);
                bias.push(moved);
            }
            Ok(RidgeFit {
                penalty,
                readout: LinearReadout::new(&weight, &bias)?,
                leave_one_out_r_squared,
                degrees_of_freedom: 1.0
                    + spectrum.values.iter().map(|s| s / (s + penalty)).sum::<f64>(),
            })
        })
        .collect()
}

/// Targets without their means.
struct Centred {
    n_targets: usize,
    means: Vec<f64>,
    /// `[n_examples, n_targets]`
    values: Vec<f64>,
}

impl Centred {
    fn new(targets: &[f32], n_examples: usize) -> Result<Self, ProbeError> {
        if targets.is_empty() {
            return Err(ProbeError::NoExamples { n_skipped: 0 });
        }
        if !targets.len().is_multiple_of(n_examples) {
            let what = "the number of targets of all examples";
            let expected = targets.len().next_multiple_of(n_examples);
            return Err(ProbeError::SizeMismatch { what, found: targets.len(), expected });
        }
        let n_targets = targets.len() / n_examples;
        if let Some(index) = targets.iter().position(|value| !(value.abs() <= 1e18)) {
            let expected = "a finite number of magnitude at most 1e18";
            let (example, value) = (index / n_targets, targets[index]);
            return Err(ProbeError::BadTarget { example, value, expected });
        }
        let column = |target: usize| targets.iter().skip(target).step_by(n_targets);
        let mean =
            |target: usize| column(target).map(|y| f64::from(*y)).sum::<f64>() / n_examples as f64;
        let means: Vec<f64> = (0..n_targets).map(mean).collect();
        let rows = targets.chunks_exact(n_targets);
        let values =
            rows.flat_map(|row| row.iter().zip(&means).map(|(y, mean)| f64::from(*y) - mean));
        Ok(Self { n_targets, values: values.collect(), means })
    }
}

/// The eigendecomposition, and what it makes of the targets.
struct Spectrum<'a> {
    features: Features<'a>,
    scaling: Scaling,
    /// Size of each penalised weight's feature, in the scale of the products.
    size: Vec<f64>,
    /// Eigenvalues, none below 0, `[d_model]`.
    values: Vec<f64>,
    vectors: Mat<f64>,
    /// `V'X'y` of each target.
    projected: Vec<Vec<f64>>,
}

impl<'a> Spectrum<'a> {
    fn new(
        features: Features<'a>,
        targets: &Centred,
        standardize: bool,
    ) -> Result<Self, ProbeError> {
        let d = features.d_model();
        let moments = Moments::new(features, None);
        let scaling = Scaling::exact(&moments);
        let size: Vec<f64> = scaling
            .factors()
            .iter()
            .map(|&factor| match factor {
                0.0 => 0.0,
                _ if standardize => 1.0,
                factor => 1.0 / f64::from(factor),
            })
            .collect();
        let gram = gram(features, &scaling, None);
        let matrix = Mat::from_fn(d, d, |i, j| gram[i * d + j] * size[i] * size[j]);
        let decomposition =
            matrix.self_adjoint_eigen(Side::Lower).map_err(|_| ProbeError::NoEigenvalues)?;
        let values = decomposition.S().column_vector().iter().map(|s| s.max(0.0)).collect();
        let vectors = decomposition.U().to_owned();
        let products = products(features, &scaling, targets);
        let projected = products
            .iter()
            .map(|product| {
                let along = |k: usize| (0..d).map(|j| vectors[(j, k)] * size[j] * product[j]).sum();
                (0..d).map(along).collect()
            })
            .collect();
        Ok(Self { features, scaling, size, values, vectors, projected })
    }

    /// Weights of each target for scaled features, `[n_targets, d_model]`.
    fn weights(&self, penalty: f64) -> Vec<Vec<f64>> {
        let d = self.values.len();
        self.projected
            .iter()
            .map(|projected| {
                let shares: Vec<f64> = projected
                    .iter()
                    .zip(&self.values)
                    .map(|(along, value)| along / (value + penalty))
                    .collect();
                (0..d)
                    .map(|j| {
                        let sum: f64 = (0..d).map(|k| self.vectors[(j, k)] * shares[k]).sum();
                        sum * self.size[j]
                    })
                    .collect()
            })
            .collect()
    }

    /// R² of predictions without the example, for each target.
    fn leave_one_out(
        &self,
        weights: &[Vec<f64>],
        targets: &Centred,
        penalty: f64,
    ) -> Vec<Option<f64>> {
        let (d, n_targets) = (self.values.len(), targets.n_targets);
        let n = self.features.n_examples() as f64;
        // Columns whose squared products with a row sum to its leverage.
        let mut columns = vec![0.0_f32; d * d];
        for (j, row) in columns.chunks_exact_mut(d).enumerate() {
            for (k, value) in row.iter_mut().enumerate() {
                let root = (self.values[k] + penalty).sqrt();
                *value = (self.vectors[(j, k)] * self.size[j] / root) as f32;
            }
        }
        let blocks = self.features.values().par_chunks(BLOCK * d);
        let residuals: Vec<Vec<f64>> = blocks
            .zip(targets.values.par_chunks(BLOCK * n_targets))
            .map(|(rows, targets)| {
                let mut scratch = Vec::new();
                let x = self.scaling.rows(rows, &mut scratch);
                let m = rows.len() / d;
                let mut along = vec![0.0; m * d];
                let columns = Matrix::new(&columns, d, d);
                matmul_on_one_core(&mut along, Matrix::new(x, m, d), columns, Write::Replace);
                let mut squares = vec![0.0; n_targets];
                for (i, along) in along.chunks_exact(d).enumerate() {
                    let leverage = along.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>();
                    // An example that alone decides its prediction has no fit without it.
                    let rest = (1.0 - 1.0 / n - leverage).max(f64::from(f32::EPSILON));
                    let x = &x[i * d..][..d];
                    for (target, weights) in weights.iter().enumerate() {
                        let products = x.iter().zip(weights).map(|(x, w)| f64::from(*x) * w);
                        let residual = targets[i * n_targets + target] - products.sum::<f64>();
                        squares[target] += (residual / rest).powi(2);
                    }
                }
                squares
            })
            .collect();
        (0..n_targets)
            .map(|target| {
                let square: f64 = residuals.iter().map(|squares| squares[target]).sum();
                let values = targets.values.iter().skip(target).step_by(n_targets);
                let total: f64 = values.map(|y| y * y).sum();
                (total > 0.0).then(|| 1.0 - square / total)
            })
            .collect()
    }
}

/// `X'y` of each target, of scaled features.
fn products(features: Features<'_>, scaling: &Scaling, targets: &Centred) -> Vec<Vec<f64>> {
    let (d, n_targets) = (features.d_model(), targets.n_targets);
    let parts: Vec<Vec<f64>> = features
        .values()
        .par_chunks(16 * BLOCK * d)
        .zip(targets.values.par_chunks(16 * BLOCK * n_targets))
        .map(|(rows, targets)| {
            let mut sums = vec![0.0; n_targets * d];
            let mut row = vec![0.0; d];
            for (values, targets) in rows.chunks_exact(d).zip(targets.chunks_exact(n_targets)) {
                scaling.scale_rows(values, None, &mut row);
                for (sums, target) in sums.chunks_exact_mut(d).zip(targets) {
                    for (sum, x) in sums.iter_mut().zip(&row) {
                        *sum += target * f64::from(*x);
                    }
                }
            }
            sums
        })
        .collect();
    (0..n_targets)
        .map(|target| {
            let sum = |j: usize| parts.iter().map(|part| part[target * d + j]).sum();
            (0..d).map(sum).collect()
        })
        .collect()
}
