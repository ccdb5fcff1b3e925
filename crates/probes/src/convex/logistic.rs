//! Logistic regression over a whole path of penalties.

use attention_probes_errors::{Stop, Stopped, ValueError};
use rayon::prelude::*;

use super::features::{Features, Moments, Scaling};
use super::gram::gram;
use super::objective::Objective;
use super::preconditioner::Preconditioner;
use super::problem::{Examples, Problem};
use super::readout::LinearReadout;
use super::solver::{Ending, HISTORY, OnPass, Solution, minimise};
use super::targets::LogisticTargets;
use crate::ProbeError;

/// How to fit logistic regressions.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticConfig {
    /// Penalties, each above 0, in any order: scikit-learn's `1 / C`.
    ///
    /// By default ten, from `C = 1e5` to `C = 1e-5`.
    pub penalties: Vec<f64>,
    /// Whether the weights of features in standard deviations are penalised, as if the features
    /// had been standardised, instead of those of the features as they are. `false` by default.
    pub standardize: bool,
    /// Largest entry of the gradient, per unit of example weight and with features in standard
    /// deviations, at which a fit has converged. 1e-6 by default, as scikit-learn's `tol` of 1e-6.
    pub tolerance: f64,
    /// Most passes over the features, 1000 by default.
    pub max_iterations: usize,
    /// Whether fits that did not converge are returned and not refused, `false` by default.
    pub keep_unconverged: bool,
    /// Asked before each pass over the features; given, a fit ends with [`ProbeError::Stopped`].
    /// Never by default.
    pub stop: Stop,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self {
            penalties: (0..10).map(|i| 10.0_f64.powf(-5.0 + 10.0 * f64::from(i) / 9.0)).collect(),
            standardize: false,
            tolerance: 1e-6,
            max_iterations: 1000,
            keep_unconverged: false,
            stop: Stop::never(),
        }
    }
}

impl LogisticConfig {
    /// Checks every field.
    pub(super) fn check(&self) -> Result<(), ProbeError> {
        let error =
            |name, value, expected| ProbeError::from(ValueError::new(name, value, expected));
        if self.penalties.is_empty() {
            return Err(error("penalties", 0.0, "at least one"));
        }
        let is_good = |value: f64| (1e-30..=1e30).contains(&value);
        if let Some(&penalty) = self.penalties.iter().find(|penalty| !is_good(**penalty)) {
            return Err(error("penalties", penalty, "numbers from 1e-30 to 1e30"));
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return Err(error("tolerance", self.tolerance, "a number above 0"));
        }
        if self.max_iterations == 0 {
            return Err(error("max_iterations", 0.0, "at least 1"));
        }
        Ok(())
    }
}

/// What a logistic regression learns from.
#[derive(Clone, Copy, Debug)]
pub struct LogisticData<'a> {
    /// Pooled activations.
    pub features: Features<'a>,
    /// What they are to predict, for as many examples.
    pub targets: &'a LogisticTargets,
    /// Weight of each example in the loss, from 0 on; all weigh 1 if there are none.
    pub weights: Option<&'a [f64]>,
}

/// One logistic regression.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticFit {
    /// Penalty on half the squared weights.
    pub penalty: f64,
    /// Which of independent labels, 0 if there is one.
    pub label: usize,
    /// Weights and biases for the features as they were given: one output for two classes, else
    /// one per class.
    pub readout: LinearReadout,
    /// Sum of weighed losses and penalty, in nats.
    pub objective: f64,
    /// Largest entry of the gradient, as [`LogisticConfig::tolerance`] measures it.
    pub gradient_norm: f64,
    /// Passes over the features.
    pub n_iterations: usize,
    /// Whether the gradient is within the tolerance, or, where rounding in `f32` keeps it above, no
    /// more than a hundredth of the tolerance, in nats per unit of example weight, is left to gain.
    pub converged: bool,
}

