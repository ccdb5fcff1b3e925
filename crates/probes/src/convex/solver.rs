//! Many penalised logistic regressions minimised together by preconditioned L-BFGS.
//!
//! Each problem keeps its own curvature and its own step; what they share is the pass over the
//! features, which gives every one of them the loss and gradient at the point that it asks for.
//! Directions are found in the coordinates that [`Preconditioner`] whitens, so that the first is a
//! Newton step, and the history has to learn only how the curvature differs from its beginning.
//! L-BFGS: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.4.

use std::collections::VecDeque;

use attention_probes_errors::{Stop, Stopped};
use attention_probes_kernels::{add_scaled_f64 as add, dot_f64 as dot};
use rayon::prelude::*;

use super::preconditioner::Preconditioner;
use super::problem::{LossAndGradient, Problem};

/// Steps that a direction remembers where memory is no matter.
pub(super) const HISTORY: usize = 12;

/// Passes after which the curvature is measured anew for what has not converged.
const REFRESH: usize = 24;

/// Share of the promised decrease that a step must bring.
const SUFFICIENT: f64 = 1e-4;

/// Relative rounding of a sum of losses: below it, slopes and not losses say what is lower.
const ROUNDING: f64 = 1e-8;

/// Loss that is left to gain, per unit of example weight and of the tolerance, at which a problem has
/// converged although rounding in `f32` keeps its gradient above the tolerance: 1e-8 nats by default.
const LEFT: f64 = 1e-2;

/// Shortest step that is tried.
const SHORTEST: f64 = 1e-6;

/// Told the number of passes over the features that are done.
pub(super) type OnPass<'a> = &'a mut dyn FnMut(usize);

/// When to end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// Largest entry of the gradient per unit of example weight.
    pub(super) tolerance: f64,
    /// Most passes over the features.
    pub(super) max_iterations: usize,
    /// Steps that a direction remembers, each as large as the parameters twice.
    pub(super) history: usize,
    /// Asked before each pass.
    pub(super) stop: Stop,
}

/// What is minimised: losses of problems that share a pass over the features.
pub(super) trait Losses: Sync {
    /// Logits of each problem.
    fn n_logits(&self) -> usize;

