//! The layer that most probes end with: a product with weights, and a bias.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::state::param_from_state;
use crate::{ParamArray, ProbeError, ProbeState};

/// One layer, with the names and the layout of a torch linear layer.
#[derive(Module, Debug)]
pub(crate) struct Dense {
    /// `[d_out, d_in]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[d_out]`
    pub(crate) bias: Param<Tensor<1>>,
}

impl Dense {
    /// Takes `<layer>.weight` and `<layer>.bias` of a checked state; `weight` and `bias` where the
    /// layer has no name.
    pub(crate) fn from_state(state: &ProbeState, layer: &str, device: &Device) -> Self {
        Self {
            weight: param_from_state(state, &name(layer, "weight"), device),
            bias: param_from_state(state, &name(layer, "bias"), device),
        }
    }

    /// Copies the weights to the host, by the names that [`Self::from_state`] takes.
    pub(crate) fn state(&self, layer: &str) -> Result<ProbeState, ProbeError> {
        Ok(ProbeState::from([
            (name(layer, "weight"), ParamArray::from_param(&self.weight)?),
            (name(layer, "bias"), ParamArray::from_param(&self.bias)?),
        ]))
    }

    /// `x Wᵀ + b`: `[n, d_in]` to `[n, d_out]`.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

fn name(layer: &str, array: &str) -> String {
    if layer.is_empty() { array.to_owned() } else { format!("{layer}.{array}") }
}
