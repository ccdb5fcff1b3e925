//! Attention probes token by token: of each head the highest score, the sum of weights, and the
//! weighted values.

use super::{Attention, AttentionActivation};
use crate::ProbeState;
use crate::streaming::{Rows, StreamKind};

#[derive(Clone, Debug)]
pub(super) struct AttentionStream {
    queries: Rows,
    values: Rows,
    out: Option<Rows>,
    slopes: Vec<f32>,
    activation: AttentionActivation,
    last_only: bool,
    d_value: usize,
    /// Of each head the highest score so far.
    highest: Vec<f64>,
    /// Of each head the sum of weights.
    totals: Vec<f64>,
    /// Of each head the weighted sum of its values.
    sums: Vec<f64>,
    z: Vec<f32>,
}

impl AttentionStream {
    pub(super) fn new(kind: &Attention, state: &ProbeState) -> Self {
        let values = Rows::new(state, "v.weight", Some("v.bias"));
        let d_value = values.len() / kind.n_heads;
        let out = kind.hidden_dim.is_some().then(|| Rows::new(state, "o.weight", Some("o.bias")));
        Self {
            queries: Rows::new(state, "q.weight", None),
            out,
            slopes: state["position_weight"].values.clone(),
            activation: kind.activation,
            last_only: kind.last_only,
            d_value,
            highest: vec![0.0; kind.n_heads],
            totals: vec![0.0; kind.n_heads],
            sums: vec![0.0; values.len()],
            z: vec![0.0; d_value],
            values,
        }
    }
}

impl StreamKind for AttentionStream {
    /// Adds a token: weights so far shrink where a higher score comes.
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        let is_first = position == 0 || self.last_only;
        self.z.fill(0.0);
        for head in 0..self.slopes.len() {
            let slope = f64::from(self.slopes[head]) * position as f64;
            let score = self.queries.product(head, x) + slope;
            let is_softmax = self.activation == AttentionActivation::Softmax;
            let highest = if is_first { score } else { self.highest[head].max(score) };
            let (kept, weight) = match (is_softmax, is_first) {
                (true, true) => (0.0, 1.0),
                (true, false) => ((self.highest[head] - highest).exp(), (score - highest).exp()),
                (false, true) => (0.0, score.tanh()),
                (false, false) => (1.0, score.tanh()),
            };
            self.highest[head] = highest;
            self.totals[head] = if is_first { weight } else { self.totals[head] * kept + weight };
            let scale = if is_softmax { 1.0 / self.totals[head] } else { 1.0 };
            for (column, z) in self.z.iter_mut().enumerate() {
                let row = head * self.d_value + column;
                let sum = &mut self.sums[row];
                let before = if is_first { 0.0 } else { *sum * kept };
                *sum = before + weight * self.values.product(row, x);
                *z += (*sum * scale) as f32;
            }
        }
        match &self.out {
            None => logits.copy_from_slice(&self.z),
            Some(out) => {
                for z in &mut self.z {
                    *z = z.max(0.0);
                }
                for (row, logit) in logits.iter_mut().enumerate() {
                    *logit = out.product(row, &self.z) as f32;
                }
            }
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}
