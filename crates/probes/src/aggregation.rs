//! Aggregations: how the scores of the tokens of a text become one score.

use attention_probes_errors::ValueError;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Int, Tensor, TensorData, assert_shape};
use serde::{Deserialize, Serialize};

use crate::{ProbeError, positions_from_mask};

/// Score of padding: below every real one, and finite, so that no gradient becomes NaN.
const SCORE_PADDING: f32 = -1e30;

/// How the scores of the tokens of a text become one score; padding never counts.
///
/// With `s[p]` the score of the real token `p`, counted from 0:
///
/// ```text
/// softmax      Σ_p softmax(s / temperature)[p] s[p]
/// top_mean     mean of the k highest s; of all, where there are fewer
/// rolling_max  max over p ≥ window - 1 of mean(s[p - window + 1 ..= p]); the mean of all, where
///              there are fewer than window tokens
/// ema          max over p of e[p],   e[0] = s[0],   e[p] = alpha s[p] + (1 - alpha) e[p - 1]
/// ```
///
/// `softmax` and `rolling_max` are aggregations of `McKenzie` et al., "Detecting high-stakes
/// interactions with activation probes" (2025); the maximum of an exponential moving average is
/// that of Anthropic's "Cost-effective constitutional classifiers via representation re-use" (2025).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Aggregation {
    /// The mean, weighed by the softmax of the scores themselves.
    Softmax {
        /// Above 0; the higher, the closer to the plain mean.
        temperature: f64,
    },
    /// The mean of the highest scores; of one, the maximum.
    TopMean {
        /// How many, at least 1.
        k: usize,
    },
    /// The highest mean of neighbouring tokens.
    RollingMax {
        /// How many neighbours, at least 1.
        window: usize,
    },
    /// The highest exponential moving average.
    Ema {
        /// Weight of the newest token, above 0 and at most 1.
        alpha: f64,
    },
}

impl Aggregation {
    /// Checks the parameter.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Hyperparameter`] if it is out of range.
    pub(crate) fn check(&self) -> Result<(), ProbeError> {
        let (name, value, expected, is_right) = match *self {
            Self::Softmax { temperature } => {
                let is_right = temperature > 0.0 && temperature.is_finite();
                ("temperature", temperature, "a number above 0", is_right)
            }
            Self::TopMean { k } => ("k", k as f64, "at least 1", k > 0),
            Self::RollingMax { window } => ("window", window as f64, "at least 1", window > 0),
            Self::Ema { alpha } => {
                ("alpha", alpha, "above 0 and at most 1", alpha > 0.0 && alpha <= 1.0)
            }
        };
        if is_right { Ok(()) } else { Err(ValueError::new(name, value, expected).into()) }
    }

    /// Aggregates a batch over its tokens.
    ///
    /// # Shapes
    ///
    /// - `scores`: `[batch, pos, n_out]`
    /// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
    /// - returns `[batch, n_out]`
    ///
    /// # Panics
    ///
    /// If `mask_pad` does not match `scores` in `batch` and `pos`.
    pub fn forward(self, scores: Tensor<3>, mask_pad: Tensor<2, Bool>) -> Tensor<2> {
        let [batch, pos, n_out] = scores.dims();
        assert_shape!(mask_pad, [batch, pos]);
        let aggregated = match self {
            Self::Softmax { temperature } => {
                let mask = over(mask_pad, n_out);
                let seen = scores.clone().mask_fill(mask.clone(), SCORE_PADDING);
                let weights = softmax(seen.div_scalar(temperature), 1);
                (weights * scores.mask_fill(mask, 0.0)).sum_dim(1)
            }
            Self::TopMean { k } => top_mean(scores, mask_pad, k),
            Self::RollingMax { window } => {
                let (scores, behind) = left_aligned(scores, mask_pad);
                let mask = over(window_mask(behind, window), n_out);
                rolling_mean(&scores, window).mask_fill(mask, SCORE_PADDING).max_dim(1)
            }
            Self::Ema { alpha } => {
                let (scores, behind) = left_aligned(scores, mask_pad);
                let means = moving_average(scores, alpha);
                means.mask_fill(over(behind, n_out), SCORE_PADDING).max_dim(1)
            }
        };
        aggregated.squeeze_dim::<2>(1)
    }
}

