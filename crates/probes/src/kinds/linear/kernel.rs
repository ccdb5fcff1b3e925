//! Linear probes on the host: the products are the logits.

use crate::engine::{Block, HostKernel, KernelLayout, Targets, TrialOfBlock};
use crate::kinds::ProbeSize;
use crate::kinds::vector::{by_example, by_output};

/// [`Linear`](super::Linear) on one vector for each text.
#[derive(Debug)]
pub(super) struct LinearKernel {
    n_out: usize,
}

impl LinearKernel {
    pub(super) fn new(size: ProbeSize) -> Self {
        Self { n_out: size.n_out }
    }
}

impl HostKernel for LinearKernel {
    fn layout(&self) -> KernelLayout {
        KernelLayout {
            rows: vec![("weight", self.n_out)],
            small: vec![("bias", vec![self.n_out])],
            first: Some("bias"),
        }
    }

    #[inline(always)]
    fn forward(&self, block: &Block<'_>, _: &[f32], products: &mut [f32], logits: &mut [f32]) {
        by_example(products, block.n_tokens, logits);
    }

    #[inline(always)]
    fn backward(&self, block: &Block<'_>, targets: &Targets<'_>, trial: TrialOfBlock<'_>) -> f64 {
        let TrialOfBlock { products, gradient, .. } = trial;
        let mut residuals = vec![0.0; products.len()];
        by_example(products, block.n_tokens, &mut residuals);
        let loss = targets.loss_and_gradient(&mut residuals);
        by_output(&residuals, block.n_tokens, products);
        for (gradient, row) in gradient.iter_mut().zip(products.chunks(block.n_tokens)) {
            *gradient += row.iter().sum::<f32>();
        }
        loss
    }
}
