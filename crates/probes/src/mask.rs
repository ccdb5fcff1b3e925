//! Which tokens of padded texts are real, and where.

use burn::tensor::{Bool, Tensor};

/// Numbers the real tokens of each example from 0, wherever the padding is; padding gets 0.
///
/// # Shapes
///
/// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
/// - returns `[batch, pos]`
pub fn positions_from_mask(mask_pad: Tensor<2, Bool>) -> Tensor<2> {
    let n_so_far = mask_pad.clone().bool_not().float().cumsum(1);
    (n_so_far - 1.0).mask_fill(mask_pad, 0.0)
}

/// Marks the last real token of each example.
///
/// # Shapes
///
/// - `mask_pad`: `[batch, pos]`, `true` where the token is padding
/// - returns `[batch, pos]`, `true` at the last real token
pub fn mask_last(mask_pad: Tensor<2, Bool>) -> Tensor<2, Bool> {
    let [batch, pos] = mask_pad.dims();
    let real = mask_pad.bool_not();
    let n_so_far = real.clone().float().cumsum(1);
    let n_real = n_so_far.clone().narrow(1, pos - 1, 1).expand([batch, pos]);
    n_so_far.equal(n_real).bool_and(real)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::host_values;
    use burn::tensor::Device;

    #[test]
    fn positions_count_real_tokens_on_either_padding_side() {
        let device = Device::flex();
        let mask_pad = Tensor::<2, Bool>::from_data(
            [[true, true, false, false], [false, false, false, true], [false, true, false, true]],
            &device,
        );
        let positions = host_values(positions_from_mask(mask_pad.clone()));
        assert_eq!(positions, [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let last = host_values(mask_last(mask_pad).float());
        assert_eq!(last, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }
}
