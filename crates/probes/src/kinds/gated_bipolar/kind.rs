//! The definition of gated bipolar probes.

use burn::tensor::Tensor;
use burn::tensor::activation::softplus;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kernel::GatedBipolarKernel;
use super::stream::GatedBipolarStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::{Batch, Layout, ProbeKind, ProbeSize, Reads};
use crate::state::check_sizes;
use crate::streaming::StreamKind;
use crate::{ParamArray, ProbeError, ProbeState};

/// Reads out, of every gated feature, its highest and its negated lowest value over the tokens.
///
/// ```text
/// x̂[b,p]      = (x[b,p] - mean) / √(variance + 1e-5)         over d_model
/// f[b,p]      = (W_proj x̂ + b_proj) ⊙ softplus(W_gate x̂ + b_gate)
/// logits[b]   = W_out [max over p of f[b,p]; -min over p of f[b,p]] + b_out
/// ```
///
/// The architecture that `AlphaEvolve` found in Kramár et al., "Building production-ready probes
/// for Gemini" (2026). Theirs has an MLP between the norm and the gates, and penalties on `W_proj`;
/// this one has neither. Scale and shift of the norm are part of the weights that follow it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatedBipolar {
    /// Number of gated features, 64 by default.
    pub d_gate: usize,
}

impl Default for GatedBipolar {
    fn default() -> Self {
        Self { d_gate: 64 }
    }
}

impl ProbeKind for GatedBipolar {
    fn name(&self) -> &'static str {
        "gated_bipolar"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new()
            .rows("proj.weight", self.d_gate)
            .small("proj.bias", [self.d_gate])
            .rows("gate.weight", self.d_gate)
            .small("gate.bias", [self.d_gate])
            .small("out.weight", [size.n_out, 2 * self.d_gate])
            .small("out.bias", [size.n_out])
    }

    fn reads(&self) -> Reads {
        Reads::NormedTokens
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let ([n_trials, n_out, n], d_gate) = (batch.dims(), self.d_gate);
        let bias = |name| batch.array(name, [n_trials, d_gate, 1, 1]);
        let gate = softplus(batch.product("gate.weight") + bias("gate.bias"), 1.0);
        let features = (batch.product("proj.weight") + bias("proj.bias")) * gate;
        let highest = (features.clone() + batch.padding()).max_dim(3);
        let lowest = (-features + batch.padding()).max_dim(3);
        let pooled = Tensor::cat(vec![highest, lowest], 1).reshape([n_trials, 2 * d_gate, n]);
        let out = batch.array("out.weight", [n_trials, n_out, 2 * d_gate]);
        out.matmul(pooled) + batch.array("out.bias", [n_trials, n_out, 1])
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_sizes(&[("d_gate", self.d_gate)])
    }

    fn draw(
        &self,
        array: &str,
        shape: &[usize],
        size: ProbeSize,
        rng: &mut ChaCha8Rng,
    ) -> ParamArray {
        let fan_in = if array.starts_with("out") { 2 * self.d_gate } else { size.d_model };
        ParamArray::uniform(shape, fan_in, rng)
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        Some(Box::new(Vectorized(GatedBipolarKernel::new(self.d_gate, size.n_out))))
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(GatedBipolarStream::new(self.d_gate, state, size)))
    }
}
