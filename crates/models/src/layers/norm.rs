//! Norms of both families, whole and in the parts that have hooks.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::{DType, FloatDType, Tensor};

use crate::layers::fused::{map_rows, sum_of_squares};

/// A norm over the last axis that can be taken apart.
///
/// ```text
/// output = numerator(x) / scale(x) · gain + bias
/// ```
pub(crate) trait Norm {
    /// All of it, in the number format of `x`.
    fn forward(&self, x: Tensor<3>, epsilon: f64) -> Tensor<3>;

    /// What is divided, and what it is divided by, `[batch, pos, 1]`; both in `f32`.
    fn parts(&self, x: Tensor<3>, epsilon: f64) -> NormParts;

    /// The quotient times the gain, plus the bias where there is one.
    fn scaled(&self, normalized: Tensor<3>) -> Tensor<3>;
}

/// What [`Norm::parts`] returns.
pub(crate) struct NormParts {
    pub(crate) numerator: Tensor<3>,
    pub(crate) scale: Tensor<3>,
}

impl Norm for LayerNorm {
    fn forward(&self, x: Tensor<3>, _: f64) -> Tensor<3> {
        self.forward(x)
    }

    fn parts(&self, x: Tensor<3>, epsilon: f64) -> NormParts {
        let x = x.cast(FloatDType::F32);
        let numerator = x.clone() - x.mean_dim(2);
        let variance = numerator.clone().square().mean_dim(2);
        NormParts { numerator, scale: variance.add_scalar(epsilon).sqrt() }
    }

    fn scaled(&self, normalized: Tensor<3>) -> Tensor<3> {
        let output = normalized * self.gamma.val().cast(FloatDType::F32).unsqueeze::<3>();
        match &self.beta {
            Some(beta) => output + beta.val().cast(FloatDType::F32).unsqueeze::<3>(),
            None => output,
        }
    }
}

/// Divides by the root mean square, then multiplies by `1 + weight`: as Gemma has it, the weight
/// is stored less one.
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

    /// Normalises the last axis, in `f32` whatever the format of `x`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, epsilon: f64) -> Tensor<D> {
        let dtype = x.dtype();
        if dtype != DType::F32 {
            let x = x.cast(FloatDType::F32);
            return self.in_f32(x, epsilon).cast(FloatDType::from(dtype));
        }
        self.in_f32(x, epsilon)
    }

    fn in_f32<const D: usize>(&self, x: Tensor<D>, epsilon: f64) -> Tensor<D> {
        let gain = self.gain();
        let [width] = gain.dims();
        let normalise = |gains: &[&[f32]], _, row: &mut [f32]| {
            let mean = sum_of_squares(row) / width as f32;
            let inverse = (mean + epsilon as f32).sqrt().recip();
            for (x, gain) in row.iter_mut().zip(gains[0]) {
                *x = *x * inverse * gain;
            }
        };
        map_rows(x, width, &[&gain], normalise, |x| {
            x.clone() / scale(x, epsilon) * self.gain().unsqueeze::<D>()
        })
    }

    /// What the quotient is multiplied by, `[width]`, in `f32`.
    pub(crate) fn gain(&self) -> Tensor<1> {
        self.weight.val().cast(FloatDType::F32).add_scalar(1.0)
    }
}

impl Norm for RmsNorm {
    fn forward(&self, x: Tensor<3>, epsilon: f64) -> Tensor<3> {
        self.forward(x, epsilon)
    }

    fn parts(&self, x: Tensor<3>, epsilon: f64) -> NormParts {
        let numerator = x.cast(FloatDType::F32);
        NormParts { scale: scale(numerator.clone(), epsilon), numerator }
    }

    fn scaled(&self, normalized: Tensor<3>) -> Tensor<3> {
        normalized * self.gain().unsqueeze::<3>()
    }
}

/// The root mean square over the last axis, which becomes 1.
fn scale<const D: usize>(x: Tensor<D>, epsilon: f64) -> Tensor<D> {
    x.square().mean_dim(D - 1).add_scalar(epsilon).sqrt()
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
    use burn::nn::LayerNormConfig;
    use burn::tensor::Device;

    use super::*;

    fn values(x: Tensor<3>) -> Vec<f32> {
        x.into_data().try_into_vec().unwrap()
    }

    fn x() -> Tensor<3> {
        let rows = [[[1.0, -2.0, 3.0], [0.1, 0.2, -0.3]]];
        Tensor::from_floats(rows, &Device::flex())
    }

    fn whole_and_by_parts(norm: &impl Norm) -> [Vec<f32>; 2] {
        let parts = norm.parts(x(), 1e-6);
        let by_parts = norm.scaled(parts.numerator / parts.scale);
        [norm.forward(x(), 1e-6), by_parts].map(values)
    }

    #[test]
    fn a_norm_equals_its_parts() {
        let device = Device::flex();
        let weight = || Param::from_tensor(Tensor::from_floats([0.5, -0.25, 0.0], &device));
        let mut layer_norm = LayerNormConfig::new(3).with_epsilon(1e-6).init(&device);
        layer_norm.gamma = weight();
        layer_norm.beta = Some(weight());
        let pairs = [whole_and_by_parts(&layer_norm), whole_and_by_parts(&RmsNorm::new(weight()))];
        for [whole, by_parts] in pairs {
            assert_abs_diff_eq!(&whole[..], &by_parts[..], epsilon = 1e-6);
        }
    }

    #[test]
    fn the_root_mean_square_norm_follows_its_formula() {
        let device = Device::flex();
        let weight = [0.5, -0.25, 0.0_f32];
        let norm = RmsNorm::new(Param::from_tensor(Tensor::from_floats(weight, &device)));
        let output = values(norm.forward(x(), 1e-6));
        let scale = (14.0_f32 / 3.0).sqrt();
        for i in 0..3 {
            let expected = [1.0, -2.0, 3.0][i] / scale * (1.0 + weight[i]);
            assert_abs_diff_eq!(output[i], expected, epsilon = 1e-6);
        }
    }
}
