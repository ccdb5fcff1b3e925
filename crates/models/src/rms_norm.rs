//! Root-mean-square norm, as Gemma has it: the weight is stored less one.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::fused::{map_rows, sum_of_squares};

/// Divides by the root mean square, then multiplies by `1 + weight`.
///
/// ```text
/// scale  = √(mean(x²) + ε)
/// output = x / scale · (1 + weight)
/// ```
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    pub(crate) weight: Param<Tensor<1>>,
}

impl RmsNorm {
    pub(crate) fn new(weight: Param<Tensor<1>>) -> Self {
        Self { weight }
    }

    /// Normalises the last axis.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, epsilon: f64) -> Tensor<D> {
        let gain = self.weight.val().add_scalar(1.0);
        let [width] = gain.dims();
        let normalise = |gains: &[&[f32]], _, row: &mut [f32]| {
            let mean = sum_of_squares(row) / width as f32;
            let inverse = (mean + epsilon as f32).sqrt().recip();
            for (x, gain) in row.iter_mut().zip(gains[0]) {
                *x = *x * inverse * gain;
            }
        };
        map_rows(x, width, &[&gain], normalise, |x| {
            self.scaled(x.clone() / Self::scale(x, epsilon))
        })
    }

    /// What the input is divided by; the last axis becomes 1.
    pub(crate) fn scale<const D: usize>(x: Tensor<D>, epsilon: f64) -> Tensor<D> {
        x.square().mean_dim(D - 1).add_scalar(epsilon).sqrt()
    }

    /// The normalised input times `1 + weight`.
    pub(crate) fn scaled<const D: usize>(&self, normalized: Tensor<D>) -> Tensor<D> {
        normalized * self.weight.val().add_scalar(1.0).unsqueeze::<D>()
    }
}

/// Normalises each head, where there is a norm.
pub(crate) fn rms_norm_heads(norm: Option<&RmsNorm>, x: Tensor<4>, epsilon: f64) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(x, epsilon),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_fused_norm_the_parts_and_the_formula_agree() {
        let device = Device::flex();
        let weight = [0.5, -0.25, 0.0_f32];
        let norm = RmsNorm::new(Param::from_tensor(Tensor::from_floats(weight, &device)));
        let x = Tensor::<3>::from_floats([[[1.0, -2.0, 3.0], [0.1, 0.2, -0.3]]], &device);
        let fused: Vec<f32> = norm.forward(x.clone(), 1e-6).into_data().try_into_vec().unwrap();
        let parts = norm.scaled(x.clone() / RmsNorm::scale(x, 1e-6));
        let parts: Vec<f32> = parts.into_data().try_into_vec().unwrap();
        for (fused, parts) in fused.iter().zip(&parts) {
            assert_abs_diff_eq!(fused, parts, epsilon = 1e-6);
        }
        let scale = (14.0_f32 / 3.0).sqrt();
        for i in 0..3 {
            let expected = [1.0, -2.0, 3.0][i] / scale * (1.0 + weight[i]);
            assert_abs_diff_eq!(fused[i], expected, epsilon = 1e-6);
        }
    }
}
