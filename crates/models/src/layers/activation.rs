//! Nonlinearities of MLPs.

use std::f64::consts::PI;

use attention_probes_kernels::fast::exp;
use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::layers::fused::{halve_rows, map_rows};

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

    /// Applies the function to the first half of the last axis and multiplies by the second.
    pub(crate) fn gated(self, gate_up: Tensor<3>) -> Tensor<3> {
        let [_, _, width] = gate_up.dims();
        let half = width / 2;
        let apart = |gate_up: Tensor<3>| {
            let (gate, up) = (gate_up.clone().narrow(2, 0, half), gate_up.narrow(2, half, half));
            self.forward(gate) * up
        };
        if self != Self::GeluTanh {
            return apart(gate_up);
        }
        let combine = |gate: &[f32], up: &[f32], out: &mut [f32]| {
            for ((gate, up), out) in gate.iter().zip(up).zip(out) {
                *out = gelu_tanh_scalar(*gate) * up;
            }
        };
        halve_rows(gate_up, combine, apart)
    }
}

/// The tanh form of GELU, by way of `x/2 (1 + tanh(u)) = x sigmoid(2u)`.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let width = x.dims()[D - 1];
    let change = |_: &[&[f32]], _, row: &mut [f32]| {
        for x in row.iter_mut() {
            *x = gelu_tanh_scalar(*x);
        }
    };
    map_rows(x, width, &[] as &[&Tensor<1>], change, |x| {
        let slope = 2.0 * (2.0 / PI).sqrt();
        let inner = x.clone().square().mul_scalar(slope * CUBIC).add_scalar(slope) * x.clone();
        x * activation::sigmoid(inner)
    })
}

/// Coefficient of the cubic term in the tanh form of GELU.
const CUBIC: f64 = 0.044_715;

#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
fn gelu_tanh_scalar(x: f32) -> f32 {
    let slope = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    let inner = x * (slope + slope * CUBIC as f32 * x * x);
    x / (1.0 + exp(-inner))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

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
