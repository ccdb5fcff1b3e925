//! The scores of one text, by pairs of features.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::text_features::TokenFeatures;
use super::text_reading::FraReading;
use crate::SaeError;
use crate::fra::codes::FraCodes;
use crate::fra::mode::FraMode;
use crate::fra::output::FraSource;
use crate::fra::pairs::{FraPair, FraRank, FraShownPairs, FraStatistics, FraStatisticsConfig};
use crate::fra::terms::FraTerms;
use crate::fra::text::{FraHead, FraText};

/// What is asked of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FraSampleConfig {
    /// Pairs and sources of each head.
    pub n_top: usize,
    /// Pairs that are resolved too where they occur, by head.
    pub also: FraShownPairs,
    /// What the autoencoder is called.
    pub sae: String,
    /// Whether pattern and terms of every query and key are kept ([`FraSampleHead::maps`]).
    pub maps: bool,
}

/// One text, whose scores are resolved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraSample {
    /// Whether everything adds up to the scores.
    pub mode: FraMode,
    /// Name of the model.
    pub model: String,
    /// What the autoencoder is called.
    pub sae: String,
    /// The hook that it reads.
    pub hook: String,
    /// The layer whose scores these are.
    pub layer: usize,
    /// Tokens with their features, each with what its direction is multiplied by.
    pub tokens: Vec<TokenFeatures>,
    /// The heads, in the order in which they were asked for.
    pub heads: Vec<FraSampleHead>,
    /// Version of this library.
    pub library_version: &'static str,
    /// Whether no pair was dropped because memory was full.
    #[serde(skip)]
    pub is_exact: bool,
}

/// One head of one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraSampleHead {
    /// The head.
    pub head: usize,
    /// Number of values: pairs of active features at a query and a key that it sees.
    pub n_values: u64,
    /// Number of pairs of features.
    pub n_pairs: usize,
    /// How the scores add up; not for [`FraMode::Published`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<FraIdentity>,
    /// Mean attention to where an induction head looks; `None` if no token occurs twice.
    pub induction_score: Option<f64>,
    /// The strongest pairs by the sum of magnitudes, then the others that were asked for.
    pub pairs: Vec<FraSamplePair>,
    /// Features by how much of the head's output they make; not for [`FraMode::Published`].
    pub sources: Vec<FraSource>,
    /// Every query with every key, if that was asked for.
    #[serde(skip)]
    pub maps: Option<FraSampleMaps>,
}

/// The four terms compared with the model's own score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraIdentity {
    /// Largest difference between the sum of the terms and the score.
    pub largest_difference: f64,
    /// Mean magnitude of the scores.
    pub score: f64,
    /// Mean magnitude of each term.
    pub terms: BTreeMap<&'static str, f64>,
}

/// A pair with every value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraSamplePair {
    /// Its figures in this text.
    #[serde(flatten)]
    pub pair: FraPair,
    /// Query, key, and value.
    pub entries: Vec<(usize, usize, f32)>,
}

/// What a head makes of every query with every key, each `[n_positions, n_positions]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FraSampleMaps {
    /// Attention.
    pub pattern: Vec<f32>,
    /// The four terms of the scores; not for [`FraMode::Published`].
    pub terms: Option<FraTerms>,
    /// Number of keys that a query sees, itself among them; `None` if all before it.
    pub window: Option<usize>,
}

