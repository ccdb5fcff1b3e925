//! Which sequences share a forward pass.

use std::collections::BTreeMap;

use super::batch::length_buckets;

/// Most tokens of one forward pass of a model, padding included, that sweeps and commands use:
/// enough for full matrix products, few enough that a batch's activations stay small.
pub const TOKENS_PER_FORWARD: usize = 4096;

/// Positions that attention sees are a multiple of this, and at least twice as many, if the model's
/// context is as long: so they depend on the sequence alone, and its activations, to the last bit,
/// not on what it is batched with. Products of up to 16 rows are summed in another order.
const POS_STEP: usize = 16;

/// Which sequences share a forward pass. Padding is behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// Sequences of like length together, the longest first: if they are too long for the model or
    /// the memory, that shows at once. The last bits of an activation may depend on the batch.
    ByLength {
        /// Most tokens of one forward pass, padding included.
        max_tokens: usize,
    },
    /// Sequences of like length together, each of which has the same bits in any batch.
    SameBits {
        /// Most tokens of one forward pass, padding included.
        max_tokens: usize,
    },
    /// Sequences in the order given. The last bits of an activation may depend on the batch.
    InOrder {
        /// Most sequences of one forward pass.
        max_sequences: usize,
    },
}

impl Default for Batching {
    /// [`Batching::ByLength`] with [`TOKENS_PER_FORWARD`].
    fn default() -> Self {
        Self::ByLength { max_tokens: TOKENS_PER_FORWARD }
    }
}

/// Sequences that share a forward pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The sequences, one a row.
    pub(super) sequences: Vec<usize>,
    /// Rows of the batch; those behind the sequences are padding.
    pub(super) n_rows: usize,
    /// Fewest positions that attention sees.
    pub(super) attention_pos: usize,
}

impl Batch {
    fn of(sequences: Vec<usize>) -> Self {
        Self { n_rows: sequences.len(), sequences, attention_pos: 0 }
    }
}

impl Batching {
    /// Divides sequences of these lengths into batches, in the order in which they run; those
    /// without a token are in none.
    pub(super) fn batches(self, lengths: &[usize], n_ctx: usize) -> Vec<Batch> {
        let filled: Vec<usize> = (0..lengths.len()).filter(|&i| lengths[i] > 0).collect();
        match self {
            Self::ByLength { max_tokens } => {
                let of_filled: Vec<usize> = filled.iter().map(|&i| lengths[i]).collect();
                let buckets = length_buckets(&of_filled, max_tokens).into_iter().rev();
                let sequences = |bucket: Vec<usize>| bucket.into_iter().map(|i| filled[i]);
                buckets.map(|bucket| Batch::of(sequences(bucket).collect())).collect()
            }
            Self::SameBits { max_tokens } => same_bits(&filled, lengths, [max_tokens, n_ctx]),
            Self::InOrder { max_sequences } => {
                filled.chunks(max_sequences.max(1)).map(|batch| Batch::of(batch.to_vec())).collect()
            }
        }
    }
}

fn same_bits(filled: &[usize], lengths: &[usize], [max_tokens, n_ctx]: [usize; 2]) -> Vec<Batch> {
    let mut by_pos: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &sequence in filled {
        let pos = lengths[sequence].next_multiple_of(POS_STEP).max(2 * POS_STEP);
        by_pos.entry(pos.min(n_ctx)).or_default().push(sequence);
    }
    let mut batches = Vec::new();
    for (attention_pos, mut of_pos) in by_pos {
        of_pos.sort_by_key(|&sequence| lengths[sequence]);
        // Attention takes more memory than its share of short sequences: fewer go together.
        let at_least: Vec<usize> =
            of_pos.iter().map(|&sequence| lengths[sequence].max(attention_pos / 2)).collect();
        for bucket in length_buckets(&at_least, max_tokens) {
            let sequences: Vec<usize> = bucket.iter().map(|&index| of_pos[index]).collect();
            let pos = sequences.iter().map(|&sequence| lengths[sequence]).max().unwrap_or(1);
            // A few short sequences need rows of padding for as many products.
            let n_rows = sequences.len().max((2 * POS_STEP).div_ceil(pos));
            batches.push(Batch { sequences, n_rows, attention_pos });
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(batching: Batching, lengths: &[usize]) -> Vec<Vec<usize>> {
        batching.batches(lengths, 64).into_iter().map(|batch| batch.sequences).collect()
    }

    #[test]
    fn sequences_without_a_token_are_in_no_batch() {
        let lengths = [3, 0, 9, 2, 0];
        let by_length = Batching::ByLength { max_tokens: 8 };
        assert_eq!(sequences(by_length, &lengths), [vec![2], vec![3, 0]]);
        let in_order = Batching::InOrder { max_sequences: 2 };
        assert_eq!(sequences(in_order, &lengths), [vec![0, 2], vec![3]]);
        assert!(sequences(Batching::default(), &[0, 0]).is_empty());
    }

    #[test]
    fn what_attention_sees_depends_on_the_length_alone() {
        let batches = Batching::SameBits { max_tokens: 64 }.batches(&[5, 33, 1, 64, 32], 60);
        let seen: Vec<(Vec<usize>, usize, usize)> = batches
            .into_iter()
            .map(|batch| (batch.sequences, batch.n_rows, batch.attention_pos))
            .collect();
        let expected = [(vec![2, 0], 7, 32), (vec![4], 1, 32), (vec![1], 1, 48), (vec![3], 1, 60)];
        assert_eq!(seen, expected);
    }
}
