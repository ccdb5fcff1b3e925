//! The strongest pairs of features of a head, by several figures in one pass.

use std::collections::BTreeMap;
use std::fmt;

use attention_probes_kernels::{dot, vectorize};
use rayon::prelude::*;
use serde::Serialize;

use super::by_distance::add_head;
use super::entry::PairEntry;
use super::found::{Found, Pairs};
use super::statistics::FraStatistics;
use super::table::PairTable;
use crate::SaeError;
use crate::fra::layer::FraLayer;
use crate::fra::text::FraHead;

/// Query features that one task works on, and key features that it works with at a time, so that
/// the directions of one head stay in the second-level cache.
const ROWS_PER_TASK: usize = 128;
const KEYS_PER_TILE: usize = 1024;

/// Features whose directions are projected at a time.
const ROWS_PER_PRODUCT: usize = 1024;

/// By what pairs are ranked; all of magnitudes of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FraRank {
    /// Their sum.
    Sum,
    /// Their sum over the number of occurrences and `prior` more, which keeps pairs that occur once
    /// from the top; with a `prior` of 0 it is the mean.
    ShrunkMean {
        /// Occurrences without a value that are added.
        prior: f64,
    },
    /// The largest.
    Max,
    /// Their sum where an induction head looks, times its share of their whole sum: of pairs that
    /// carry as much, those that do little else.
    Induction,
}

/// A pair of features of a head over all texts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FraPair {
    /// The feature at the query.
    pub query_feature: u32,
    /// The feature at the key.
    pub key_feature: u32,
    /// What it is ranked by.
    pub score: f64,
    /// Sum of values.
    pub sum: f64,
    /// Sum of their magnitudes.
    pub sum_abs: f64,
    /// How often both are active, the key seen by the query.
    pub count: u32,
    /// Largest magnitude.
    pub max: f64,
    /// Distance from query to key, weighed by magnitude.
    pub mean_distance: f64,
    /// Share of the magnitudes that is where an induction head looks.
    pub induction: f64,
    /// What `sum_abs` may lack, because the pair may have been dropped before; 0 if it is exact.
    pub missed: f64,
}

/// Pairs of a layer by head, the strongest first.
pub type FraShownPairs = BTreeMap<usize, Vec<FraPair>>;

impl fmt::Display for FraPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { query_feature, key_feature, sum, count, mean_distance, .. } = self;
        write!(
            f,
            "feature {query_feature} at the query, {key_feature} at the key: {sum:.3} in {count} \
             scores, {mean_distance:.1} tokens apart"
        )
    }
}

/// The strongest pairs of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct FraHeadPairs {
    /// The head.
    pub head: usize,
    /// The strongest pairs by each rank that was asked for, the strongest first.
    pub top: Vec<Vec<FraPair>>,
    /// Number of pairs.
    pub n_pairs: usize,
    /// Sum of the magnitudes of all pairs.
    pub sum_abs: f64,
    /// Share of that sum that is where an induction head looks.
    pub induction: f64,
}

/// Whose directions keys have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Their own.
    Own,
    /// Those of other features: a null.
    Permuted,
}

impl FraHead<'_> {
    /// The `n` strongest pairs of this text, the strongest first; of equal ones those with the
    /// smaller features.
    ///
    /// # Memory
    ///
    /// 52 bytes for each pair of features that occurs.
    pub fn top(&self, n: usize, rank: FraRank) -> Vec<FraPair> {
        let n_features = self.codes.features().last().map_or(0, |last| *last as usize + 1);
        let mut table = PairTable::new(n_features, usize::MAX);
        add_head(&mut table, self);
        let directions = Directions { features: table.features(), ..Directions::default() };
        let found = strongest(&table, &directions, (&[rank], n), 1);
        found.into_iter().flat_map(|found| found.finish(0).top).flatten().collect()
    }
}

impl FraStatistics {
    /// The `n` strongest pairs of every head by each rank; of equal ones those with the smaller
    /// features.
    ///
    /// # Errors
    ///
    /// [`SaeError::Site`] or [`SaeError::SizeMismatch`] as [`FraStatistics::add`].
    ///
    /// # Memory
    ///
    /// Two rows of `d_head` for each feature that occurs and each head.
    pub fn top(
        &self,
        layer: &FraLayer<'_>,
        ranks: &[FraRank],
        n: usize,
    ) -> Result<Vec<FraHeadPairs>, SaeError> {
        self.ranked(layer, ranks, n, Keys::Own)
    }

    pub(super) fn ranked(
        &self,
        layer: &FraLayer<'_>,
        ranks: &[FraRank],
        n: usize,
        keys: Keys,
    ) -> Result<Vec<FraHeadPairs>, SaeError> {
        self.check(layer)?;
        let heads = &self.config.heads;
        let found = if self.is_factored {
            let directions = self.directions(layer, keys);
            strongest(&self.tables[0], &directions, (ranks, n), heads.len())
        } else {
            let tables = if keys == Keys::Own { &self.tables } else { &self.permuted };
            let of_table = |table: &PairTable| {
                let directions = Directions { features: table.features(), ..Directions::default() };
                strongest(table, &directions, (ranks, n), 1)
            };
            tables.iter().flat_map(of_table).collect()
        };
        let pairs = found.into_iter().zip(heads).map(|(found, head)| found.finish(*head));
        Ok(pairs.collect())
    }

