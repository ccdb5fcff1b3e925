//! Feature-resolved attention of one text.

use std::collections::HashSet;

use serde::{Deserialize, Serialize, Serializer};

use crate::document::{Template, render};
use crate::error::{check_finite, check_index};
use crate::fra_feature::{PackedFraFeature, check_features};
use crate::fra_terms::{PackedTerms, check_map, triangle};
use crate::link::check_link;
use crate::token::{Positions, Vocabulary};
use crate::{FraFeature, FraTermMaps, PageToken, ReportError};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/fra_sample.html"),
    style: concat!(
        include_str!("../templates/token_text.css"),
        include_str!("../templates/bars.css"),
        include_str!("../templates/feature_texts.css"),
        include_str!("../templates/fra.css"),
        include_str!("../templates/fra_sample.css"),
    ),
    script: concat!(
        include_str!("../templates/token_text.js"),
        include_str!("../templates/bars.js"),
        include_str!("../templates/feature_texts.js"),
        include_str!("../templates/fra.js"),
        include_str!("../templates/fra_sample.js"),
        include_str!("../templates/fra_score.js"),
        include_str!("../templates/fra_pairs.js"),
        include_str!("../templates/fra_map.js"),
        include_str!("../templates/fra_sample_start.js"),
    ),
    has_charts: true,
};

/// One text: what its tokens look at, and which pairs of features make them.
///
/// Serialises without its tokens, heads, and features, which a page holds in fewer characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FraSamplePage {
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
    /// The text.
    #[serde(skip)]
    pub tokens: Vec<PageToken>,
    /// Heads of the layer, each once, in the order of the switch.
    #[serde(skip)]
    pub heads: Vec<FraSampleHead>,
    /// What is known of the features; those of a pair may be absent.
    #[serde(skip)]
    pub features: Vec<FraFeature>,
}

/// One head on a text.
///
/// Serialises without its maps, of which a page holds one half.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FraSampleHead {
    /// Its number.
    pub head: usize,
    /// Page of its pairs over many texts, relative to this one; may be empty.
    pub corpus_page: String,
    /// Attention after the softmax, `[query_pos, key_pos]`, row-major; what lies above the diagonal
    /// is not looked at.
    #[serde(skip)]
    pub pattern: Vec<f64>,
    /// Number of keys that a query sees at most, itself and those before it; `None` if it sees all.
    pub window: Option<usize>,
    /// The parts of the scores; `None` where there are none, as in what the first code computed.
    #[serde(skip)]
    pub terms: Option<FraTermMaps>,
    /// Largest difference between the sum of the parts and the model's own scores, if it was taken.
    pub largest_error: Option<f64>,
    /// Share of attention that is on the token behind an earlier occurrence of the query's token.
    pub induction_score: Option<f64>,
    /// Pairs of features, the strongest first, each once.
    pub pairs: Vec<FraSamplePair>,
}

/// A pair of features on a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FraSamplePair {
    /// The feature at the query.
    pub query_feature: usize,
    /// The feature at the key.
    pub key_feature: usize,
    /// Sum of what it adds to the scores, over all queries and keys.
    pub sum: f64,
    /// Sum of the magnitudes of that.
    pub sum_abs: f64,
    /// What it adds to single scores, each place once.
    #[serde(serialize_with = "serialize_by_query")]
    pub entries: Vec<FraEntry>,
}

/// What a pair adds to one score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FraEntry {
    /// Position of the query, an index of the tokens.
    pub query_pos: usize,
    /// Position of the key, at most that of the query.
    pub key_pos: usize,
    /// What is added to the score.
    pub value: f64,
}

impl FraSamplePage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// - [`ReportError::Length`] if a map has not one number for each query and key, or a feature not
    ///   one for each token
    /// - [`ReportError::NonFinite`] if a number is NaN or infinite
    /// - [`ReportError::Index`] if a position is not one of the text, or a key is behind its query
    /// - [`ReportError::Repeated`] if a head or a feature is listed twice
    /// - [`ReportError::RepeatedPair`] if a pair or one of its places is listed twice
    /// - [`ReportError::Link`] if an address is not relative
    pub fn to_html(&self) -> Result<String, ReportError> {
        let page = || "page".to_owned();
        check_link(page, "sae_page", &self.sae_page)?;
        let n_tokens = self.tokens.len();
        check_features(&self.features, n_tokens)?;
        let mut heads = HashSet::new();
        for head in &self.heads {
            if !heads.insert(head.head) {
                return Err(ReportError::Repeated { field: "heads", index: head.head });
            }
            head.check(n_tokens)?;
        }
        render(&TEMPLATE, &self.title, &PackedPage::new(self))
    }
}

