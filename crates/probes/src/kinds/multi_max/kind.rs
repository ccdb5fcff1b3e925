//! The definition of `MultiMax` probes.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::kernel::MultiMaxKernel;
use super::stream::MultiMaxStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::{Batch, Layout, ProbeKind, ProbeSize};
use crate::state::check_sizes;
use crate::streaming::StreamKind;
use crate::{ProbeError, ProbeState};

/// Reads of each head the token with the highest value, and sums the heads.
///
/// ```text
/// logits[b,c] = Σ_h max over p of v[h,c]·x[b,p] + bias[c]
/// ```
///
/// Kramár et al., "Building production-ready probes for Gemini" (2026): an attention probe whose
/// weighted mean is a maximum, so that a long text cannot dilute one telling token. The values here
/// read the activations themselves, where theirs read an MLP of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiMax {
    /// Number of heads, the ten of the source by default; heads are summed.
    pub n_heads: usize,
}

impl Default for MultiMax {
    fn default() -> Self {
        Self { n_heads: 10 }
    }
}

impl ProbeKind for MultiMax {
    fn name(&self) -> &'static str {
        "multimax"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new().rows("v.weight", self.n_heads * size.n_out).small("bias", [size.n_out])
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let highest = (batch.product("v.weight") + batch.padding()).max_dim(3);
        let of_heads = highest.reshape([n_trials, self.n_heads, n_out * n]);
        let logits = of_heads.sum_dim(1).reshape([n_trials, n_out, n]);
        logits + batch.array("bias", [n_trials, n_out, 1])
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_sizes(&[("n_heads", self.n_heads)])
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        Some(Box::new(Vectorized(MultiMaxKernel::new(self.n_heads, size.n_out))))
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(MultiMaxStream::new(self.n_heads, size.n_out, state)))
    }
}
