//! Sums of all pairs in bounded memory: exact while they fit, then without the smallest.

use std::mem;
use std::ops::Range;

use rayon::prelude::*;

use super::entry::PairEntry;
use super::row::{PAIR_BYTES, Row};

/// Query features that one task works on, and the number of tasks that there are at least.
const SLOTS_PER_TASK: usize = 16;
const MIN_TASKS: usize = 16;

/// Share of the table that recent pairs may take before they are put among the others, and their
/// largest number. A text moves recent pairs of its features where a new one comes between them, and
/// putting them among the others moves all: both cost about the same with as many as this.
const RECENT_SHARE: usize = 4;
const MAX_RECENT: usize = 1 << 22;

/// Bits of a bound that are left out where bounds are counted.
const BUCKET_SHIFT: u32 = 15;

/// Pairs by query feature.
///
/// Pairs that recent texts brought are kept apart, so that a new pair need not move every other one
/// of its query feature. Where the pairs do not fit, those with the smallest bound on their sum are
/// dropped, and `floor` is the largest bound that was dropped: no pair that is missing has a larger
/// sum of magnitudes, and no pair that is there lacks more (Manku and Motwani, 2002, with weights and
/// one floor for all).
///
/// # Memory
///
/// At most `capacity` pairs of 52 bytes each, of those that are recent an eighth to spare, and while
/// a text is added a quarter more, or those of 16 of its features with all that it has if these are
/// more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PairTable {
    pub(super) settled: Vec<Row>,
    /// Other pairs than those that are settled.
    pub(super) recent: Vec<Row>,
    pub(super) n_settled: usize,
    pub(super) n_recent: usize,
    pub(super) capacity: usize,
    pub(super) floor: f32,
    /// Pairs that were dropped, some perhaps more than once.
    pub(super) n_dropped: u64,
}

impl PairTable {
    pub(super) fn new(n_features: usize, budget_bytes: usize) -> Self {
        let rows = || vec![Row::default(); n_features];
        let capacity = (budget_bytes / PAIR_BYTES).max(RECENT_SHARE);
        Self { settled: rows(), recent: rows(), capacity, ..Self::default() }
    }

    /// Pairs that are kept.
    pub(super) fn len(&self) -> usize {
        self.n_settled + self.n_recent
    }

    fn max_recent(&self) -> usize {
        (self.capacity / RECENT_SHARE).min(MAX_RECENT)
    }

    /// Adds a text: `row` is called with ranges of slots of its `features`, and hands on the
    /// entries of each slot in the order of key features.
    ///
    /// As many slots are added at a time as cannot have more pairs than may be recent, which is all
    /// of them in most texts; between them the smallest pairs are dropped.
    pub(super) fn add(
        &mut self,
        features: &[u32],
        row: impl Fn(Range<usize>, &mut dyn FnMut(usize, &[PairEntry])) + Sync,
    ) {
        let max_recent = self.max_recent();
        let n_slots = (max_recent / features.len().max(1)).max(SLOTS_PER_TASK);
        for (chunk, some) in features.chunks(n_slots).enumerate() {
            self.add_slots(some, chunk * n_slots, &row);
            let most = self.capacity + max_recent.max(SLOTS_PER_TASK * features.len());
            debug_assert!(self.len() <= most, "{} pairs of {most}", self.len());
            if self.n_recent > max_recent {
                self.settle();
            }
        }
    }

