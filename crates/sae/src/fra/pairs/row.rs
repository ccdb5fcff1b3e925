//! Pairs of one query feature, in the order of their key features.

use std::mem;

use super::entry::PairEntry;

/// Pairs of one query feature with different key features, in rising order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Key feature of each entry once more, close together: most of what a text walks through is of
    /// other pairs than its own.
    keys: Vec<u32>,
    entries: Vec<PairEntry>,
}

/// Memory of a pair.
pub(super) const PAIR_BYTES: usize = mem::size_of::<PairEntry>() + mem::size_of::<u32>();

/// A row that grows does so by one in as many entries at least, so that it is not copied each time.
const SPARE: usize = 8;

impl Row {
    /// A row of entries; `None` if they are not in rising order.
    pub(super) fn of(entries: Vec<PairEntry>) -> Option<Self> {
        let keys: Vec<u32> = entries.iter().map(|entry| entry.key_feature).collect();
        keys.is_sorted_by(|a, b| a < b).then_some(Self { keys, entries })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[PairEntry] {
        &self.entries
    }

    /// The entry of a key feature; `from` is where to look from, and says where to look for the next
    /// larger one.
    pub(super) fn find(&mut self, key_feature: u32, from: &mut usize) -> Option<&mut PairEntry> {
        while *from < self.keys.len() && self.keys[*from] < key_feature {
            *from += 1;
        }
        let is_there = self.keys.get(*from) == Some(&key_feature);
        if is_there { self.entries.get_mut(*from) } else { None }
    }

    /// Inserts entries, in rising order too, of pairs that are not there.
    pub(super) fn insert(&mut self, entries: &[PairEntry]) {
        let Some(first) = entries.first() else { return };
        let mut from = self.len();
        let n = from + entries.len();
        if n > self.entries.capacity() {
            let more = entries.len().max(from / SPARE);
            self.keys.reserve_exact(more);
            self.entries.reserve_exact(more);
        }
        self.keys.resize(n, first.key_feature);
        self.entries.resize(n, *first);
        // From the back, so that nothing is overwritten before it has been moved.
        for (left, entry) in entries.iter().enumerate().rev() {
            while from > 0 && self.keys[from - 1] > entry.key_feature {
                from -= 1;
                self.keys[from + left + 1] = self.keys[from];
                self.entries[from + left + 1] = self.entries[from];
            }
            self.keys[from + left] = entry.key_feature;
            self.entries[from + left] = *entry;
        }
    }

    /// Keeps some entries.
    pub(super) fn retain(&mut self, stays: impl FnMut(&PairEntry) -> bool) {
        self.entries.retain(stays);
        self.keys.clear();
        self.keys.extend(self.entries.iter().map(|entry| entry.key_feature));
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.entries.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(u32, f64)]) -> Vec<PairEntry> {
        let entry = |(key_feature, sum): &(u32, f64)| PairEntry {
            key_feature: *key_feature,
            count: 1,
            sum: *sum,
            ..PairEntry::default()
        };
        of.iter().map(entry).collect()
    }

    fn shown(row: &Row) -> Vec<(u32, u32, f64)> {
        assert_eq!(Row::of(row.entries().to_vec()).as_ref(), Some(row));
        row.entries().iter().map(|entry| (entry.key_feature, entry.count, entry.sum)).collect()
    }

    #[test]
    fn known_pairs_are_added_to_and_others_find_their_place() {
        let mut row = Row::default();
        row.insert(&entries(&[(3, 1.0), (7, 2.0), (8, 4.0)]));
        let (mut unknown, mut from) = (Vec::new(), 0);
        let new = [(1, 0.5), (3, 0.25), (5, 1.5), (6, 2.5), (8, -1.0), (9, 3.5)];
        for entry in entries(&new) {
            match row.find(entry.key_feature, &mut from) {
                Some(known) => known.add(&entry),
                None => unknown.push(entry),
            }
        }
        assert_eq!(shown(&row), [(3, 2, 1.25), (7, 1, 2.0), (8, 2, 3.0)]);
        assert_eq!(unknown, entries(&[(1, 0.5), (5, 1.5), (6, 2.5), (9, 3.5)]));
        row.insert(&unknown);
        let keys: Vec<u32> = shown(&row).iter().map(|entry| entry.0).collect();
        assert_eq!(keys, [1, 3, 5, 6, 7, 8, 9]);
        assert_eq!(shown(&row)[5], (8, 2, 3.0));
        row.retain(|entry| entry.sum > 2.0);
        assert_eq!(shown(&row), [(6, 1, 2.5), (8, 2, 3.0), (9, 1, 3.5)]);
        row.insert(&[]);
        assert_eq!(row.len(), 3);
    }

    #[test]
    fn entries_in_another_order_are_no_row() {
        assert_eq!(Row::of(entries(&[(2, 1.0), (1, 1.0)])), None);
        assert_eq!(Row::of(entries(&[(2, 1.0), (2, 1.0)])), None);
    }
}
