//! Which tokens of a batch attend to which: the model's attention, and what stands for it.

use std::ops::Range;

use attention_probes_errors::ValueError;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::config::GuidanceSource;
use crate::SaeError;
use crate::guided::attention_store::{AttentionLayers, AttentionStore};

/// Contexts whose mean distance of attention is taken for that of all.
const N_DISTANCES: usize = 256;

/// One pattern that guides: attention of a layer, or what stands for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PatternSource {
    /// Attention of a layer.
    Layer(usize),
    /// Attention of a layer in the context that this one is paired with.
    Shuffled(usize, Vec<u32>),
    /// As many tokens before.
    Local(usize),
    /// All tokens before.
    Uniform,
}

impl PatternSource {
    /// The patterns of a source.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if there is no attention of a layer.
    pub(super) fn all(
        source: GuidanceSource,
        layers: &[usize],
        attention: &AttentionLayers,
        n_contexts: usize,
    ) -> Result<Vec<Self>, SaeError> {
        let store = |layer: usize| {
            attention.of_layer(layer).ok_or(SaeError::from(ValueError::new(
                "guidance.layers",
                layer,
                "a layer whose attention was extracted",
            )))
        };
        for &layer in layers {
            store(layer)?;
        }
        Ok(match source {
            GuidanceSource::Model => layers.iter().map(|layer| Self::Layer(*layer)).collect(),
            GuidanceSource::Shuffled => {
                let paired = paired(n_contexts);
                layers.iter().map(|layer| Self::Shuffled(*layer, paired.clone())).collect()
            }
            GuidanceSource::Local => {
                let stores =
                    layers.iter().map(|layer| store(*layer)).collect::<Result<Vec<_>, _>>();
                vec![Self::Local(window(&stores?))]
            }
            GuidanceSource::Uniform => vec![Self::Uniform],
        })
    }

    /// Keys of a query of a context and their weights, as positions. What stands for attention has
    /// neither the first token nor the query itself.
    fn row(
        &self,
        attention: &AttentionLayers,
        (context, query): (usize, usize),
        keys: &mut Vec<(usize, f32)>,
    ) {
        keys.clear();
        let mut equal = |first: usize| {
            let n = query.saturating_sub(first);
            keys.extend((first..query).map(|key| (key, 1.0 / n as f32)));
        };
        match self {
            Self::Local(window) => equal(query.saturating_sub(*window).max(1)),
            Self::Uniform => equal(1),
            Self::Layer(layer) => {
                keys.extend(
                    attention.of_layer(*layer).into_iter().flat_map(|s| s.row(context, query)),
                );
            }
            Self::Shuffled(layer, paired) => {
                let context = paired.get(context).map_or(context, |other| *other as usize);
                keys.extend(
                    attention.of_layer(*layer).into_iter().flat_map(|s| s.row(context, query)),
                );
            }
        }
    }
}

/// The context whose attention stands for that of each: another one, of a fixed random circle.
fn paired(n_contexts: usize) -> Vec<u32> {
    let mut circle: Vec<u32> = (0..n_contexts as u32).collect();
    circle.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let mut paired = vec![0; n_contexts];
    for (i, context) in circle.iter().enumerate() {
        paired[*context as usize] = circle[(i + 1) % n_contexts];
    }
    paired
}

/// How many tokens before lie as far back on average as the attention of some layers.
fn window(stores: &[&AttentionStore]) -> usize {
    let (mut sum, mut n, mut length) = (0.0_f64, 0.0_f64, 0);
    let mut queries: Vec<f64> = Vec::new();
    for store in stores {
        length = store.length();
        queries.resize(length, 0.0);
        for context in 0..store.n_sequences().min(N_DISTANCES) {
            for (query, of_query) in queries.iter_mut().enumerate() {
                let row = store.row(context, query);
                let (distance, weight) = row.fold((0.0, 0.0), |(distance, weight), (key, w)| {
                    (distance + f64::from(w) * (query - key) as f64, weight + f64::from(w))
                });
                sum += distance;
                n += weight;
                *of_query += weight;
            }
        }
    }
    let wanted = sum / n.max(f64::MIN_POSITIVE);
    let mean = |window: usize| {
        let of = |query: usize| (query - query.saturating_sub(window).max(1).min(query) + 1) as f64;
        let sum: f64 = (2..length).map(|query| queries[query] * of(query) / 2.0).sum();
        sum / queries.iter().skip(2).sum::<f64>().max(f64::MIN_POSITIVE)
    };
    let far = |window: &usize| (mean(*window) - wanted).abs();
    (1..length.max(2)).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(1)
}

