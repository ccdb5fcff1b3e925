//! How many of the strongest pairs are a feature with itself, and how many would be anyway.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layer::FraLayer;
use super::ranking::{FraHeadPairs, FraPair, FraRank, Keys};
use super::statistics::FraStatistics;
use super::table::PairTable;
use crate::SaeError;

/// Counts up to this have a bin of their own, larger ones share bins an eighth wide.
const OWN_BINS: u32 = 16;

/// Self-interactions among the strongest pairs of a head, beside three nulls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SelfInteractions {
    /// The head.
    pub head: usize,
    /// Number of the strongest pairs.
    pub n_pairs: usize,
    /// How many of them are a feature with itself.
    pub n_self: usize,
    /// Their share.
    pub share: f64,
    /// The same of every other head that was collected: what a head is like whatever it does.
    pub other_heads: Vec<f64>,
    /// The same where each key has the direction of another feature: what frequent features that
    /// occur together bring about, without how the head matches them. `None` if it was not
    /// collected.
    pub permuted: Option<f64>,
    /// The share among all pairs that occur as often as the strongest do.
    pub count_matched: f64,
}

impl FraStatistics {
    /// Self-interactions among the `n` strongest pairs by each rank, of every head.
    ///
    /// # Errors
    ///
    /// [`SaeError::SizeMismatch`] if the statistics are of another layer or autoencoder.
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
                let permuted = permuted.as_ref().map(|heads| share(&heads[place].top[rank]));
                SelfInteractions {
                    head: head.head,
                    n_pairs: pairs.len(),
                    n_self: pairs.iter().filter(|pair| is_self(pair)).count(),
                    share: shares[place],
                    other_heads: others.map(|other| shares[other]).collect(),
                    permuted,
                    count_matched: bins[place.min(bins.len() - 1)].matched(pairs),
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

    /// Mean over some pairs of the share of self-interactions among all that occur as often.
    fn matched(&self, pairs: &[FraPair]) -> f64 {
        let of_pair = |pair: &FraPair| {
            let (n_self, n) = self.0.get(&bin(pair.count)).copied().unwrap_or_default();
            n_self as f64 / n.max(1) as f64
        };
        pairs.iter().map(of_pair).sum::<f64>() / pairs.len().max(1) as f64
    }
}

fn is_self(pair: &FraPair) -> bool {
    pair.query_feature == pair.key_feature
}

fn share(pairs: &[FraPair]) -> f64 {
    pairs.iter().filter(|pair| is_self(pair)).count() as f64 / pairs.len().max(1) as f64
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
    use super::*;

    #[test]
    fn bins_are_an_eighth_wide() {
        assert_eq!((bin(1), bin(16)), (1, 16));
        assert!(bin(17) > bin(16));
        assert_eq!(bin(64), bin(71));
        assert!(bin(72) > bin(71));
        assert!(bin(u32::MAX) > bin(u32::MAX / 2));
    }
}
