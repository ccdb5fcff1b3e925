//! Pairs of features of a layer's heads, ranked by how much they tell the right letter from others.

use std::collections::BTreeMap;

use anyhow::Result;
use attention_probes::sae::fra::{
    FraActivations, FraInput, FraLayer, FraRank, FraStatistics, FraStatisticsConfig, FraText,
    capture_texts,
};

use crate::inputs::{Input, N_LETTERS};
use crate::sorter::Sorter;

/// Head, feature at the query, and feature at the key.
pub(crate) type PairId = (usize, u32, u32);

/// A pair of features of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) id: PairId,
    /// Where a letter is to be said, how much more the pair adds to the scores of the input's
    /// letters that are it than to those of the others; the mean.
    pub(crate) contrast: f64,
    /// Mean of what it adds to a score.
    pub(crate) mean: f64,
    /// Sum of the magnitudes of what it adds to all scores.
    pub(crate) sum_abs: f64,
}

/// Every pair that occurs, those with most contrast first.
pub(crate) struct Ranked {
    pub(crate) pairs: Vec<Pair>,
    /// Contrast of the scores: by pairs, and by what is no pair.
    pub(crate) contrast: [f64; 2],
}

/// What the layer reads of an input, and its factors.
pub(crate) type Text = (FraActivations, FraText);

/// Reads inputs for all heads of a layer.
pub(crate) fn read(sorter: &Sorter, layer: &FraLayer<'_>, inputs: &[Input]) -> Result<Vec<Text>> {
    let heads: Vec<usize> = (0..layer.n_heads()).collect();
    let ids: Vec<&[u32]> = inputs.iter().map(|input| &input.ids[..]).collect();
    let captured = capture_texts(&sorter.model, &sorter.device, &ids, &layer.hooks())?;
    let text = |(ids, kept): (&&[u32], _)| {
        let kept: FraActivations = kept?;
        let text = FraText::new(layer, &heads, FraInput { ids, activations: &kept, n_before: 0 })?;
        Ok((kept, text))
    };
    ids.iter().zip(captured).map(text).collect()
}

/// Ranks the pairs of all heads.
pub(crate) fn rank(layer: &FraLayer<'_>, inputs: &[Input], texts: &[Text]) -> Result<Ranked> {
    let heads: Vec<usize> = (0..layer.n_heads()).collect();
    let config = FraStatisticsConfig { heads, ..FraStatisticsConfig::default() };
    let mut statistics = FraStatistics::new(layer, config)?;
    let mut contrasts: BTreeMap<PairId, f64> = BTreeMap::new();
    let mut contrast = [0.0; 2];
    for (input, (kept, text)) in inputs.iter().zip(texts) {
        statistics.add_codes(layer, text.codes().clone(), kept)?;
        for number in text.heads() {
            let Some(head) = text.head(number) else { continue };
            let (terms, n) = (head.terms()?, head.n_positions());
            let scores = terms.scores();
            for (query, key, weight) in contrast_weights(input) {
                let weight = weight / (inputs.len() * N_LETTERS) as f64;
                let at = query * n + key;
                contrast[0] += weight * f64::from(terms.pairs[at]);
                contrast[1] += weight * f64::from(scores[at] - terms.pairs[at]);
                let block = head.block(query, key);
                let mut values = block.values.iter();
                for query_feature in &block.query_features {
                    for (key_feature, value) in block.key_features.iter().zip(&mut values) {
                        *contrasts.entry((number, *query_feature, *key_feature)).or_default() +=
                            weight * f64::from(*value);
                    }
                }
            }
        }
    }
    let mut pairs = Vec::new();
    for found in statistics.top(layer, &[FraRank::Sum], usize::MAX)? {
        pairs.extend(found.top[0].iter().map(|pair| {
            let id = (found.head, pair.query_feature, pair.key_feature);
            let contrast = contrasts.get(&id).copied().unwrap_or(0.0);
            let mean = pair.sum / f64::from(pair.count);
            Pair { id, contrast, mean, sum_abs: pair.sum_abs }
        }));
    }
    pairs.sort_by(|a, b| b.contrast.total_cmp(&a.contrast));
    Ok(Ranked { pairs, contrast })
}

/// Query, key, and weight, so that the weighted sum of the scores of an input is how much larger
/// they are at letters that are to be said than at others, summed over the queries.
pub(crate) fn contrast_weights(input: &Input) -> Vec<(usize, usize, f64)> {
    let letters = &input.ids[..N_LETTERS];
    let mut weights = Vec::new();
    for (query, right) in input.answers() {
        let n_right = letters.iter().filter(|letter| **letter == right).count();
        let n_others = N_LETTERS - n_right;
        for (key, letter) in letters.iter().enumerate().filter(|_| n_others > 0) {
            let is_right = *letter == right;
            let weight = if is_right { 1.0 / n_right as f64 } else { -1.0 / n_others as f64 };
            weights.push((query, key, weight));
        }
    }
    weights
}

impl Ranked {
    /// The `n` pairs with most contrast.
    pub(crate) fn top(&self, n: usize) -> Vec<PairId> {
        self.pairs.iter().take(n).map(|pair| pair.id).collect()
    }

    /// Share of the pairs' contrast that the `n` first have.
    pub(crate) fn share(&self, n: usize) -> f64 {
        self.pairs.iter().take(n).map(|pair| pair.contrast).sum::<f64>() / self.contrast[0]
    }

    /// Other pairs than the `n` first, those with the least contrast for their size, until they add
    /// as much to the scores as those.
    pub(crate) fn others(&self, n: usize) -> Vec<PairId> {
        let (first, others) = self.pairs.split_at(n.min(self.pairs.len()));
        let mut others: Vec<&Pair> = others.iter().collect();
        let size = |pair: &Pair| pair.contrast.abs() / pair.sum_abs.max(f64::MIN_POSITIVE);
        others.sort_by(|a, b| size(a).total_cmp(&size(b)));
        let mut left: f64 = first.iter().map(|pair| pair.sum_abs).sum();
        let is_needed = |pair: &&&Pair| {
            let is_needed = left > 0.0;
            left -= pair.sum_abs;
            is_needed
        };
        others.iter().take_while(is_needed).map(|pair| pair.id).collect()
    }
}
