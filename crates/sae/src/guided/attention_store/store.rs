//! Attention of many texts in compressed rows: what each token attends to, without what hardly
//! counts.

use attention_probes_errors::ValueError;
use half::f16;
use rayon::prelude::*;

use super::column::Column;
use crate::SaeError;

/// Which keys of a row of attention are kept.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepAttention {
    /// Most keys of a row.
    pub top: usize,
    /// Share of a row that is enough: no further key is kept once the larger ones have it.
    pub mass: f64,
    /// Whether a token's attention to the first token counts, where much of it goes that means
    /// nothing.
    pub first_token: bool,
    /// Whether a token's attention to itself counts.
    pub diagonal: bool,
}

impl Default for KeepAttention {
    fn default() -> Self {
        Self { top: 16, mass: 0.95, first_token: false, diagonal: false }
    }
}

/// How the heads of a layer become one pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolHeads {
    /// Their mean.
    #[default]
    Mean,
    /// The largest of them at each key, made to sum to 1.
    Max,
}

/// Attention of one layer over contexts of one length, in compressed rows.
///
/// A row is a query, `sequence * length + position`; its keys are positions of the same sequence in
/// rising order, and their weights sum to 1 but for rounding. A row without anything that counts is
/// empty.
///
/// # Memory
///
/// 4 bytes for each key and 6 for each row: at most 12 KiB for 128 tokens with 16 keys each, where
/// dense rows in `f32` take 64 KiB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttentionStore {
    pub(super) length: usize,
    /// Where each row begins and ends in the next two, `[n_rows + 1]`.
    pub(super) indptr: Column<u32>,
    pub(super) keys: Column<u16>,
    pub(super) weights: Column<f16>,
    /// Share of each row that was left out before what is kept was made to sum to 1, `[n_rows]`.
    pub(super) dropped: Column<f16>,
}

impl AttentionStore {
    /// Makes an empty store for contexts of `length` tokens.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if a position does not fit 16 bits.
    pub fn new(length: usize) -> Result<Self, SaeError> {
        if length == 0 || length > usize::from(u16::MAX) {
            let (name, value, expected) = ("context_size", length as f64, "from 1 to 65535");
            return Err(ValueError::new(name, value, expected).into());
        }
        let mut indptr = Column::default();
        indptr.push(0);
        Ok(Self { length, indptr, ..Self::default() })
    }

    /// Appends patterns after the softmax, `[n, n_heads, length, length]`.
    ///
    /// # Errors
    ///
    /// - [`SaeError::SizeMismatch`] if they are not of that shape.
    /// - [`SaeError::NonFinite`] if one is not finite.
    /// - [`SaeError::Hyperparameter`] if there are more keys than 32 bits count.
    pub fn push(
        &mut self,
        patterns: &[f32],
        n_heads: usize,
        pool: PoolHeads,
        keep: KeepAttention,
    ) -> Result<(), SaeError> {
        let length = self.length;
        let size = n_heads * length * length;
        if size == 0 || !patterns.len().is_multiple_of(size) {
            let what = "the number of values in patterns of attention";
            let (found, expected) = (patterns.len(), size);
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        if let Some(index) = patterns.iter().position(|value| !value.is_finite()) {
            let (array, value) = ("hook_pattern", patterns[index]);
            return Err(SaeError::NonFinite { array, index, value });
        }
        for sequence in patterns.chunks_exact(size) {
            let rows: Vec<(Vec<(u16, f32)>, f32)> = (0..length)
                .into_par_iter()
                .map(|query| {
                    let heads = (0..n_heads)
                        .map(|head| &sequence[(head * length + query) * length..][..length]);
                    kept(&pooled(heads, length, pool), query, keep)
                })
                .collect();
            for (row, dropped) in rows {
                for (key, weight) in row {
                    self.keys.push(key);
                    self.weights.push(f16::from_f32(weight));
                }
                self.dropped.push(f16::from_f32(dropped));
                let n_keys = self.keys.len();
                let Ok(end) = u32::try_from(n_keys) else {
                    let (name, value, expected) = ("keys of a store", n_keys as f64, "below 2³²");
                    return Err(ValueError::new(name, value, expected).into());
                };
                self.indptr.push(end);
            }
        }
        Ok(())
    }

    /// Tokens of a context.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of contexts.
    pub fn n_sequences(&self) -> usize {
        self.dropped.len() / self.length.max(1)
    }

    /// Keys of a query and their weights.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, sequence: usize, query: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let row = sequence * self.length + query;
        let range = self.indptr.get(row) as usize..self.indptr.get(row + 1) as usize;
        let keys = self.keys.slice(range.clone()).map(usize::from);
        keys.zip(self.weights.slice(range).map(f16::to_f32))
    }

    /// Share of a row that was left out.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn dropped(&self, sequence: usize, query: usize) -> f32 {
        self.dropped.get(sequence * self.length + query).to_f32()
    }

    /// Bytes that it takes.
    pub fn size_bytes(&self) -> usize {
        let Self { indptr, keys, weights, dropped, .. } = self;
        [indptr.bytes(), keys.bytes(), weights.bytes(), dropped.bytes()]
            .map(<[u8]>::len)
            .iter()
            .sum()
    }
}

