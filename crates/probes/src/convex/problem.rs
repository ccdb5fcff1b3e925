//! Logistic regressions side by side: what each is, and what they have in common.

use attention_probes_kernels::{Matrix, Write, matmul_on_one_core};

use super::targets::LogisticTargets;

/// Columns that are worked on together; problems are padded to a multiple of it.
pub(super) const LANES: usize = 16;

/// What is known of examples beside their features.
#[derive(Clone, Copy, Debug)]
pub(super) struct Examples<'a> {
    pub(super) targets: &'a LogisticTargets,
    /// Weight of each example, 1 if there are none.
    pub(super) weights: Option<&'a [f32]>,
    /// Fold of each example, none if there are no folds.
    pub(super) folds: &'a [u32],
}

impl Examples<'_> {
    /// Weight of an example in a problem.
    pub(super) fn weight(&self, example: usize, problem: &Problem) -> f32 {
        match problem.held_out {
            Some(fold) if self.folds[example] == fold => 0.0,
            _ => self.weights.map_or(1.0, |weights| weights[example]),
        }
    }
}

/// One logistic regression among many on the same examples.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Which of independent labels, 0 if there is one.
    pub(super) label: usize,
    /// Fold whose examples do not count.
    pub(super) held_out: Option<u32>,
    /// Which of the penalties.
    pub(super) penalty: usize,
    /// Penalty on half the square of each weight, `[d_model]`, in the scale of [`Scaling`].
    pub(super) ridge: Vec<f64>,
    /// Sum of the weights of the examples that count.
    pub(super) total_weight: f64,
}

/// Loss and gradient of one problem, without its penalty.
#[derive(Clone, Debug)]
pub(super) struct LossAndGradient {
    pub(super) loss: f64,
    /// As the parameters: `[n_logits, d_model]`, then `[n_logits]` of the biases.
    pub(super) gradient: Vec<f64>,
}

/// Parameters of all problems side by side, class by class.
pub(super) struct Columns {
    pub(super) n_problems: usize,
    pub(super) n_logits: usize,
    /// Columns with padding.
    pub(super) width: usize,
    /// `[d_model, width]`
    pub(super) weights: Vec<f32>,
    /// `[width]`
    pub(super) biases: Vec<f32>,
}

impl Columns {
    pub(super) fn new(params: &[Vec<f64>], n_logits: usize, d: usize) -> Self {
        let n_problems = params.len();
        let width = (n_problems * n_logits).next_multiple_of(LANES);
        let mut columns = Self {
            n_problems,
            n_logits,
            width,
            weights: vec![0.0; d * width],
            biases: vec![0.0; width],
        };
        for (problem, params) in params.iter().enumerate() {
            for class in 0..n_logits {
                let column = columns.index(problem, class);
                columns.biases[column] = params[n_logits * d + class] as f32;
                for (j, weight) in params[class * d..][..d].iter().enumerate() {
                    columns.weights[j * width + column] = *weight as f32;
                }
            }
        }
        columns
    }

    pub(super) fn index(&self, problem: usize, class: usize) -> usize {
        class * self.n_problems + problem
    }

    /// Logits of some rows, `[n, width]`.
    pub(super) fn multiply(&self, x: &[f32], d: usize, z: &mut Vec<f32>) {
        z.clear();
        let n = x.len() / d;
        for _ in 0..n {
            z.extend_from_slice(&self.biases);
        }
        let weights = Matrix::new(&self.weights, d, self.width);
        matmul_on_one_core(z, Matrix::new(x, n, d), weights, Write::Add);
    }
}
