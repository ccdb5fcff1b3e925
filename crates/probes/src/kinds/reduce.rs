//! Reductions over tokens whose tape is short.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};

use super::Batch;

/// The mean of values, weighed by the softmax of scores over the last axis: `Σ_p a_p v_p`.
///
/// The value is computed off the tape. What is put on it is a sum of products with constants that has
/// the same value and the same derivatives, which is half as dear as the softmax itself:
///
/// ```text
/// a = softmax(s)    z = Σ_p a_p v_p    dz/dv_p = a_p    dz/ds_p = a_p (v_p - z)
/// ```
///
/// # Shapes
///
/// - `scores`: `[m, 1, batch, pos]`
/// - `values`: `[m, n, batch, pos]`
/// - returns `[m, n, batch]`
pub fn weighted_mean(scores: Tensor<4>, values: Tensor<4>) -> Tensor<3> {
    let [m, n, batch, _] = values.dims();
    let values_off = values.clone().inner();
    let weights = softmax(scores.clone().inner(), 3);
    let mean = (weights.clone() * values_off.clone()).sum_dim(3); // [m, n, batch, 1]
    if !scores.is_tracked() && !values.is_tracked() {
        return mean.reshape([m, n, batch]);
    }
    let slope = weights.clone() * (values_off - mean.clone());
    let line = (values * weights + scores * slope).sum_dim(3);
    let rest = mean - line.clone().inner();
    (line + rest).reshape([m, n, batch])
}

/// Values moved by some positions towards the end; `fill` comes in.
pub(super) fn shifted(values: &Tensor<4>, by: usize, fill: f32) -> Tensor<4> {
    let [m, n, batch, pos] = values.dims();
    if by == 0 {
        return values.clone();
    }
    let filled = Tensor::full([m, n, batch, by], fill, &values.device());
    Tensor::cat(vec![filled, values.clone().narrow(3, 0, pos - by)], 3)
}

/// Mean of the tokens up to each one, at most `window` of them.
pub(crate) fn rolling_mean(values: &Tensor<4>, window: usize) -> Tensor<4> {
    let pos = values.dims()[3];
    let add = |sums: Tensor<4>, by| sums + shifted(values, by, 0.0);
    let sums = (1..window.min(pos)).fold(values.clone(), add);
    let n_tokens: Vec<f32> = (0..pos).map(|p| (p + 1).min(window) as f32).collect();
    let n_tokens = TensorData::new(n_tokens, [1, 1, 1, pos]);
    sums / Tensor::<4>::from_data(n_tokens, &values.device().inner())
}

/// Exponential moving average, in `log2(pos)` steps.
pub(super) fn moving_average(values: &Tensor<4>, alpha: f64) -> Tensor<4> {
    let pos = values.dims()[3];
    let first = values.clone().narrow(3, 0, 1);
    let mut means = if pos > 1 {
        let others = values.clone().narrow(3, 1, pos - 1).mul_scalar(alpha);
        Tensor::cat(vec![first, others], 3)
    } else {
        first
    };
    let (mut by, mut kept) = (1, 1.0 - alpha);
    while by < pos {
        means = means.clone() + shifted(&means, by, 0.0).mul_scalar(kept);
        kept *= kept;
        by *= 2;
    }
    means
}

/// What keeps windows out that do not count: those that end in padding, and those of fewer than
/// `window` tokens though the text has that many; 0 or -1e30, `[1, 1, batch, pos]`.
pub(crate) fn partial_windows(batch: &Batch, window: usize) -> Tensor<4> {
    let is_partial = batch.positions().lower_elem(window as f32 - 1.0).float();
    // Of a text shorter than the window, the last mean is of all its tokens.
    is_partial * batch.all_but_last() + batch.padding()
}
