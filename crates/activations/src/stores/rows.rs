//! Rows that somebody else holds, as a source: in `f32`, or in `f16` or `bf16`, widened a batch at a
//! time.

use attention_probes_errors::ValueError;
use half::{bf16, f16};

use crate::{ActivationError, ActivationSource, SiteRows};

/// Numbers that somebody else holds.
#[derive(Clone, Copy, Debug)]
pub enum RowValues<'a> {
    /// Of 32 bits.
    F32(&'a [f32]),
    /// Of 16 bits, as IEEE has them.
    F16(&'a [f16]),
    /// Of 16 bits, the upper half of `f32`.
    Bf16(&'a [bf16]),
}

impl<'a> From<&'a [f32]> for RowValues<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a [f16]> for RowValues<'a> {
    fn from(values: &'a [f16]) -> Self {
        Self::F16(values)
    }
}

impl<'a> From<&'a [bf16]> for RowValues<'a> {
    fn from(values: &'a [bf16]) -> Self {
        Self::Bf16(values)
    }
}

impl RowValues<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds some of them to `wide`, as they are in `f32`.
    fn widen(&self, range: std::ops::Range<usize>, wide: &mut Vec<f32>) {
        match self {
            Self::F32(values) => wide.extend_from_slice(&values[range]),
            Self::F16(values) => wide.extend(values[range].iter().map(|x| x.to_f32())),
            Self::Bf16(values) => wide.extend(values[range].iter().map(|x| x.to_f32())),
        }
    }

    /// Whether all of some of them are finite.
    fn are_finite(&self, range: std::ops::Range<usize>) -> bool {
        match self {
            Self::F32(values) => values[range].iter().all(|x| x.is_finite()),
            Self::F16(values) => values[range].iter().all(|x| x.is_finite()),
            Self::Bf16(values) => values[range].iter().all(|x| x.is_finite()),
        }
    }
}

/// Activations that somebody else holds, at one site.
///
/// # Memory
///
/// Nothing of its own, but for 16 bits, which are widened a batch at a time: four bytes a number of
/// that batch.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{ActivationSource, RowsSource};
/// use half::f16;
///
/// // Two texts of two tokens and of one, three wide, one after the other.
/// let rows: Vec<f16> = (0..9).map(|i| f16::from_f32(i as f32)).collect();
/// let mut source = RowsSource::new(&rows[..], &[2, 1], 3)?;
/// source.with_rows(&[(1, 1), (0, 2)], &mut |sites| {
///     assert_eq!(sites[0][0], [6.0, 7.0, 8.0]);
///     assert_eq!(sites[0][1].len(), 6);
/// })?;
/// # Ok::<(), attention_probes::activations::ActivationError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowsSource<'a> {
    values: RowValues<'a>,
    /// Where each sequence begins, in tokens.
    starts: Vec<usize>,
    lengths: Vec<usize>,
    d_model: usize,
    skipped: Vec<usize>,
    wide: Vec<f32>,
}

impl<'a> RowsSource<'a> {
    /// Takes sequences that follow each other without padding, `[n_tokens, d_model]`.
    ///
    /// Sequences with NaN or infinity are [skipped](ActivationSource::skipped).
    ///
    /// # Errors
    ///
    /// - [`ActivationError::LengthMismatch`] if there are not `d_model` numbers for each token
    /// - [`ActivationError::Value`] if `d_model` is 0, or a sequence has no token
    pub fn new(
        values: impl Into<RowValues<'a>>,
        lengths: &[usize],
        d_model: usize,
    ) -> Result<Self, ActivationError> {
        let mut n_tokens = 0;
        let starts = lengths.iter().map(|length| {
            n_tokens += length;
            n_tokens - length
        });
        let starts = starts.collect();
        Self::with_starts(values.into(), (starts, lengths), n_tokens, d_model)
    }

    /// Takes sequences that are padded on the right, `[n_sequences, pos, d_model]`; padding is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// As [`RowsSource::new`], and [`ActivationError::Value`] if a sequence is longer than `pos`.
    pub fn padded(
        values: impl Into<RowValues<'a>>,
        lengths: &[usize],
        (pos, d_model): (usize, usize),
    ) -> Result<Self, ActivationError> {
        if let Some(&longest) = lengths.iter().max().filter(|longest| **longest > pos) {
            return Err(ValueError::new("lengths", longest, "at most `pos` tokens").into());
        }
        let starts = (0..lengths.len()).map(|sequence| sequence * pos).collect();
        Self::with_starts(values.into(), (starts, lengths), lengths.len() * pos, d_model)
    }

