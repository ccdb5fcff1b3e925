//! Linear probes token by token: pooled activations, or what the readout says of them.

use crate::kinds::ProbeSize;
use crate::kinds::pooled::pool_token;
use crate::streaming::{Rows, StreamKind};
use crate::{Pool, ProbeState};

#[derive(Clone, Debug)]
pub(super) struct LinearStream {
    rows: Rows,
    pool: Pool,
    /// Mean of the logits, or pooled activations.
    pooled: Vec<f64>,
    x: Vec<f32>,
}

impl LinearStream {
    pub(super) fn new(pool: Pool, state: &ProbeState, size: ProbeSize) -> Self {
        let rows = Rows::new(state, "weight", Some("bias"));
        // A mean of products is a product with the mean.
        let n = match pool {
            Pool::Mean | Pool::Last => rows.len(),
            Pool::Max | Pool::AbsMax => size.d_model,
        };
        Self { rows, pool, pooled: vec![0.0; n], x: vec![0.0; size.d_model] }
    }
}

impl StreamKind for LinearStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        match self.pool {
            Pool::Mean | Pool::Last => {
                for (row, (mean, logit)) in self.pooled.iter_mut().zip(logits).enumerate() {
                    let product = self.rows.product(row, x);
                    let share = if self.pool == Pool::Mean { (position + 1) as f64 } else { 1.0 };
                    *mean = if position == 0 { product } else { *mean + (product - *mean) / share };
                    *logit = *mean as f32;
                }
            }
            Pool::Max | Pool::AbsMax => {
                pool_token(self.pool, &mut self.pooled, x, position);
                for (x, pooled) in self.x.iter_mut().zip(&self.pooled) {
                    *x = *pooled as f32;
                }
                for (row, logit) in logits.iter_mut().enumerate() {
                    *logit = self.rows.product(row, &self.x) as f32;
                }
            }
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}
