//! Kinds without a reader of their own: all activations so far, passed forward with every token.

use burn::tensor::{Tensor, TensorData};

use super::StreamKind;
use crate::Probe;
use crate::kinds::PaddedTokens;

/// The tokens of a text so far.
#[derive(Clone, Debug)]
pub(super) struct KeptTokens {
    probe: Probe,
    rows: Vec<f32>,
}

impl KeptTokens {
    pub(super) fn new(probe: Probe) -> Self {
        Self { probe, rows: Vec::new() }
    }
}

impl StreamKind for KeptTokens {
    /// Writes NaN where the device fails.
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        if position == 0 {
            self.rows.clear();
        }
        self.rows.extend_from_slice(x);
        let n_tokens = self.rows.len() / x.len();
        let rows = TensorData::new(self.rows.clone(), [1, n_tokens, x.len()]);
        let rows = Tensor::from_data(rows, self.probe.device());
        let found = self.probe.logits(PaddedTokens::new(rows, &[n_tokens]));
        match found {
            Ok(found) => logits.copy_from_slice(&found),
            Err(error) => {
                tracing::warn!(%error, "a token of a stream could not be read");
                logits.fill(f32::NAN);
            }
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}
