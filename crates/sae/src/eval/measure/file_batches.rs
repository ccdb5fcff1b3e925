//! Activations of a file in pieces that are encoded together.

use std::ops::Range;

use attention_probes_activations::TOKENS_PER_FORWARD;

/// Examples by number, as many as fit into one piece, or one that does not.
pub(super) fn batches(offsets: &[usize]) -> Vec<Range<usize>> {
    let n = offsets.len() - 1;
    let mut batches = Vec::new();
    let mut first = 0;
    while first < n {
        let fits = |end: &&usize| **end - offsets[first] <= TOKENS_PER_FORWARD;
        let n_fitting = offsets[first + 1..].iter().take_while(fits).count();
        batches.push(first..first + n_fitting.max(1));
        first += n_fitting.max(1);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_in_one_batch_and_a_long_one_is_alone() {
        let n = TOKENS_PER_FORWARD;
        assert_eq!(batches(&[0, 1, n, n + 1, 3 * n]), [0..2, 2..3, 3..4]);
        assert_eq!(batches(&[0, 2 * n]), vec![0..1]);
    }
}