/// The same mask for every column, `[batch, pos, n_columns]`.
pub(crate) fn over(mask: Tensor<2, Bool>, n_columns: usize) -> Tensor<3, Bool> {
    let [batch, pos] = mask.dims();
    mask.unsqueeze_dim::<3>(2).expand([batch, pos, n_columns])
}

/// Moves the real tokens of each example to its beginning, wherever the padding was.
///
/// # Shapes
///
/// - `values`: `[batch, pos, n_columns]`
/// - returns the same, 0 behind the last real token, and the mask of what is behind it
pub(crate) fn left_aligned(
    values: Tensor<3>,
    mask_pad: Tensor<2, Bool>,
) -> (Tensor<3>, Tensor<2, Bool>) {
    let [batch, pos, n_columns] = values.dims();
    let device = values.device();
    // Padding goes to position 0 too, where it adds nothing.
    let index = over_int(positions_from_mask(mask_pad.clone()).int(), n_columns);
    let values = values.mask_fill(over(mask_pad.clone(), n_columns), 0.0);
    let aligned = Tensor::zeros([batch, pos, n_columns], &device).scatter(
        1,
        index,
        values,
        burn::tensor::IndexingUpdateOp::Add,
    );
    let n_real = mask_pad.bool_not().int().sum_dim(1); // [batch, 1]
    let column: Vec<i64> = (0..pos as i64).collect();
    let column = Tensor::<2, Int>::from_data(TensorData::new(column, [1, pos]), &device);
    let mask = column.expand([batch, pos]).greater_equal(n_real.expand([batch, pos]));
    (aligned, mask)
}

fn over_int(index: Tensor<2, Int>, n_columns: usize) -> Tensor<3, Int> {
    let [batch, pos] = index.dims();
    index.unsqueeze_dim::<3>(2).expand([batch, pos, n_columns])
}

/// Mean of the tokens up to each one, at most `window` of them, of left-aligned values.
pub(crate) fn rolling_mean(values: &Tensor<3>, window: usize) -> Tensor<3> {
    let [batch, pos, n_columns] = values.dims();
    let sums = (1..window.min(pos))
        .fold(values.clone(), |sums, by| sums + shifted(values.clone(), by, 0.0));
    let n_tokens: Vec<f32> = (0..pos).map(|p| (p + 1).min(window) as f32).collect();
    let n_tokens = Tensor::<3>::from_data(TensorData::new(n_tokens, [1, pos, 1]), &sums.device());
    sums / n_tokens.expand([batch, pos, n_columns])
}

/// Which windows do not count, `true` where they end in what is `behind` the last token, or hold
/// fewer than `window` tokens though the example has that many.
pub(crate) fn window_mask(behind: Tensor<2, Bool>, window: usize) -> Tensor<2, Bool> {
    let [batch, pos] = behind.dims();
    let column: Vec<i64> = (1..=pos as i64).collect();
    let n_so_far = Tensor::<2, Int>::from_data(TensorData::new(column, [1, pos]), &behind.device())
        .expand([batch, pos]);
    // Of an example shorter than the window, the last mean is of all its tokens.
    let n_real = behind.clone().bool_not().int().sum_dim(1).expand([batch, pos]);
    let is_last = n_so_far.clone().equal(n_real);
    let is_partial = n_so_far.lower_elem(window as i64);
    behind.bool_or(is_partial.bool_and(is_last.bool_not()))
}

/// Values moved by some positions towards the end; `fill` comes in.
pub(crate) fn shifted(values: Tensor<3>, by: usize, fill: f32) -> Tensor<3> {
    let [batch, pos, n_columns] = values.dims();
    if by == 0 {
        return values;
    }
    let filled = Tensor::full([batch, by, n_columns], fill, &values.device());
    Tensor::cat(vec![filled, values.narrow(1, 0, pos - by)], 1)
}

/// Exponential moving average of left-aligned values, in `log2(pos)` steps.
fn moving_average(values: Tensor<3>, alpha: f64) -> Tensor<3> {
    let [_, pos, _] = values.dims();
    let first = values.clone().narrow(1, 0, 1);
    let mut means = if pos > 1 {
        Tensor::cat(vec![first, values.narrow(1, 1, pos - 1).mul_scalar(alpha)], 1)
    } else {
        first
    };
    let (mut by, mut kept) = (1, 1.0 - alpha);
    while by < pos {
        means = means.clone() + shifted(means, by, 0.0).mul_scalar(kept);
        kept *= kept;
        by *= 2;
    }
    means
}

