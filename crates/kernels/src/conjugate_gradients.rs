//! Systems of linear equations of which only products are known.

use crate::dot_f64_in_order as dot;

/// When [`conjugate_gradients`] end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConjugateGradients {
    /// Most steps.
    pub max_steps: usize,
    /// Norm of the residual, as a share of that of the right side, that is small enough.
    pub tolerance: f64,
}

/// Solves `A x = b` for a symmetric `A` with eigenvalues above 0, from a start.
///
/// Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems" (1952).
///
/// # Shapes
///
/// - `apply`: `[n]` to `[n]`, the product with `A`
/// - `b`, `start`, returned: `[n]`
///
/// # Examples
///
/// ```
/// use attention_probes::kernels::{ConjugateGradients, conjugate_gradients};
///
/// let apply = |x: &[f64]| vec![2.0 * x[0] + x[1], x[0] + 3.0 * x[1]];
/// let until = ConjugateGradients { max_steps: 10, tolerance: 1e-12 };
/// let x = conjugate_gradients(apply, &[3.0, 4.0], vec![0.0; 2], until);
/// assert!((x[0] - 1.0).abs() < 1e-10 && (x[1] - 1.0).abs() < 1e-10);
/// ```
pub fn conjugate_gradients(
    apply: impl Fn(&[f64]) -> Vec<f64>,
    b: &[f64],
    start: Vec<f64>,
    until: ConjugateGradients,
) -> Vec<f64> {
    let mut params = start;
    let applied = apply(&params);
    let mut residual: Vec<f64> = b.iter().zip(&applied).map(|(b, a)| b - a).collect();
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    let enough = until.tolerance * until.tolerance * dot(b, b);
    for _ in 0..until.max_steps {
        if square <= enough {
            break;
        }
        let applied = apply(&direction);
        let step = square / dot(&direction, &applied);
        for ((w, r), (d, a)) in
            params.iter_mut().zip(&mut residual).zip(direction.iter().zip(&applied))
        {
            *w += step * d;
            *r -= step * a;
        }
        let next = dot(&residual, &residual);
        for (d, r) in direction.iter_mut().zip(&residual) {
            *d = r + next / square * *d;
        }
        square = next;
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_system_is_solved_in_as_many_steps_as_it_has_eigenvalues() {
        let diagonal = [1.0, 10.0, 100.0];
        let apply = |x: &[f64]| x.iter().zip(diagonal).map(|(x, d)| x * d).collect();
        let until = ConjugateGradients { max_steps: 3, tolerance: 1e-12 };
        let x = conjugate_gradients(apply, &[1.0; 3], vec![5.0; 3], until);
        for (x, d) in x.iter().zip(diagonal) {
            approx::assert_abs_diff_eq!(*x, 1.0 / d, epsilon = 1e-9);
        }
    }
}
