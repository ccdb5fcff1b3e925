//! Loops over slices, written so that they vectorise inside [`vectorize`](crate::vectorize).
//!
//! The order of the terms of a sum is fixed: independent partial sums, one a lane, then the lanes
//! one after the other, where nothing else is said.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

/// Independent partial sums, so that a sum vectorises without reordering.
const LANES: usize = 16;

/// `Σ a b` in `f32`, by 16 partial sums.
///
/// # Shapes
///
/// - `a`, `b`: `[n]`
///
/// # Examples
///
/// ```
/// assert_eq!(attention_probes::kernels::dot(&[1.0, 2.0], &[3.0, -1.0]), 1.0);
/// ```
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    // Apart, so that the sums of whole chunks never leave their register.
    if !a_rest.is_empty() {
        let mut sums = sums;
        for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
            *sum += a * b;
        }
        return sums.iter().sum();
    }
    sums.iter().sum()
}

/// `Σ a` in `f32`, by 16 partial sums.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, rest) = a.as_chunks::<LANES>();
    for a in a {
        for (sum, a) in sums.iter_mut().zip(a) {
            *sum += a;
        }
    }
    for (sum, a) in sums.iter_mut().zip(rest) {
        *sum += a;
    }
    sums.iter().sum()
}

/// `Σ a b` of numbers in `f32`, in `f64`, by the widest registers of the machine: a whole loop, that
/// need not be called inside [`vectorize`](crate::vectorize).
///
/// 32 partial sums, of which halves are added to halves.
///
/// # Shapes
///
/// - `a`, `b`: `[n]`
#[cfg(feature = "products")]
pub fn dot_in_f64(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 32;
    crate::vectorize(
        #[inline(always)]
        || {
            let mut sums = [0.0; LANES];
            let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += f64::from(*a) * f64::from(*b);
                }
            }
            for ((sum, a), b) in sums.iter_mut().zip(rest_a).zip(rest_b) {
                *sum += f64::from(*a) * f64::from(*b);
            }
            // Halves first: one after the other, the lanes would take longer than the products.
            let mut n = LANES;
            while n > 1 {
                n /= 2;
                for lane in 0..n {
                    sums[lane] += sums[lane + n];
                }
            }
            sums[0]
        },
    )
}

/// `Σ a b` in `f64`, by 8 partial sums.
///
/// # Shapes
///
/// - `a`, `b`: `[n]`
pub fn dot_f64(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// `Σ a b` in `f64`, one term after the other: what [`Lbfgs`](crate::Lbfgs) and
/// [`conjugate_gradients`](crate::conjugate_gradients) use, whose results are kept to the last bit.
///
/// # Shapes
///
/// - `a`, `b`: `[n]`
pub fn dot_f64_in_order(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `to += scale from`.
///
/// # Shapes
///
/// - `to`, `from`: `[n]`
#[inline(always)]
pub fn add_scaled(to: &mut [f32], scale: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += scale * from;
    }
}

/// `to += scale from`, as [`add_scaled`], in `f64`.
#[inline(always)]
pub fn add_scaled_f64(to: &mut [f64], scale: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += scale * from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, of which every sum is exact in any order.
    fn numbers(n: usize) -> (Vec<f32>, Vec<f32>) {
        let number = |i: usize, by: usize| (i * by % 13) as f32 - 6.0;
        ((0..n).map(|i| number(i, 5)).collect(), (0..n).map(|i| number(i, 7)).collect())
    }

    #[test]
    fn every_product_is_the_sum_of_all_terms_whatever_the_length() {
        for n in [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 100] {
            let (a, b) = numbers(n);
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            approx::assert_abs_diff_eq!(dot(&a, &b), expected);
            approx::assert_abs_diff_eq!(sum(&a), a.iter().sum::<f32>());
            #[cfg(feature = "products")]
            approx::assert_abs_diff_eq!(dot_in_f64(&a, &b), f64::from(expected));
            let [a, b] = [a, b].map(|x| x.into_iter().map(f64::from).collect::<Vec<_>>());
            approx::assert_abs_diff_eq!(dot_f64(&a, &b), f64::from(expected));
            approx::assert_abs_diff_eq!(dot_f64_in_order(&a, &b), f64::from(expected));
        }
    }

    #[test]
    fn the_terms_of_a_product_are_added_lane_by_lane() {
        let (a, b): (Vec<f32>, Vec<f32>) =
            (0..37).map(|i| (1.0 / (i + 1) as f32, (0.3 * i as f32).sin())).unzip();
        let mut lanes = [0.0_f32; LANES];
        for (i, (a, b)) in a.iter().zip(&b).enumerate() {
            lanes[i % LANES] += a * b;
        }
        let expected: f32 = lanes.iter().sum();
        assert_eq!(dot(&a, &b).to_bits(), expected.to_bits());
    }

    #[test]
    fn scaled_numbers_are_added() {
        let mut to = [1.0_f32, 2.0];
        add_scaled(&mut to, 0.5, &[2.0, -4.0]);
        approx::assert_abs_diff_eq!(to[..], [2.0, 0.0][..]);
        let mut to = [1.0, 2.0];
        add_scaled_f64(&mut to, 0.5, &[2.0, -4.0]);
        approx::assert_abs_diff_eq!(to[..], [2.0, 0.0][..]);
    }
}
