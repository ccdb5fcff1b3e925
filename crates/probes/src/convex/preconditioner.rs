//! A quadratic that resembles a logistic regression, so that its steps are of the right length in
//! every direction.

use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Mat, MatMut, Par, Side};

/// Smallest share of the mean diagonal that is added to it, above the rounding of the products.
const JITTER: f64 = 1e-6;

/// `M = H + diag(ridge)` as `L L'`, with the curvature `H` of the weights and that of the bias.
#[derive(Clone, Debug)]
pub(super) struct Preconditioner {
    root: Root,
    bias_scale: f64,
}

/// The factor `L`.
#[derive(Clone, Debug)]
enum Root {
    /// `[d_model, d_model]`, of the curvature along and between the features.
    Lower(Mat<f64>),
    /// `[d_model]`, of the curvature along each feature alone.
    Diagonal(Vec<f64>),
}

impl Preconditioner {
    /// Factors the curvature `scale · gram` of the weights; that of the bias is `bias`.
    ///
    /// Rounding may leave the matrix indefinite, so a little is added to its diagonal, more if it
    /// has to be. With ever more it ends as a diagonal matrix.
    ///
    /// # Shapes
    ///
    /// - `gram`: `[d_model, d_model]`
    /// - `ridge`: `[d_model]`
    pub(super) fn new(gram: &[f64], scale: f64, ridge: &[f64], bias: f64) -> Self {
        let d = ridge.len();
        let diagonal = |j: usize| scale * gram[j * d + j];
        let mean = (0..d).map(diagonal).sum::<f64>() / d as f64;
        // An all-constant input has no curvature at all.
        let mean = if mean > 0.0 { mean } else { 1.0 };
        let mut jitter = JITTER * mean;
        let bias_scale = bias.max(f64::MIN_POSITIVE).sqrt();
        for _ in 0..8 {
            let matrix = Mat::from_fn(d, d, |i, j| {
                let value = scale * gram[i * d + j];
                if i == j { value + ridge[j] + jitter } else { value }
            });
            if let Ok(factor) = matrix.llt(Side::Lower)
                && (0..d).all(|j| factor.L()[(j, j)].is_normal())
            {
                return Self { root: Root::Lower(factor.L().to_owned()), bias_scale };
            }
            jitter *= 10.0;
        }
        let root = |j: usize| (diagonal(j).max(0.0) + ridge[j] + mean).sqrt();
        Self { root: Root::Diagonal((0..d).map(root).collect()), bias_scale }
    }

    /// Takes the curvature along each feature, where that between features is let go.
    ///
    /// # Shapes
    ///
    /// - `curvature`, `ridge`: `[d_model]`
    pub(super) fn diagonal(curvature: &[f64], ridge: &[f64], bias: f64) -> Self {
        let sums = curvature.iter().zip(ridge).map(|(curvature, ridge)| curvature + ridge);
        let roots = sums.map(|sum| sum.max(f64::MIN_POSITIVE).sqrt());
        let bias_scale = bias.max(f64::MIN_POSITIVE).sqrt();
        Self { root: Root::Diagonal(roots.collect()), bias_scale }
    }

    /// `L⁻¹ g`, in place: gradients in the coordinates in which `M` is the identity.
    ///
    /// # Shapes
    ///
    /// - `gradient`: `[n_logits, d_model]`, then `[n_logits]`
    pub(super) fn whiten(&self, gradient: &mut [f64], n_logits: usize) {
        self.solve(gradient, n_logits, |lower, columns| {
            solve_lower_triangular_in_place(lower.as_ref(), columns, Par::Seq);
        });
    }

    /// `L'⁻¹ p`, in place: a step back from those coordinates.
    pub(super) fn unwhiten(&self, step: &mut [f64], n_logits: usize) {
        self.solve(step, n_logits, |lower, columns| {
            solve_upper_triangular_in_place(lower.transpose(), columns, Par::Seq);
        });
    }

    /// Divides by the factor, or by its transpose, which for a diagonal is the same.
    fn solve(
        &self,
        values: &mut [f64],
        n_logits: usize,
        triangular: impl Fn(&Mat<f64>, MatMut<'_, f64>),
    ) {
        let d = match &self.root {
            Root::Lower(lower) => lower.nrows(),
            Root::Diagonal(roots) => roots.len(),
        };
        let (weights, biases) = values.split_at_mut(n_logits * d);
        match &self.root {
            Root::Lower(lower) => {
                let columns = MatMut::from_column_major_slice_mut(weights, d, n_logits);
                triangular(lower, columns);
            }
            Root::Diagonal(roots) => {
                for weights in weights.chunks_exact_mut(d) {
                    for (weight, root) in weights.iter_mut().zip(roots) {
                        *weight /= root;
                    }
                }
            }
        }
        for bias in biases {
            *bias /= self.bias_scale;
        }
    }
}