impl FraSampleHead {
    fn check(&self, n_tokens: usize) -> Result<(), ReportError> {
        let at = || format!("head {}", self.head);
        check_link(at, "corpus_page", &self.corpus_page)?;
        check_map(at, "pattern", &self.pattern, n_tokens)?;
        if let Some(terms) = &self.terms {
            terms.check(at, n_tokens)?;
        }
        check_finite(at, "largest_error", self.largest_error.as_slice())?;
        check_finite(at, "induction_score", self.induction_score.as_slice())?;
        let mut pairs = HashSet::new();
        for pair in &self.pairs {
            let features = (pair.query_feature, pair.key_feature);
            let at = || format!("head {}, pair {} and {}", self.head, features.0, features.1);
            if !pairs.insert(features) {
                return Err(ReportError::RepeatedPair {
                    at: format!("head {}", self.head),
                    pair: features,
                });
            }
            check_finite(at, "sum", &[pair.sum, pair.sum_abs])?;
            let mut places = HashSet::new();
            for entry in &pair.entries {
                check_index(at, "query_pos", entry.query_pos, n_tokens)?;
                check_index(at, "key_pos", entry.key_pos, entry.query_pos + 1)?;
                check_finite(at, "entries", &[entry.value])?;
                if !places.insert((entry.query_pos, entry.key_pos)) {
                    let pair = (entry.query_pos, entry.key_pos);
                    return Err(ReportError::RepeatedPair { at: at(), pair });
                }
            }
        }
        Ok(())
    }
}

/// A page as it stands in its file.
#[derive(Serialize)]
struct PackedPage<'a> {
    #[serde(flatten)]
    page: &'a FraSamplePage,
    /// Text and id of each token, in the order of their first occurrence.
    vocabulary: Vec<(&'a str, Option<i64>)>,
    tokens: Vec<usize>,
    positions: Positions,
    heads: Vec<PackedHead<'a>>,
    features: Vec<PackedFraFeature<'a>>,
}

#[derive(Serialize)]
struct PackedHead<'a> {
    #[serde(flatten)]
    head: &'a FraSampleHead,
    /// The lower triangle, row by row.
    pattern: Vec<f64>,
    terms: Option<PackedTerms>,
}

impl<'a> PackedPage<'a> {
    fn new(page: &'a FraSamplePage) -> Self {
        let mut vocabulary = Vocabulary::default();
        let tokens = vocabulary.indices(&page.tokens);
        let features = page.features.iter().map(|feature| feature.pack(&mut vocabulary)).collect();
        let head = |head: &'a FraSampleHead| PackedHead {
            head,
            pattern: triangle(&head.pattern, page.tokens.len()),
            terms: head.terms.as_ref().map(|terms| terms.pack(page.tokens.len(), head.window)),
        };
        Self {
            page,
            tokens,
            positions: Positions::of(&page.tokens),
            heads: page.heads.iter().map(head).collect(),
            features,
            vocabulary: vocabulary.into_entries(),
        }
    }
}

/// Writes places [`by_query`].
fn serialize_by_query<S: Serializer>(
    entries: &[FraEntry],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    by_query(entries).serialize(serializer)
}

/// Places of a pair by query, in rising order: its keys in rising order, and the values there. It
/// takes less room than one by one.
fn by_query(entries: &[FraEntry]) -> Vec<(usize, Vec<usize>, Vec<f64>)> {
    let mut entries: Vec<&FraEntry> = entries.iter().collect();
    entries.sort_by_key(|entry| (entry.query_pos, entry.key_pos));
    let rows = entries.chunk_by(|a, b| a.query_pos == b.query_pos);
    let row = |row: &[&FraEntry]| {
        let keys = row.iter().map(|entry| entry.key_pos).collect();
        (row[0].query_pos, keys, row.iter().map(|entry| entry.value).collect())
    };
    rows.map(row).collect()
}
