//! L-BFGS with a strong Wolfe line search, over plain numbers on the host.

use std::collections::VecDeque;
use std::convert::Infallible;

use crate::{add_scaled_f64 as add_scaled, dot_f64_in_order as dot};

/// Sufficient decrease, the constant `c1` of the Wolfe conditions.
const DECREASE: f64 = 1e-4;
/// Curvature, the constant `c2` of the Wolfe conditions.
const CURVATURE: f64 = 0.9;
/// Evaluations that one line search may take.
const MAX_LINE_SEARCH: usize = 25;
/// Smallest `y·s` for which a step enters the history.
const MIN_CURVATURE: f64 = 1e-10;

/// Limited-memory BFGS: full batch, deterministic, state in `f64`.
///
/// Two-loop recursion and line search follow Nocedal and Wright, *Numerical Optimization*,
/// algorithms 7.4, 3.5, and 3.6; defaults and stopping rules are those of `torch.optim.LBFGS` with
/// `line_search_fn="strong_wolfe"`, which the reference uses.
///
/// # Examples
///
/// ```
/// use attention_probes::kernels::Lbfgs;
///
/// let mut bowl = |x: &[f32]| (f64::from(x[0] - 3.0).powi(2), vec![2.0 * (x[0] - 3.0)]);
/// let result = Lbfgs::default().minimise(&[0.0], &mut bowl);
/// assert!(result.converged());
/// assert!((result.params[0] - 3.0).abs() < 1e-5);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lbfgs {
    /// Steps remembered, 100 by default.
    pub history: usize,
    /// Most iterations, 2000 by default. Evaluations are limited to 5/4 of it.
    pub max_iter: usize,
    /// Stop when no entry of the gradient is larger, 1e-7 by default.
    pub tolerance_grad: f64,
    /// Stop when neither a parameter nor the loss changes by more, 1e-9 by default.
    pub tolerance_change: f64,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self { history: 100, max_iter: 2000, tolerance_grad: 1e-7, tolerance_change: 1e-9 }
    }
}

/// Why a minimisation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbfgsStop {
    /// The gradient is within `tolerance_grad`.
    Gradient,
    /// Neither parameters nor loss change by more than `tolerance_change`.
    Change,
    /// `max_iter` iterations, or 5/4 of it evaluations, were not enough.
    Budget,
    /// The loss or its gradient is NaN or infinite at the best point that was found.
    NotFinite,
}

/// An objective: parameters to loss and gradient.
pub type LossAndGradient<'a> = dyn FnMut(&[f32]) -> (f64, Vec<f32>) + 'a;

/// An objective that may fail, or end the search: parameters to loss and gradient.
pub type TryLossAndGradient<'a, E> = dyn FnMut(&[f32]) -> Result<(f64, Vec<f32>), E> + 'a;

/// What [`Lbfgs::minimise`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct LbfgsResult {
    /// The best parameters that were found.
    pub params: Vec<f32>,
    /// Loss at the start and after every iteration; never rises.
    pub losses: Vec<f64>,
    /// How often the objective was evaluated.
    pub n_evaluations: usize,
    /// Why the minimisation ended.
    pub stop: LbfgsStop,
}

impl LbfgsResult {
    /// Says whether a tolerance was met, rather than a budget spent.
    pub fn converged(&self) -> bool {
        matches!(self.stop, LbfgsStop::Gradient | LbfgsStop::Change)
    }
}

impl Lbfgs {
    /// Minimises an objective that returns its loss and gradient.
    ///
    /// The objective must be a function of its argument alone; a random batch would make the line
    /// search aim at a moving target.
    ///
    /// # Panics
    ///
    /// If the gradient does not have one entry per parameter.
    pub fn minimise(&self, params: &[f32], objective: &mut LossAndGradient<'_>) -> LbfgsResult {
        let found = self.try_minimise(params, &mut |params| Ok::<_, Infallible>(objective(params)));
        match found {
            Ok(result) => result,
            Err(never) => match never {},
        }
    }