/// Fits one logistic regression per penalty and label, all in the same products.
///
/// ```text
/// minimise over w, b:   Σ_i weight_i loss_i(w, b) + penalty/2 ‖w‖²
/// ```
///
/// which is the objective of scikit-learn's `LogisticRegression` with `C = 1 / penalty`
/// (`sklearn/linear_model/_logistic.py`). The loss is the cross-entropy of a sigmoid for two
/// classes, of a softmax for more; biases are not penalised. Returns the fits penalty by penalty,
/// and label by label within one.
///
/// # Precision
///
/// Products and sums over up to 512 examples are in `f32`, longer sums, weights, and everything
/// between two passes in `f64`. Features are centred and scaled on the way, so neither a far mean
/// nor a large feature costs digits. A gradient is then right to about 1e-7 per unit of example
/// weight, a tenth of the default tolerance, and because the objective is flat at its minimum, its
/// value per unit of weight is that of the true minimum to about 1e-8. A loss that is itself nearly
/// 0, as of separable examples under a weak penalty, has fewer right digits, because a small gradient
/// ends a fit, not a small share of the loss: as with scikit-learn, a lower tolerance helps.
///
/// # Memory
///
/// A square of `d_model` in `f64` per penalty, and some rows per thread; never a copy of the
/// features.
///
/// # Errors
///
/// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
/// - [`ProbeError::SizeMismatch`] if targets or weights are not as many as the examples.
/// - [`ProbeError::BadWeight`] if a weight is negative or not finite, or all are 0.
/// - [`ProbeError::Unconverged`] if a fit does not converge, unless the config keeps it.
/// - [`ProbeError::NonFinite`] if a weight does not fit into `f32`.
/// - [`ProbeError::Stopped`] if [`LogisticConfig::stop`] is given.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{
///     Features, LogisticConfig, LogisticData, LogisticTargets, logistic_path,
/// };
///
/// let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]; // [n_examples, 1]
/// let targets = LogisticTargets::classes(&[0, 0, 1, 0, 1, 1], 2)?;
/// let data = LogisticData { features: Features::new(&x, 1)?, targets: &targets, weights: None };
/// let config = LogisticConfig { penalties: vec![0.01, 100.0], ..LogisticConfig::default() };
/// let fits = logistic_path(data, &config)?;
/// assert!(fits[0].readout.weight()[0] > 10.0 * fits[1].readout.weight()[0]);
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
pub fn logistic_path(
    data: LogisticData<'_>,
    config: &LogisticConfig,
) -> Result<Vec<LogisticFit>, ProbeError> {
    follow_logistic_path(data, config, &mut |_| {})
}

/// As [`logistic_path`]; `on_pass` is told how many passes over the features are done.
///
/// # Errors
///
/// As [`logistic_path`].
pub fn follow_logistic_path(
    data: LogisticData<'_>,
    config: &LogisticConfig,
    on_pass: &mut dyn FnMut(usize),
) -> Result<Vec<LogisticFit>, ProbeError> {
    config.check()?;
    let prepared = Prepared::new(data)?;
    let problems = prepared.problems(&[None], config)?;
    let solutions = prepared.solve(&problems, (config, on_pass), None)?;
    let n_labels = data.targets.n_labels();
    solutions
        .into_iter()
        .enumerate()
        .map(|(i, solution)| {
            let (penalty, label) = (config.penalties[i / n_labels], i % n_labels);
            prepared.fit(solution, penalty, label, config)
        })
        .collect()
}

/// Checked data in the scale in which it is solved.
pub(super) struct Prepared<'a> {
    pub(super) data: LogisticData<'a>,
    weights: Option<Vec<f32>>,
    scaling: Scaling,
    /// `[d_model, d_model]`, of all examples.
    gram: Vec<f64>,
    /// Fold of each example, none if there are no folds.
    folds: &'a [u32],
}

impl<'a> Prepared<'a> {
    pub(super) fn new(data: LogisticData<'a>) -> Result<Self, ProbeError> {
        let n_examples = data.features.n_examples();
        let found = data.targets.n_examples();
        if found != n_examples {
            let what = "the number of targets";
            return Err(ProbeError::SizeMismatch { what, found, expected: n_examples });
        }
        check_weights(data.weights, n_examples)?;
        let scaling = Scaling::new(&Moments::new(data.features, data.weights));
        let round = |weights: &[f64]| weights.iter().map(|&w| w as f32).collect();
        let weights: Option<Vec<f32>> = data.weights.map(round);
        Ok(Self {
            data,
            gram: gram(data.features, &scaling, weights.as_deref()),
            weights,
            scaling,
            folds: &[],
        })
    }

    /// Says which fold each example is in.
    pub(super) fn with_folds(self, folds: &'a [u32]) -> Self {
        Self { folds, ..self }
    }