/// One pattern of several heads.
fn pooled<'a>(heads: impl Iterator<Item = &'a [f32]>, length: usize, pool: PoolHeads) -> Vec<f32> {
    let mut row = vec![0.0_f32; length];
    for head in heads {
        for (sum, weight) in row.iter_mut().zip(head) {
            *sum = match pool {
                PoolHeads::Mean => *sum + weight,
                PoolHeads::Max => sum.max(*weight),
            };
        }
    }
    row
}

/// Keys that are kept, in rising order, with weights that sum to 1; and the share that is not.
fn kept(row: &[f32], query: usize, keep: KeepAttention) -> (Vec<(u16, f32)>, f32) {
    let counts = |key: usize| {
        (keep.first_token || key > 0) && (keep.diagonal || key != query) && key <= query
    };
    let mut keys: Vec<(u16, f32)> = (0..row.len().min(query + 1))
        .filter(|key| counts(*key) && row[*key] > 0.0)
        .map(|key| (key as u16, row[key]))
        .collect();
    let total: f32 = keys.iter().map(|(_, weight)| weight).sum();
    if total <= 0.0 {
        return (Vec::new(), 0.0);
    }
    keys.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let enough = keep.mass as f32 * total;
    let (mut n, mut sum) = (0, 0.0);
    while n < keys.len().min(keep.top) && sum < enough {
        sum += keys[n].1;
        n += 1;
    }
    keys.truncate(n);
    keys.sort_by_key(|(key, _)| *key);
    for (_, weight) in &mut keys {
        *weight /= sum;
    }
    (keys, (1.0 - sum / total).max(0.0))
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Causal patterns of random scores, `[n, n_heads, length, length]`.
    fn patterns(n: usize, n_heads: usize, length: usize) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut values = Vec::new();
        for _ in 0..n * n_heads {
            for query in 0..length {
                let scores: Vec<f32> =
                    (0..=query).map(|_| rng.random_range(-3.0_f32..3.0).exp()).collect();
                let sum: f32 = scores.iter().sum();
                values.extend(scores.iter().map(|score| score / sum));
                values.extend(std::iter::repeat_n(0.0, length - query - 1));
            }
        }
        values
    }

    #[test]
    fn what_is_kept_is_the_row_but_for_what_was_dropped() {
        let (n, n_heads, length) = (3, 2, 24);
        let patterns = patterns(n, n_heads, length);
        let all = KeepAttention { first_token: true, diagonal: true, ..KeepAttention::default() };
        let mut store = AttentionStore::new(length).unwrap();
        store.push(&patterns, n_heads, PoolHeads::Mean, all).unwrap();
        assert_eq!(store.n_sequences(), n);
        for sequence in 0..n {
            for query in 0..length {
                let at = |head: usize, key: usize| {
                    patterns[((sequence * n_heads + head) * length + query) * length + key]
                };
                let dropped = store.dropped(sequence, query);
                assert!((0.0..=0.06).contains(&dropped), "{dropped}");
                let mut missing: f32 = 1.0;
                for (key, weight) in store.row(sequence, query) {
                    let mean = f32::midpoint(at(0, key), at(1, key));
                    // The weights were made to sum to 1.
                    approx::assert_abs_diff_eq!(weight * (1.0 - dropped), mean, epsilon = 2e-3);
                    missing -= mean;
                }
                approx::assert_abs_diff_eq!(missing, dropped, epsilon = 2e-3);
            }
        }
    }

    #[test]
    fn sinks_do_not_count_unless_they_are_wanted() {
        let mut store = AttentionStore::new(3).unwrap();
        let pattern = [1.0, 0.0, 0.0, 0.9, 0.1, 0.0, 0.6, 0.3, 0.1];
        store.push(&pattern, 1, PoolHeads::Max, KeepAttention::default()).unwrap();
        let row = |query| store.row(0, query).collect::<Vec<_>>();
        assert_eq!((row(0), row(1), row(2)), (vec![], vec![], vec![(1, 1.0)]));
        let bad = store.clone().push(&[f32::NAN; 9], 1, PoolHeads::Max, KeepAttention::default());
        assert!(bad.unwrap_err().to_string().contains("hook_pattern"));
        assert!(store.push(&pattern[..8], 1, PoolHeads::Max, KeepAttention::default()).is_err());
    }

    #[test]
    fn a_hundred_and_twenty_eight_tokens_take_at_most_twelve_kibibytes() {
        let mut store = AttentionStore::new(128).unwrap();
        let keep = KeepAttention { mass: 1.0, ..KeepAttention::default() };
        store.push(&patterns(1, 2, 128), 2, PoolHeads::Mean, keep).unwrap();
        assert!(store.size_bytes() <= 12 * 1024, "{}", store.size_bytes());
        assert!(store.row(0, 100).count() == 16);
    }
}
