//! The active features of a batch, by row and by feature, and products with them.

use attention_probes_kernels::{Write, add_scaled, dot, vectorize};
use rayon::prelude::*;

/// Columns of a matrix that are summed at a time: those of all rows of a batch stay in the cache.
const COLUMNS: usize = 64;

/// Features that a task sums.
const FEATURES: usize = 64;

/// One feature of one row of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) feature: u32,
    /// What the decoder's row is multiplied by.
    pub(crate) value: f32,
    /// Derivative of the loss by the pre-activation.
    pub(crate) gradient: f32,
}

/// Entries of each row.
pub(super) type Rows = Vec<Vec<Entry>>;

/// The same entries in the order of features.
#[derive(Clone, Debug, Default)]
pub(super) struct ByFeature {
    /// Where each feature begins and ends, `[d_sae + 1]`.
    indptr: Vec<usize>,
    /// Row, value, and gradient.
    entries: Vec<(u32, f32, f32)>,
}

impl ByFeature {
    /// Sorts the entries of some rows; within a feature they keep the order of rows.
    pub(super) fn fill(&mut self, rows: &[Vec<Entry>], d_sae: usize) {
        let Self { indptr, entries } = self;
        indptr.clear();
        indptr.resize(d_sae + 2, 0);
        for entry in rows.iter().flatten() {
            indptr[entry.feature as usize + 2] += 1;
        }
        for feature in 2..indptr.len() {
            indptr[feature] += indptr[feature - 1];
        }
        entries.clear();
        entries.resize(indptr[d_sae + 1], (0, 0.0, 0.0));
        for (row, of_row) in rows.iter().enumerate() {
            for entry in of_row {
                let place = &mut indptr[entry.feature as usize + 1];
                entries[*place] = (row as u32, entry.value, entry.gradient);
                *place += 1;
            }
        }
        indptr.pop();
    }

    /// Entries of a feature: row, value, gradient.
    pub(super) fn of(&self, feature: usize) -> &[(u32, f32, f32)] {
        &self.entries[self.indptr[feature]..self.indptr[feature + 1]]
    }

    /// `sums[i] = Σ_t weight(t, i) rows[t]`, or `+=`, for every feature `i`, `[d_sae, width]`.
    pub(super) fn multiply(
        &self,
        sums: &mut [f32],
        (rows, width): (&[f32], usize),
        write: Write,
        weight: impl Fn(&(u32, f32, f32)) -> f32 + Sync,
    ) {
        for first in (0..width).step_by(COLUMNS) {
            let columns = first..(first + COLUMNS).min(width);
            sums.par_chunks_mut(FEATURES * width).enumerate().for_each(|(task, sums)| {
                vectorize(
                    #[inline(always)]
                    || {
                        for (i, sum) in sums.chunks_exact_mut(width).enumerate() {
                            let sum = &mut sum[columns.clone()];
                            if write == Write::Replace {
                                sum.fill(0.0);
                            }
                            for entry in self.of(task * FEATURES + i) {
                                let row = entry.0 as usize * width;
                                let row = &rows[row + columns.start..row + columns.end];
                                add_scaled(sum, weight(entry), row);
                            }
                        }
                    },
                );
            });
        }
    }
}

/// Decodes a row: `sum += Σ value decoder[feature]`.
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
#[inline(always)]
pub(super) fn decode(entries: &[Entry], decoder: &[f32], sum: &mut [f32]) {
    let width = sum.len();
    for entry in entries {
        add_scaled(sum, entry.value, &decoder[entry.feature as usize * width..][..width]);
    }
}

/// Sets the gradient of each entry to `residual · decoder[feature]`.
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
#[inline(always)]
pub(super) fn differentiate(entries: &mut [Entry], decoder: &[f32], residual: &[f32]) {
    let width = residual.len();
    for entry in entries {
        entry.gradient = dot(&decoder[entry.feature as usize * width..][..width], residual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_again_by_feature_and_multiplied() {
        let entry = |feature, value| Entry { feature, value, gradient: -value };
        let rows = vec![vec![entry(0, 1.0), entry(2, 2.0)], vec![], vec![entry(2, 3.0)]];
        let mut by_feature = ByFeature::default();
        by_feature.fill(&rows, 4);
        assert_eq!(by_feature.of(0), [(0, 1.0, -1.0)]);
        assert_eq!(by_feature.of(2), [(0, 2.0, -2.0), (2, 3.0, -3.0)]);
        assert!(by_feature.of(1).is_empty() && by_feature.of(3).is_empty());
        let width = 70; // more columns than are summed at a time
        let x: Vec<f32> = (0..3 * width).map(|i| i as f32).collect();
        let mut sums = vec![1.0; 4 * width];
        by_feature.multiply(&mut sums, (&x, width), Write::Add, |entry| entry.1);
        for column in 0..width {
            let (first, last) = (x[column], x[2 * width + column]);
            let found: Vec<f32> = (0..4).map(|feature| sums[feature * width + column]).collect();
            assert_eq!(found, [1.0 + first, 1.0, 1.0 + 2.0 * first + 3.0 * last, 1.0]);
        }
    }
}
