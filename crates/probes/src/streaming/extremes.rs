//! Probes that keep the highest and lowest values of a text.

use attention_probes_kernels::softplus;

use super::rows::Rows;
use crate::{GatedBipolarProbeConfig, NORM_EPSILON, ProbeState, n_out};

#[derive(Clone, Debug)]
pub(super) struct MultiMax {
    values: Rows,
    biases: Vec<f32>,
    n_out: usize,
    highest: Vec<f64>,
}

impl MultiMax {
    pub(super) fn new(n_heads: usize, n_classes: usize, state: &ProbeState) -> Self {
        let n_out = n_out(n_classes);
        Self {
            values: Rows::new(state, "v.weight", None),
            biases: state["bias"].values.clone(),
            n_out,
            highest: vec![0.0; n_heads * n_out],
        }
    }

    pub(super) fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        for (row, highest) in self.highest.iter_mut().enumerate() {
            let value = self.values.product(row, x);
            *highest = if position == 0 { value } else { highest.max(value) };
        }
        for (class, (logit, bias)) in logits.iter_mut().zip(&self.biases).enumerate() {
            let of_class = self.highest[class..].iter().step_by(self.n_out);
            *logit = (f64::from(*bias) + of_class.sum::<f64>()) as f32;
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct GatedBipolar {
    projections: Rows,
    gates: Rows,
    out: Rows,
    x: Vec<f32>,
    /// Highest, then negated lowest features.
    pooled: Vec<f32>,
}

impl GatedBipolar {
    pub(super) fn new(config: &GatedBipolarProbeConfig, state: &ProbeState) -> Self {
        Self {
            projections: Rows::new(state, "proj.weight", Some("proj.bias")),
            gates: Rows::new(state, "gate.weight", Some("gate.bias")),
            out: Rows::new(state, "out.weight", Some("out.bias")),
            x: vec![0.0; config.d_model],
            pooled: vec![0.0; 2 * config.d_gate],
        }
    }

    pub(super) fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
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
}