    /// Minimises as [`Lbfgs::minimise`] an objective that may fail, such as one that is told to stop.
    ///
    /// # Errors
    ///
    /// The first that the objective returns.
    ///
    /// # Panics
    ///
    /// If the gradient does not have one entry per parameter.
    pub fn try_minimise<E>(
        &self,
        params: &[f32],
        objective: &mut TryLossAndGradient<'_, E>,
    ) -> Result<LbfgsResult, E> {
        let mut objective = Objective { function: objective, n_evaluations: 0 };
        let max_evaluations = self.max_iter + self.max_iter / 4;
        let start = params.iter().map(|&value| f64::from(value)).collect();
        let mut point = objective.evaluate(start)?;
        let mut losses = vec![point.loss];
        let mut history = History { pairs: VecDeque::new(), capacity: self.history };

        let stop = loop {
            if !point.is_finite() {
                break LbfgsStop::NotFinite;
            }
            if max_abs(&point.grad) <= self.tolerance_grad {
                break LbfgsStop::Gradient;
            }
            if losses.len() > self.max_iter || objective.n_evaluations >= max_evaluations {
                break LbfgsStop::Budget;
            }

            let direction = history.direction(&point.grad);
            let slope = dot(&direction, &point.grad);
            if slope > -self.tolerance_change {
                break LbfgsStop::Change;
            }
            // Without curvature the scale of the gradient says nothing about the step.
            let norm_1: f64 = point.grad.iter().map(|value| value.abs()).sum();
            let first = if history.pairs.is_empty() { (1.0 / norm_1).min(1.0) } else { 1.0 };
            let search = LineSearch {
                from: &point,
                direction: &direction,
                slope,
                tolerance_change: self.tolerance_change,
            };
            let (step, next) = search.run(first, &mut objective)?;

            let change = step * max_abs(&direction);
            let gain = point.loss - next.loss;
            history.push(&point, &next);
            point = next;
            losses.push(point.loss);
            if change <= self.tolerance_change || gain.abs() < self.tolerance_change {
                let is_flat = max_abs(&point.grad) <= self.tolerance_grad;
                break if is_flat { LbfgsStop::Gradient } else { LbfgsStop::Change };
            }
        };
        let params = to_f32(&point.params);
        Ok(LbfgsResult { params, losses, n_evaluations: objective.n_evaluations, stop })
    }
}

/// The function to minimise, and how often it was called.
struct Objective<'a, 'f, E> {
    function: &'a mut TryLossAndGradient<'f, E>,
    n_evaluations: usize,
}

impl<E> Objective<'_, '_, E> {
    fn evaluate(&mut self, params: Vec<f64>) -> Result<Point, E> {
        self.n_evaluations += 1;
        let (loss, grad) = (self.function)(&to_f32(&params))?;
        assert_eq!(grad.len(), params.len(), "the gradient has one entry per parameter");
        Ok(Point { params, loss, grad: grad.into_iter().map(f64::from).collect() })
    }
}

/// Parameters with their loss and gradient.
#[derive(Clone)]
struct Point {
    params: Vec<f64>,
    loss: f64,
    grad: Vec<f64>,
}

impl Point {
    fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.grad.iter().all(|value| value.is_finite())
    }
}

/// The last steps `s` and changes of gradient `y`, oldest first.
struct History {
    pairs: VecDeque<(Vec<f64>, Vec<f64>)>,
    capacity: usize,
}

impl History {
    fn push(&mut self, from: &Point, to: &Point) {
        let s = difference(&to.params, &from.params);
        let y = difference(&to.grad, &from.grad);
        if dot(&y, &s) > MIN_CURVATURE {
            if self.pairs.len() == self.capacity {
                self.pairs.pop_front();
            }
            self.pairs.push_back((s, y));
        }
    }

    /// Two-loop recursion: the approximate inverse Hessian times the negative gradient.
    fn direction(&self, grad: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = grad.iter().map(|value| -value).collect();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for (s, y) in self.pairs.iter().rev() {
            let alpha = dot(s, &direction) / dot(y, s);
            add_scaled(&mut direction, -alpha, y);
            alphas.push(alpha);
        }
        if let Some((s, y)) = self.pairs.back() {
            let scale = dot(y, s) / dot(y, y);
            for value in &mut direction {
                *value *= scale;
            }
        }
        for ((s, y), alpha) in self.pairs.iter().zip(alphas.iter().rev()) {
            let beta = dot(y, &direction) / dot(y, s);
            add_scaled(&mut direction, alpha - beta, s);
        }
        direction
    }
}

