//! Batches of sequences of like length, so that little of a forward pass is padding.

/// Packs sequences, by index, into batches that hold at most `max_tokens_per_batch` tokens each,
/// padding included.
///
/// Sequences are sorted by length, those of equal length stay in order, and neighbours share a
/// batch as long as `batch * longest` fits. A sequence that is longer than a batch has one for
/// itself. All batches together pad less than
/// `max_tokens_per_batch * ln(longest / shortest)` tokens.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::length_buckets;
///
/// assert_eq!(length_buckets(&[3, 9, 2, 3], 8), [vec![2, 0], vec![3], vec![1]]);
/// ```
pub fn length_buckets(lengths: &[usize], max_tokens_per_batch: usize) -> Vec<Vec<usize>> {
    let mut by_length: Vec<usize> = (0..lengths.len()).collect();
    by_length.sort_by_key(|&index| lengths[index]);

    let mut buckets: Vec<Vec<usize>> = Vec::new();
    for index in by_length {
        // In ascending order the newcomer is the longest of its batch.
        let fits = |bucket: &Vec<usize>| {
            (bucket.len() + 1).saturating_mul(lengths[index]) <= max_tokens_per_batch
        };
        match buckets.last_mut() {
            Some(bucket) if fits(bucket) => bucket.push(index),
            _ => buckets.push(vec![index]),
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_lengths_stay_in_order() {
        assert_eq!(length_buckets(&[4, 4, 4, 4, 4], 8), [vec![0, 1], vec![2, 3], vec![4]]);
        assert!(length_buckets(&[], 8).is_empty());
    }

    #[test]
    fn a_sequence_longer_than_a_batch_runs_alone() {
        assert_eq!(length_buckets(&[9, 1, 8, 2], 8), [vec![1, 3], vec![2], vec![0]]);
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_batch_and_waste_is_bounded(
            lengths in prop::collection::vec(1_usize..300, 1..200),
            max_tokens in 300_usize..2000,
        ) {
            let buckets = length_buckets(&lengths, max_tokens);
            let mut seen: Vec<usize> = buckets.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());

            let mut n_padding = 0;
            for bucket in &buckets {
                let longest = bucket.iter().map(|&index| lengths[index]).max().unwrap();
                prop_assert!(bucket.len() * longest <= max_tokens);
                n_padding += bucket.iter().map(|&index| longest - lengths[index]).sum::<usize>();
            }
            let [shortest, longest] =
                [lengths.iter().min(), lengths.iter().max()].map(|length| *length.unwrap() as f64);
            let bound = max_tokens as f64 * (longest / shortest).ln();
            prop_assert!(n_padding as f64 <= bound, "{n_padding} > {bound}");
        }
    }
}
