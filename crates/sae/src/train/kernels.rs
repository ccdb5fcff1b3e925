//! Loops over rows, written so that they vectorise inside a dispatched closure.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

/// Independent partial sums, so that a sum vectorises without reordering.
const LANES: usize = 16;

/// `Σ a b`
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `to += scale from`
#[inline(always)]
pub(crate) fn add_scaled(to: &mut [f32], scale: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += scale * from;
    }
}

/// `Σ a²`, in `f64` from row to row.
#[inline(always)]
pub(super) fn squares(a: &[f32]) -> f64 {
    f64::from(dot(a, a))
}
