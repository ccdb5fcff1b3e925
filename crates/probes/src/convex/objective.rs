//! The loss of many logistic regressions at once, and its gradients, in one pass over the features.

use attention_probes_kernels::fast::exp;
use attention_probes_kernels::{Matrix, Write, matmul_on_one_core, vectorize};
use rayon::prelude::*;

use super::block::Block;
use super::features::{Features, Scaling};
use super::gram::gram;
use super::preconditioner::Preconditioner;
use super::problem::{Columns, Examples, LossAndGradient, Problem};
use super::solver::Losses;

/// Rows that are multiplied while they lie in a core's cache.
const BLOCK: usize = 128;

/// Rows whose gradients are summed in `f32` before they are added in `f64`.
const FLUSH: usize = 4 * BLOCK;

/// Most parts that the rows are divided into, each with sums of its own.
///
/// It does not depend on the number of cores, so neither does the result.
const PARTS: usize = 16;

/// What all problems have in common: the examples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objective<'a> {
    pub(super) features: Features<'a>,
    pub(super) scaling: &'a Scaling,
    pub(super) examples: Examples<'a>,
}

impl Losses for Objective<'_> {
    fn n_logits(&self) -> usize {
        Self::n_logits(self)
    }

    fn evaluate(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Vec<LossAndGradient> {
        Self::evaluate(self, problems, params)
    }

    fn preconditioner(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Preconditioner {
        let curvature = self.curvature(problems, params);
        let bias = curvature.iter().map(|h| f64::from(*h)).sum();
        let gram = gram(self.features, self.scaling, Some(&curvature));
        Preconditioner::new(&gram, 1.0, &problems[0].ridge, bias)
    }
}

impl Objective<'_> {
    /// Logits of each problem: one, or one per class.
    pub(super) fn n_logits(&self) -> usize {
        self.examples.targets.n_logits()
    }

    /// Parameters of each problem, `[n_logits, d_model]` and `[n_logits]`.
    pub(super) fn n_params(&self) -> usize {
        self.n_logits() * (self.features.d_model() + 1)
    }

    /// Sums weighed losses and their gradients.
    ///
    /// Both products of a block of rows are done while it lies in the cache, so the features come
    /// from memory once. Products and sums over 512 rows are in `f32`, sums of these in `f64`.
    ///
    /// # Shapes
    ///
    /// - `params`: for each problem `[n_logits, d_model]`, then `[n_logits]` of the biases
    pub(super) fn evaluate(
        &self,
        problems: &[&Problem],
        params: &[Vec<f64>],
    ) -> Vec<LossAndGradient> {
        let (d, n_logits) = (self.features.d_model(), self.n_logits());
        let columns = Columns::new(params, n_logits, d);
        let n_rows = self.rows_per_part();
        let parts: Vec<Part> = self
            .features
            .values()
            .par_chunks(n_rows * d)
            .enumerate()
            .map(|(part, rows)| self.part(part * n_rows, rows, problems, &columns))
            .collect();
        (0..problems.len())
            .into_par_iter()
            .map(|problem| {
                let mut gradient = vec![0.0; self.n_params()];
                let (weights, biases) = gradient.split_at_mut(n_logits * d);
                for part in &parts {
                    for class in 0..n_logits {
                        let column = columns.index(problem, class);
                        biases[class] += part.bias_gradient[column];
                        let sums = weights[class * d..][..d].iter_mut();
                        for (sum, value) in sums.zip(&part.gradient[column * d..][..d]) {
                            *sum += value;
                        }
                    }
                }
                LossAndGradient {
                    loss: parts.iter().map(|part| part.loss[problem]).sum(),
                    gradient,
                }
            })
            .collect()
    }

    /// Logits of every example in every problem, `[n_examples, n_problems, n_logits]`.
    pub(super) fn logits(&self, params: &[Vec<f64>]) -> Vec<f32> {
        let (d, n_logits) = (self.features.d_model(), self.n_logits());
        let columns = Columns::new(params, n_logits, d);
        let n_columns = params.len() * n_logits;
        let mut logits = vec![0.0; self.features.n_examples() * n_columns];
        let rows = self.features.values().par_chunks(BLOCK * d);
        logits.par_chunks_mut(BLOCK * n_columns).zip(rows).for_each(|(logits, rows)| {
            let (mut scratch, mut z) = (Vec::new(), Vec::new());
            let x = self.scaling.rows(rows, &mut scratch);
            columns.multiply(x, d, &mut z);
            for (logits, z) in logits.chunks_mut(n_columns).zip(z.chunks(columns.width)) {
                for (i, logit) in logits.iter_mut().enumerate() {
                    *logit = z[columns.index(i / n_logits, i % n_logits)];
                }
            }
        });
        logits
    }

    /// Curvature of the loss of each example at some parameters, the mean over the problems.
    ///
    /// ```text
    /// one logit   w p (1 - p)
    /// softmax     w Σ_k p_k (1 - p_k) / (n_classes - 1)
    /// ```
    pub(super) fn curvature(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Vec<f32> {
        let n_logits = self.n_logits();
        let logits = self.logits(params);
        let n_columns = problems.len() * n_logits;
        let share = 1.0 / problems.len() as f32;
        logits
            .par_chunks(n_columns)
            .enumerate()
            .map(|(example, row)| {
                let of_problem = |(problem, z): (&&Problem, &[f32])| {
                    curvature_of(z) * self.examples.weight(example, problem)
                };
                share * problems.iter().zip(row.chunks(n_logits)).map(of_problem).sum::<f32>()
            })
            .collect()
    }

    fn rows_per_part(&self) -> usize {
        self.features.n_examples().div_ceil(PARTS).next_multiple_of(FLUSH)
    }

    /// Sums over the rows from `first` on.
    fn part(&self, first: usize, rows: &[f32], problems: &[&Problem], columns: &Columns) -> Part {
        let (d, width) = (self.features.d_model(), columns.width);
        let mut part = Part {
            loss: vec![0.0; width],
            bias_gradient: vec![0.0; width],
            gradient: vec![0.0; width * d],
        };
        let mut product = vec![0.0; width * d];
        let (mut scratch, mut z) = (Vec::new(), Vec::new());
        let mut block = Block::new(problems, columns);
        for (flush, rows) in rows.chunks(FLUSH * d).enumerate() {
            for (i, rows) in rows.chunks(BLOCK * d).enumerate() {
                let first = first + flush * FLUSH + i * BLOCK;
                let n = rows.len() / d;
                let x = self.scaling.rows(rows, &mut scratch);
                columns.multiply(x, d, &mut z);
                vectorize(
                    #[inline(always)]
                    || {
                        let sums = (&mut z[..], &mut part.loss[..]);
                        block.differentiate(&self.examples, (first, n), sums);
                        for row in z.chunks_exact(width) {
                            for (sum, residual) in part.bias_gradient.iter_mut().zip(row) {
                                *sum += f64::from(*residual);
                            }
                        }
                    },
                );
                let residuals = Matrix::new(&z, n, width).transpose();
                let write = if i == 0 { Write::Replace } else { Write::Add };
                matmul_on_one_core(&mut product, residuals, Matrix::new(x, n, d), write);
            }
            for (sum, value) in part.gradient.iter_mut().zip(&product) {
                *sum += f64::from(*value);
            }
        }
        part
    }
}

/// Curvature of the loss of weight 1 at some logits.
pub(super) fn curvature_of(logits: &[f32]) -> f32 {
    if let [logit] = logits {
        let p = 1.0 / (1.0 + exp(-logit));
        return p * (1.0 - p);
    }
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| exp(logit - highest)).sum();
    let spread = logits.iter().map(|logit| {
        let p = exp(logit - highest) / sum;
        p * (1.0 - p)
    });
    spread.sum::<f32>() / (logits.len() - 1) as f32
}

/// Sums over some of the rows.
struct Part {
    /// `[n_problems]`, padded.
    loss: Vec<f64>,
    /// `[width]`
    bias_gradient: Vec<f64>,
    /// `[width, d_model]`
    gradient: Vec<f64>,
}
