//! The definition of token probes.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::aggregation::Aggregation;
use super::kernel::TokenKernel;
use super::stream::TokenStream;
use crate::engine::{HostKernel, Vectorized};
use crate::kinds::{Batch, Layout, ProbeKind, ProbeSize};
use crate::streaming::StreamKind;
use crate::{ProbeError, ProbeState};

/// Scores every token, then aggregates the scores of each output.
///
/// ```text
/// s[b,p,c]    = Σ_d weight[c,d] x[b,p,d] + bias[c]
/// logits[b,c] = aggregation over p of s[b,p,c]
/// ```
///
/// The weights are those of a [`Linear`](crate::Linear) probe that reads one token: a probe trained
/// with one [`Aggregation`] can be read with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenScores {
    /// How the scores of the tokens become one.
    pub aggregation: Aggregation,
}

impl TokenScores {
    fn scores(batch: &Batch) -> Tensor<4> {
        let [n_trials, n_out, _] = batch.dims();
        batch.product("weight") + batch.array("bias", [n_trials, n_out, 1, 1])
    }
}

impl ProbeKind for TokenScores {
    fn name(&self) -> &'static str {
        "token"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new().rows("weight", size.n_out).small("bias", [size.n_out])
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        self.aggregation.forward(Self::scores(batch), batch)
    }

    fn check(&self) -> Result<(), ProbeError> {
        self.aggregation.check()
    }

    fn token_scores(&self, batch: &Batch) -> Option<Tensor<4>> {
        Some(Self::scores(batch))
    }

    fn scores_tokens(&self) -> bool {
        true
    }

    fn host_kernel(&self, size: ProbeSize) -> Option<Box<dyn HostKernel>> {
        Some(Box::new(Vectorized(TokenKernel::new(self.aggregation, size.n_out))))
    }

    fn stream(&self, state: &ProbeState, size: ProbeSize) -> Option<Box<dyn StreamKind>> {
        Some(Box::new(TokenStream::new(self.aggregation, size.n_out, state)))
    }
}
