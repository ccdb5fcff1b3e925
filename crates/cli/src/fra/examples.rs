//! A second look at some texts, once it is known what is shown: where features are strongest, how
//! pairs differ from text to text, and which texts have most of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::Result;
use attention_probes_models::HookPoint;
use attention_probes_report::{FeatureText, FraFeature, PageToken};
use attention_probes_sae::SaeError;
use attention_probes_sae::fra::{FraCodes, FraLayer, FraPair, FraText, capture};

use super::report::prior_of;
use super::subject::{Reader, TextIds};
use crate::exit::escaped;
use crate::progress::Progress;

/// Texts of a feature that a page shows, and those whose strongest tokens are its name.
const N_TEXTS: usize = 4;
const N_NAMING: usize = 8;

/// Words of a name.
const N_WORDS: usize = 3;

/// Tokens before and after the strongest one that are shown.
const BEFORE: usize = 20;
const AFTER: usize = 6;

/// What is shown of a layer: by head the pairs, the strongest first.
pub(super) type ShownPairs = BTreeMap<usize, Vec<FraPair>>;

/// What some texts say of one layer.
#[derive(Default)]
pub(super) struct Examples {
    /// The features of the pairs that are shown.
    pub(super) features: BTreeMap<u32, FraFeature>,
    /// How the values of each head's pairs differ from text to text.
    pub(super) spreads: BTreeMap<(usize, u32, u32), Spread>,
    /// Number of texts that were looked at.
    pub(super) n_texts: usize,
    /// Places, among those that were looked at, of the texts with the most of the strongest pairs; at
    /// most as many as asked for.
    pub(super) texts: Vec<usize>,
}

/// What each text adds to a pair beyond its means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    /// Texts in which the pair occurs.
    pub(super) n_present: usize,
    /// `Σ value - mean count` of each text.
    pub(super) signed: Residuals,
    /// `Σ |value| - shrunk_mean count`, which do not add up to 0 over all texts.
    pub(super) magnitudes: Residuals,
}

/// Sum and sum of squares of a number of each text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Residuals {
    sum: f64,
    squares: f64,
}

impl Residuals {
    fn add(&mut self, residual: f64) {
        self.sum += residual;
        self.squares += residual * residual;
    }

    /// Sum of squares about their mean over `n` texts, of which those without the pair have 0.
    pub(super) fn about_mean(self, n: usize) -> f64 {
        (self.squares - self.sum * self.sum / n.max(1) as f64).max(0.0)
    }
}

/// Where a feature is strongest in one text.
struct Peak {
    activation: f32,
    text: usize,
    position: usize,
    window: Range<usize>,
    /// Activations in the window.
    activations: Vec<f64>,
}

/// Which texts are looked at, and how many of them are to have a page.
#[derive(Clone, Copy)]
pub(super) struct Looked<'a> {
    pub(super) texts: &'a [TextIds],
    pub(super) n_pages: usize,
}

/// Whether text `i` of `n` is looked at if `n_examples` are: those lie evenly among all.
pub(super) fn is_looked_at(i: usize, n: usize, n_examples: usize) -> bool {
    let n_looked = n_examples.min(n);
    let nth = (i * n_looked).div_ceil(n.max(1));
    nth < n_looked && nth * n / n_looked == i
}

