//! Aggregations: how the scores of the tokens of a text become one score.

use attention_probes_errors::ValueError;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::ProbeError;
use crate::kinds::Batch;
use crate::kinds::reduce::{moving_average, partial_windows, rolling_mean, weighted_mean};

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
    pub(super) fn check(&self) -> Result<(), ProbeError> {
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

    /// Aggregates the scores of a batch over its tokens.
    ///
    /// # Shapes
    ///
    /// - `scores`: `[n_trials, n_out, batch, pos]`
    /// - returns `[n_trials, n_out, batch]`
    pub(super) fn forward(self, scores: Tensor<4>, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let aggregated = match self {
            Self::Softmax { temperature } => {
                let pos = scores.dims()[3];
                let flat = [n_trials * n_out, 1, n, pos];
                let seen = scores.clone().div_scalar(temperature) + batch.padding();
                return weighted_mean(seen.reshape(flat), scores.reshape(flat))
                    .reshape([n_trials, n_out, n]);
            }
            Self::TopMean { k } => top_mean(scores, batch, k),
            Self::RollingMax { window } => {
                (rolling_mean(&scores, window) + partial_windows(batch, window)).max_dim(3)
            }
            Self::Ema { alpha } => (moving_average(&scores, alpha) + batch.padding()).max_dim(3),
        };
        aggregated.reshape([n_trials, n_out, n])
    }
}

/// Mean of the `k` highest scores of each text, `[n_trials, n_out, batch, 1]`.
fn top_mean(scores: Tensor<4>, batch: &Batch, k: usize) -> Tensor<4> {
    let [_, _, n, pos] = scores.dims();
    let real = scores.clone() * batch.real();
    let top = if k < pos {
        let places = (scores.inner() + batch.padding()).argtopk(k, 3);
        real.gather(3, places)
    } else {
        real
    };
    let n_real = batch.n_tokens().clamp(1.0, k as f32).reshape([1, 1, n, 1]);
    top.sum_dim(3) / n_real
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::PaddedTokens;
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
        fn every_aggregation_is_what_it_says_however_long_the_text_is(
            aggregation in aggregations(),
            scores in prop::collection::vec(-3.0..3.0_f64, 2 * 9),
            n_tokens in 1..=9_usize,
        ) {
            let device = Device::flex();
            let values: Vec<f32> = scores.iter().map(|s| *s as f32).collect();
            let tokens = PaddedTokens::new(Tensor::zeros([1, 9, 1], &device), &[n_tokens]);
            let batch = Batch::new(tokens, 1, 2);
            let x = Tensor::<4>::from_data(TensorData::new(values, [1, 2, 1, 9]), &device);
            let found = host_values(aggregation.forward(x, &batch));
            for (found, scores) in found.into_iter().zip(scores.chunks(9)) {
                let expected = slow(aggregation, &scores[..n_tokens]);
                prop_assert!((f64::from(found) - expected).abs() < 1e-5);
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
