//! What every reader is made of: rows that meet an activation, and the last few numbers.

use std::sync::Arc;

use attention_probes_kernels::dot_in_f64;

use crate::ProbeState;

/// Rows of a matrix, and numbers that are added to their products; copies share them.
#[derive(Clone, Debug)]
pub struct Rows {
    weights: Arc<[f32]>,
    biases: Arc<[f32]>,
    n_columns: usize,
}

impl Rows {
    /// Takes rows `[n_rows, n_columns]` by their name, and what is added to their products.
    ///
    /// # Panics
    ///
    /// If the state has no such arrays.
    pub fn new(state: &ProbeState, weight: &str, bias: Option<&str>) -> Self {
        let weights: Arc<[f32]> = state[weight].values.as_slice().into();
        let n_columns = state[weight].shape[1];
        let n_rows = weights.len() / n_columns;
        let biases: Arc<[f32]> = match bias {
            Some(bias) => state[bias].values.as_slice().into(),
            None => vec![0.0; n_rows].into(),
        };
        Self { weights, biases, n_columns }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.biases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.biases.is_empty()
    }

    /// Product of one row with a vector.
    pub fn product(&self, row: usize, x: &[f32]) -> f64 {
        let weights = &self.weights[row * self.n_columns..(row + 1) * self.n_columns];
        dot_in_f64(weights, x) + f64::from(self.biases[row])
    }
}

/// The last numbers of a sequence, a fixed number of them.
#[derive(Clone, Debug)]
pub struct Ring {
    /// The numbers, in no order.
    pub values: Vec<f64>,
}

impl Ring {
    /// Room for so many numbers.
    pub fn new(length: usize) -> Self {
        Self { values: vec![0.0; length] }
    }

    /// Puts in the number of a position and returns those that are kept, in no order.
    pub fn push(&mut self, position: usize, value: f64) -> &[f64] {
        let length = self.values.len();
        self.values[position % length] = value;
        &self.values[..length.min(position + 1)]
    }
}
