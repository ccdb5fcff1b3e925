//! What trials of one shape are: their parameters, and what each kind does with a batch.

use attention_probes_probes::{ParamArray, ProbeState};

use super::loss::Targets;
use crate::adamw::{Moments, Rate};

/// Examples without padding: for each one its rows, `[pos, d_model]`, wherever they lie.
#[derive(Clone, Debug)]
pub(crate) struct RaggedBatch<'a> {
    /// One slice per example, a whole number of rows.
    pub(crate) rows: Vec<&'a [f32]>,
    /// Width of a row.
    pub(crate) d_model: usize,
}

impl RaggedBatch<'_> {
    /// Number of rows of an example.
    pub(crate) fn n_tokens(&self, example: usize) -> usize {
        self.rows[example].len() / self.d_model
    }
}

/// Everything that changes while trials train; what a checkpoint holds.
///
/// Parameters come in parts, each `[n_trials, …]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stack {
    pub(crate) parts: Vec<Part>,
    /// Steps taken.
    pub(crate) step: usize,
}

/// One stacked array of parameters with its moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) params: Vec<f32>,
    pub(crate) moments: Moments,
}

impl Stack {
    pub(crate) fn new(parts: Vec<Vec<f32>>) -> Self {
        let parts = parts.into_iter().map(|params| {
            let moments = Moments::zeros(params.len());
            Part { params, moments }
        });
        Self { parts: parts.collect(), step: 0 }
    }

    /// Parameters of one part.
    pub(crate) fn params(&self, part: usize) -> &[f32] {
        &self.parts[part].params
    }

    /// The array of one trial in a part that has one of this shape for each.
    pub(crate) fn array(&self, part: usize, trial: usize, shape: &[usize]) -> ParamArray {
        let size: usize = shape.iter().product();
        take_array(shape, &mut &self.params(part)[trial * size..])
    }

    /// Zeros for the gradients of every part, in `gradients`.
    pub(crate) fn clear_gradients(&self, gradients: &mut Vec<Vec<f32>>) {
        gradients.resize_with(self.parts.len(), Vec::new);
        for (gradient, part) in gradients.iter_mut().zip(&self.parts) {
            gradient.clear();
            gradient.resize(part.params.len(), 0.0);
        }
    }

    /// One `AdamW` step of every trial.
    pub(crate) fn update(&mut self, gradients: &[Vec<f32>], rates: &[Rate]) {
        self.step += 1;
        for (part, gradient) in self.parts.iter_mut().zip(gradients) {
            part.moments.step(&mut part.params, gradient, rates, self.step);
        }
    }
}

/// Takes the array of a shape from the front of the weights of a trial.
pub(crate) fn take_array(shape: &[usize], from: &mut &[f32]) -> ParamArray {
    let (values, rest) = from.split_at(shape.iter().product());
    *from = rest;
    ParamArray { shape: shape.to_vec(), values: values.to_vec() }
}

/// Trials of one shape, at one site.
pub(crate) trait StackedProbes: Send {
    /// Computes the gradients of the mean loss of every trial on a batch, and adds that loss to
    /// `losses`.
    fn differentiate(&mut self, batch: &RaggedBatch<'_>, targets: &Targets<'_>, losses: &mut [f64]);

    /// The last gradients, part by part.
    fn gradients(&self) -> &[Vec<f32>];

    /// One `AdamW` step of every trial along the last gradients.
    fn update(&mut self);

    /// One step of every trial on a batch; adds the mean loss of each trial to `losses`.
    fn train_step(&mut self, batch: &RaggedBatch<'_>, targets: &Targets<'_>, losses: &mut [f64]) {
        self.differentiate(batch, targets, losses);
        self.update();
    }

    /// Logits of every trial, `[n_trials, n_examples, n_out]`.
    fn logits(&mut self, batch: &RaggedBatch<'_>) -> Vec<f32>;

    /// Weights of one trial.
    fn state(&self, trial: usize) -> ProbeState;

    /// What a checkpoint holds.
    fn stack(&self) -> &Stack;

    /// Goes back to a checkpoint.
    fn stack_mut(&mut self) -> &mut Stack;
}
