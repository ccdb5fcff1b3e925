//! The definition of MLP probes.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kernel::MlpKernel;
use super::stream::MlpStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::{Batch, Layout, ProbeKind, ProbeSize, Reads};
use crate::state::check_sizes;
use crate::streaming::StreamKind;
use crate::{ParamArray, Pool, ProbeError, ProbeState};

/// Reads scores off the pooled activations through one hidden layer.
///
/// ```text
/// hidden[b,k] = relu(Σ_d hidden.weight[k,d] · pool(x[b])[d] + hidden.bias[k])
/// logits[b,c] = Σ_k out.weight[c,k] · hidden[b,k] + out.bias[c]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Width of the hidden layer, 64 by default.
    pub hidden_dim: usize,
    /// How a text becomes one vector, the mean by default.
    pub pool: Pool,
}

impl Default for Mlp {
    fn default() -> Self {
        Self { hidden_dim: 64, pool: Pool::default() }
    }
}

impl ProbeKind for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new()
            .rows("hidden.weight", self.hidden_dim)
            .small("hidden.bias", [self.hidden_dim])
            .small("out.weight", [size.n_out, self.hidden_dim])
            .small("out.bias", [size.n_out])
    }

    fn reads(&self) -> Reads {
        Reads::Pooled(self.pool)
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let width = self.hidden_dim;
        let hidden = batch.product("hidden.weight").reshape([n_trials, width, n]);
        let hidden = relu(hidden + batch.array("hidden.bias", [n_trials, width, 1]));
        let out = batch.array("out.weight", [n_trials, n_out, width]);
        out.matmul(hidden) + batch.array("out.bias", [n_trials, n_out, 1])
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_sizes(&[("hidden_dim", self.hidden_dim)])
    }

    fn draw(
        &self,
        array: &str,
        shape: &[usize],
        size: ProbeSize,
        rng: &mut ChaCha8Rng,
    ) -> ParamArray {
        let is_hidden = array.starts_with("hidden");
        ParamArray::uniform(shape, if is_hidden { size.d_model } else { self.hidden_dim }, rng)
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        Some(Box::new(Vectorized(MlpKernel::new(self, size))))
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(MlpStream::new(self, state, size)))
    }
}