    /// Loss and gradient of every problem at its parameters, without penalties.
    fn evaluate(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Vec<LossAndGradient>;

    /// The curvature of problems of one penalty, the mean over them, where they are.
    fn preconditioner(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Preconditioner;
}

/// What a problem ended with.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    /// `[n_logits, d_model]`, then `[n_logits]` of the biases, for scaled features.
    pub(super) params: Vec<f64>,
    pub(super) objective: f64,
    pub(super) gradient_norm: f64,
    pub(super) n_iterations: usize,
    pub(super) converged: bool,
}

/// Minimises problems from given parameters on, one preconditioner per penalty.
///
/// Deterministic to the bit on one kind of processor, whatever the number of its cores.
///
/// # Errors
///
/// [`Stopped`] if the signal to stop is given.
pub(super) fn minimise(
    objective: &impl Losses,
    problems: &[Problem],
    starts: Vec<Vec<f64>>,
    mut preconditioners: Vec<Preconditioner>,
    (ending, on_pass): (&Ending, OnPass<'_>),
) -> Result<Vec<Solution>, Stopped> {
    ending.stop.check()?;
    let n_logits = objective.n_logits();
    let all: Vec<&Problem> = problems.iter().collect();
    let values = objective.evaluate(&all, &starts);
    let mut descents: Vec<Descent<'_>> = all
        .par_iter()
        .zip(starts)
        .zip(values)
        .map(|((problem, params), value)| {
            let mut descent = Descent::new(problem, n_logits, params, value);
            descent.n_remembered = ending.history;
            descent.begin(&preconditioners[problem.penalty], ending.tolerance);
            descent
        })
        .collect();
    for pass in 1..=ending.max_iterations {
        let mut active: Vec<&mut Descent<'_>> =
            descents.iter_mut().filter(|descent| descent.state == State::Active).collect();
        if active.is_empty() {
            break;
        }
        on_pass(pass);
        ending.stop.check()?;
        if pass % REFRESH == 0 {
            refresh(objective, &mut active, &mut preconditioners, ending.tolerance);
            active.retain(|descent| descent.state == State::Active);
            if active.is_empty() {
                break;
            }
        }
        let asked: Vec<&Problem> = active.iter().map(|descent| descent.problem).collect();
        let trials: Vec<Vec<f64>> = active.par_iter().map(|descent| descent.trial()).collect();
        let values = objective.evaluate(&asked, &trials);
        active.into_par_iter().zip(trials).zip(values).for_each(|((descent, params), value)| {
            let preconditioner = &preconditioners[descent.problem.penalty];
            descent.n_iterations = pass;
            descent.take(params, value, preconditioner, ending.tolerance);
        });
    }
    Ok(descents.into_iter().map(Descent::solution).collect())
}

/// Measures the curvature where the problems of each penalty are, and begins anew from there.
fn refresh(
    objective: &impl Losses,
    active: &mut [&mut Descent<'_>],
    preconditioners: &mut [Preconditioner],
    tolerance: f64,
) {
    for (penalty, preconditioner) in preconditioners.iter_mut().enumerate() {
        let group: Vec<&Descent<'_>> = active
            .iter()
            .filter(|descent| descent.problem.penalty == penalty)
            .map(|descent| &**descent)
            .collect();
        if group.is_empty() {
            continue;
        }
        let problems: Vec<&Problem> = group.iter().map(|descent| descent.problem).collect();
        let params: Vec<Vec<f64>> = group.iter().map(|descent| descent.params.clone()).collect();
        *preconditioner = objective.preconditioner(&problems, &params);
    }
    active.par_iter_mut().for_each(|descent| {
        let preconditioner = &preconditioners[descent.problem.penalty];
        descent.begin(preconditioner, tolerance);
        // With the curvature of this very place the direction is a Newton step, and half its slope
        // the loss that is left to gain.
        let left = -0.5 * descent.slope;
        let is_nothing = left <= LEFT * tolerance * descent.problem.total_weight;
        if descent.state == State::Active && is_nothing {
            descent.state = State::Converged;
        }
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Converged,
    /// Rounding hides every descent.
    Stalled,
}

/// One problem on its way down.
struct Descent<'a> {
    problem: &'a Problem,
    n_logits: usize,
    params: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    /// The gradient in whitened coordinates.
    whitened: Vec<f64>,
    /// Steps, the changes of the gradient along them, and the inverses of their products.
    history: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    /// Direction in whitened coordinates, and in those of the parameters.
    whitened_direction: Vec<f64>,
    direction: Vec<f64>,
    /// Derivative of the objective along the direction, below 0.
    slope: f64,
    /// Share of the direction that is tried next.
    step: f64,
    n_iterations: usize,
    /// Most steps of the history.
    n_remembered: usize,
    state: State,
}

impl<'a> Descent<'a> {
    fn new(
        problem: &'a Problem,
        n_logits: usize,
        params: Vec<f64>,
        value: LossAndGradient,
    ) -> Self {
        let (value, gradient) = penalised(problem, n_logits, &params, value);
        Self {
            problem,
            n_logits,
            params,
            value,
            gradient,
            whitened: Vec::new(),
            history: VecDeque::new(),
            whitened_direction: Vec::new(),
            direction: Vec::new(),
            slope: 0.0,
            step: 1.0,
            n_iterations: 0,
            n_remembered: HISTORY,
            state: State::Active,
        }
    }

    /// Forgets the history and turns to the steepest descent in whitened coordinates.
    fn begin(&mut self, preconditioner: &Preconditioner, tolerance: f64) {
        self.history.clear();
        self.whitened.clone_from(&self.gradient);
        preconditioner.whiten(&mut self.whitened, self.n_logits);
        self.aim(preconditioner, tolerance);
    }

    /// Chooses a direction, or stops where the gradient is small enough.
    fn aim(&mut self, preconditioner: &Preconditioner, tolerance: f64) {
        if self.gradient_norm() <= tolerance {
            self.state = State::Converged;
            return;
        }
        self.whitened_direction = self.two_loops();
        self.direction.clone_from(&self.whitened_direction);
        preconditioner.unwhiten(&mut self.direction, self.n_logits);
        self.slope = dot(&self.gradient, &self.direction);
        self.step = 1.0;
        if !(self.slope < 0.0 && self.slope.is_finite()) {
            if self.history.is_empty() {
                self.state = State::Stalled;
            } else {
                self.begin(preconditioner, tolerance);
            }
        }
    }

    /// The point that is tried next.
    fn trial(&self) -> Vec<f64> {
        self.params.iter().zip(&self.direction).map(|(x, p)| x + self.step * p).collect()
    }

    /// Goes to the tried point if it is low enough, else shortens the step.
    ///
    /// The objective is convex, so a slope that still points down says by itself that the point is
    /// lower, however little the losses differ.
    fn take(
        &mut self,
        params: Vec<f64>,
        value: LossAndGradient,
        preconditioner: &Preconditioner,
        tolerance: f64,
    ) {
        let (value, gradient) = penalised(self.problem, self.n_logits, &params, value);
        let slope = dot(&gradient, &self.direction);
        let is_lower = value <= self.value + SUFFICIENT * self.step * self.slope;
        let is_level = value <= self.value + ROUNDING * self.value.abs();
        if slope.is_finite()
            && value.is_finite()
            && (slope <= 0.0 || is_lower || (is_level && slope <= -0.9 * self.slope))
        {
            let mut whitened = gradient.clone();
            preconditioner.whiten(&mut whitened, self.n_logits);
            self.remember(&whitened);
            (self.params, self.value, self.gradient) = (params, value, gradient);
            self.whitened = whitened;
            self.aim(preconditioner, tolerance);
            return;
        }
        // Where a straight line through both slopes crosses 0.
        let share = self.slope / (self.slope - slope);
        self.step *= if share.is_finite() { share.clamp(0.1, 0.7) } else { 0.1 };
        if self.step < SHORTEST {
            if self.history.is_empty() {
                self.state = State::Stalled;
            } else {
                self.begin(preconditioner, tolerance);
            }
        }
    }

    /// Adds the step to the history, if curvature was seen along it.
    fn remember(&mut self, whitened: &[f64]) {
        let change: Vec<f64> =
            whitened.iter().zip(&self.whitened).map(|(new, old)| new - old).collect();
        let step: Vec<f64> = self.whitened_direction.iter().map(|p| self.step * p).collect();
        let product = dot(&step, &change);
        if product > 1e-10 * dot(&step, &step) {
            if self.history.len() == self.n_remembered {
                self.history.pop_front();
            }
            self.history.push_back((step, change, 1.0 / product));
        }
    }

    /// The two-loop recursion of L-BFGS.
    fn two_loops(&self) -> Vec<f64> {
        let mut direction: Vec<f64> = self.whitened.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.history.len());
        for (step, change, inverse) in self.history.iter().rev() {
            let share = inverse * dot(step, &direction);
            add(&mut direction, -share, change);
            shares.push(share);
        }
        if let Some((_, change, inverse)) = self.history.back() {
            let scale = 1.0 / (inverse * dot(change, change));
            for p in &mut direction {
                *p *= scale;
            }
        }
        for ((step, change, inverse), share) in self.history.iter().zip(shares.into_iter().rev()) {
            let correction = share - inverse * dot(change, &direction);
            add(&mut direction, correction, step);
        }
        direction
    }

    fn gradient_norm(&self) -> f64 {
        let highest = self.gradient.iter().fold(0.0_f64, |highest, g| highest.max(g.abs()));
        highest / self.problem.total_weight
    }

    fn solution(self) -> Solution {
        Solution {
            gradient_norm: self.gradient_norm(),
            params: self.params,
            objective: self.value,
            n_iterations: self.n_iterations,
            converged: self.state == State::Converged,
        }
    }
}

/// Adds the penalty of the weights to the loss and to its gradient; biases are free.
fn penalised(
    problem: &Problem,
    n_logits: usize,
    params: &[f64],
    value: LossAndGradient,
) -> (f64, Vec<f64>) {
    let LossAndGradient { loss, mut gradient } = value;
    let mut sum = 0.0;
    for class in 0..n_logits {
        let from = class * problem.ridge.len();
        for (j, ridge) in problem.ridge.iter().enumerate() {
            let weight = params[from + j];
            gradient[from + j] += ridge * weight;
            sum += ridge * weight * weight;
        }
    }
    (loss + 0.5 * sum, gradient)
}
