//! Minimal pairs: how often the right example of two scores higher.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Interval, MetricError, check, wilson};

/// How often the example of class 1 scores higher than the example of class 0 of its pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairAccuracy {
    /// Number of whole pairs.
    pub n_pairs: usize,
    /// Share of them in which the example of class 1 scores higher; a tie is not right.
    pub accuracy: f64,
    /// Its 95 % Wilson interval.
    pub interval: Interval,
}

impl PairAccuracy {
    /// Compares the two examples of each pair; `None` if no pair is whole.
    ///
    /// `pairs` is the pair of each example. A pair that has not exactly one example of each class
    /// is left out.
    ///
    /// # Errors
    ///
    /// - [`MetricError::LengthMismatch`] if `labels` or `pairs` are more or fewer than `scores`
    /// - [`MetricError::LabelOutOfRange`] if a label is neither 0 nor 1
    /// - [`MetricError::NotFinite`] if a score is not finite
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::PairAccuracy;
    ///
    /// let found = PairAccuracy::new(&[2.0, 1.0, -3.0, 0.5], &[1, 0, 1, 0], &[0, 0, 7, 7])?;
    /// let found = found.ok_or("two pairs")?;
    /// assert_eq!((found.n_pairs, found.accuracy), (2, 0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        scores: &[f64],
        labels: &[usize],
        pairs: &[usize],
    ) -> Result<Option<Self>, MetricError> {
        check::length("labels", labels.len(), scores.len())?;
        check::length("pairs", pairs.len(), scores.len())?;
        check::classes("labels", labels, 2)?;
        check::finite("scores", scores)?;
        let mut by_pair: BTreeMap<usize, [Vec<f64>; 2]> = BTreeMap::new();
        for ((&score, &label), &pair) in scores.iter().zip(labels).zip(pairs) {
            by_pair.entry(pair).or_default()[label].push(score);
        }
        let (mut n_pairs, mut n_right) = (0, 0);
        for [bad, good] in by_pair.values() {
            if let ([bad], [good]) = (&bad[..], &good[..]) {
                n_pairs += 1;
                n_right += usize::from(good > bad);
            }
        }
        if n_pairs == 0 {
            return Ok(None);
        }
        let interval = wilson(n_right, n_pairs, 0.95)?;
        Ok(Some(Self { n_pairs, accuracy: n_right as f64 / n_pairs as f64, interval }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_not_right_and_halves_of_pairs_do_not_count() {
        let scores = [1.0, 1.0, 5.0, 2.0, 1.0, 9.0];
        let found = PairAccuracy::new(&scores, &[1, 0, 1, 1, 0, 0], &[3, 3, 4, 5, 5, 6]);
        let found = found.unwrap().unwrap();
        assert_eq!((found.n_pairs, found.accuracy.to_bits()), (2, 0.5_f64.to_bits()));
        assert_eq!(PairAccuracy::new(&scores[..1], &[1], &[0]).unwrap(), None);
        assert_eq!(PairAccuracy::new(&[], &[], &[]).unwrap(), None);
    }

    #[test]
    fn what_is_no_pair_of_numbers_is_refused() {
        let new = |score, label| PairAccuracy::new(&[0.0, score], &[0, label], &[0, 0]);
        assert!(matches!(new(f64::NAN, 1), Err(MetricError::NotFinite { .. })));
        assert!(matches!(new(1.0, 2), Err(MetricError::LabelOutOfRange { .. })));
        let short = PairAccuracy::new(&[0.0], &[0], &[]);
        assert!(matches!(short, Err(MetricError::LengthMismatch { name: "pairs", .. })));
    }
}
