//! A second look at some texts, once it is known what is shown: where features are strongest, how
//! pairs differ from text to text, and which texts have most of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use attention_probes_models::HookPoint;

use super::accumulate::FraCorpus;
use super::progress::FraProgress;
use super::spread::FraSpreads;
use crate::SaeError;
use crate::fra::codes::{FraCodes, FraInput};
use crate::fra::layer::FraLayer;
use crate::fra::pairs::FraShownPairs;
use crate::fra::reading::{FraReader, FraSample, FraSampleHead, FraTextIds};
use crate::fra::text::FraText;

/// Texts of a feature that a page shows, and those whose strongest tokens are its name.
const N_TEXTS: usize = 4;
const N_NAMING: usize = 8;

/// Words of a name.
const N_WORDS: usize = 3;

/// Tokens before and after the strongest one that are shown.
const BEFORE: usize = 20;
const AFTER: usize = 6;

/// What some texts say of one layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FraExamples {
    /// The features of the pairs that are shown.
    pub features: BTreeMap<u32, FraFeatureTexts>,
    /// How the values of each head's pairs differ from text to text.
    pub spreads: FraSpreads,
    /// The texts, among those that were looked at, with the most of the strongest pairs; at most as
    /// many as asked for.
    pub texts: Vec<FraTextIds>,
}

/// Where a feature is strongest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FraFeatureTexts {
    /// Its strongest tokens in up to three texts, as a name.
    pub label: String,
    /// The texts with its largest activations, the largest first.
    pub texts: Vec<FraFeatureText>,
}

/// The surroundings of the token of a text where a feature is strongest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FraFeatureText {
    /// Row of the text, counted from 0.
    pub row: u64,
    /// Position of the first of these tokens.
    pub first: usize,
    /// Texts and ids of the tokens.
    pub tokens: Vec<(String, u32)>,
    /// The feature's activation on each.
    pub activations: Vec<f32>,
}

/// Where a feature is strongest in one text.
struct Peak {
    activation: f32,
    text: usize,
    position: usize,
    window: Range<usize>,
    /// Activations in the window.
    activations: Vec<f32>,
}

/// How many texts are looked at once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FraLookConfig {
    /// Texts, evenly among all.
    pub n_examples: usize,
    /// Most texts of each layer that are named as those with the most of its pairs
    /// ([`FraExamples::texts`]).
    pub n_texts: usize,
}