    /// Adds some of the features of a text, those from the slot `first` on.
    fn add_slots(
        &mut self,
        features: &[u32],
        first: usize,
        row: &(impl Fn(Range<usize>, &mut dyn FnMut(usize, &[PairEntry])) + Sync),
    ) {
        let take = |feature: &u32| {
            let feature = *feature as usize;
            (mem::take(&mut self.settled[feature]), mem::take(&mut self.recent[feature]))
        };
        let mut rows: Vec<(Row, Row)> = features.iter().map(take).collect();
        let n_recent = |rows: &[(Row, Row)]| rows.iter().map(|(_, recent)| recent.len()).sum();
        let before: usize = n_recent(&rows);
        let floor = self.floor;
        let n_slots = (features.len() / MIN_TASKS).clamp(1, SLOTS_PER_TASK);
        rows.par_chunks_mut(n_slots).enumerate().for_each(|(task, rows)| {
            let first_row = first + task * n_slots;
            let mut new = Vec::new();
            row(first_row..first_row + rows.len(), &mut |slot, entries| {
                let (settled, recent) = &mut rows[slot - first_row];
                let (mut of_settled, mut of_recent) = (0, 0);
                new.clear();
                for entry in entries {
                    if let Some(known) = settled.find(entry.key_feature, &mut of_settled) {
                        known.add(entry);
                    } else if let Some(known) = recent.find(entry.key_feature, &mut of_recent) {
                        known.add(entry);
                    } else {
                        new.push(PairEntry { missed: floor, ..*entry });
                    }
                }
                recent.insert(&new);
            });
        });
        let after: usize = n_recent(&rows);
        for (feature, (settled, recent)) in features.iter().zip(rows) {
            self.settled[*feature as usize] = settled;
            self.recent[*feature as usize] = recent;
        }
        self.n_recent += after - before;
    }

    /// Puts recent pairs among the others, and drops the smallest of all if they are too many.
    fn settle(&mut self) {
        let (before, most) = (self.len(), self.capacity - self.max_recent());
        let n_buckets = if before > most { self.n_too_small(most) } else { 0 };
        let rows = self.settled.par_iter_mut().zip(&mut self.recent);
        let settle = |(settled, recent): (&mut Row, &mut Row)| {
            let (mut recent, mut floor) = (mem::take(recent), 0.0_f32);
            if n_buckets > 0 {
                let mut stays = |entry: &PairEntry| {
                    let stays = bucket(entry) >= n_buckets;
                    floor = if stays { floor } else { floor.max(entry.upper_bound()) };
                    stays
                };
                settled.retain(&mut stays);
                recent.retain(&mut stays);
            }
            settled.insert(recent.entries());
            settled.shrink();
            (settled.len(), floor)
        };
        let both = |a: (usize, f32), b: (usize, f32)| (a.0 + b.0, a.1.max(b.1));
        let (left, floor) = rows.map(settle).reduce(|| (0, 0.0), both);
        (self.n_settled, self.n_recent) = (left, 0);
        self.n_dropped += (before - left) as u64;
        self.floor = self.floor.max(floor);
    }

    /// How many buckets of the smallest bounds have all pairs but the `n` largest, or more than those.
    fn n_too_small(&self, n: usize) -> usize {
        let n_rows = self.settled.len().div_ceil(MIN_TASKS).max(1);
        let rows = self.settled.par_chunks(n_rows).zip(self.recent.par_chunks(n_rows));
        let count = |(settled, recent): (&[Row], &[Row])| {
            let mut counts = vec![0_usize; 1 << (32 - BUCKET_SHIFT)];
            for entry in settled.iter().chain(recent).flat_map(Row::entries) {
                counts[bucket(entry)] += 1;
            }
            counts
        };
        let both = |mut a: Vec<usize>, b: Vec<usize>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        let counts = rows.map(count).reduce_with(both).unwrap_or_default();
        let mut kept = 0;
        let stays = |count: &&usize| {
            kept += **count;
            kept <= n
        };
        counts.len() - counts.iter().rev().take_while(stays).count()
    }

