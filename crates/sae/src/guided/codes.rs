//! Features of a batch as unit vectors, row by row.

use crate::SparseCodes;
use crate::train::Entry;

/// The features of each row of a batch, times the norms of their decoder rows.
#[derive(Clone, Debug, Default)]
pub(super) struct UnitCodes {
    /// Where each row begins and ends in the next two, `[n_rows + 1]`.
    indptr: Vec<usize>,
    features: Vec<u32>,
    /// Divided by the norm of the row.
    values: Vec<f32>,
    /// Norms of the rows; 0 where no feature is active.
    norms: Vec<f32>,
}

impl UnitCodes {
    /// Features of `rows` whose decoder rows have the norms `decoder_norms`.
    pub(super) fn new(rows: &[Vec<Entry>], decoder_norms: &[f32]) -> Self {
        let value = |entry: &Entry| entry.value * decoder_norms[entry.feature as usize];
        let mut codes = Self { indptr: vec![0], ..Self::default() };
        for row in rows {
            codes.push(row.iter().map(|entry| (entry.feature, value(entry))));
        }
        codes
    }

    /// Features as they are.
    pub(super) fn of(codes: &SparseCodes) -> Self {
        let mut unit = Self { indptr: vec![0], ..Self::default() };
        for (features, values) in codes.rows() {
            unit.push(features.iter().copied().zip(values.iter().copied()));
        }
        unit
    }

    fn push(&mut self, row: impl Iterator<Item = (u32, f32)> + Clone) {
        let norm = row.clone().map(|(_, value)| value * value).sum::<f32>().sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        self.features.extend(row.clone().map(|(feature, _)| feature));
        self.values.extend(row.map(|(_, value)| value * scale));
        self.norms.push(norm);
        self.indptr.push(self.features.len());
    }

    /// Where the entries of some rows are.
    pub(super) fn entries(&self, rows: std::ops::Range<usize>) -> std::ops::Range<usize> {
        self.indptr[rows.start]..self.indptr[rows.end]
    }

    /// Features of a row and their values, of norm 1 together.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let range = self.indptr[row]..self.indptr[row + 1];
        let features = self.features[range.clone()].iter().map(|feature| *feature as usize);
        features.zip(self.values[range].iter().copied())
    }

    /// Norm of a row before it was made a unit vector.
    pub(super) fn norm(&self, row: usize) -> f32 {
        self.norms[row]
    }
}

/// One row spread out over all features, so that products with it take a look each.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    values: Vec<f32>,
    /// Number of the row's entry for each feature, counted from 1; 0 where it has none.
    places: Vec<u32>,
}

impl Spread {
    pub(super) fn new(d_sae: usize) -> Self {
        Self { values: vec![0.0; d_sae], places: vec![0; d_sae] }
    }

    /// Spreads a row out; the one before must have been cleared.
    pub(super) fn set(&mut self, codes: &UnitCodes, row: usize) {
        for (place, (feature, value)) in codes.row(row).enumerate() {
            self.values[feature] = value;
            self.places[feature] = place as u32 + 1;
        }
    }

    /// Takes the row away.
    pub(super) fn clear(&mut self, codes: &UnitCodes, row: usize) {
        for (feature, _) in codes.row(row) {
            self.values[feature] = 0.0;
            self.places[feature] = 0;
        }
    }

    /// Cosine of the row and another.
    pub(super) fn cosine(&self, codes: &UnitCodes, row: usize) -> f32 {
        codes.row(row).map(|(feature, value)| value * self.values[feature]).sum()
    }

    /// Adds `weight` times another row to `sums`, one for each entry of this one.
    pub(super) fn add_shared(&self, codes: &UnitCodes, row: usize, weight: f32, sums: &mut [f32]) {
        for (feature, value) in codes.row(row) {
            if let Some(place) = (self.places[feature] as usize).checked_sub(1) {
                sums[place] += weight * value;
            }
        }
    }
}