/// Mean of the `k` highest scores of each example and column, `[batch, 1, n_out]`.
fn top_mean(scores: Tensor<3>, mask_pad: Tensor<2, Bool>, k: usize) -> Tensor<3> {
    let [batch, pos, n_out] = scores.dims();
    let real = scores.clone().mask_fill(over(mask_pad.clone(), n_out), 0.0);
    let top = if k < pos {
        let seen = scores.mask_fill(over(mask_pad.clone(), n_out), SCORE_PADDING);
        real.gather(1, seen.argtopk(k, 1))
    } else {
        real
    };
    let n_real = mask_pad.bool_not().float().sum_dim(1).clamp(1.0, k as f32); // [batch, 1]
    top.sum_dim(1) / n_real.unsqueeze_dim::<3>(2).expand([batch, 1, n_out])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::host_values;

    /// What the documentation says, one example and column at a time.
    fn slow(aggregation: Aggregation, s: &[f64]) -> f64 {
        let mean = |s: &[f64]| s.iter().sum::<f64>() / s.len() as f64;
        let highest = |s: &[f64]| s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match aggregation {
            Aggregation::Softmax { temperature } => {
                let weights: Vec<f64> = s.iter().map(|s| (s / temperature).exp()).collect();
                let sum: f64 = weights.iter().sum();
                s.iter().zip(&weights).map(|(s, w)| s * w / sum).sum()
            }
            Aggregation::TopMean { k } => {
                let mut sorted = s.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                mean(&sorted[..k.min(s.len())])
            }
            Aggregation::RollingMax { window } if s.len() < window => mean(s),
            Aggregation::RollingMax { window } => {
                highest(&s.windows(window).map(mean).collect::<Vec<_>>())
            }
            Aggregation::Ema { alpha } => {
                let mut e = s[0];
                let mut seen = vec![e];
                for s in &s[1..] {
                    e = alpha * s + (1.0 - alpha) * e;
                    seen.push(e);
                }
                highest(&seen)
            }
        }
    }

    fn aggregations() -> impl Strategy<Value = Aggregation> {
        prop_oneof![
            (0.2..5.0).prop_map(|temperature| Aggregation::Softmax { temperature }),
            (1..12_usize).prop_map(|k| Aggregation::TopMean { k }),
            (1..12_usize).prop_map(|window| Aggregation::RollingMax { window }),
            (0.05..=1.0).prop_map(|alpha| Aggregation::Ema { alpha }),
        ]
    }

    proptest! {
        #[test]
        fn every_aggregation_is_what_it_says_wherever_the_padding_is(
            aggregation in aggregations(),
            scores in prop::collection::vec(-3.0..3.0_f64, 2 * 9),
            mut padding in prop::collection::vec(any::<bool>(), 9),
        ) {
            padding[4] = false;
            let device = Device::flex();
            let values: Vec<f32> = scores.iter().map(|s| *s as f32).collect();
            let x = Tensor::<3>::from_data(TensorData::new(values, [1, 9, 2]), &device);
            let mask_pad = TensorData::new(padding.clone(), [1, 9]);
            let mask_pad = Tensor::<2, Bool>::from_data(mask_pad, &device);
            let found = host_values(aggregation.forward(x, mask_pad));
            for (column, found) in found.into_iter().enumerate() {
                let real = scores.chunks(2).zip(&padding).filter(|(_, pad)| !**pad);
                let real: Vec<f64> = real.map(|(s, _)| s[column]).collect();
                prop_assert!((f64::from(found) - slow(aggregation, &real)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_parameter_out_of_range_is_refused() {
        for (aggregation, message) in [
            (Aggregation::TopMean { k: 0 }, "`k` is 0, expected at least 1"),
            (Aggregation::RollingMax { window: 0 }, "`window` is 0, expected at least 1"),
            (Aggregation::Ema { alpha: 0.0 }, "`alpha` is 0, expected above 0 and at most 1"),
            (
                Aggregation::Softmax { temperature: f64::NAN },
                "`temperature` is NaN, expected a number above 0",
            ),
        ] {
            assert_eq!(aggregation.check().unwrap_err().to_string(), message);
        }
    }
}