    /// Queries and keys of every feature that occurs, for every head.
    fn directions(&self, layer: &FraLayer<'_>, keys: Keys) -> Directions {
        let features = self.tables[0].features();
        let mut slots = vec![0; self.d_sae];
        for (slot, feature) in features.iter().enumerate() {
            slots[*feature as usize] = slot as u32;
        }
        let permutation = (keys == Keys::Permuted).then(|| self.permutation());
        let (d_head, d_in) = (layer.weights().d_head, layer.sae().config.d_in);
        let heads = vec![(Vec::new(), Vec::new()); self.config.heads.len()];
        let mut directions = Directions { features, d_head, slots, heads };
        for features in directions.features.chunks(ROWS_PER_PRODUCT) {
            let query_rows = layer.decoder_rows(features);
            let other = permutation.as_ref().map(|permutation| {
                let other = |feature: &u32| permutation[*feature as usize];
                layer.decoder_rows(&features.iter().map(other).collect::<Vec<_>>())
            });
            let key_rows = other.as_ref().unwrap_or(&query_rows);
            for ((query, key), head) in directions.heads.iter_mut().zip(&self.config.heads) {
                let key_head = layer.weights().key_value_head(*head);
                query.extend(layer.query.head_rows(&query_rows, d_in, [*head, d_head]));
                key.extend(layer.key.head_rows(key_rows, d_in, [key_head, d_head]));
            }
        }
        directions
    }
}

/// What values of a table are multiplied by.
#[derive(Default)]
struct Directions {
    /// The features that occur.
    features: Vec<u32>,
    d_head: usize,
    /// Row of each feature.
    slots: Vec<u32>,
    /// `u` and `v` of each head, `[n_slots, d_head]`; none where tables hold values already.
    heads: Vec<(Vec<f32>, Vec<f32>)>,
}

impl FraRank {
    /// The figure of a pair, but for the factor of the head.
    pub(super) fn of(self, entry: &PairEntry) -> f64 {
        match self {
            Self::Sum => entry.sum_abs,
            Self::ShrunkMean { prior } => entry.sum_abs / (f64::from(entry.count) + prior),
            Self::Max => f64::from(entry.max),
            Self::Induction if entry.sum_abs > 0.0 => {
                entry.induction * (entry.induction / entry.sum_abs)
            }
            Self::Induction => 0.0,
        }
    }
}

/// The strongest pairs of a table for each head: of some query features at a time, and of those with
/// a tile of key features, whose directions stay in the cache meanwhile.
fn strongest(
    table: &PairTable,
    directions: &Directions,
    (ranks, n): (&[FraRank], usize),
    n_heads: usize,
) -> Vec<Found> {
    let none = || (0..n_heads).map(|_| Found::new(ranks.len(), n)).collect::<Vec<_>>();
    let features = &directions.features;
    let end = |tile: &[u32]| tile.last().map_or(0, |last| last + 1);
    let ends: Vec<u32> = features.chunks(KEYS_PER_TILE).map(end).collect();
    let tasks: Vec<Vec<Found>> = features
        .par_chunks(ROWS_PER_TASK)
        .map(|features| {
            let row = |feature: &u32| (*feature as usize, table.cursor(*feature as usize));
            let mut rows: Vec<_> = features.iter().map(row).collect();
            let (mut found, mut pairs, mut factors) = (none(), Pairs::new(ranks.len()), Vec::new());
            for end in &ends {
                pairs.take(&mut rows, *end, ranks);
                for (head, found) in found.iter_mut().enumerate() {
                    vectorize(
                        #[inline(always)]
                        || {
                            directions.factors(head, &pairs, &mut factors);
                            found.see(&pairs, &factors);
                        },
                    );
                }
            }
            found
        })
        .collect();
    tasks.into_iter().fold(none(), |all, found| {
        all.into_iter().zip(found).map(|(all, found)| all.merge(found)).collect()
    })
}

impl Directions {
    /// `u_i·v_j` of each pair; 1 where tables hold values already.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
    fn factors(&self, head: usize, pairs: &Pairs, factors: &mut Vec<f32>) {
        factors.clear();
        factors.resize(pairs.entries.len(), 1.0);
        let Some((query, key)) = self.heads.get(head) else { return };
        let features = pairs.query_features.iter().zip(&pairs.entries);
        for (factor, (feature, entry)) in factors.iter_mut().zip(features) {
            let query = &query[self.slots[*feature as usize] as usize * self.d_head..];
            let key = &key[self.slots[entry.key_feature as usize] as usize * self.d_head..];
            *factor = dot(&query[..self.d_head], &key[..self.d_head]);
        }
    }
}
