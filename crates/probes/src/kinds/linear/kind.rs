//! The definition of linear probes.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::contributions::PooledShares;
use super::kernel::LinearKernel;
use super::stream::LinearStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::{Batch, Layout, ProbeKind, ProbeSize, Reads, TokenContributions};
use crate::streaming::StreamKind;
use crate::{Pool, ProbeState};

/// Reads scores off the pooled activations.
///
/// ```text
/// logits[b,c] = Σ_d weight[c,d] · pool(x[b])[d] + bias[c]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// How a text becomes one vector, the mean by default.
    pub pool: Pool,
}

impl ProbeKind for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new().rows("weight", size.n_out).small("bias", [size.n_out])
    }

    fn reads(&self) -> Reads {
        Reads::Pooled(self.pool)
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let scores = batch.product("weight").reshape([n_trials, n_out, n]);
        scores + batch.array("bias", [n_trials, n_out, 1])
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        Some(Box::new(Vectorized(LinearKernel::new(size))))
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(LinearStream::new(self.pool, state, size)))
    }

    fn contributions<'a>(
        &self,
        state: &'a ProbeState,
        size: ProbeSize,
    ) -> Option<Box<dyn TokenContributions + 'a>> {
        let weight = &state.get("weight")?.values;
        Some(Box::new(PooledShares { weight, pool: self.pool, size }))
    }
}
