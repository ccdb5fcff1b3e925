//! MLP probes token by token: the pooled activations.

use super::Mlp;
use crate::kinds::ProbeSize;
use crate::kinds::pooled::pool_token;
use crate::streaming::{Rows, StreamKind};
use crate::{Pool, ProbeState};

#[derive(Clone, Debug)]
pub(super) struct MlpStream {
    hidden: Rows,
    out: Rows,
    pool: Pool,
    pooled: Vec<f64>,
    x: Vec<f32>,
    activations: Vec<f32>,
}

impl MlpStream {
    pub(super) fn new(kind: &Mlp, state: &ProbeState, size: ProbeSize) -> Self {
        Self {
            hidden: Rows::new(state, "hidden.weight", Some("hidden.bias")),
            out: Rows::new(state, "out.weight", Some("out.bias")),
            pool: kind.pool,
            pooled: vec![0.0; size.d_model],
            x: vec![0.0; size.d_model],
            activations: vec![0.0; kind.hidden_dim],
        }
    }
}

impl StreamKind for MlpStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        pool_token(self.pool, &mut self.pooled, x, position);
        for (x, pooled) in self.x.iter_mut().zip(&self.pooled) {
            *x = *pooled as f32;
        }
        for (row, activation) in self.activations.iter_mut().enumerate() {
            *activation = self.hidden.product(row, &self.x).max(0.0) as f32;
        }
        for (row, logit) in logits.iter_mut().enumerate() {
            *logit = self.out.product(row, &self.activations) as f32;
        }
    }
    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}
