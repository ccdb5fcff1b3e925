//! The strongest pairs of features of a head, by several figures in one pass.

use std::cmp::Ordering;

use rayon::prelude::*;
use serde::Serialize;

use super::entry::PairEntry;
use super::layer::FraLayer;
use super::statistics::FraStatistics;
use super::table::{PairTable, RowCursor};
use crate::SaeError;
use crate::train::kernels::dot;

/// Query features that one task works on, and numbers of directions that it works with at a time,
/// so that they stay in the second-level cache.
const ROWS_PER_TASK: usize = 128;
const VALUES_PER_TILE: usize = 1 << 17;

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

impl FraStatistics {
    /// The `n` strongest pairs of every head by each rank; of equal ones those with the smaller
    /// features.
    ///
    /// # Errors
    ///
    /// [`SaeError::SizeMismatch`] if the statistics are of another layer or autoencoder.
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
            let one = Directions::default();
            tables.iter().flat_map(|table| strongest(table, &one, (ranks, n), 1)).collect()
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
        let mut directions = Directions { d_head, slots, heads: Vec::new() };
        directions.heads = vec![(Vec::new(), Vec::new()); self.config.heads.len()];
        for features in features.chunks(ROWS_PER_PRODUCT) {
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
    d_head: usize,
    /// Row of each feature.
    slots: Vec<u32>,
    /// `u` and `v` of each head, `[n_slots, d_head]`; none where tables hold values already.
    heads: Vec<(Vec<f32>, Vec<f32>)>,
}

/// The best of one head so far.
struct Found {
    best: Vec<Best>,
    n_pairs: usize,
    sum_abs: f64,
    induction: f64,
}

/// The strongest pairs by one rank.
struct Best {
    n: usize,
    rank: FraRank,
    /// No pair with less can be among them.
    least: f64,
    pairs: Vec<FraPair>,
}

impl Found {
    fn new(ranks: &[FraRank], n: usize) -> Self {
        let best = |rank: &FraRank| Best { n, rank: *rank, least: 0.0, pairs: Vec::new() };
        let best = ranks.iter().map(best).collect();
        Self { best, n_pairs: 0, sum_abs: 0.0, induction: 0.0 }
    }

