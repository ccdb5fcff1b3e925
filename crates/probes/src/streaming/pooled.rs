//! Probes that pool: the pooled activations, or what the readout says of them.

use super::rows::Rows;
use crate::{LinearProbeConfig, MlpProbeConfig, Pool, ProbeState};

#[derive(Clone, Debug)]
pub(super) struct Linear {
    rows: Rows,
    pool: Pool,
    /// Mean of the logits, or pooled activations.
    pooled: Vec<f64>,
    x: Vec<f32>,
}

impl Linear {
    pub(super) fn new(config: &LinearProbeConfig, state: &ProbeState) -> Self {
        let rows = Rows::new(state, "weight", Some("bias"));
        // A mean of products is a product with the mean.
        let n = match config.pool {
            Pool::Mean | Pool::Last => rows.len(),
            Pool::Max | Pool::AbsMax => config.d_model,
        };
        Self { rows, pool: config.pool, pooled: vec![0.0; n], x: vec![0.0; config.d_model] }
    }

    pub(super) fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
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
}

#[derive(Clone, Debug)]
pub(super) struct Mlp {
    hidden: Rows,
    out: Rows,
    pool: Pool,
    pooled: Vec<f64>,
    x: Vec<f32>,
    activations: Vec<f32>,
}

impl Mlp {
    pub(super) fn new(config: &MlpProbeConfig, state: &ProbeState) -> Self {
        Self {
            hidden: Rows::new(state, "hidden.weight", Some("hidden.bias")),
            out: Rows::new(state, "out.weight", Some("out.bias")),
            pool: config.pool,
            pooled: vec![0.0; config.d_model],
            x: vec![0.0; config.d_model],
            activations: vec![0.0; config.hidden_dim],
        }
    }

    pub(super) fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
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
}

/// Adds a token to pooled activations.
fn pool_token(pool: Pool, pooled: &mut [f64], x: &[f32], position: usize) {
    let n = (position + 1) as f64;
    for (pooled, &x) in pooled.iter_mut().zip(x) {
        let x = f64::from(x);
        *pooled = match pool {
            _ if position == 0 => x,
            Pool::Last => x,
            Pool::Mean => *pooled + (x - *pooled) / n,
            Pool::Max => pooled.max(x),
            Pool::AbsMax if x.abs() > pooled.abs() => x,
            Pool::AbsMax => *pooled,
        };
    }
}