    fn with_starts(
        values: RowValues<'a>,
        (starts, lengths): (Vec<usize>, &[usize]),
        n_tokens: usize,
        d_model: usize,
    ) -> Result<Self, ActivationError> {
        if d_model == 0 {
            return Err(ValueError::new("d_model", d_model, "at least 1").into());
        }
        if lengths.contains(&0) {
            return Err(ValueError::new("lengths", 0_usize, "at least one token each").into());
        }
        let (length, expected) = (values.len(), n_tokens * d_model);
        if length != expected {
            return Err(ActivationError::LengthMismatch { name: "rows", length, expected });
        }
        let lengths = lengths.to_vec();
        let mut source =
            Self { values, starts, lengths, d_model, skipped: Vec::new(), wide: Vec::new() };
        let is_wrong = |&sequence: &usize| {
            !source.values.are_finite(source.range(sequence, source.lengths[sequence]))
        };
        source.skipped = (0..source.lengths.len()).filter(is_wrong).collect();
        Ok(source)
    }

    /// Number of tokens of each sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Where the numbers of a prefix lie.
    fn range(&self, sequence: usize, end: usize) -> std::ops::Range<usize> {
        let start = self.starts[sequence] * self.d_model;
        start..start + end * self.d_model
    }
}

impl ActivationSource for RowsSource<'_> {
    fn n_sites(&self) -> usize {
        1
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_sequences(&self) -> usize {
        self.lengths.len()
    }

    fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        for &(sequence, end) in examples {
            let is_there = self.lengths.get(sequence).is_some_and(|length| end <= *length);
            if !is_there || self.skipped.binary_search(&sequence).is_ok() {
                return Err(ActivationError::NoActivations { sequence, end });
            }
        }
        let ranges = examples.iter().map(|&(sequence, end)| self.range(sequence, end));
        if let RowValues::F32(values) = self.values {
            let rows: SiteRows<'_> = ranges.map(|range| &values[range]).collect();
            use_rows(&[rows]);
            return Ok(());
        }
        let ranges: Vec<_> = ranges.collect();
        self.wide.clear();
        for range in &ranges {
            self.values.widen(range.clone(), &mut self.wide);
        }
        let mut rest = &self.wide[..];
        let rows: SiteRows<'_> = ranges
            .iter()
            .map(|range| {
                let (row, tail) = rest.split_at(range.len());
                rest = tail;
                row
            })
            .collect();
        use_rows(&[rows]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(source: &mut RowsSource<'_>, examples: &[(usize, usize)]) -> Vec<Vec<f32>> {
        let mut found = Vec::new();
        let mut keep = |sites: &[SiteRows<'_>]| {
            found = sites[0].iter().map(|rows| rows.to_vec()).collect();
        };
        source.with_rows(examples, &mut keep).unwrap();
        found
    }

    #[test]
    fn rows_of_any_width_are_the_same_packed_or_padded() {
        let packed: Vec<f32> = (0..10).map(|i| i as f32 / 4.0).collect();
        let mut padded = packed[..4].to_vec();
        padded.extend([f32::NAN; 2]);
        padded.extend_from_slice(&packed[4..]);
        let halves: Vec<f16> = packed.iter().map(|x| f16::from_f32(*x)).collect();
        let brains: Vec<bf16> = padded.iter().map(|x| bf16::from_f32(*x)).collect();
        let lengths = [2, 3];
        let expected = vec![packed[4..10].to_vec(), packed[..2].to_vec(), packed[..4].to_vec()];
        let asked = [(1, 3), (0, 1), (0, 2)];
        for mut source in [
            RowsSource::new(&packed[..], &lengths, 2).unwrap(),
            RowsSource::new(&halves[..], &lengths, 2).unwrap(),
            RowsSource::padded(&padded[..], &lengths, (3, 2)).unwrap(),
            RowsSource::padded(&brains[..], &lengths, (3, 2)).unwrap(),
        ] {
            assert_eq!(source.skipped(), [0_usize; 0]);
            assert_eq!(rows_of(&mut source, &asked), expected);
        }
    }

    #[test]
    fn what_is_not_there_or_not_finite_is_refused() {
        let rows = [1.0, 2.0, f32::INFINITY, 4.0_f32];
        let mut source = RowsSource::new(&rows[..], &[1, 1, 2], 1).unwrap();
        assert_eq!((source.skipped(), source.lengths()), (&[2][..], &[1, 1, 2][..]));
        for example in [(2, 1), (0, 2), (3, 1)] {
            assert!(source.with_rows(&[example], &mut |_| ()).is_err(), "{example:?}");
        }
        let message = |lengths: &[usize], d_model| {
            RowsSource::new(&rows[..], lengths, d_model).unwrap_err().to_string()
        };
        assert!(message(&[1, 1], 1).contains('4'));
        assert!(message(&[0, 4], 1).contains("at least one token each"));
        assert!(message(&[4], 0).contains("`d_model` is 0"));
        let error = RowsSource::padded(&rows[..], &[3, 1], (2, 1)).unwrap_err().to_string();
        assert!(error.contains("`lengths` is 3, expected at most `pos` tokens"), "{error}");
    }
}
