//! Parts that the model families share: norms that can be read, and activation functions.

use std::f64::consts::PI;

use burn::nn::LayerNorm;
use burn::tensor::{Tensor, activation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::is_host;

/// Nonlinearity of an MLP, under the names of Hugging Face's `activation_function`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivationFunction {
    /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, also known as `gelu_pytorch_tanh`.
    #[default]
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    /// `x Φ(x)` with the exact Gaussian distribution function.
    #[serde(rename = "gelu")]
    GeluErf,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
    /// `x sigmoid(x)`.
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

impl ActivationFunction {
    /// Applies the function to every element.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::GeluTanh => gelu_tanh(x),
            Self::GeluErf => activation::gelu(x),
            Self::Relu => activation::relu(x),
            Self::Silu => activation::silu(x),
        }
    }
}

/// What [`norm_parts`] returns.
pub(crate) struct NormParts {
    /// What the centred input was divided by, `[batch, pos, 1]`.
    pub(crate) scale: Tensor<3>,
    /// The normalised input before weight and bias, `[batch, pos, d_model]`.
    pub(crate) normalized: Tensor<3>,
    /// The output of the norm, `[batch, pos, d_model]`.
    pub(crate) output: Tensor<3>,
}

/// A layer norm taken apart, for when somebody asks for what lies inside it.
pub(crate) fn norm_parts(norm: &LayerNorm, epsilon: f64, x: Tensor<3>) -> NormParts {
    let centred = x.clone() - x.mean_dim(2);
    let scale = centred.clone().square().mean_dim(2).add_scalar(epsilon).sqrt(); // [batch, pos, 1]
    let normalized = centred / scale.clone();
    let output = normalized.clone() * norm.gamma.val().unsqueeze::<3>();
    let output = match &norm.beta {
        Some(beta) => output + beta.val().unsqueeze::<3>(),
        None => output,
    };
    NormParts { scale, normalized, output }
}

/// The tanh form of GELU, by way of `x/2 (1 + tanh(u)) = x sigmoid(2u)`.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let device = x.device();
    if !is_host(&device) {
        return gelu_tanh_device(x);
    }
    let mut data = x.into_data();
    if let Ok(values) = data.as_mut_slice::<f32>() {
        gelu_tanh_host(values);
        return Tensor::from_data(data, &device);
    }
    gelu_tanh_device(Tensor::from_data(data, &device))
}

/// In the operations that every backend has, for any type of number.
fn gelu_tanh_device<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let slope = 2.0 * (2.0 / PI).sqrt();
    let inner = x.clone().square().mul_scalar(slope * CUBIC).add_scalar(slope) * x.clone();
    x * activation::sigmoid(inner)
}

/// Coefficient of the cubic term in the tanh form of GELU.
const CUBIC: f64 = 0.044_715;

/// Elements per task: 64 KiB, which stays in the second-level cache.
const CHUNK: usize = 16 * 1024;

/// One pass over memory on all cores instead of six single-threaded ones.
fn gelu_tanh_host(values: &mut [f32]) {
    let arch = pulp::Arch::new();
    values.par_chunks_mut(CHUNK).for_each(|chunk| {
        arch.dispatch(|| {
            for x in chunk.iter_mut() {
                *x = gelu_tanh_scalar(*x);
            }
        });
    });
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn gelu_tanh_scalar(x: f32) -> f32 {
    let slope = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    let inner = x * (slope + slope * CUBIC as f32 * x * x);
    x / (1.0 + exp(-inner))
}

/// `e^x` to within two units in the last place, in a form that compilers vectorise.
///
/// `x = n ln 2 + r` with `|r| ≤ ln 2 / 2`, `e^r` by a polynomial of degree six, `2^n` through the
/// exponent bits (Cephes `expf`). Saturates at `e^88` and at `e^-87`, the smallest normal number.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants are the published ones")]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_1e-1;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    p * power
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn exp_is_within_three_parts_in_ten_million() {
        for i in -8_700..=8_800_i16 {
            let x = f32::from(i) / 100.0;
            let truth = f64::from(x).exp();
            assert!((f64::from(exp(x)) / truth - 1.0).abs() < 3e-7, "exp({x})");
        }
    }

    #[test]
    fn gelu_on_the_host_equals_its_definition() {
        let device = Device::flex();
        let x: Vec<f32> = (-100..100_i16).map(|i| f32::from(i) / 10.0).collect();
        let y = ActivationFunction::GeluTanh.forward(Tensor::<1>::from_floats(&x[..], &device));
        for (x, y) in x.iter().zip(y.into_data().as_slice::<f32>().unwrap()) {
            let x = f64::from(*x);
            let tanh = ((2.0 / PI).sqrt() * (x + CUBIC * x.powi(3))).tanh();
            approx::assert_abs_diff_eq!(f64::from(*y), 0.5 * x * (1.0 + tanh), epsilon = 1e-6);
        }
    }

    #[test]
    fn gelu_with_gradients_equals_gelu_without() {
        let device = Device::flex();
        let x: Vec<f32> = (-50..50_i16).map(|i| f32::from(i) / 10.0).collect();
        let plain = gelu_tanh(Tensor::<1>::from_floats(&x[..], &device)).into_data();
        let tracked = Tensor::<1>::from_floats(&x[..], &device.autodiff()).require_grad();
        let tracked = gelu_tanh(tracked).into_data();
        let tolerance = burn::tensor::Tolerance::<f32>::absolute(1e-6);
        tracked.assert_approx_eq::<f32>(&plain, tolerance);
    }
}