/// Runs the model over some texts for all layers.
pub(super) fn collect(
    reader: Reader<'_>,
    layers: &[FraLayer<'_>],
    shown: &[ShownPairs],
    looked: Looked<'_>,
) -> Result<Vec<Examples>> {
    let mut hooks: Vec<HookPoint> = layers.iter().flat_map(FraLayer::hooks).collect();
    // What must be finite for a text to be in the statistics.
    hooks.extend(layers.iter().map(|layer| HookPoint::Pattern(layer.layer())));
    let of_layer = |(layer, shown): (&FraLayer<'_>, _)| OfLayer::new(shown, prior_of(layer));
    let mut found: Vec<OfLayer<'_>> = layers.iter().zip(shown).map(of_layer).collect();
    let n = looked.texts.len();
    let mut progress = Progress::default();
    for (text, TextIds { ids, .. }) in looked.texts.iter().enumerate() {
        let activations = match capture(&*reader.model.model, reader.device, ids, &hooks) {
            // It was left out of the statistics too.
            Err(SaeError::NonFinite { .. }) => continue,
            found => found?,
        };
        for (found, layer) in found.iter_mut().zip(layers) {
            let codes = FraCodes::new(layer, ids, &activations, reader.n_before)?;
            found.see_features(text, &codes);
            let heads: Vec<usize> = found.shown.keys().copied().collect();
            let factors = FraText::from_codes(layer, &heads, codes, &activations)?;
            found.see_pairs(text, &factors);
        }
        progress.advance("texts of the pairs".to_owned(), text + 1, n);
    }
    progress.clear();
    found.into_iter().map(|found| found.finish(reader, looked)).collect()
}

/// What a feature is called in a table, after its number.
pub(super) fn name_of(features: &BTreeMap<u32, FraFeature>, feature: u32) -> String {
    features.get(&feature).map_or_else(String::new, |found| format!(" {}", escaped(&found.label)))
}

/// What is collected of a layer.
struct OfLayer<'a> {
    shown: &'a ShownPairs,
    /// What the shrunk mean adds to the count.
    prior: f64,
    features: BTreeMap<u32, Vec<Peak>>,
    spreads: BTreeMap<(usize, u32, u32), Spread>,
    /// Number of pairs that each text has.
    n_pairs: Vec<(usize, usize)>,
}

impl<'a> OfLayer<'a> {
    fn new(shown: &'a ShownPairs, prior: f64) -> Self {
        let pairs = shown.values().flatten();
        let features: BTreeSet<u32> =
            pairs.flat_map(|pair| [pair.query_feature, pair.key_feature]).collect();
        let features = features.into_iter().map(|feature| (feature, Vec::new())).collect();
        Self { shown, prior, features, spreads: BTreeMap::new(), n_pairs: Vec::new() }
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
                activations: row[window.clone()].iter().map(|value| f64::from(*value)).collect(),
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
                    let spread = self.spreads.entry((*head, query, key)).or_default();
                    spread.n_present += 1;
                    spread.signed.add(sum - pair.sum / count * n);
                    spread.magnitudes.add(sum_abs - pair.sum_abs / (count + self.prior) * n);
                    n_pairs += 1;
                }
            }
        }
        self.n_pairs.push((text, n_pairs));
    }

    fn finish(mut self, reader: Reader<'_>, looked: Looked<'_>) -> Result<Examples> {
        let mut features = BTreeMap::new();
        for (feature, peaks) in &self.features {
            let mut words: Vec<String> = Vec::new();
            for peak in peaks {
                let token = reader.token(looked.texts[peak.text].ids[peak.position])?;
                let word = match token.trim() {
                    "" => format!("{token:?}"), // a line break is seen as one
                    word => word.to_owned(),
                };
                if !words.contains(&word) && words.len() < N_WORDS {
                    words.push(word);
                }
            }
            let text = |peak: &Peak| {
                let TextIds { row, ids } = &looked.texts[peak.text];
                let token = |position: usize| {
                    let (text, id) = (reader.token(ids[position])?, Some(i64::from(ids[position])));
                    Ok(PageToken { text, id, position })
                };
                Ok(FeatureText {
                    row: *row,
                    tokens: peak.window.clone().map(token).collect::<Result<_>>()?,
                    activations: peak.activations.clone(),
                })
            };
            let found = FraFeature {
                feature: *feature as usize,
                label: words.join("|"),
                activations: Vec::new(),
                texts: peaks.iter().take(N_TEXTS).map(text).collect::<Result<_>>()?,
            };
            features.insert(*feature, found);
        }
        let n_texts = self.n_pairs.len();
        self.n_pairs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let texts = self.n_pairs.iter().filter(|(_, n)| *n > 0).take(looked.n_pages);
        let texts = texts.map(|(text, _)| *text).collect();
        Ok(Examples { features, spreads: self.spreads, n_texts, texts })
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_metrics::ClusteredRatio;

    use super::*;

    #[test]
    fn the_texts_that_are_looked_at_lie_evenly_among_all() {
        let looked_at = |n, n_examples| -> Vec<usize> {
            (0..n).filter(|i| is_looked_at(*i, n, n_examples)).collect()
        };
        assert_eq!(looked_at(10, 4), [0, 2, 5, 7]);
        assert_eq!(looked_at(3, 200), [0, 1, 2]);
        for n_examples in 0..30 {
            assert_eq!(looked_at(23, n_examples).len(), n_examples.min(23));
        }
    }

    #[test]
    fn how_often_a_pair_occurs_is_uncertain_too() {
        // The same value once in each of 20 of 1000 texts: its mean is sure, but not the shrunk one,
        // which depends on how many texts have it.
        let (n, n_present, prior) = (1000, 20, 20.0);
        let value = 0.5;
        let (mut plain, mut shrunk) = (Residuals::default(), Residuals::default());
        let shrunk_mean = value * 20.0 / (20.0 + prior);
        for _ in 0..n_present {
            plain.add(0.0);
            shrunk.add(value - shrunk_mean);
        }
        assert!(plain.about_mean(n) <= 0.0);
        let ratio = ClusteredRatio {
            value: shrunk_mean,
            denominator: 20.0 + prior,
            n_clusters: n,
            n_sampled: n,
            n_present,
            squares: shrunk.about_mean(n),
        };
        // As many texts as a binomial draw of 20 of 1000 has, each of which moves it by 0.25 / 40.
        let deviation = (1000.0_f64 * 0.02 * 0.98).sqrt() * 0.25 / 40.0;
        let interval = ratio.interval(0.95).unwrap();
        let half = (interval.upper - interval.lower) / 2.0;
        assert!((half / deviation - 2.093).abs() < 0.01, "{}", half / deviation);
    }
}
