//! Activations of labelled texts, and their means over positions.

use crate::{Sae, SaeError, SparseCodes};

/// Positions that are encoded at a time.
const BLOCK_POSITIONS: usize = 4096;

/// Activations of some texts, padded or not.
///
/// A position is absent if every number of it is 0: so are padding and special tokens marked.
#[derive(Clone, Debug, PartialEq)]
pub struct TextActivations {
    d_in: usize,
    /// Position by position, `[n_positions, d_in]`.
    values: Vec<f32>,
    /// Position at which each text ends.
    ends: Vec<usize>,
    /// Positions of each text that are not absent.
    n_present: Vec<usize>,
}

/// Which positions count in a mean of features, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// Those that are not absent.
    Present,
    /// All of them, as `SAEBench` ablates; values are those that the decoder's rows are multiplied
    /// by, with what the normalisation of the activations was.
    AllDecoded,
}

impl TextActivations {
    /// Texts that are padded to one length.
    ///
    /// # Shapes
    ///
    /// - `values`: `[n_texts, pos, d_in]`, absent positions 0
    ///
    /// # Errors
    ///
    /// - [`SaeError::SizeMismatch`] if the values do not fill texts of equal length.
    /// - [`SaeError::EmptyText`] if a text has no position that is present, or there is no text.
    /// - [`SaeError::NonFinite`] if a value is NaN or infinite.
    pub fn padded(values: Vec<f32>, n_texts: usize, d_in: usize) -> Result<Self, SaeError> {
        let row = n_texts.saturating_mul(d_in);
        if row == 0 || !values.len().is_multiple_of(row) {
            let what = "the number of values in texts of one length";
            let expected = values.len().next_multiple_of(row.max(1));
            return Err(SaeError::SizeMismatch { what, found: values.len(), expected });
        }
        let pos = values.len() / row;
        Self::ragged(values, &vec![pos; n_texts], d_in)
    }

    /// Texts of any lengths, one behind the other.
    ///
    /// # Shapes
    ///
    /// - `values`: `[sum of lengths, d_in]`
    /// - `lengths`: `[n_texts]`, in positions
    ///
    /// # Errors
    ///
    /// As [`TextActivations::padded`].
    pub fn ragged(values: Vec<f32>, lengths: &[usize], d_in: usize) -> Result<Self, SaeError> {
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0_usize, |end, length| {
                *end = end.saturating_add(*length);
                Some(*end)
            })
            .collect();
        let expected = ends.last().map_or(0, |end| end.saturating_mul(d_in));
        if values.len() != expected || d_in == 0 {
            let what = "the number of values of all texts";
            return Err(SaeError::SizeMismatch { what, found: values.len(), expected });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let (array, value) = ("activations", values[index]);
            return Err(SaeError::NonFinite { array, index, value });
        }
        let mut texts = Self { d_in, values, ends, n_present: Vec::new() };
        texts.n_present = (0..texts.n_texts())
            .map(|text| texts.text(text).chunks_exact(d_in).filter(|x| is_present(x)).count())
            .collect();
        let empty = texts.n_present.iter().position(|n| *n == 0);
        match empty.or((texts.n_texts() == 0).then_some(0)) {
            Some(text) => Err(SaeError::EmptyText { text }),
            None => Ok(texts),
        }
    }

    /// Number of texts, at least 1.
    pub fn n_texts(&self) -> usize {
        self.ends.len()
    }

    /// Width of the activations.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Activations of one text with its absent positions, `[pos, d_in]`.
    ///
    /// # Panics
    ///
    /// If there is no such text.
    pub fn text(&self, text: usize) -> &[f32] {
        let start = if text == 0 { 0 } else { self.ends[text - 1] };
        &self.values[start * self.d_in..self.ends[text] * self.d_in]
    }

    /// Whether no position is absent.
    pub(super) fn is_whole(&self) -> bool {
        self.n_present.iter().sum::<usize>() == self.ends.last().copied().unwrap_or(0)
    }

    /// Mean of each text over the positions that are present, `[n_texts, d_in]`.
    ///
    /// `SAEBench`'s `create_meaned_model_activations`, with sums in `f64`.
    pub fn means(&self) -> Vec<f32> {
        let mut means = Vec::with_capacity(self.n_texts() * self.d_in);
        for (text, n) in self.n_present.iter().enumerate() {
            let mut sums = vec![0.0_f64; self.d_in];
            for row in self.text(text).chunks_exact(self.d_in) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += f64::from(*x);
                }
            }
            means.extend(sums.into_iter().map(|sum| (sum / *n as f64) as f32));
        }
        means
    }

    /// Mean of each feature over the positions of each text that are present, `[n_texts, d_sae]`.
    ///
    /// `SAEBench`'s `get_sae_meaned_activations`, with sums in `f64`.
    ///
    /// # Errors
    ///
    /// [`SaeError::SizeMismatch`] if the autoencoder reads another width.
    ///
    /// # Memory
    ///
    /// The means that are not 0, and codes of some thousand positions.
    pub fn feature_means(&self, sae: &Sae) -> Result<SparseCodes, SaeError> {
        self.code_means(sae, Positions::Present)
    }

    /// Sums of each feature over some positions, by the number of those that are present.
    pub(super) fn code_means(
        &self,
        sae: &Sae,
        positions: Positions,
    ) -> Result<SparseCodes, SaeError> {
        check_width(sae, self.d_in)?;
        let d_sae = sae.config.d_sae;
        let mut means = SparseCodes::new(d_sae);
        let mut sums = vec![0.0_f64; d_sae];
        let mut active: Vec<u32> = Vec::new();
        let mut first = 0;
        while first < self.n_texts() {
            let start = if first == 0 { 0 } else { self.ends[first - 1] };
            let fits = |end: &usize| end - start <= BLOCK_POSITIONS;
            let n_fitting = self.ends[first..].iter().take_while(|end| fits(end)).count();
            let last = first + n_fitting.max(1);
            let rows = &self.values[start * self.d_in..self.ends[last - 1] * self.d_in];
            let encoded = sae.encode(rows)?;
            let mut row = 0;
            for text in first..last {
                for x in self.text(text).chunks_exact(self.d_in) {
                    let weight = match positions {
                        Positions::Present => f64::from(u8::from(is_present(x))),
                        Positions::AllDecoded => f64::from(encoded.scale(row)),
                    };
                    let (features, values) = encoded.codes.row(row);
                    for (feature, value) in features.iter().zip(values) {
                        let sum = &mut sums[*feature as usize];
                        if *sum == 0.0 {
                            active.push(*feature);
                        }
                        *sum += weight * f64::from(*value);
                    }
                    row += 1;
                }
                active.sort_unstable();
                active.dedup();
                let n = self.n_present[text] as f64;
                means.push_row(active.iter().map(|feature| {
                    (*feature, (std::mem::take(&mut sums[*feature as usize]) / n) as f32)
                }));
                active.clear();
            }
            first = last;
        }
        Ok(means)
    }
}