/// One search along a direction for a step that meets the strong Wolfe conditions.
struct LineSearch<'a> {
    from: &'a Point,
    direction: &'a [f64],
    slope: f64,
    tolerance_change: f64,
}

/// A step that was tried.
#[derive(Clone)]
struct Trial {
    step: f64,
    slope: f64,
    point: Point,
}

impl LineSearch<'_> {
    /// Returns the accepted step and where it leads; step 0 if nothing better was found.
    fn run<E>(&self, first: f64, objective: &mut Objective<'_, '_, E>) -> Result<(f64, Point), E> {
        let budget = objective.n_evaluations + MAX_LINE_SEARCH;
        let mut previous = Trial { step: 0.0, slope: self.slope, point: self.from.clone() };
        let mut step = first;
        let (mut low, mut high) = loop {
            let trial = self.try_step(step, objective)?;
            let is_worse = !self.decreases(&trial)
                || (previous.step > 0.0 && trial.point.loss >= previous.point.loss);
            if is_worse {
                break (previous, trial);
            }
            if self.is_flat(&trial) {
                return Ok((trial.step, trial.point));
            }
            if trial.slope >= 0.0 {
                break (trial, previous);
            }
            if objective.n_evaluations >= budget {
                return Ok((trial.step, trial.point));
            }
            let bounds = (step + 0.01 * (step - previous.step), step * 10.0);
            step = interpolate(&previous, &trial, bounds);
            previous = trial;
        };

        // Between `low`, the best trial that decreases enough, and `high` lies a step that
        // meets both conditions.
        let mut was_at_edge = false;
        let norm = max_abs(self.direction);
        while objective.n_evaluations < budget
            && (high.step - low.step).abs() * norm > self.tolerance_change
        {
            let (left, right) = (low.step.min(high.step), low.step.max(high.step));
            let mut step = interpolate(&low, &high, (left, right));
            // A step that hugs an edge twice makes no progress: go a tenth inwards.
            let margin = 0.1 * (right - left);
            if (right - step).min(step - left) < margin {
                if was_at_edge || step >= right || step <= left {
                    let is_right = (step - right).abs() < (step - left).abs();
                    step = if is_right { right - margin } else { left + margin };
                    was_at_edge = false;
                } else {
                    was_at_edge = true;
                }
            } else {
                was_at_edge = false;
            }

            let trial = self.try_step(step, objective)?;
            if !self.decreases(&trial) || trial.point.loss >= low.point.loss {
                high = trial;
            } else {
                if self.is_flat(&trial) {
                    return Ok((trial.step, trial.point));
                }
                if trial.slope * (high.step - low.step) >= 0.0 {
                    high = low;
                }
                low = trial;
            }
        }
        Ok((low.step, low.point))
    }

    fn try_step<E>(&self, step: f64, objective: &mut Objective<'_, '_, E>) -> Result<Trial, E> {
        let mut params = self.from.params.clone();
        add_scaled(&mut params, step, self.direction);
        let point = objective.evaluate(params)?;
        Ok(Trial { step, slope: dot(&point.grad, self.direction), point })
    }

    /// First Wolfe condition; NaN and infinity never meet it.
    fn decreases(&self, trial: &Trial) -> bool {
        trial.point.is_finite()
            && trial.point.loss <= self.from.loss + DECREASE * trial.step * self.slope
    }

    /// Second Wolfe condition, the strong form.
    fn is_flat(&self, trial: &Trial) -> bool {
        trial.slope.abs() <= -CURVATURE * self.slope
    }
}

