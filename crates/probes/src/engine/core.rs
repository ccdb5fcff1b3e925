//! What trials are, whatever differentiates them.

use super::Rate;
use super::dropout::Dropout;
use super::kernel::KernelLayout;
use super::stack::{Stack, take_array};
use crate::{Loss, OutputScale, ProbeState, Reads};

/// Part of the stack with the rows that meet the activations, `[n_trials, n_rows, d_model]`.
pub(super) const ROWS: usize = 0;

/// Part of the stack with everything else, `[n_trials, n_small]`, at least one number for each.
pub(super) const SMALL: usize = 1;

/// What trials are, whatever differentiates them.
pub(super) struct Core {
    pub(super) layout: KernelLayout,
    pub(super) reads: Reads,
    pub(super) loss: Loss,
    pub(super) d_model: usize,
    pub(super) n_out: usize,
    pub(super) scale: OutputScale,
    pub(super) n_trials: usize,
    pub(super) rates: Vec<Rate>,
    pub(super) stack: Stack,
    pub(super) gradients: Vec<Vec<f32>>,
    pub(super) dropout: Option<Dropout>,
}

impl Core {
    /// Numbers of a trial in [`SMALL`]: one that nothing reads where there is none.
    pub(super) fn small_stride(&self) -> usize {
        self.layout.n_small().max(1)
    }

    /// Gradients of 0, and the tokens that this step hides.
    pub(super) fn begin_step(&mut self) {
        self.stack.clear_gradients(&mut self.gradients);
        if let Some(dropout) = &mut self.dropout {
            dropout.begin_step(self.stack.step);
        }
    }

    /// The arrays of one trial, in numbers of the two parts of a stack.
    pub(super) fn arrays(&self, trial: usize, rows: &[f32], small: &[f32]) -> ProbeState {
        let mut rows = &rows[trial * self.layout.n_rows() * self.d_model..];
        let mut small = &small[trial * self.small_stride()..];
        let mut state = ProbeState::new();
        for (name, n_rows) in &self.layout.rows {
            state.insert((*name).to_owned(), take_array(&[*n_rows, self.d_model], &mut rows));
        }
        for (name, shape) in &self.layout.small {
            state.insert((*name).to_owned(), take_array(shape, &mut small));
        }
        state
    }
}
