//! The definition of rolling attention probes.

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kernel::RollingAttentionKernel;
use super::stream::RollingAttentionStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::reduce::{partial_windows, shifted};
use crate::kinds::{Batch, Layout, ProbeKind, ProbeSize};
use crate::state::check_sizes;
use crate::streaming::StreamKind;
use crate::{ParamArray, ProbeError, ProbeState};

/// Score of what lies before the first token: it weighs 0 beside any real token.
const SCORE_PADDING: f32 = -1e30;

/// Weighs the tokens of every window with learned queries, and takes the highest window.
///
/// ```text
/// W(p)          the window tokens up to p; all of them, where the text is shorter
/// pattern[h,j]  = softmax over j in W(p) of q[h]·x[b,j]
/// s[b,p,c]      = Σ_h Σ_j in W(p) pattern[h,j] v[h,c]·x[b,j] + bias[c]
/// logits[b,c]   = max over p of s[b,p,c]
/// ```
///
/// The "max of rolling means" of Kramár et al., "Building production-ready probes for Gemini"
/// (2026). The queries and values here read the activations themselves, where theirs read an MLP of
/// them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingAttention {
    /// Number of heads, the ten of the source by default; heads are summed.
    pub n_heads: usize,
    /// Tokens that a head weighs against each other, the ten of the source by default.
    pub window: usize,
}

impl Default for RollingAttention {
    fn default() -> Self {
        Self { n_heads: 10, window: 10 }
    }
}

impl ProbeKind for RollingAttention {
    fn name(&self) -> &'static str {
        "rolling_attention"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new()
            .rows("q.weight", self.n_heads)
            .rows("v.weight", self.n_heads * size.n_out)
            .small("bias", [size.n_out])
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let scores = batch.product("q.weight") + batch.padding();
        let values = batch.product("v.weight");
        let pos = values.dims()[3];
        let m = n_trials * self.n_heads;
        let scores = scores.reshape([m, 1, n, pos]);
        let values = values.reshape([m, n_out, n, pos]);

        let reach = self.window.min(pos);
        let score_of = |by| shifted(&scores, by, SCORE_PADDING);
        let highest = (1..reach).fold(scores.clone(), |a, by| a.max_pair(score_of(by))).detach();
        let weighed = |by| {
            let weight = (score_of(by) - highest.clone()).exp();
            (weight.clone(), weight * shifted(&values, by, 0.0))
        };
        let add =
            |(total, sum): (Tensor<4>, Tensor<4>), (weight, value)| (total + weight, sum + value);
        let (total, sum) = (1..reach).map(weighed).fold(weighed(0), add);
        let means = (sum / total).reshape([n_trials, self.n_heads, n_out * n, pos]).sum_dim(1);
        let means = means.reshape([n_trials, n_out, n, pos]) + partial_windows(batch, self.window);
        means.max_dim(3).reshape([n_trials, n_out, n]) + batch.array("bias", [n_trials, n_out, 1])
    }

    fn check(&self) -> Result<(), ProbeError> {
        check_sizes(&[("n_heads", self.n_heads)])?;
        check_sizes(&[("window", self.window)])
    }

    /// `q.weight` is 0, so an untrained probe averages its window.
    fn draw(
        &self,
        array: &str,
        shape: &[usize],
        size: ProbeSize,
        rng: &mut ChaCha8Rng,
    ) -> ParamArray {
        match array {
            "q.weight" => ParamArray::zeros(shape),
            _ => ParamArray::uniform(shape, size.d_model, rng),
        }
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        Some(Box::new(Vectorized(RollingAttentionKernel::new(self, size.n_out))))
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(RollingAttentionStream::new(self, size.n_out, state)))
    }
}
