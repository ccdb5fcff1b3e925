//! Rows most of whose numbers are 0, such as counts of words.

use attention_probes_kernels::vectorize;
use rayon::prelude::*;

use super::problem::Columns;
use super::readout::LinearReadout;
use crate::ProbeError;

/// Rows whose logits are worked on together.
pub(super) const BLOCK: usize = 64;

/// Rows of few numbers that are not 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseFeatures {
    n_features: usize,
    /// Where each row begins, and where the last ends.
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl SparseFeatures {
    /// Takes rows of features with their numbers, each feature at most once in a row.
    ///
    /// # Panics
    ///
    /// If a feature is not below `n_features`, or there are 2³² features or more.
    pub fn new<R: IntoIterator<Item = (usize, f32)>>(
        n_features: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        assert!(u32::try_from(n_features).is_ok(), "{n_features} features");
        let (mut starts, mut entries) = (vec![0], Vec::new());
        for row in rows {
            for (feature, value) in row {
                assert!(feature < n_features, "feature {feature} of {n_features}");
                entries.push((feature as u32, value));
            }
            starts.push(entries.len());
        }
        Self { n_features, starts, entries }
    }

    /// Returns the number of rows.
    pub fn n_examples(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns the number of features.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Returns how many numbers are not 0.
    pub fn n_entries(&self) -> usize {
        self.entries.len()
    }

    /// Returns the features of a row, with their numbers.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, example: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[example]..self.starts[example + 1]]
    }

    /// Reads outputs off every row, `[n_examples, n_out]`.
    ///
    /// # Errors
    ///
    /// [`ProbeError::SizeMismatch`] if the readout has another number of features.
    pub fn outputs(&self, readout: &LinearReadout) -> Result<Vec<f32>, ProbeError> {
        let (found, expected) = (self.n_features, readout.d_model());
        if found != expected {
            let what = "the number of features";
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        let widen =
            |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
        let params: Vec<f64> = [widen(readout.weight()), widen(readout.bias())].concat();
        let n_out = readout.n_out();
        let columns = Columns::new(&[params], n_out, expected);
        let mut outputs = vec![0.0; self.n_examples() * n_out];
        outputs.par_chunks_mut(BLOCK * n_out).enumerate().for_each(|(block, outputs)| {
            let mut z = Vec::new();
            self.multiply(block * BLOCK, outputs.len() / n_out, &columns, &mut z);
            for (outputs, z) in outputs.chunks_mut(n_out).zip(z.chunks(columns.width)) {
                outputs.copy_from_slice(&z[..n_out]);
            }
        });
        Ok(outputs)
    }

    /// Logits of some rows, `[n, width]`.
    pub(super) fn multiply(&self, first: usize, n: usize, columns: &Columns, z: &mut Vec<f32>) {
        z.clear();
        z.resize(n * columns.width, 0.0);
        vectorize(
            #[inline(always)]
            || {
                for (i, z) in z.chunks_exact_mut(columns.width).enumerate() {
                    z.copy_from_slice(&columns.biases);
                    for &(feature, x) in self.row(first + i) {
                        let from = feature as usize * columns.width;
                        for (z, w) in z.iter_mut().zip(&columns.weights[from..]) {
                            *z += x * w;
                        }
                    }
                }
            },
        );
    }
    /// Adds the products of a row with the rows of a matrix, `[n_features, width]`.
    pub(super) fn add_products(&self, row: usize, matrix: &[f32], sums: &mut [f64]) {
        let width = sums.len();
        let entries = self.row(row);
        if entries.is_empty() {
            return;
        }
        let mut products = vec![0.0_f32; width];
        vectorize(
            #[inline(always)]
            || {
                for &(feature, x) in entries {
                    let from = feature as usize * width;
                    for (product, value) in products.iter_mut().zip(&matrix[from..]) {
                        *product += x * value;
                    }
                }
                for (sum, product) in sums.iter_mut().zip(&products) {
                    *sum += f64::from(*product);
                }
            },
        );
    }
}
