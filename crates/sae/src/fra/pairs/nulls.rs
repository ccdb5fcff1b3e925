//! How many of the strongest pairs are a feature with itself, and how many would be anyway.

use std::collections::BTreeMap;

use attention_probes_metrics::{Interval, SelfInteractions, wilson};

use super::ranking::{FraHeadPairs, FraPair, FraRank, Keys};
use super::statistics::FraStatistics;
use super::table::PairTable;
use crate::SaeError;
use crate::fra::layer::FraLayer;

/// Counts up to this have a bin of their own, larger ones share bins an eighth wide.
const OWN_BINS: u32 = 16;

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// Standard deviations that the middle of a normal distribution of that level reaches.
const NORMAL_QUANTILE: f64 = 1.959_963_984_540_054;

/// Pairs up to which the chances of every share are computed one by one.
const MAX_EXACT: usize = 4096;

impl FraStatistics {
    /// Self-interactions among the `n` strongest pairs by each rank, of every head.
    ///
    /// # Errors
    ///
    /// [`SaeError::Site`] or [`SaeError::SizeMismatch`] as [`FraStatistics::add`].
    pub fn self_interactions(
        &self,
        layer: &FraLayer<'_>,
        ranks: &[FraRank],
        n: usize,
    ) -> Result<Vec<Vec<SelfInteractions>>, SaeError> {
        let own = self.ranked(layer, ranks, n, Keys::Own)?;
        let has_permuted = self.is_factored || !self.permuted.is_empty();
        let permuted =
            if has_permuted { Some(self.ranked(layer, ranks, n, Keys::Permuted)?) } else { None };
        let bins: Vec<Bins> = self.tables.iter().map(Bins::new).collect();
        let of_rank = |rank: usize| {
            let shares: Vec<f64> = own.iter().map(|head| share(&head.top[rank])).collect();
            let of_head = |(place, head): (usize, &FraHeadPairs)| {
                let pairs = &head.top[rank];
                let others = (0..shares.len()).filter(|other| *other != place);
                let permuted = permuted.as_ref().map(|heads| &heads[place].top[rank]);
                let chances = bins[place.min(bins.len() - 1)].chances(pairs);
                SelfInteractions {
                    head: head.head,
                    n_pairs: pairs.len(),
                    n_self: n_self(pairs),
                    share: shares[place],
                    share_interval: share_interval(pairs),
                    other_heads: others.map(|other| shares[other]).collect(),
                    permuted: permuted.map(|pairs| share(pairs)),
                    permuted_interval: permuted.map(|pairs| share_interval(pairs)),
                    count_matched: chances.iter().sum::<f64>() / chances.len().max(1) as f64,
                    count_matched_interval: drawn_share(&chances),
                }
            };
            own.iter().enumerate().map(of_head).collect()
        };
        Ok((0..ranks.len()).map(of_rank).collect())
    }
}

/// Pairs that occur about as often: how many are a feature with itself, and how many there are.
struct Bins(BTreeMap<u32, (usize, usize)>);

impl Bins {
    fn new(table: &PairTable) -> Self {
        let mut bins: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        let mut row = Vec::new();
        for feature in 0..table.settled.len() {
            row.clear();
            table.cursor(feature).next(|_| true, &mut row);
            for entry in &row {
                let bin = bins.entry(bin(entry.count)).or_default();
                bin.0 += usize::from(entry.key_feature as usize == feature);
                bin.1 += 1;
            }
        }
        Self(bins)
    }

    /// For each of some pairs the share of self-interactions among all that occur as often.
    fn chances(&self, pairs: &[FraPair]) -> Vec<f64> {
        let of_pair = |pair: &FraPair| {
            let (n_self, n) = self.0.get(&bin(pair.count)).copied().unwrap_or_default();
            n_self as f64 / n.max(1) as f64
        };
        pairs.iter().map(of_pair).collect()
    }
}

fn n_self(pairs: &[FraPair]) -> usize {
    pairs.iter().filter(|pair| pair.query_feature == pair.key_feature).count()
}

fn share(pairs: &[FraPair]) -> f64 {
    n_self(pairs) as f64 / pairs.len().max(1) as f64
}

/// Of no pair anything can be the share.
fn share_interval(pairs: &[FraPair]) -> Interval {
    let all = Interval { lower: 0.0, upper: 1.0, level: LEVEL };
    wilson(n_self(pairs), pairs.len(), LEVEL).unwrap_or(all)
}

