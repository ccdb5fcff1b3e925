//! The `MultiMax` probe on the values of a block.

use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::vector::highest;

/// [`MultiMax`](super::MultiMax): rows are values head by head, then class by class.
#[derive(Debug)]
pub(super) struct MultiMaxKernel {
    n_heads: usize,
    n_out: usize,
}

impl MultiMaxKernel {
    pub(super) fn new(n_heads: usize, n_out: usize) -> Self {
        Self { n_heads, n_out }
    }
}

impl HostKernel for MultiMaxKernel {
    fn layout(&self) -> KernelLayout {
        KernelLayout {
            rows: vec![("v.weight", self.n_heads * self.n_out)],
            small: vec![("bias", vec![self.n_out])],
            first: None,
        }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, small: &[f32], products: &mut [f32], logits: &mut [f32]) {
        for ((from, length), logits) in block.examples().zip(logits.chunks_mut(self.n_out)) {
            logits.copy_from_slice(small);
            for (row, values) in products.chunks(block.n_tokens).enumerate() {
                logits[row % self.n_out] += highest(&values[from..from + length]).1;
            }
        }
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { small, products, gradient } = trial;
        let mut residuals = vec![0.0; block.lengths.len() * self.n_out];
        self.forward(block, small, products, &mut residuals);
        let loss = targets.loss_and_gradient(&mut residuals);
        for ((from, length), residuals) in block.examples().zip(residuals.chunks(self.n_out)) {
            for (g, residual) in gradient.iter_mut().zip(residuals) {
                *g += residual;
            }
            for (row, values) in products.chunks_mut(block.n_tokens).enumerate() {
                let values = &mut values[from..from + length];
                let (token, _) = highest(values);
                values.fill(0.0);
                values[token] = residuals[row % self.n_out];
            }
        }
        loss
    }
}
