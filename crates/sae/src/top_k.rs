//! The largest numbers of a row, by a threshold instead of a sort.

use attention_probes_kernels::vectorize;

/// Neighbours that are passed over together where their largest value does not suffice.
const GROUP: usize = 32;

/// Selects the `k` largest of a row; keeps its memory from row to row.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopK {
    /// The largest value of each group.
    maxima: Vec<f32>,
    values: Vec<f32>,
    /// Places and values of what may be among the largest, in rising order of places.
    candidates: Vec<(usize, f32)>,
}

impl TopK {
    /// Places and values of the `k` largest in rising order of places; of equal values the first.
    ///
    /// Fewer, if the row is shorter.
    pub(crate) fn largest(
        &mut self,
        row: &[f32],
        k: usize,
    ) -> impl Iterator<Item = (usize, f32)> + use<'_> {
        self.find_candidates(row, k);
        let (threshold, mut n_equal) = self.threshold(k);
        self.candidates.iter().copied().filter(move |(_, value)| {
            if *value > threshold {
                return true;
            }
            let is_next = *value >= threshold && n_equal > 0;
            n_equal -= usize::from(is_next);
            is_next
        })
    }

    /// Keeps what is no less than a number that at least `k` values reach: the `k`-th largest of the
    /// groups' maxima. Without enough groups it keeps everything.
    fn find_candidates(&mut self, row: &[f32], k: usize) {
        let Self { maxima, values, candidates } = self;
        candidates.clear();
        let n_groups = row.len().div_ceil(GROUP);
        if k == 0 || n_groups <= 2 * k {
            candidates.extend(row.iter().copied().enumerate());
            return;
        }
        maxima.clear();
        maxima.resize(n_groups, f32::NEG_INFINITY);
        vectorize(
            #[inline(always)]
            || {
                for (max, group) in maxima.iter_mut().zip(row.chunks(GROUP)) {
                    for value in group {
                        *max = if value > max { *value } else { *max };
                    }
                }
            },
        );
        values.clear();
        values.extend_from_slice(maxima);
        let (_, least, _) = values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let least = *least;
        for (group, _) in maxima.iter().enumerate().filter(|(_, max)| **max >= least) {
            let first = group * GROUP;
            let of_group = row[first..(first + GROUP).min(row.len())].iter().copied();
            candidates.extend(
                of_group
                    .enumerate()
                    .filter(|(_, value)| *value >= least)
                    .map(|(i, value)| (first + i, value)),
            );
        }
    }

    /// The `k`-th largest candidate, and how many of those equal to it are among the `k`.
    fn threshold(&mut self, k: usize) -> (f32, usize) {
        let Self { values, candidates, .. } = self;
        if k == 0 || candidates.is_empty() {
            return (f32::INFINITY, 0);
        }
        if k >= candidates.len() {
            return (f32::NEG_INFINITY, candidates.len());
        }
        values.clear();
        values.extend(candidates.iter().map(|(_, value)| *value));
        let (above, threshold, _) = values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
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
            row in prop::collection::vec(-40_i8..40, 0..700),
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
