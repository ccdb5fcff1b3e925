//! Ridge regression over a whole path of penalties, from one eigendecomposition.

use attention_probes_errors::ValueError;
use attention_probes_kernels::{Matrix, Write, matmul_on_one_core};
use faer::{Mat, Side};
use rayon::prelude::*;

use super::features::{Features, Moments, Scaling};
use super::gram::gram;
use super::readout::LinearReadout;
use crate::ProbeError;

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
        let error = |value, expected| Err(ValueError::new("penalties", value, expected).into());
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
/// Products are in `f32` of centred and scaled features, longer sums and the decomposition in
/// `f64`. A leverage is right to about 1e-6, so where a weak penalty lets the fit pass through
/// every example, the R² without the example is an order of magnitude.
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
/// use attention_probes::probes::{Features, RidgeConfig, ridge_path};
///
/// let x = [0.0, 1.0, 2.0, 3.0];
/// let config = RidgeConfig { penalties: vec![1e-6], ..RidgeConfig::default() };
/// let fits = ridge_path(Features::new(&x, 1)?, &[1.0, 3.0, 5.0, 7.0], &config)?;
/// assert!((fits[0].readout.weight()[0] - 2.0).abs() < 1e-4);
/// assert!(fits[0].leave_one_out_r_squared[0] > Some(0.999));
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
pub fn ridge_path(
    features: Features<'_>,
    targets: &[f32],
    config: &RidgeConfig,
) -> Result<Vec<RidgeFit>, ProbeError> {
    config.check()?;
    let targets = Centred::new(targets, features.n_examples())?;
    let spectrum = Spectrum::new(features, &targets, config.standardize)?;
    let weights = spectrum.weights(&config.penalties);
    let r_squared = spectrum.leave_one_out(&weights, &targets, &config.penalties);
    let (d, n_targets) = (features.d_model(), targets.n_targets);
    let paths = config.penalties.iter().zip(weights.chunks_exact(n_targets * d));
    paths
        .zip(r_squared.chunks_exact(n_targets))
        .map(|((&penalty, weights), r_squared)| {
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for (weights, mean) in weights.chunks_exact(d).zip(&targets.means) {
                let (unscaled, moved) = spectrum.scaling.unscale(weights, *mean);
                weight.extend(unscaled);
                bias.push(moved);
            }
            let shares = spectrum.values.iter().map(|s| s / (s + penalty));
            Ok(RidgeFit {
                penalty,
                readout: LinearReadout::new(&weight, &bias)?,
                leave_one_out_r_squared: r_squared.to_vec(),
                degrees_of_freedom: 1.0 + shares.sum::<f64>(),
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
        if let Some(index) = targets.iter().position(|value| value.is_nan() || value.abs() > 1e18) {
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
    /// Eigenvalues, none below 0, `[d_model]`.
    values: Vec<f64>,
    /// Eigenvectors, for scaled features, `[d_model, d_model]`.
    vectors: Mat<f64>,
    /// `V'X'y`, `[d_model, n_targets]`.
    projected: Mat<f64>,
}

impl<'a> Spectrum<'a> {
    fn new(
        features: Features<'a>,
        targets: &Centred,
        standardize: bool,
    ) -> Result<Self, ProbeError> {
        let d = features.d_model();
        let scaling = Scaling::exact(&Moments::new(features, None));
        // Size of the features whose weights are penalised.
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
        let u = decomposition.U();
        let vectors = Mat::from_fn(d, d, |j, k| size[j] * u[(j, k)]);
        let products = products(features, &scaling, targets);
        let projected = vectors.transpose()
            * Mat::from_fn(d, targets.n_targets, |j, target| products[target * d + j]);
        Ok(Self { features, scaling, values, vectors, projected })
    }

    /// Weights for scaled features, `[n_penalties, n_targets, d_model]`.
    fn weights(&self, penalties: &[f64]) -> Vec<f64> {
        let (d, n_targets) = (self.values.len(), self.projected.ncols());
        let shares = Mat::from_fn(d, penalties.len() * n_targets, |k, column| {
            self.projected[(k, column % n_targets)]
                / (self.values[k] + penalties[column / n_targets])
        });
        let weights = &self.vectors * shares;
        (0..weights.ncols())
            .flat_map(|i| weights.col(i).iter().copied().collect::<Vec<_>>())
            .collect()
    }

    /// R² of predictions without the example, `[n_penalties, n_targets]`.
    fn leave_one_out(
        &self,
        weights: &[f64],
        targets: &Centred,
        penalties: &[f64],
    ) -> Vec<Option<f64>> {
        let (d, n_targets, n_penalties) = (self.values.len(), targets.n_targets, penalties.len());
        let n = self.features.n_examples() as f64;
        let vectors: Vec<f32> = (0..d * d).map(|i| self.vectors[(i / d, i % d)] as f32).collect();
        let inverses: Vec<f32> = (0..d * n_penalties)
            .map(|i| (self.values[i / n_penalties] + penalties[i % n_penalties]).recip() as f32)
            .collect();
        let weights: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        let n_columns = n_penalties * n_targets;
        let blocks = self.features.values().par_chunks(BLOCK * d);
        let squares: Vec<Vec<f64>> = blocks
            .zip(targets.values.par_chunks(BLOCK * n_targets))
            .map(|(rows, targets)| {
                let mut scratch = Vec::new();
                let m = rows.len() / d;
                let x = Matrix::new(self.scaling.rows(rows, &mut scratch), m, d);
                let mut along = vec![0.0; m * d];
                matmul_on_one_core(&mut along, x, Matrix::new(&vectors, d, d), Write::Replace);
                for value in &mut along {
                    *value *= *value;
                }
                let mut leverages = vec![0.0; m * n_penalties];
                let inverses = Matrix::new(&inverses, d, n_penalties);
                let along = Matrix::new(&along, m, d);
                matmul_on_one_core(&mut leverages, along, inverses, Write::Replace);
                let mut predictions = vec![0.0; m * n_columns];
                let weights = Matrix::new(&weights, n_columns, d).transpose();
                matmul_on_one_core(&mut predictions, x, weights, Write::Replace);

                let mut squares = vec![0.0; n_columns];
                for (i, row) in predictions.chunks_exact(n_columns).enumerate() {
                    for (column, prediction) in row.iter().enumerate() {
                        let leverage = leverages[i * n_penalties + column / n_targets];
                        // An example that alone decides its prediction has no fit without it.
                        let rest = 1.0 - 1.0 / n - f64::from(leverage);
                        let rest = rest.max(f64::from(f32::EPSILON));
                        let target = targets[i * n_targets + column % n_targets];
                        squares[column] += ((target - f64::from(*prediction)) / rest).powi(2);
                    }
                }
                squares
            })
            .collect();
        let share = |column: usize| {
            let square: f64 = squares.iter().map(|squares| squares[column]).sum();
            let of_target = targets.values.iter().skip(column % n_targets).step_by(n_targets);
            let total: f64 = of_target.map(|y| y * y).sum();
            (total > 0.0).then(|| 1.0 - square / total)
        };
        (0..n_columns).map(share).collect()
    }
}

/// `X'y` of scaled features, `[n_targets, d_model]`.
fn products(features: Features<'_>, scaling: &Scaling, targets: &Centred) -> Vec<f64> {
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
    (0..n_targets * d).map(|i| parts.iter().map(|part| part[i]).sum()).collect()
}