    /// Looks at a pair whose values are to be multiplied by `factor`.
    fn see(&mut self, query_feature: u32, entry: &PairEntry, factor: f32) {
        let magnitude = f64::from(factor.abs());
        self.sum_abs += magnitude * entry.sum_abs;
        self.induction += magnitude * entry.induction;
        self.n_pairs += 1;
        for best in &mut self.best {
            let score = magnitude * best.rank.of(entry);
            if score >= best.least {
                best.push(pair(query_feature, entry, f64::from(factor), score));
            }
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for (best, other) in self.best.iter_mut().zip(other.best) {
            best.pairs.extend(other.pairs);
            best.shorten();
        }
        self.sum_abs += other.sum_abs;
        self.induction += other.induction;
        self.n_pairs += other.n_pairs;
        self
    }

    fn finish(mut self, head: usize) -> FraHeadPairs {
        for best in &mut self.best {
            best.shorten();
            best.pairs.sort_by(stronger);
        }
        FraHeadPairs {
            head,
            top: self.best.into_iter().map(|best| best.pairs).collect(),
            n_pairs: self.n_pairs,
            sum_abs: self.sum_abs,
            induction: self.induction / self.sum_abs.max(f64::MIN_POSITIVE),
        }
    }
}

impl FraRank {
    /// The figure of a pair, but for the factor of the head.
    fn of(self, entry: &PairEntry) -> f64 {
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

impl Best {
    fn push(&mut self, pair: FraPair) {
        self.pairs.push(pair);
        if self.pairs.len() >= 2 * self.n + 64 {
            self.shorten();
        }
    }

    /// Leaves the `n` strongest, in any order.
    fn shorten(&mut self) {
        if self.n == 0 {
            self.pairs.clear();
        } else if self.pairs.len() > self.n {
            self.pairs.select_nth_unstable_by(self.n - 1, stronger);
            self.pairs.truncate(self.n);
            self.least = self.pairs[self.n - 1].score;
        }
    }
}

fn stronger(a: &FraPair, b: &FraPair) -> Ordering {
    let features = |pair: &FraPair| (pair.query_feature, pair.key_feature);
    b.score.total_cmp(&a.score).then(features(a).cmp(&features(b)))
}

fn pair(query_feature: u32, entry: &PairEntry, factor: f64, score: f64) -> FraPair {
    let magnitude = factor.abs();
    let over = |part: f64| if entry.sum_abs > 0.0 { part / entry.sum_abs } else { 0.0 };
    FraPair {
        query_feature,
        key_feature: entry.key_feature,
        score,
        sum: factor * entry.sum,
        sum_abs: magnitude * entry.sum_abs,
        count: entry.count,
        max: magnitude * f64::from(entry.max),
        mean_distance: over(entry.distance),
        induction: over(entry.induction),
        missed: magnitude * f64::from(entry.missed),
    }
}

/// The strongest pairs of a table for each head.
fn strongest(
    table: &PairTable,
    directions: &Directions,
    (ranks, n): (&[FraRank], usize),
    n_heads: usize,
) -> Vec<Found> {
    let none = || (0..n_heads).map(|_| Found::new(ranks, n)).collect::<Vec<_>>();
    let n_features = table.settled.len();
    let tasks: Vec<Vec<Found>> = (0..n_features.div_ceil(ROWS_PER_TASK))
        .into_par_iter()
        .map(|task| {
            let first = task * ROWS_PER_TASK;
            let rows = first..(first + ROWS_PER_TASK).min(n_features);
            let mut rows: Vec<_> = rows.map(|feature| (feature, table.cursor(feature))).collect();
            let mut found = none();
            if directions.heads.is_empty() {
                let mut entries = Vec::new();
                for (feature, row) in &mut rows {
                    entries.clear();
                    row.next(|_| true, &mut entries);
                    for entry in &entries {
                        found[0].see(*feature as u32, entry, 1.0);
                    }
                }
            } else {
                directions.see(&mut rows, &mut found);
            }
            found
        })
        .collect();
    tasks.into_iter().fold(none(), |all, found| {
        all.into_iter().zip(found).map(|(all, found)| all.merge(found)).collect()
    })
}

impl Directions {
    /// Looks at some rows: a tile of keys at a time, whose directions stay in the cache while all
    /// rows are multiplied with them.
    fn see(&self, rows: &mut [(usize, RowCursor<'_>)], found: &mut [Found]) {
        let d_head = self.d_head;
        let tile = (VALUES_PER_TILE / (d_head * self.heads.len()).max(1)).max(1);
        let n_slots = self.heads[0].1.len() / d_head.max(1);
        let arch = pulp::Arch::new();
        let (mut factors, mut entries) = (Vec::new(), Vec::new());
        for end in (0..n_slots).step_by(tile).map(|start| (start + tile) as u32) {
            for (feature, row) in rows.iter_mut() {
                let is_in_tile = |entry: &PairEntry| self.slots[entry.key_feature as usize] < end;
                entries.clear();
                row.next(is_in_tile, &mut entries);
                if entries.is_empty() {
                    continue;
                }
                let slot = self.slots[*feature] as usize;
                for ((query, key), found) in self.heads.iter().zip(found.iter_mut()) {
                    let query = &query[slot * d_head..][..d_head];
                    factors.clear();
                    arch.dispatch(|| {
                        factors.extend(entries.iter().map(|entry| {
                            let slot = self.slots[entry.key_feature as usize] as usize;
                            dot(query, &key[slot * d_head..][..d_head])
                        }));
                    });
                    for (entry, factor) in entries.iter().zip(&factors) {
                        found.see(*feature as u32, entry, *factor);
                    }
                }
            }
        }
    }
}
