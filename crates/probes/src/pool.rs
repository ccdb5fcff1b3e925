//! Pools: fixed ways to make one vector of a sequence.

use burn::tensor::{Bool, Tensor, assert_shape};
use serde::{Deserialize, Serialize};

use crate::mask_last;

/// How the tokens of a sequence become one vector; padding never counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The last real token.
    Last,
    /// The average of the real tokens.
    #[default]
    Mean,
    /// In each dimension the largest value of a real token.
    Max,
    /// In each dimension the value of largest magnitude, with its sign; the first on a tie.
    AbsMax,
}

impl Pool {
    /// Pools a batch over its tokens.
    ///
    /// An example without real token gives zeros under `Last` and `Mean`.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`
    /// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
    /// - returns `[batch, d_model]`
    ///
    /// # Panics
    ///
    /// If `mask_pad` does not match `x` in `batch` and `pos`.
    pub fn forward(self, x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> Tensor<2> {
        let [batch, pos, d_model] = x.dims();
        assert_shape!(mask_pad, [batch, pos]);
        let over_d_model = |mask: Tensor<2, Bool>| -> Tensor<3, Bool> {
            mask.unsqueeze_dim::<3>(2).expand([batch, pos, d_model])
        };

        let pooled = match self {
            Self::Last => {
                let mask_other = mask_last(mask_pad).bool_not();
                x.mask_fill(over_d_model(mask_other), 0.0).sum_dim(1)
            }
            Self::Mean => {
                let n_real = mask_pad.clone().bool_not().float().sum_dim(1).clamp_min(1.0);
                let sum = x.mask_fill(over_d_model(mask_pad), 0.0).sum_dim(1);
                sum / n_real.unsqueeze_dim::<3>(2) // [batch, 1, d_model]
            }
            Self::Max => x.mask_fill(over_d_model(mask_pad), f32::MIN).max_dim(1),
            Self::AbsMax => {
                let magnitude = x.clone().abs().mask_fill(over_d_model(mask_pad), -1.0);
                let index = magnitude.argmax(1); // [batch, 1, d_model]
                x.gather(1, index)
            }
        };
        pooled.squeeze_dim::<2>(1)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::testing::host_values;

    /// Three real tokens of width 2 and a padding token full of large numbers.
    fn example(pad_first: bool) -> (Tensor<3>, Tensor<2, Bool>) {
        let device = Device::flex();
        let pad = [900.0, -900.0];
        let real = [[1.0, -5.0], [-4.0, 2.0], [3.0, 3.0_f32]];
        let (rows, mask) = if pad_first {
            ([pad, real[0], real[1], real[2]], [true, false, false, false])
        } else {
            ([real[0], real[1], real[2], pad], [false, false, false, true])
        };
        let x = Tensor::from_data(TensorData::from([rows]), &device);
        (x, Tensor::from_data(TensorData::from([mask]), &device))
    }

    #[test]
    fn each_pool_gives_what_its_name_says_on_either_padding_side() {
        for pad_first in [false, true] {
            for (pool, expected) in [
                (Pool::Last, [3.0, 3.0]),
                (Pool::Mean, [0.0, 0.0]),
                (Pool::Max, [3.0, 3.0]),
                (Pool::AbsMax, [-4.0, -5.0]),
            ] {
                let (x, mask_pad) = example(pad_first);
                let pooled = host_values(pool.forward(x, mask_pad));
                assert_eq!(pooled, expected, "{pool:?}, padding first: {pad_first}");
            }
        }
    }

    #[test]
    fn one_token_is_its_own_pool() {
        let device = Device::flex();
        for pool in [Pool::Last, Pool::Mean, Pool::Max, Pool::AbsMax] {
            let x = Tensor::<3>::from_data([[[1.5, -2.5]], [[-0.5, 0.25_f32]]], &device);
            let mask_pad = Tensor::<2, Bool>::from_data([[false], [false]], &device);
            let pooled = host_values(pool.forward(x, mask_pad));
            assert_eq!(pooled, [1.5, -2.5, -0.5, 0.25], "{pool:?}");
        }
    }

    #[test]
    fn pools_are_written_in_lowercase() {
        assert_eq!(serde_json::to_string(&Pool::AbsMax).unwrap(), "\"absmax\"");
        assert!(serde_json::from_str::<Pool>("\"median\"").is_err());
    }
}