    /// Features that are in any pair.
    pub(super) fn features(&self) -> Vec<u32> {
        let n = self.settled.len();
        let rows = self.settled.par_iter().zip(&self.recent).enumerate();
        let occurs = rows.fold(
            || vec![false; n],
            |mut occurs, (feature, (settled, recent))| {
                for entry in settled.entries().iter().chain(recent.entries()) {
                    occurs[feature] = true;
                    occurs[entry.key_feature as usize] = true;
                }
                occurs
            },
        );
        let either = |mut a: Vec<bool>, b: Vec<bool>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
            a
        };
        let occurs = occurs.reduce(|| vec![false; n], either);
        (0..n as u32).filter(|feature| occurs[*feature as usize]).collect()
    }

    /// The pairs of a query feature from the first on.
    pub(super) fn cursor(&self, query_feature: usize) -> RowCursor<'_> {
        RowCursor {
            settled: self.settled[query_feature].entries(),
            recent: self.recent[query_feature].entries(),
        }
    }

    /// Whether this can be what texts led to, wherever it was read from.
    pub(super) fn is_sound(&self) -> bool {
        let are_others = |(settled, recent): (&Row, &Row)| {
            let keys = |row: &Row| row.entries().iter().map(|entry| entry.key_feature).collect();
            let (settled, recent): (Vec<u32>, Vec<u32>) = (keys(settled), keys(recent));
            recent.iter().all(|key| settled.binary_search(key).is_err())
        };
        self.floor.is_finite()
            && self.floor >= 0.0
            && self.len() <= self.capacity
            && self.settled.iter().zip(&self.recent).all(are_others)
    }

    /// Everything that is known of a query feature's pairs.
    #[cfg(test)]
    pub(super) fn row(&self, query_feature: usize) -> Vec<PairEntry> {
        let mut row = Vec::new();
        self.cursor(query_feature).next(|_| true, &mut row);
        row
    }
}

/// Which bucket a pair's bound is counted in.
fn bucket(entry: &PairEntry) -> usize {
    (entry.upper_bound().to_bits() >> BUCKET_SHIFT) as usize
}

/// Pairs of a query feature that have not been looked at, settled and recent.
pub(super) struct RowCursor<'a> {
    settled: &'a [PairEntry],
    recent: &'a [PairEntry],
}