impl FraCorpus<'_> {
    /// Where the features of one text's pairs are strongest among the texts of the corpus, whose
    /// first layer is that of the text.
    ///
    /// # Errors
    ///
    /// As [`FraCorpus::look_again`].
    ///
    /// # Panics
    ///
    /// If there is no layer.
    pub fn features_of(
        &self,
        sample: &FraSample,
        progress: &mut dyn FnMut(FraProgress),
    ) -> Result<BTreeMap<u32, FraFeatureTexts>, SaeError> {
        let pairs =
            |head: &FraSampleHead| (head.head, head.pairs.iter().map(|of| of.pair).collect());
        let shown: FraShownPairs = sample.heads.iter().map(pairs).collect();
        let of_layer = FraCorpus { layers: &self.layers[..1], ..*self };
        let config = FraLookConfig { n_examples: self.texts.len(), n_texts: 0 };
        let mut found = of_layer.look_again(&[shown], config, progress)?;
        Ok(found.swap_remove(0).features)
    }

    /// Runs the model over some of the texts once more, when it is known which pairs are shown of
    /// each layer: where their features are strongest, how their values differ from text to text,
    /// and which texts have most of them. Texts whose activations are not finite are left out.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails.
    /// - [`SaeError::Head`] if a layer has no head whose pairs are shown.
    /// - [`SaeError::Stopped`] if the signal of [`FraReader::with_stop`] is given.
    ///
    /// # Memory
    ///
    /// What is collected, and the activations of up to 64 texts, or of as many as take 256 MiB, one at
    /// least.
    pub fn look_again(
        &self,
        shown: &[FraShownPairs],
        config: FraLookConfig,
        progress: &mut dyn FnMut(FraProgress),
    ) -> Result<Vec<FraExamples>, SaeError> {
        let Self { reader, layers, texts } = *self;
        let looked: Vec<&FraTextIds> = evenly_among(texts, config.n_examples).collect();
        let mut hooks: Vec<HookPoint> = layers.iter().flat_map(FraLayer::hooks).collect();
        // What must be finite for a text to be in the statistics.
        hooks.extend(layers.iter().map(|layer| HookPoint::Pattern(layer.layer())));
        let of_layer = |(layer, shown): (&FraLayer<'_>, _)| OfLayer::new(shown, layer.prior());
        let mut found: Vec<OfLayer<'_>> = layers.iter().zip(shown).map(of_layer).collect();
        let all: Vec<&[u32]> = looked.iter().map(|text| &text.ids[..]).collect();
        reader.running().each(&all, &hooks, |text, activations| {
            let activations = match activations {
                // It was left out of the statistics too.
                Err(SaeError::NonFinite { .. }) => return Ok(()),
                found => found?,
            };
            let ids = all[text];
            for (found, layer) in found.iter_mut().zip(layers) {
                let input =
                    FraInput { ids, activations: &activations, n_before: reader.n_before() };
                let codes = FraCodes::new(layer, input)?;
                found.see_features(text, &codes);
                let heads: Vec<usize> = found.shown.keys().copied().collect();
                let factors = FraText::from_codes(layer, &heads, codes, &activations)?;
                found.see_pairs(text, &factors);
            }
            progress(FraProgress::LookedAt { done: text + 1, total: looked.len() });
            Ok(())
        })?;
        found.into_iter().map(|found| found.finish(&reader, &looked, config.n_texts)).collect()
    }
}

/// As many texts as asked for, or all, evenly among all.
fn evenly_among(texts: &[FraTextIds], n: usize) -> impl Iterator<Item = &FraTextIds> {
    let is_among = move |(i, _): &(usize, &FraTextIds)| lies_evenly(*i, texts.len(), n);
    texts.iter().enumerate().filter(is_among).map(|(_, text)| text)
}

/// Whether text `i` of `n` is looked at if `n_examples` are: those lie evenly among all.
fn lies_evenly(i: usize, n: usize, n_examples: usize) -> bool {
    let n_looked = n_examples.min(n);
    let nth = (i * n_looked).div_ceil(n.max(1));
    nth < n_looked && nth * n / n_looked == i
}

/// What is collected of a layer.
struct OfLayer<'a> {
    shown: &'a FraShownPairs,
    /// What the shrunk mean adds to the count.
    prior: f64,
    features: BTreeMap<u32, Vec<Peak>>,
    spreads: FraSpreads,
    /// Number of pairs that each text has.
    n_pairs: Vec<(usize, usize)>,
}

impl<'a> OfLayer<'a> {
    fn new(shown: &'a FraShownPairs, prior: f64) -> Self {
        let pairs = shown.values().flatten();
        let features: BTreeSet<u32> =
            pairs.flat_map(|pair| [pair.query_feature, pair.key_feature]).collect();
        let features = features.into_iter().map(|feature| (feature, Vec::new())).collect();
        Self { shown, prior, features, spreads: FraSpreads::default(), n_pairs: Vec::new() }
    }

