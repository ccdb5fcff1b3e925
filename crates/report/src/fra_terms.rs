//! The four terms of attention scores, and how much of the scores each explains.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ReportError;
use crate::error::{check_finite, check_length};

/// The parts of one head's scores, each `[query_pos, key_pos]`, row-major; what lies above the
/// diagonal is not looked at.
///
/// They add up to the score of a query and a key, before the softmax and a soft cap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FraTermMaps {
    /// Query features with key features: the sum of all pairs.
    pub pairs: Vec<f64>,
    /// Query features with what is no feature at the key.
    pub query_features: Vec<f64>,
    /// What is no feature at the query with key features.
    pub key_features: Vec<f64>,
    /// What is no feature at either.
    pub rest: Vec<f64>,
}

/// Terms as they stand in a file: the lower triangle, row by row.
#[derive(Serialize)]
pub(crate) struct PackedTerms {
    /// The four terms in the order of [`FraTermMaps`].
    terms: [Vec<f64>; 4],
    /// Their sum, taken before anything is rounded.
    scores: Vec<f64>,
    /// Share of each term in the scores.
    shares: Option<[f64; 4]>,
    /// Mean magnitude of each term.
    magnitudes: [f64; 4],
}

impl FraTermMaps {
    fn all(&self) -> [(&'static str, &Vec<f64>); 4] {
        [
            ("terms.pairs", &self.pairs),
            ("terms.query_features", &self.query_features),
            ("terms.key_features", &self.key_features),
            ("terms.rest", &self.rest),
        ]
    }

    pub(crate) fn check(
        &self,
        at: impl Fn() -> String,
        n_tokens: usize,
    ) -> Result<(), ReportError> {
        for (field, map) in self.all() {
            check_map(&at, field, map, n_tokens)?;
        }
        Ok(())
    }

    pub(crate) fn pack(&self, n_tokens: usize, window: Option<usize>) -> PackedTerms {
        let terms = self.all().map(|(_, map)| triangle(map, n_tokens));
        let n = terms[0].len();
        let scores: Vec<f64> = (0..n).map(|at| terms.iter().map(|term| term[at]).sum()).collect();
        let seen: Vec<Range<usize>> = rows(n_tokens, window).collect();
        let n_seen = seen.iter().map(Range::len).sum::<usize>().max(1) as f64;
        let magnitudes = terms.each_ref().map(|term| {
            let values = seen.iter().flat_map(|row| &term[row.clone()]);
            values.map(|value| value.abs()).sum::<f64>() / n_seen
        });
        PackedTerms { shares: shares(&terms, &scores, &seen), magnitudes, scores, terms }
    }
}

/// Where the keys that each query sees stand in a lower triangle.
fn rows(n_tokens: usize, window: Option<usize>) -> impl Iterator<Item = Range<usize>> {
    (0..n_tokens).map(move |query_pos| {
        let end = (query_pos + 1) * (query_pos + 2) / 2;
        end - window.unwrap_or(usize::MAX).clamp(1, query_pos + 1)..end
    })
}

/// Checks the numbers of a map on and below the diagonal.
pub(crate) fn check_map(
    at: impl Fn() -> String,
    field: &'static str,
    map: &[f64],
    n_tokens: usize,
) -> Result<(), ReportError> {
    check_length(&at, field, map.len(), n_tokens * n_tokens)?;
    for query_pos in 0..n_tokens {
        let row = &map[query_pos * n_tokens..][..=query_pos];
        check_finite(|| format!("{}, query {query_pos}", at()), field, row)?;
    }
    Ok(())
}

/// Rows of a map up to the diagonal, one after the other.
pub(crate) fn triangle(map: &[f64], n_tokens: usize) -> Vec<f64> {
    let row = |query_pos: usize| &map[query_pos * n_tokens..][..=query_pos];
    (0..n_tokens).flat_map(row).copied().collect()
}

/// Share of each term in how the scores of a query differ from key to key.
///
/// ```text
/// share_t = Σ_q Σ_k (t - mean_k t)(s - mean_k s) / Σ_q Σ_k (s - mean_k s)²
/// ```
///
/// What is alike for all keys of a query changes no attention and so has no share. The shares add
/// up to 1; one is negative where a term works against the scores. `None` if no score differs from
/// another.
fn shares(terms: &[Vec<f64>; 4], scores: &[f64], seen: &[Range<usize>]) -> Option<[f64; 4]> {
    let mut covariances = [0.0; 4];
    let mut variance = 0.0;
    for row in seen {
        let centred = |values: &[f64]| -> Vec<f64> {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|value| value - mean).collect()
        };
        let of_scores = centred(&scores[row.clone()]);
        let product = |a: &[f64]| a.iter().zip(&of_scores).map(|(a, b)| a * b).sum::<f64>();
        variance += product(&of_scores);
        for (covariance, term) in covariances.iter_mut().zip(terms) {
            *covariance += product(&centred(&term[row.clone()]));
        }
    }
    (variance > 0.0 && variance.is_finite()).then(|| covariances.map(|one| one / variance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_for_all_keys_has_no_share() {
        // Scores of the second query are 1 and 3 from the pairs, and 5 from the rest for both keys;
        // key features take back half of the difference.
        let maps = FraTermMaps {
            pairs: vec![9.0, f64::NAN, 1.0, 3.0],
            query_features: vec![0.0; 4],
            key_features: vec![0.0, 0.0, 0.5, -0.5],
            rest: vec![0.0, 0.0, 5.0, 5.0],
        };
        maps.check(|| "head 0".to_owned(), 2).unwrap();
        let packed = maps.pack(2, None);
        assert_eq!(packed.scores, [9.0, 6.5, 7.5]);
        assert_eq!(packed.shares, Some([2.0, 0.0, -1.0, 0.0]));
        assert!((packed.magnitudes[3] - 10.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn keys_outside_the_window_count_for_nothing() {
        let far = 100.0;
        let map = |a: f64, b: f64| vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, far, a, b];
        let maps = FraTermMaps {
            pairs: map(1.0, 3.0),
            query_features: map(0.0, 0.0),
            key_features: map(0.0, 0.0),
            rest: map(0.0, -1.0),
        };
        assert_eq!(maps.pack(3, Some(2)).shares, Some([2.0, 0.0, 0.0, -1.0]));
        let all: Vec<_> = rows(3, Some(2)).collect();
        assert_eq!(all, [0..1, 1..3, 4..6]);
        assert_eq!(rows(3, Some(9)).collect::<Vec<_>>(), rows(3, None).collect::<Vec<_>>());
    }

    #[test]
    fn scores_that_are_all_alike_have_no_shares() {
        let same = vec![1.0; 4];
        let (pairs, query_features) = (same.clone(), same.clone());
        let maps = FraTermMaps { pairs, query_features, key_features: same.clone(), rest: same };
        assert_eq!(maps.pack(2, None).shares, None);
    }

    #[test]
    fn a_number_on_the_diagonal_must_be_finite() {
        let map = [1.0, 0.0, 0.0, f64::INFINITY];
        let error = check_map(|| "head 3".to_owned(), "pattern", &map, 2).unwrap_err().to_string();
        assert_eq!(error, "head 3, query 1: `pattern` has inf at 1, expected finite numbers");
    }
}
