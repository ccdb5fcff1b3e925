//! Sparse codes: which features are active for each row of activations, and how much.

/// Codes of some rows in compressed rows: what is not stored is 0.
///
/// # Memory
///
/// 8 bytes for each active feature and 8 for each row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseCodes {
    /// Number of features that there can be.
    d_sae: usize,
    /// Where each row begins and ends, `[n_rows + 1]`.
    indptr: Vec<usize>,
    /// Features of a row in rising order.
    features: Vec<u32>,
    /// How active they are, never 0.
    values: Vec<f32>,
}

impl SparseCodes {
    /// Codes of no row.
    pub fn new(d_sae: usize) -> Self {
        Self { d_sae, indptr: vec![0], features: Vec::new(), values: Vec::new() }
    }

    /// Appends a row; features must come in rising order, and values of 0 are left out.
    ///
    /// # Panics
    ///
    /// If a feature is not below `d_sae`, or not above the one before it.
    pub fn push_row(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        let mut next = 0;
        for (feature, value) in row {
            assert!(feature as usize >= next, "features of a row in rising order");
            assert!((feature as usize) < self.d_sae, "feature {feature} of {}", self.d_sae);
            next = feature as usize + 1;
            if value.abs() > 0.0 {
                self.features.push(feature);
                self.values.push(value);
            }
        }
        self.indptr.push(self.features.len());
    }

    /// Appends the rows of other codes of the same features.
    ///
    /// # Panics
    ///
    /// If `d_sae` differs.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.d_sae, other.d_sae, "codes of one autoencoder");
        let before = self.features.len();
        self.indptr.extend(other.indptr[1..].iter().map(|end| before + end));
        self.features.extend_from_slice(&other.features);
        self.values.extend_from_slice(&other.values);
    }

    /// Number of features that there can be.
    pub fn d_sae(&self) -> usize {
        self.d_sae
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of active features in all rows.
    pub fn n_active(&self) -> usize {
        self.features.len()
    }

    /// Active features of a row in rising order, and their values.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.features[range.clone()], &self.values[range])
    }

    /// Every row in turn.
    pub fn rows(&self) -> impl Iterator<Item = (&[u32], &[f32])> {
        (0..self.n_rows()).map(|row| self.row(row))
    }

    /// Writes everything that is not stored too: `[n_rows, d_sae]`.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.n_rows() * self.d_sae];
        for (row, dense) in self.rows().zip(dense.chunks_exact_mut(self.d_sae.max(1))) {
            for (feature, value) in row.0.iter().zip(row.1) {
                dense[*feature as usize] = *value;
            }
        }
        dense
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_without_their_zeros() {
        let mut codes = SparseCodes::new(4);
        codes.push_row([(1, 2.0), (2, 0.0), (3, -1.0)]);
        codes.push_row([]);
        let mut more = SparseCodes::new(4);
        more.push_row([(0, 5.0)]);
        codes.append(&more);
        assert_eq!((codes.n_rows(), codes.n_active()), (3, 3));
        assert_eq!(codes.row(0), (&[1, 3][..], &[2.0, -1.0][..]));
        assert_eq!(codes.row(2), (&[0][..], &[5.0][..]));
        let dense = [0.0, 2.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0];
        assert_eq!(codes.to_dense(), dense);
    }
}