    /// Keeps the texts where a feature is strongest.
    fn see_features(&mut self, text: usize, codes: &FraCodes) {
        let n = codes.n_positions();
        let mut rows: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        for position in 0..n {
            let (slots, activations) = codes.position(position);
            for (slot, activation) in slots.iter().zip(activations) {
                let feature = codes.features()[*slot as usize];
                if self.features.contains_key(&feature) {
                    rows.entry(feature).or_insert_with(|| vec![0.0; n])[position] = *activation;
                }
            }
        }
        for (feature, row) in rows {
            let Some(peaks) = self.features.get_mut(&feature) else { continue };
            let strongest = (0..n).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a)));
            let Some(position) = strongest else { continue };
            let window = position.saturating_sub(BEFORE)..(position + AFTER + 1).min(n);
            peaks.push(Peak {
                activation: row[position],
                text,
                position,
                activations: row[window.clone()].to_vec(),
                window,
            });
            peaks.sort_by(|a, b| b.activation.total_cmp(&a.activation));
            peaks.truncate(N_NAMING);
        }
    }

    /// Adds up what a text's values are beyond the means of their pairs.
    fn see_pairs(&mut self, text: usize, factors: &FraText) {
        let mut n_pairs = 0;
        for (head, pairs) in self.shown {
            let Some(of_head) = factors.head(*head) else { continue };
            for pair in pairs {
                let (query, key) = (pair.query_feature, pair.key_feature);
                let occurs = |feature| factors.codes().slot_of(feature).is_some();
                if !occurs(query) || !occurs(key) {
                    continue;
                }
                let (mut n, mut sum, mut sum_abs) = (0.0, 0.0, 0.0);
                for value in of_head.pair_values(query, key) {
                    n += 1.0;
                    sum += f64::from(value.2);
                    sum_abs += f64::from(value.2.abs());
                }
                if n > 0.0 {
                    let count = f64::from(pair.count).max(1.0);
                    let spread = self.spreads.pairs.entry((*head, query, key)).or_default();
                    spread.n_present += 1;
                    spread.signed.add(sum - pair.sum / count * n);
                    spread.magnitudes.add(sum_abs - pair.sum_abs / (count + self.prior) * n);
                    n_pairs += 1;
                }
            }
        }
        self.n_pairs.push((text, n_pairs));
    }

    fn finish(
        mut self,
        reader: &FraReader<'_>,
        looked: &[&FraTextIds],
        n_texts: usize,
    ) -> Result<FraExamples, SaeError> {
        let mut features = BTreeMap::new();
        for (feature, peaks) in &self.features {
            let mut words: Vec<String> = Vec::new();
            for peak in peaks {
                let token = reader.token(looked[peak.text].ids[peak.position])?;
                let word = match token.trim() {
                    "" => format!("{token:?}"), // a line break is seen as one
                    word => word.to_owned(),
                };
                if !words.contains(&word) && words.len() < N_WORDS {
                    words.push(word);
                }
            }
            let text = |peak: &Peak| {
                let FraTextIds { row, ids } = looked[peak.text];
                let token = |position: usize| Ok((reader.token(ids[position])?, ids[position]));
                Ok(FraFeatureText {
                    row: *row,
                    first: peak.window.start,
                    tokens: peak.window.clone().map(token).collect::<Result<_, SaeError>>()?,
                    activations: peak.activations.clone(),
                })
            };
            let texts = peaks.iter().take(N_TEXTS).map(text).collect::<Result<_, SaeError>>()?;
            features.insert(*feature, FraFeatureTexts { label: words.join("|"), texts });
        }
        self.spreads.n_texts = self.n_pairs.len();
        self.n_pairs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let texts = self.n_pairs.iter().filter(|(_, n)| *n > 0).take(n_texts);
        let texts = texts.map(|(text, _)| looked[*text].clone()).collect();
        Ok(FraExamples { features, spreads: self.spreads, texts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_that_are_looked_at_lie_evenly_among_all() {
        let looked_at = |n, n_examples| -> Vec<usize> {
            (0..n).filter(|i| lies_evenly(*i, n, n_examples)).collect()
        };
        assert_eq!(looked_at(10, 4), [0, 2, 5, 7]);
        assert_eq!(looked_at(3, 200), [0, 1, 2]);
        for n_examples in 0..30 {
            assert_eq!(looked_at(23, n_examples).len(), n_examples.min(23));
        }
    }
}
