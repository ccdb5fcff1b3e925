//! Feature-resolved attention over many texts.

use std::collections::HashSet;

use attention_probes_metrics::SelfInteractions;
use serde::{Deserialize, Serialize};

use crate::document::{Template, render};
use crate::error::{check_finite, check_index};
use crate::fra_feature::{PackedFraFeature, check_features};
use crate::link::check_link;
use crate::token::Vocabulary;
use crate::{Estimate, FraFeature, ReportError};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/fra_corpus.html"),
    style: concat!(
        include_str!("../templates/token_text.css"),
        include_str!("../templates/bars.css"),
        include_str!("../templates/dots.css"),
        include_str!("../templates/feature_texts.css"),
        include_str!("../templates/fra.css"),
        include_str!("../templates/fra_corpus.css"),
    ),
    script: concat!(
        include_str!("../templates/token_text.js"),
        include_str!("../templates/bars.js"),
        include_str!("../templates/dots.js"),
        include_str!("../templates/feature_texts.js"),
        include_str!("../templates/fra.js"),
        include_str!("../templates/fra_corpus.js"),
        include_str!("../templates/fra_table.js"),
        include_str!("../templates/fra_corpus_start.js"),
    ),
    has_charts: true,
};

/// Pairs of features of several heads, over many texts.
///
/// Serialises without its features, whose texts a page holds with its vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FraCorpusPage {
    /// Heading of the page.
    pub title: String,
    /// Model whose heads these are.
    pub model: String,
    /// Layer of the heads.
    pub layer: usize,
    /// Where the features are read, such as `blocks.5.ln1.hook_normalized`.
    pub hook: String,
    /// What the autoencoder is called; may be empty.
    pub sae: String,
    /// Page of the autoencoder, relative to this one, whose `#f12` leads to feature 12; may be
    /// empty.
    pub sae_page: String,
    /// Whether the numbers are what the first code computed, which are no parts of the scores.
    pub published: bool,
    /// Number of texts.
    pub n_texts: usize,
    /// Number of their tokens.
    pub n_tokens: u64,
    /// What the shrunk mean is, such as `sum of magnitudes over count + 10`; may be empty.
    pub shrinkage: String,
    /// Heads of the layer, each once, in the order of the switch; at least one with its pairs here.
    pub heads: Vec<FraCorpusHead>,
    /// What is known of the features; those of a pair may be absent.
    #[serde(skip)]
    pub features: Vec<FraFeature>,
    /// Pages of single texts.
    pub samples: Vec<FraSampleLink>,
    /// The resolved configuration; may be empty.
    pub config: String,
}

/// One head over all texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FraCorpusHead {
    /// Its number.
    pub head: usize,
    /// Page of its pairs, relative to this one; empty if they are on this one.
    pub page: String,
    /// Share of attention that is on the token behind an earlier occurrence of the query's token.
    pub induction_score: Option<Estimate>,
    /// Number of pairs that occur, or of those that were kept.
    pub n_pairs: u64,
    /// How often pairs were dropped because memory was full.
    pub n_dropped: u64,
    /// No pair that is missing has a larger sum of magnitudes; 0 if none is.
    pub largest_missing: f64,
    /// Sum of the magnitudes of all that were kept.
    pub sum_abs: f64,
    /// Share of that sum where an induction head looks.
    pub induction: f64,
    /// The pairs that are shown, the strongest first, each once.
    pub pairs: Vec<FraCorpusPair>,
    /// Features that interact with themselves, beside nulls.
    pub self_interactions: Option<SelfInteractions>,
}

/// A pair of features over all texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FraCorpusPair {
    /// The feature at the query.
    pub query_feature: usize,
    /// The feature at the key.
    pub key_feature: usize,
    /// How often both are active, the key seen by the query.
    pub count: u64,
    /// Sum of what it adds to the scores, with its sign.
    pub sum: f64,
    /// Mean of that over its occurrences.
    pub mean: Estimate,
    /// Mean magnitude, drawn to 0 where the pair is rare.
    pub shrunk_mean: Estimate,
    /// Largest magnitude.
    pub max: f64,
    /// Distance from query to key in tokens, weighed by magnitude.
    pub mean_distance: f64,
    /// Share of its magnitudes where an induction head looks.
    pub induction: f64,
    /// What the sum of magnitudes may lack, because the pair was out of sight before; 0 if nothing.
    pub missed: f64,
    /// Pages on which it is shown, indices of [`FraCorpusPage::samples`].
    pub samples: Vec<usize>,
}

