//! `MultiMax` probes token by token: the highest value of each head.

use crate::ProbeState;
use crate::streaming::{Rows, StreamKind};

#[derive(Clone, Debug)]
pub(super) struct MultiMaxStream {
    values: Rows,
    biases: Vec<f32>,
    n_out: usize,
    highest: Vec<f64>,
}

impl MultiMaxStream {
    pub(super) fn new(n_heads: usize, n_out: usize, state: &ProbeState) -> Self {
        Self {
            values: Rows::new(state, "v.weight", None),
            biases: state["bias"].values.clone(),
            n_out,
            highest: vec![0.0; n_heads * n_out],
        }
    }
}

impl StreamKind for MultiMaxStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        for (row, highest) in self.highest.iter_mut().enumerate() {
            let value = self.values.product(row, x);
            *highest = if position == 0 { value } else { highest.max(value) };
        }
        for (class, (logit, bias)) in logits.iter_mut().zip(&self.biases).enumerate() {
            let of_class = self.highest[class..].iter().step_by(self.n_out);
            *logit = (f64::from(*bias) + of_class.sum::<f64>()) as f32;
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}
