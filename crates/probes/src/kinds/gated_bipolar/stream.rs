//! Gated bipolar probes token by token: the highest and lowest value of each feature.

use attention_probes_kernels::softplus;

use crate::ProbeState;
use crate::kinds::{NORM_EPSILON, ProbeSize};
use crate::streaming::{Rows, StreamKind};

#[derive(Clone, Debug)]
pub(super) struct GatedBipolarStream {
    projections: Rows,
    gates: Rows,
    out: Rows,
    x: Vec<f32>,
    /// Highest, then negated lowest features.
    pooled: Vec<f32>,
}

impl GatedBipolarStream {
    pub(super) fn new(d_gate: usize, state: &ProbeState, size: ProbeSize) -> Self {
        Self {
            projections: Rows::new(state, "proj.weight", Some("proj.bias")),
            gates: Rows::new(state, "gate.weight", Some("gate.bias")),
            out: Rows::new(state, "out.weight", Some("out.bias")),
            x: vec![0.0; size.d_model],
            pooled: vec![0.0; 2 * d_gate],
        }
    }
}

impl StreamKind for GatedBipolarStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        let n = x.len() as f64;
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + f64::from(NORM_EPSILON)).sqrt();
        for (normalized, x) in self.x.iter_mut().zip(x) {
            *normalized = ((f64::from(*x) - mean) * scale) as f32;
        }
        let (highest, lowest) = self.pooled.split_at_mut(self.projections.len());
        for (feature, (highest, lowest)) in highest.iter_mut().zip(lowest).enumerate() {
            let gate = self.gates.product(feature, &self.x);
            let value = (self.projections.product(feature, &self.x) * softplus(gate)) as f32;
            *highest = if position == 0 { value } else { highest.max(value) };
            *lowest = if position == 0 { -value } else { lowest.max(-value) };
        }
        for (row, logit) in logits.iter_mut().enumerate() {
            *logit = self.out.product(row, &self.pooled) as f32;
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}