/// Rows of a batch of whole contexts and what each attends to, as rows of the same context.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchPattern {
    /// Where the keys of each row begin and end, `[n_rows + 1]`.
    indptr: Vec<usize>,
    /// Row of the context, counted from its first text token, and its weight.
    keys: Vec<(u32, f32)>,
}

impl BatchPattern {
    /// Gathers the rows of some contexts at some positions; keys at others do not count.
    pub(super) fn gather(
        source: &PatternSource,
        attention: &AttentionLayers,
        contexts: &[usize],
        positions: Range<usize>,
    ) -> Self {
        let mut pattern = Self { indptr: vec![0], keys: Vec::new() };
        let mut row = Vec::new();
        for &context in contexts {
            for query in positions.clone() {
                source.row(attention, (context, query), &mut row);
                let of_text = row.iter().filter(|(key, _)| *key >= positions.start);
                let sum: f32 = of_text.clone().map(|(_, weight)| weight).sum();
                pattern
                    .keys
                    .extend(of_text.map(|(key, w)| ((key - positions.start) as u32, w / sum)));
                pattern.indptr.push(pattern.keys.len());
            }
        }
        pattern
    }

    /// Keys of a row of the batch.
    pub(super) fn row(&self, row: usize) -> &[(u32, f32)] {
        &self.keys[self.indptr[row]..self.indptr[row + 1]]
    }

    /// Number of rows.
    pub(super) fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeepAttention, PoolHeads};

    /// Attention of one head to the token `back` before, in `n` contexts of 12 tokens.
    fn store(n: usize, back: usize) -> AttentionStore {
        let mut store = AttentionStore::new(12).unwrap();
        let mut pattern = vec![0.0; 144];
        for query in 0..12_usize {
            pattern[query * 12 + query.saturating_sub(back)] = 1.0;
        }
        for _ in 0..n {
            store.push(&pattern, 1, PoolHeads::Mean, KeepAttention::default()).unwrap();
        }
        store
    }

    #[test]
    fn a_window_lies_as_far_back_as_attention() {
        assert_eq!(window(&[&store(2, 1)]), 1);
        // Of tokens 4 to 11, the windows that reach the first text token are cut.
        let found = window(&[&store(2, 3)]);
        assert!((5..=6).contains(&found), "{found}");
    }

    #[test]
    fn every_context_is_paired_with_another() {
        let paired = paired(50);
        let mut seen = paired.clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<u32>>());
        assert!(paired.iter().enumerate().all(|(i, other)| i != *other as usize));
    }

    #[test]
    fn rows_of_a_batch_count_from_the_first_text_token() {
        let layers = AttentionLayers::of(vec![(4, store(3, 2))]);
        let gather = |source: &PatternSource| BatchPattern::gather(source, &layers, &[2, 0], 1..12);
        let pattern = gather(&PatternSource::Layer(4));
        assert_eq!(pattern.n_rows(), 22);
        assert_eq!((pattern.row(1), pattern.row(2)), (&[][..], &[(0, 1.0)][..]));
        assert_eq!(pattern.row(11 + 5), [(3, 1.0)]);
        let uniform = gather(&PatternSource::Uniform);
        assert_eq!(uniform.row(2), [(0, 0.5), (1, 0.5)]);
        assert!(uniform.row(0).is_empty());
        assert_eq!(gather(&PatternSource::Local(1)).row(4), [(3, 1.0)]);
    }
}