    pub(super) fn objective(&self) -> Objective<'_> {
        Objective {
            features: self.data.features,
            scaling: &self.scaling,
            examples: Examples {
                targets: self.data.targets,
                weights: self.weights.as_deref(),
                folds: self.folds,
            },
        }
    }

    /// The problems of every penalty, held-out fold, and label, in this order.
    ///
    /// # Errors
    ///
    /// [`ProbeError::BadWeight`] if all that a fold leaves weighs nothing.
    pub(super) fn problems(
        &self,
        held_out: &[Option<u32>],
        config: &LogisticConfig,
    ) -> Result<Vec<Problem>, ProbeError> {
        let n_examples = self.data.features.n_examples();
        let mut squares = Vec::new();
        let mut totals = Vec::new();
        for fold in held_out {
            let counts = |example: usize| fold.is_none_or(|fold| self.folds[example] != fold);
            let weight = |example| match self.data.weights {
                _ if !counts(example) => 0.0,
                Some(weights) => weights[example],
                None => 1.0,
            };
            let weights: Vec<f64> = (0..n_examples).map(weight).collect();
            totals.push(check_weights(Some(&weights), n_examples)?);
            squares.push(self.penalty_scale(&weights, config.standardize));
        }
        let mut problems = Vec::new();
        for (index, &penalty) in config.penalties.iter().enumerate() {
            for (fold, (square, &total_weight)) in squares.iter().zip(&totals).enumerate() {
                for label in 0..self.data.targets.n_labels() {
                    problems.push(Problem {
                        label,
                        held_out: held_out[fold],
                        penalty: index,
                        ridge: square.iter().map(|square| penalty * square).collect(),
                        total_weight,
                    });
                }
            }
        }
        Ok(problems)
    }

    /// Square of what turns a weight of the solver into the weight that is penalised.
    fn penalty_scale(&self, weights: &[f64], standardize: bool) -> Vec<f64> {
        let deviations =
            standardize.then(|| Moments::new(self.data.features, Some(weights)).deviation);
        let factors = self.scaling.factors().iter().enumerate();
        factors
            .map(|(j, factor)| {
                if self.scaling.is_constant(j) {
                    return 1.0; // Its weight stays 0 under any penalty.
                }
                let deviation = match &deviations {
                    Some(deviations) if deviations[j] > 0.0 => deviations[j],
                    _ => 1.0,
                };
                (f64::from(*factor) * deviation).powi(2)
            })
            .collect()
    }

    /// Solves problems, from 0 on if no starts are given.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the signal to stop is given.
    pub(super) fn solve(
        &self,
        problems: &[Problem],
        (config, on_pass): (&LogisticConfig, OnPass<'_>),
        starts: Option<Vec<Vec<f64>>>,
    ) -> Result<Vec<Solution>, Stopped> {
        let objective = self.objective();
        let starts =
            starts.unwrap_or_else(|| vec![vec![0.0; objective.n_params()]; problems.len()]);
        // Curvature of the loss where every class is equally likely.
        let n_logits = objective.n_logits();
        let scale = if n_logits == 1 { 0.25 } else { 1.0 / n_logits as f64 };
        let preconditioners: Vec<Preconditioner> = (0..config.penalties.len())
            .into_par_iter()
            .map(|penalty| {
                let of_penalty = problems.iter().find(|problem| problem.penalty == penalty);
                let Some(problem) = of_penalty else {
                    return Preconditioner::new(&[1.0], 1.0, &[1.0], 1.0);
                };
                let bias = scale * problem.total_weight;
                Preconditioner::new(&self.gram, scale, &problem.ridge, bias)
            })
            .collect();
        let ending = Ending {
            tolerance: config.tolerance,
            max_iterations: config.max_iterations,
            history: HISTORY,
            stop: config.stop.clone(),
        };
        minimise(&objective, problems, starts, preconditioners, (&ending, on_pass))
    }

    /// Turns a solution into weights for the features as they are.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Unconverged`] if it did not converge, unless the config keeps it.
    /// - [`ProbeError::NonFinite`] if a weight does not fit into `f32`.
    pub(super) fn fit(
        &self,
        solution: Solution,
        penalty: f64,
        label: usize,
        config: &LogisticConfig,
    ) -> Result<LogisticFit, ProbeError> {
        let Solution { params, objective, gradient_norm, n_iterations, converged } = solution;
        if !converged && !config.keep_unconverged {
            let tolerance = config.tolerance;
            return Err(ProbeError::Unconverged {
                penalty,
                gradient_norm,
                n_iterations,
                tolerance,
            });
        }
        let d = self.data.features.d_model();
        let n_logits = params.len() / (d + 1);
        let (weights, biases) = params.split_at(n_logits * d);
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (weights, scaled_bias) in weights.chunks_exact(d).zip(biases) {
            let (unscaled, moved) = self.scaling.unscale(weights, *scaled_bias);
            weight.extend(unscaled);
            bias.push(moved);
        }
        let readout = LinearReadout::new(&weight, &bias)?;
        Ok(LogisticFit {
            penalty,
            label,
            readout,
            objective,
            gradient_norm,
            n_iterations,
            converged,
        })
    }
}

/// Refuses weights that are too few, negative, or nothing together; returns their sum.
pub(super) fn check_weights(weights: Option<&[f64]>, n_examples: usize) -> Result<f64, ProbeError> {
    let Some(weights) = weights else { return Ok(n_examples as f64) };
    if weights.len() != n_examples {
        let what = "the number of example weights";
        return Err(ProbeError::SizeMismatch { what, found: weights.len(), expected: n_examples });
    }
    // The range of `f32`, in which the weights are multiplied.
    let is_good = |weight: f64| weight == 0.0 || (1e-30..=1e30).contains(&weight);
    if let Some(example) = weights.iter().position(|weight| !is_good(*weight)) {
        return Err(ProbeError::BadWeight { example, weight: weights[example] });
    }
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 { Ok(sum) } else { Err(ProbeError::BadWeight { example: 0, weight: 0.0 }) }
}