/// The page of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraSampleLink {
    /// What the text is called, such as its row.
    pub name: String,
    /// Its page, relative to this one.
    pub page: String,
}

impl FraCorpusPage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// - [`ReportError::NonFinite`] if a number is NaN or infinite
    /// - [`ReportError::Length`] if a feature has activations on a text, which there is none of
    /// - [`ReportError::Index`] if a pair names a sample that there is not, or more of the strongest
    ///   pairs are of a feature with itself than there are
    /// - [`ReportError::Repeated`] if a head or a feature is listed twice
    /// - [`ReportError::RepeatedPair`] if a pair is listed twice
    /// - [`ReportError::Link`] if an address is not relative
    pub fn to_html(&self) -> Result<String, ReportError> {
        let page = || "page".to_owned();
        check_link(page, "sae_page", &self.sae_page)?;
        for sample in &self.samples {
            check_link(|| format!("sample `{}`", sample.name), "page", &sample.page)?;
        }
        check_features(&self.features, 0)?;
        let mut heads = HashSet::new();
        for head in &self.heads {
            if !heads.insert(head.head) {
                return Err(ReportError::Repeated { field: "heads", index: head.head });
            }
            head.check(self.samples.len())?;
        }
        render(&TEMPLATE, &self.title, &PackedPage::new(self))
    }
}

impl FraCorpusHead {
    fn check(&self, n_samples: usize) -> Result<(), ReportError> {
        let at = || format!("head {}", self.head);
        check_link(at, "page", &self.page)?;
        if let Some(score) = &self.induction_score {
            check_estimate(at, "induction_score", score)?;
        }
        check_finite(at, "sum_abs", &[self.sum_abs])?;
        check_finite(at, "induction", &[self.induction])?;
        let mut pairs = HashSet::new();
        for pair in &self.pairs {
            let features = (pair.query_feature, pair.key_feature);
            if !pairs.insert(features) {
                return Err(ReportError::RepeatedPair { at: at(), pair: features });
            }
            pair.check(self.head, n_samples)?;
        }
        let Some(found) = &self.self_interactions else { return Ok(()) };
        check_index(at, "n_self", found.n_self, found.n_pairs + 1)?;
        check_finite(at, "other_heads", &found.other_heads)?;
        let share = Estimate::from((found.share, found.share_interval));
        let matched = Estimate::from((found.count_matched, found.count_matched_interval));
        check_estimate(at, "share", &share)?;
        check_estimate(at, "count_matched", &matched)?;
        found.permuted.map_or(Ok(()), |value| {
            let interval = found.permuted_interval;
            check_estimate(at, "permuted", &Estimate { value, interval })
        })
    }
}

impl FraCorpusPair {
    fn check(&self, head: usize, n_samples: usize) -> Result<(), ReportError> {
        let Self { query_feature, key_feature, .. } = self;
        let at = || format!("head {head}, pair {query_feature} and {key_feature}");
        let numbers = [
            ("sum", self.sum),
            ("max", self.max),
            ("mean_distance", self.mean_distance),
            ("induction", self.induction),
            ("missed", self.missed),
        ];
        for (field, value) in numbers {
            check_finite(at, field, &[value])?;
        }
        check_estimate(at, "mean", &self.mean)?;
        check_estimate(at, "shrunk_mean", &self.shrunk_mean)?;
        self.samples.iter().try_for_each(|sample| check_index(at, "samples", *sample, n_samples))
    }
}

fn check_estimate(
    at: impl Fn() -> String,
    field: &'static str,
    estimate: &Estimate,
) -> Result<(), ReportError> {
    check_finite(&at, field, &[estimate.value])?;
    match estimate.interval {
        Some(interval) => check_finite(at, field, &[interval.lower, interval.upper]),
        None => Ok(()),
    }
}

/// A page as it stands in its file.
#[derive(Serialize)]
struct PackedPage<'a> {
    #[serde(flatten)]
    page: &'a FraCorpusPage,
    /// Text and id of each token of a feature's texts, in the order of their first occurrence.
    vocabulary: Vec<(&'a str, Option<i64>)>,
    features: Vec<PackedFraFeature<'a>>,
}

impl<'a> PackedPage<'a> {
    fn new(page: &'a FraCorpusPage) -> Self {
        let mut vocabulary = Vocabulary::default();
        let features = page.features.iter().map(|feature| feature.pack(&mut vocabulary)).collect();
        Self { page, vocabulary: vocabulary.into_entries(), features }
    }
}
