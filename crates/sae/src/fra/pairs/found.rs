//! The strongest pairs of a head while they are looked for.

use std::cmp::Ordering;

use super::entry::PairEntry;
use super::ranking::{FraHeadPairs, FraPair, FraRank};
use super::table::RowCursor;

/// Pairs that are looked over together for one that is strong enough.
const PAIRS_AT_A_TIME: usize = 32;

/// The best of one head so far.
pub(super) struct Found {
    best: Vec<Best>,
    n_pairs: usize,
    sum_abs: f64,
    induction: f64,
}

/// The strongest pairs by one rank.
struct Best {
    n: usize,
    /// No pair with less can be among them.
    least: f64,
    pairs: Vec<FraPair>,
}

impl Found {
    pub(super) fn new(n_ranks: usize, n: usize) -> Self {
        let best = |_| Best { n, least: 0.0, pairs: Vec::new() };
        let best = (0..n_ranks).map(best).collect();
        Self { best, n_pairs: 0, sum_abs: 0.0, induction: 0.0 }
    }

    /// Looks at pairs whose values are to be multiplied by `factors`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
    pub(super) fn see(&mut self, pairs: &Pairs, factors: &[f32]) {
        self.n_pairs += factors.len();
        self.sum_abs += sum_of_products(factors, &pairs.sum_abs);
        self.induction += sum_of_products(factors, &pairs.induction);
        let score = |(factor, score): (&f32, &f64)| f64::from(factor.abs()) * score;
        for (best, scores) in self.best.iter_mut().zip(&pairs.scores) {
            for first in (0..factors.len()).step_by(PAIRS_AT_A_TIME) {
                let some = first..(first + PAIRS_AT_A_TIME).min(factors.len());
                let of_head = || factors[some.clone()].iter().zip(&scores[some.clone()]).map(score);
                if of_head().fold(0.0, |most: f64, score| if score > most { score } else { most })
                    < best.least
                {
                    continue;
                }
                for (at, score) in some.clone().zip(of_head()) {
                    if score >= best.least {
                        let query_feature = pairs.query_features[at];
                        best.push(pair(query_feature, &pairs.entries[at], factors[at], score));
                    }
                }
            }
        }
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        for (best, other) in self.best.iter_mut().zip(other.best) {
            best.pairs.extend(other.pairs);
            best.shorten();
        }
        self.sum_abs += other.sum_abs;
        self.induction += other.induction;
        self.n_pairs += other.n_pairs;
        self
    }

    pub(super) fn finish(mut self, head: usize) -> FraHeadPairs {
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

impl Best {
    fn push(&mut self, pair: FraPair) {
        self.pairs.push(pair);
        if self.pairs.len() >= self.n.saturating_mul(2).saturating_add(64) {
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

fn pair(query_feature: u32, entry: &PairEntry, factor: f32, score: f64) -> FraPair {
    let factor = f64::from(factor);
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

/// Pairs of some query features, of which every head has its own opinion.
pub(super) struct Pairs {
    pub(super) entries: Vec<PairEntry>,
    pub(super) query_features: Vec<u32>,
    sum_abs: Vec<f64>,
    induction: Vec<f64>,
    /// What each rank makes of a pair, but for the factor of the head.
    scores: Vec<Vec<f64>>,
}

impl Pairs {
    pub(super) fn new(n_ranks: usize) -> Self {
        Self {
            entries: Vec::new(),
            query_features: Vec::new(),
            sum_abs: Vec::new(),
            induction: Vec::new(),
            scores: vec![Vec::new(); n_ranks],
        }
    }

    /// Takes the next pairs of each row, those whose key feature is below `end`.
    pub(super) fn take(
        &mut self,
        rows: &mut [(usize, RowCursor<'_>)],
        end: u32,
        ranks: &[FraRank],
    ) {
        self.entries.clear();
        self.query_features.clear();
        for (feature, row) in rows {
            row.next(|entry| entry.key_feature < end, &mut self.entries);
            self.query_features.resize(self.entries.len(), *feature as u32);
        }
        self.sum_abs.clear();
        self.sum_abs.extend(self.entries.iter().map(|entry| entry.sum_abs));
        self.induction.clear();
        self.induction.extend(self.entries.iter().map(|entry| entry.induction));
        for (scores, rank) in self.scores.iter_mut().zip(ranks) {
            scores.clear();
            scores.extend(self.entries.iter().map(|entry| rank.of(entry)));
        }
    }
}

/// `Σ |a| b`, with as many partial sums as vectorise without reordering.
#[inline(always)]
fn sum_of_products(a: &[f32], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(a.abs()) * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(a.abs()) * b);
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}