fn is_present(row: &[f32]) -> bool {
    row.iter().any(|x| x.abs() > 0.0)
}

/// Refuses activations of another width than the autoencoder reads.
pub(super) fn check_width(sae: &Sae, found: usize) -> Result<(), SaeError> {
    let expected = sae.config.d_in;
    if found == expected {
        return Ok(());
    }
    Err(SaeError::SizeMismatch { what: "the width of the activations", found, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;

    #[test]
    fn absent_positions_are_left_out_of_means() {
        let values = vec![1.0, 2.0, 0.0, 0.0, 3.0, -4.0, 5.0, 0.0];
        let texts = TextActivations::padded(values, 2, 2).unwrap();
        assert_eq!(texts.means(), [1.0, 2.0, 4.0, -2.0]);
        let means = texts.feature_means(&identity_sae(2, 0.0)).unwrap();
        assert_eq!(means.to_dense(), [1.0, 2.0, 4.0, 0.0]);
    }

    #[test]
    fn padding_does_not_change_a_mean() {
        let padded = vec![1.0, 2.0, 0.0, 0.0, 3.0, -4.0, 5.0, 0.0];
        let padded = TextActivations::padded(padded, 2, 2).unwrap();
        let ragged = vec![1.0, 2.0, 3.0, -4.0, 5.0, 0.0];
        let ragged = TextActivations::ragged(ragged, &[1, 2], 2).unwrap();
        let sae = identity_sae(2, 0.5);
        assert_eq!(padded.means(), ragged.means());
        assert_eq!(padded.feature_means(&sae).unwrap(), ragged.feature_means(&sae).unwrap());
    }

    #[test]
    fn features_of_absent_positions_count_where_they_are_decoded() {
        let texts = TextActivations::padded(vec![1.0, 2.0, 0.0, 0.0], 1, 2).unwrap();
        let means = texts.code_means(&identity_sae(2, 0.5), Positions::AllDecoded).unwrap();
        assert_eq!(means.to_dense(), [2.0, 3.0]); // (1.5 + 0.5) / 1 and (2.5 + 0.5) / 1
    }

    #[test]
    fn a_text_without_positions_is_refused() {
        let error = TextActivations::padded(vec![1.0, 0.0], 2, 1).unwrap_err();
        assert!(matches!(error, SaeError::EmptyText { text: 1 }), "{error}");
        let error = TextActivations::ragged(vec![], &[], 1).unwrap_err();
        assert!(matches!(error, SaeError::EmptyText { text: 0 }), "{error}");
        let error = TextActivations::ragged(vec![1.0, f32::NAN], &[2], 1).unwrap_err();
        assert!(matches!(error, SaeError::NonFinite { index: 1, .. }), "{error}");
    }
}