/// Minimum of the cubic through two trials, within bounds; their middle where there is none.
///
/// Nocedal and Wright, equation 3.59.
fn interpolate(a: &Trial, b: &Trial, bounds: (f64, f64)) -> f64 {
    let (a, b) = if a.step <= b.step { (a, b) } else { (b, a) };
    let d1 = a.slope + b.slope - 3.0 * (a.point.loss - b.point.loss) / (a.step - b.step);
    let d2 = (d1 * d1 - a.slope * b.slope).sqrt();
    let step = b.step - (b.step - a.step) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2));
    if step.is_finite() {
        step.clamp(bounds.0, bounds.1)
    } else {
        f64::midpoint(bounds.0, bounds.1)
    }
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    #[test]
    fn a_quadratic_is_solved_to_its_closed_form() {
        // 1/2 xᵀAx - bᵀx with condition number 1e4; the minimum is A⁻¹b.
        let scales: Vec<f64> = (0..20).map(|i| 10.0_f64.powf(f64::from(i) * 4.0 / 19.0)).collect();
        let mut objective = |x: &[f32]| {
            let mut loss = 0.0;
            let grad = x.iter().zip(&scales).map(|(&x, scale)| {
                let x = f64::from(x);
                loss += 0.5 * scale * x * x - x;
                (scale * x - 1.0) as f32
            });
            let grad = grad.collect();
            (loss, grad)
        };
        let result = Lbfgs::default().minimise(&[0.3; 20], &mut objective);
        assert!(result.converged(), "{result:?}");
        for (x, scale) in result.params.iter().zip(&scales) {
            assert_abs_diff_eq!(f64::from(*x), 1.0 / scale, epsilon = 1e-5);
        }
        assert!(result.losses.len() < 100, "{} iterations", result.losses.len());
    }

    #[test]
    fn rosenbrock_is_solved_and_its_loss_never_rises() {
        let mut objective = |x: &[f32]| {
            let (a, b) = (f64::from(x[0]), f64::from(x[1]));
            let loss = (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2);
            let grad_a = -2.0 * (1.0 - a) - 400.0 * a * (b - a * a);
            (loss, vec![grad_a as f32, (200.0 * (b - a * a)) as f32])
        };
        let result = Lbfgs::default().minimise(&[-1.2, 1.0], &mut objective);
        assert!(result.converged(), "{result:?}");
        assert_abs_diff_eq!(result.params[0], 1.0, epsilon = 1e-3);
        assert_abs_diff_eq!(result.params[1], 1.0, epsilon = 1e-3);
        assert!(result.losses.windows(2).all(|pair| pair[1] <= pair[0]), "{:?}", result.losses);
    }

    #[test]
    fn an_objective_that_fails_ends_the_search() {
        let mut n_left = 3;
        let mut objective = |x: &[f32]| {
            n_left -= 1;
            if n_left == 0 {
                Err("stopped")
            } else {
                Ok((f64::from(x[0]).powi(4), vec![4.0 * x[0].powi(3)]))
            }
        };
        assert_eq!(Lbfgs::default().try_minimise(&[50.0], &mut objective), Err("stopped"));
        assert_eq!(n_left, 0);
    }

    #[test]
    fn a_budget_that_is_too_small_is_no_convergence() {
        let mut objective = |x: &[f32]| (f64::from(x[0]).powi(4), vec![4.0 * x[0].powi(3)]);
        let optimizer = Lbfgs { max_iter: 2, ..Lbfgs::default() };
        let result = optimizer.minimise(&[50.0], &mut objective);
        assert_eq!(result.stop, LbfgsStop::Budget);
        assert!(!result.converged());
    }

    #[test]
    fn infinity_beyond_a_wall_is_walked_around() {
        // -ln(1 - x) - 2x has its minimum at 1/2 and is NaN from 1 on.
        let mut objective = |x: &[f32]| {
            let x = f64::from(x[0]);
            (-(1.0 - x).ln() - 2.0 * x, vec![(1.0 / (1.0 - x) - 2.0) as f32])
        };
        let result = Lbfgs::default().minimise(&[-40.0], &mut objective);
        assert!(result.converged(), "{result:?}");
        assert_abs_diff_eq!(result.params[0], 0.5, epsilon = 1e-4);
    }

    #[test]
    fn a_start_that_is_not_a_number_is_reported() {
        let mut objective = |_: &[f32]| (f64::NAN, vec![0.0]);
        let result = Lbfgs::default().minimise(&[1.0], &mut objective);
        assert_eq!(result.stop, LbfgsStop::NotFinite);
    }
}
