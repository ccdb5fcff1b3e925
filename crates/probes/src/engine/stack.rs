//! Parameters of trials along a leading axis, with the moments of their gradients.

use super::adamw::{Moments, Rate};
use crate::ParamArray;

/// Everything that changes while trials train; what a checkpoint holds.
///
/// Parameters come in parts, each `[n_trials, …]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// The parts, each `[n_trials, …]`.
    pub parts: Vec<Part>,
    /// Steps taken.
    pub step: usize,
}

/// One stacked array of parameters with its moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The parameters.
    pub params: Vec<f32>,
    /// Means of their gradients, and of the squares of these.
    pub moments: Moments,
}

impl Stack {
    /// Parameters at their beginning, part by part.
    pub fn new(parts: Vec<Vec<f32>>) -> Self {
        let parts = parts.into_iter().map(|params| {
            let moments = Moments::zeros(params.len());
            Part { params, moments }
        });
        Self { parts: parts.collect(), step: 0 }
    }

    /// Parameters of one part.
    pub fn params(&self, part: usize) -> &[f32] {
        &self.parts[part].params
    }

    /// Parameters of all parts, one part after another.
    pub fn flat_params(&self) -> Vec<f32> {
        self.parts.iter().flat_map(|part| &part.params).copied().collect()
    }

    /// Replaces the parameters of all parts.
    ///
    /// # Panics
    ///
    /// If there are fewer numbers than parameters.
    pub fn set_params(&mut self, values: &[f32]) {
        let mut rest = values;
        for part in &mut self.parts {
            let (own, others) = rest.split_at(part.params.len());
            part.params.copy_from_slice(own);
            rest = others;
        }
    }

    /// Zeros for the gradients of every part, in `gradients`.
    pub(super) fn clear_gradients(&self, gradients: &mut Vec<Vec<f32>>) {
        gradients.resize_with(self.parts.len(), Vec::new);
        for (gradient, part) in gradients.iter_mut().zip(&self.parts) {
            gradient.clear();
            gradient.resize(part.params.len(), 0.0);
        }
    }

    /// One `AdamW` step of every trial.
    pub(super) fn update(&mut self, gradients: &[Vec<f32>], rates: &[Rate]) {
        self.step += 1;
        for (part, gradient) in self.parts.iter_mut().zip(gradients) {
            part.moments.step(&mut part.params, gradient, rates, self.step);
        }
    }
}

/// Takes the array of a shape from the front of the weights of a trial.
pub(super) fn take_array(shape: &[usize], from: &mut &[f32]) -> ParamArray {
    let (values, rest) = from.split_at(shape.iter().product());
    *from = rest;
    ParamArray { shape: shape.to_vec(), values: values.to_vec() }
}
