//! The largest numbers of a row, by a threshold instead of a sort.

/// Selects the `k` largest of a row; keeps its memory from row to row.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopK {
    values: Vec<f32>,
}

impl TopK {
    /// Places and values of the `k` largest in rising order of places; of equal values the first.
    ///
    /// Fewer, if the row is shorter.
    pub(crate) fn largest<'a>(
        &mut self,
        row: &'a [f32],
        k: usize,
    ) -> impl Iterator<Item = (usize, f32)> + use<'a> {
        let (threshold, mut n_equal) = self.threshold(row, k);
        row.iter().copied().enumerate().filter(move |(_, value)| {
            if *value > threshold {
                return true;
            }
            let is_next = *value >= threshold && n_equal > 0;
            n_equal -= usize::from(is_next);
            is_next
        })
    }

    /// The `k`-th largest value, and how many of those equal to it are among the `k`.
    fn threshold(&mut self, row: &[f32], k: usize) -> (f32, usize) {
        if k == 0 || row.is_empty() {
            return (f32::INFINITY, 0);
        }
        if k >= row.len() {
            return (f32::NEG_INFINITY, row.len());
        }
        self.values.clear();
        self.values.extend_from_slice(row);
        let (above, threshold, _) =
            self.values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let threshold = *threshold;
        (threshold, k - above.iter().filter(|value| **value > threshold).count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_largest_are_those_of_a_stable_sort(
            row in prop::collection::vec(-4_i8..4, 0..40),
            k in 0..45_usize,
        ) {
            let row: Vec<f32> = row.into_iter().map(f32::from).collect();
            let mut places: Vec<usize> = (0..row.len()).collect();
            places.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
            places.truncate(k);
            places.sort_unstable();
            let found: Vec<(usize, f32)> = TopK::default().largest(&row, k).collect();
            let expected: Vec<(usize, f32)> = places.into_iter().map(|i| (i, row[i])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