impl FraReading<'_> {
    /// Resolves the scores of the heads that the text was read for.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if the text was read for no head, or for one twice.
    ///
    /// # Memory
    ///
    /// Up to 1 GiB for the pairs; beyond, the smallest are dropped ([`FraSample::is_exact`]). With
    /// [`FraSampleConfig::maps`] 20 bytes for each head, query, and key.
    pub fn sample(&self, config: &FraSampleConfig) -> Result<FraSample, SaeError> {
        let (layer, text) = (self.layer, &self.text);
        let heads: Vec<usize> = text.heads().collect();
        let of_pairs = FraStatisticsConfig { heads: heads.clone(), ..Default::default() };
        let mut statistics = FraStatistics::new(layer, of_pairs)?;
        statistics.add_codes(layer, text.codes().clone(), &self.activations)?;
        let strongest = statistics.top(layer, &[FraRank::Sum], config.n_top)?;
        let mut found = Vec::new();
        for (place, mut strongest) in strongest.into_iter().enumerate() {
            let number = strongest.head;
            let head = self.head(number)?;
            let exact = layer.mode() == FraMode::Exact;
            let sources = if exact {
                self.output(number)?.sources().into_iter().take(config.n_top).collect()
            } else {
                Vec::new()
            };
            let features = |pair: &FraPair| (pair.query_feature, pair.key_feature);
            let mut pairs = strongest.top.swap_remove(0);
            let known: HashSet<(u32, u32)> = pairs.iter().map(features).collect();
            let also = config.also.get(&number).into_iter().flatten().map(features);
            let also = also.filter(|features| !known.contains(features));
            pairs.extend(also.filter_map(|features| of_text(features, &head, text.codes())));
            let terms = if exact { Some(head.terms()?) } else { None };
            let identity = terms.as_ref().map(|terms| self.identity(&head, number, terms));
            found.push(FraSampleHead {
                head: number,
                n_values: n_values(&head, text),
                n_pairs: strongest.n_pairs,
                identity: identity.transpose()?,
                induction_score: statistics.induction_score(place),
                pairs: pairs.into_iter().map(|pair| with_entries(pair, &head)).collect(),
                sources,
                maps: if config.maps { Some(self.maps(number, terms)?) } else { None },
            });
        }
        Ok(FraSample {
            mode: layer.mode(),
            model: self.model.clone(),
            sae: config.sae.clone(),
            hook: layer.hook().to_string(),
            layer: layer.layer(),
            tokens: self.features().tokens.clone(),
            heads: found,
            library_version: env!("CARGO_PKG_VERSION"),
            is_exact: (0..heads.len()).all(|place| statistics.is_exact(place)),
        })
    }

    fn maps(&self, head: usize, terms: Option<FraTerms>) -> Result<FraSampleMaps, SaeError> {
        let (pattern, window) = (self.pattern(head)?.to_vec(), self.layer.weights().window);
        Ok(FraSampleMaps { pattern, terms, window })
    }

    /// The four terms compared with the score that the model has.
    fn identity(
        &self,
        head: &FraHead<'_>,
        number: usize,
        terms: &FraTerms,
    ) -> Result<FraIdentity, SaeError> {
        let n = head.n_positions();
        let scores = self.scores(number)?;
        let cap = |sum: f32| match self.layer.weights().softcap {
            Some(cap) => cap as f32 * (sum / cap as f32).tanh(),
            None => sum,
        };
        let sums = terms.scores();
        let seen: Vec<usize> = (0..n * n).filter(|i| head.sees(i / n, i % n)).collect();
        let difference = |i: &usize| f64::from((cap(sums[*i]) - scores[*i]).abs());
        let mean = |values: &[f32]| {
            seen.iter().map(|i| f64::from(values[*i].abs())).sum::<f64>() / seen.len() as f64
        };
        Ok(FraIdentity {
            largest_difference: seen.iter().map(difference).fold(0.0, f64::max),
            score: mean(scores),
            terms: BTreeMap::from([
                ("pairs", mean(&terms.pairs)),
                ("query_features_with_rest", mean(&terms.query_features)),
                ("rest_with_key_features", mean(&terms.key_features)),
                ("rest", mean(&terms.rest)),
            ]),
        })
    }
}

/// Pairs of active features at queries and the keys that they see.
fn n_values(head: &FraHead<'_>, text: &FraText) -> u64 {
    let n_active = |position: usize| text.codes().position(position).0.len() as u64;
    let of_query = |query: usize| {
        let keys = (0..=query).filter(|key| head.sees(query, *key));
        n_active(query) * keys.map(n_active).sum::<u64>()
    };
    (0..head.n_positions()).map(of_query).sum()
}

/// What one text says of a pair; `None` if it does not occur.
fn of_text(
    (query_feature, key_feature): (u32, u32),
    head: &FraHead<'_>,
    codes: &FraCodes,
) -> Option<FraPair> {
    let values = head.pair_values(query_feature, key_feature);
    let sum_of = |of: &dyn Fn(usize, usize, f64) -> f64| -> f64 {
        values.iter().map(|(query, key, value)| of(*query, *key, f64::from(*value))).sum()
    };
    let sum_abs = sum_of(&|_, _, value| value.abs());
    let is_induction = |query, key| codes.induction_target(query) == Some(key);
    let share = |part: f64| if sum_abs > 0.0 { part / sum_abs } else { 0.0 };
    (!values.is_empty()).then(|| FraPair {
        query_feature,
        key_feature,
        score: sum_abs,
        sum: sum_of(&|_, _, value| value),
        sum_abs,
        count: values.len() as u32,
        max: values.iter().map(|(_, _, value)| f64::from(value.abs())).fold(0.0, f64::max),
        mean_distance: share(sum_of(&|query, key, value| value.abs() * (query - key) as f64)),
        induction: share(sum_of(&|query, key, value| {
            if is_induction(query, key) { value.abs() } else { 0.0 }
        })),
        missed: 0.0,
    })
}

fn with_entries(pair: FraPair, head: &FraHead<'_>) -> FraSamplePair {
    FraSamplePair { pair, entries: head.pair_values(pair.query_feature, pair.key_feature) }
}