/// Where the share of successes lies of trials with these chances: the shortest range of numbers
/// below which, and above which, there are no more than half of what the level leaves.
fn drawn_share(chances: &[f64]) -> Interval {
    let n = chances.len();
    let (lower, upper) = if n <= MAX_EXACT {
        let probabilities = poisson_binomial(chances);
        (n_in_tail(probabilities.iter()), n - n_in_tail(probabilities.iter().rev()))
    } else {
        let mean: f64 = chances.iter().sum();
        let variance: f64 = chances.iter().map(|chance| chance * (1.0 - chance)).sum();
        let half_width = NORMAL_QUANTILE * variance.sqrt() + 0.5;
        ((mean - half_width).max(0.0).ceil() as usize, ((mean + half_width) as usize).min(n))
    };
    let share = |number: usize| number as f64 / n.max(1) as f64;
    Interval { lower: share(lower), upper: share(upper), level: LEVEL }
}

/// How many of these come before their sum exceeds half of what the level leaves.
fn n_in_tail<'a>(mut probabilities: impl Iterator<Item = &'a f64>) -> usize {
    let mut sum = 0.0;
    let is_beyond = |probability: &f64| {
        sum += probability;
        sum > (1.0 - LEVEL) / 2.0
    };
    probabilities.position(is_beyond).unwrap_or_default()
}

/// Probability of each number of successes, `[n + 1]`.
fn poisson_binomial(chances: &[f64]) -> Vec<f64> {
    let mut probabilities = vec![0.0; chances.len() + 1];
    probabilities[0] = 1.0;
    for (done, chance) in chances.iter().enumerate() {
        for successes in (1..=done + 1).rev() {
            let (one_less, as_many) = (probabilities[successes - 1], probabilities[successes]);
            probabilities[successes] = as_many * (1.0 - chance) + one_less * chance;
        }
        probabilities[0] *= 1.0 - chance;
    }
    probabilities
}

/// Counts that are about the same have the same bin.
fn bin(count: u32) -> u32 {
    if count <= OWN_BINS {
        return count;
    }
    let exponent = count.ilog2();
    OWN_BINS + 8 * exponent + ((count >> (exponent - 3)) & 7)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn numbers_of_successes_have_their_binomial_probabilities() {
        let found = poisson_binomial(&[0.25; 4]);
        for (found, expected) in found.iter().zip([81.0, 108.0, 54.0, 12.0, 1.0]) {
            assert_relative_eq!(*found, expected / 256.0, epsilon = 1e-15);
        }
        // 0.5 and 0.1: one of them in 0.5 · 0.9 + 0.5 · 0.1.
        let found = poisson_binomial(&[0.5, 0.1]);
        for (found, expected) in found.iter().zip([0.45, 0.5, 0.05]) {
            assert_relative_eq!(*found, expected, epsilon = 1e-15);
        }
        assert_eq!(poisson_binomial(&[]), [1.0]);
    }

    #[test]
    fn the_range_of_drawn_shares_holds_what_is_likely_and_no_more() {
        let range = |chances: &[f64]| {
            let Interval { lower, upper, .. } = drawn_share(chances);
            [lower, upper].map(|end| (end * chances.len() as f64).round() as usize)
        };
        // Of 100 throws of a coin 40 to 60 are heads: P(≤ 39) = 0.0176, P(≤ 40) = 0.0284.
        assert_eq!(range(&[0.5; 100]), [40, 60]);
        assert_eq!(range(&[0.0; 7]), [0, 0]);
        assert_eq!(range(&[1.0; 7]), [7, 7]);
        assert_eq!(range(&[]), [0, 0]);
        // Term by term and as a normal distribution, on both sides of where one follows the other.
        for chance in [0.01, 0.3] {
            let [exact, normal] = [MAX_EXACT, MAX_EXACT + 1].map(|n| range(&vec![chance; n]));
            for (exact, normal) in exact.into_iter().zip(normal) {
                assert!(exact.abs_diff(normal) <= 1, "{exact} {normal}");
            }
        }
    }

    #[test]
    fn of_no_pair_nothing_is_known() {
        assert_eq!(share_interval(&[]), Interval { lower: 0.0, upper: 1.0, level: LEVEL });
    }

    #[test]
    fn bins_are_an_eighth_wide() {
        assert_eq!((bin(1), bin(16)), (1, 16));
        assert!(bin(17) > bin(16));
        assert_eq!(bin(64), bin(71));
        assert!(bin(72) > bin(71));
        assert!(bin(u32::MAX) > bin(u32::MAX / 2));
    }
}
