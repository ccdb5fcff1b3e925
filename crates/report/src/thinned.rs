//! Long histories, as short as a chart needs them.

use serde::{Serialize, Serializer};

/// The most points of a curve: a chart is about as many pixels wide.
const MOST: usize = 400;

/// Every n-th item, and the last, so that no more than 401 are left.
pub(crate) fn thinned<T>(items: &[T]) -> Vec<&T> {
    let step = items.len().div_ceil(MOST).max(1);
    let last = items.len().saturating_sub(1);
    let is_kept = |index: &usize| index.is_multiple_of(step) || *index == last;
    (0..items.len()).filter(is_kept).map(|index| &items[index]).collect()
}

/// Writes what is [`thinned`].
pub(crate) fn serialize_thinned<T: Serialize, S: Serializer>(
    items: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(thinned(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_keeps_its_ends() {
        for n in [0, 1, 2, 400, 401, 799, 100_000] {
            let items: Vec<usize> = (0..n).collect();
            let kept = thinned(&items);
            assert!(kept.len() <= MOST + 1, "{n}");
            assert_eq!(
                (kept.first(), kept.last()),
                (items.first().as_ref(), items.last().as_ref())
            );
        }
        assert_eq!(thinned(&[3, 1, 2]), [&3, &1, &2]);
    }
}