impl RowCursor<'_> {
    /// Hands on the next pairs while they are `wanted`, in the order of key features.
    pub(super) fn next(&mut self, wanted: impl Fn(&PairEntry) -> bool, into: &mut Vec<PairEntry>) {
        loop {
            let key = |row: &[PairEntry]| row.first().map_or(u32::MAX, |entry| entry.key_feature);
            let is_settled = key(self.settled) < key(self.recent);
            let row = if is_settled { &mut self.settled } else { &mut self.recent };
            let Some(entry) = row.first().filter(|entry| wanted(entry)) else { return };
            into.push(*entry);
            *row = &row[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(key_feature: u32, value: f64) -> PairEntry {
        PairEntry {
            key_feature,
            count: 1,
            max: value.abs() as f32,
            sum: value,
            sum_abs: value.abs(),
            ..PairEntry::default()
        }
    }

    /// One query feature and rows of key features with values, text by text.
    fn texts() -> impl Strategy<Value = Vec<(u32, BTreeMap<u32, i16>)>> {
        let row = prop::collection::btree_map(0..40_u32, -300..300_i16, 1..12);
        prop::collection::vec((0..5_u32, row), 1..60)
    }

    fn fill(table: &mut PairTable, texts: &[(u32, BTreeMap<u32, i16>)]) {
        for (query, row) in texts {
            let row: Vec<PairEntry> =
                row.iter().map(|(key, v)| entry(*key, f64::from(*v))).collect();
            table.add(&[*query], |slots, emit| slots.into_iter().for_each(|slot| emit(slot, &row)));
        }
    }

    /// A text of which all `n` features are active together, and pairs of feature `i` with `j` have
    /// the value `1 + (i + j) % 7`.
    fn dense(table: &mut PairTable, n: u32) {
        let features: Vec<u32> = (0..n).collect();
        table.add(&features, |slots, emit| {
            for slot in slots {
                let value = |key: u32| f64::from(1 + (slot as u32 + key) % 7);
                let row: Vec<PairEntry> = (0..n).map(|key| entry(key, value(key))).collect();
                emit(slot, &row);
            }
        });
    }

    #[test]
    fn a_text_with_more_pairs_than_fit_is_added_in_parts() {
        // `add` itself asserts that it never holds all 40,000 pairs.
        let mut table = PairTable::new(200, 0);
        table.capacity = 2000;
        for _ in 0..3 {
            dense(&mut table, 200);
            assert!(table.len() <= 2000);
        }
        assert!(table.n_dropped > 30_000);
        let mut whole = PairTable::new(200, 1 << 30);
        for _ in 0..3 {
            dense(&mut whole, 200);
        }
        assert_eq!((whole.len(), whole.n_dropped), (40_000, 0));
        let mut n_kept = 0;
        for query in 0..200 {
            let kept = table.row(query);
            n_kept += kept.len();
            for exact in &whole.row(query) {
                assert_eq!(exact.count, 3);
                match kept.binary_search_by_key(&exact.key_feature, |entry| entry.key_feature) {
                    Ok(at) => {
                        let most = kept[at].sum_abs + f64::from(kept[at].missed);
                        assert!(kept[at].sum_abs <= exact.sum_abs && exact.sum_abs <= most);
                    }
                    Err(_) => assert!(exact.sum_abs <= f64::from(table.floor)),
                }
            }
        }
        assert!(n_kept > 0);
    }

    #[test]
    fn a_table_that_no_texts_lead_to_is_seen() {
        let mut table = PairTable::new(5, 1 << 20);
        fill(&mut table, &[(1, BTreeMap::from([(2, 5), (4, 7)]))]);
        assert!(table.is_sound());
        let twice = PairTable { settled: table.recent.clone(), ..table.clone() };
        assert!(!twice.is_sound());
        for floor in [f32::NAN, f32::INFINITY, -1.0] {
            assert!(!PairTable { floor, ..table.clone() }.is_sound());
        }
        assert!(!PairTable { capacity: 1, ..table }.is_sound());
    }

    proptest! {
        #[test]
        fn sums_are_exact_while_they_fit(texts in texts()) {
            let mut table = PairTable::new(5, 1 << 20);
            // Small enough that recent pairs are merged many times.
            table.capacity = 300;
            fill(&mut table, &texts);
            let mut expected: BTreeMap<(u32, u32), (f64, f64, u32, f32)> = BTreeMap::new();
            for (query, row) in &texts {
                for (key, value) in row {
                    let value = f64::from(*value);
                    let known = expected.entry((*query, *key)).or_default();
                    *known = (
                        known.0 + value,
                        known.1 + value.abs(),
                        known.2 + 1,
                        known.3.max(value.abs() as f32),
                    );
                }
            }
            prop_assert_eq!(table.n_dropped, 0);
            let mut found = BTreeMap::new();
            for query in 0..5 {
                for e in &table.row(query) {
                    prop_assert!(e.missed <= 0.0);
                    found.insert((query as u32, e.key_feature), (e.sum, e.sum_abs, e.count, e.max));
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_does_not_fit_is_within_its_bound(texts in texts()) {
            let mut table = PairTable::new(5, 0);
            table.capacity = 40;
            fill(&mut table, &texts);
            let mut expected: BTreeMap<(u32, u32), f64> = BTreeMap::new();
            for (query, row) in &texts {
                for (key, value) in row {
                    *expected.entry((*query, *key)).or_default() += f64::from(*value).abs();
                }
            }
            prop_assert!(table.n_settled <= 30 && table.n_recent <= 10);
            let rows: Vec<_> = (0..5).map(|query| table.row(query)).collect();
            for ((query, key), sum) in expected {
                let row = &rows[query as usize];
                match row.binary_search_by_key(&key, |entry| entry.key_feature) {
                    Ok(at) => {
                        let entry = row[at];
                        let most = entry.sum_abs + f64::from(entry.missed);
                        prop_assert!(entry.sum_abs <= sum && sum <= most, "{sum} {entry:?}");
                        prop_assert!(entry.missed <= table.floor);
                    }
                    Err(_) => prop_assert!(sum <= f64::from(table.floor), "{sum} {}", table.floor),
                }
            }
        }
    }
}
