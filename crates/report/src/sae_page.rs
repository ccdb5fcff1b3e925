//! A sparse autoencoder and its features.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::densities::DensityHistogram;
use crate::document::{Template, render};
use crate::error::check_length;
use crate::sae_feature::PackedFeature;
use crate::thinned::serialize_thinned;
use crate::token::Vocabulary;
use crate::{Estimate, LayerWeights, ReportError, SaeFeature};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/sae.html"),
    style: concat!(
        include_str!("../templates/token_text.css"),
        include_str!("../templates/bars.css"),
        include_str!("../templates/feature_texts.css"),
        include_str!("../templates/sae.css"),
    ),
    script: concat!(
        include_str!("../templates/token_text.js"),
        include_str!("../templates/bars.js"),
        include_str!("../templates/layer_weights.js"),
        include_str!("../templates/feature_texts.js"),
        include_str!("../templates/sae.js"),
        include_str!("../templates/sae_list.js"),
        include_str!("../templates/sae_feature.js"),
        include_str!("../templates/sae_start.js"),
    ),
    has_charts: true,
};

/// A sparse autoencoder: how it was trained, how often its features fire, and what some are.
///
/// Serialises without its densities and features, which a page holds in fewer characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SaePage {
    /// Heading of the page.
    pub title: String,
    /// What the autoencoder is, and how good.
    pub sae: SaeSummary,
    /// The resolved configuration, TOML; may be empty.
    pub config: String,
    /// Its folder in the form of `SAELens`, relative to that of the page; may be empty.
    pub file: String,
    /// How the training went, from the first step on; may be empty.
    #[serde(serialize_with = "serialize_thinned")]
    pub training: Vec<SaeTrainingPoint>,
    /// Share of tokens that each feature fires on, `[d_sae]`, 0 of one that never does; may be
    /// empty.
    #[serde(skip)]
    pub densities: Vec<f64>,
    /// The features that are shown, each once, in the order of the list.
    #[serde(skip)]
    pub features: Vec<SaeFeature>,
    /// How attention guided the training, where it did.
    pub guidance: Option<SaeGuidance>,
}

/// What an autoencoder is, and how good; a number that is not known is NaN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SaeSummary {
    /// Its architecture, such as `topk`.
    pub architecture: String,
    /// Model whose activations it reads.
    pub model: String,
    /// Where it reads them, such as `blocks.5.attn.hook_z`.
    pub hook: String,
    /// Width of the activations.
    pub d_in: usize,
    /// Number of features.
    pub d_sae: usize,
    /// Number of features that may fire on a token, where the architecture fixes it.
    pub k: Option<usize>,
    /// Mean number of features that fire on a token.
    pub l0: Estimate,
    /// Share of the variance that is not explained.
    pub fvu: Estimate,
    /// Share of the cross-entropy that the model keeps, between none when the activations are put
    /// to zero and all when they are left alone.
    pub ce_loss_score: Estimate,
    /// Number of features that never fire.
    pub n_dead: Option<usize>,
    /// Number of tokens that it was trained on.
    pub n_training_tokens: u64,
    /// Number of tokens that densities and activations were counted on.
    pub n_evaluation_tokens: u64,
    /// Version of the library that trained it; may be empty.
    pub library_version: String,
}

/// Numbers of one step of a training; NaN where one is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SaeTrainingPoint {
    /// The step.
    pub step: u64,
    /// Loss of the step.
    pub loss: f64,
    /// Mean number of features that fire on a token.
    pub l0: f64,
    /// Share of the variance that is not explained.
    pub fvu: f64,
    /// Share of features that have not fired for long.
    pub dead_share: f64,
}

/// How attention of several layers guided a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SaeGuidance {
    /// Weight of each layer, step by step.
    pub weights: LayerWeights,
    /// What each layer contributed in the end, `[n_layers]`; may be empty.
    pub contributions: Vec<f64>,
    /// What a contribution is, in words; may be empty.
    pub contribution_note: String,
}

impl SaePage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// - [`ReportError::Length`] if a list does not fit what it describes
    /// - [`ReportError::Index`] if a feature or token is not below their number
    /// - [`ReportError::Repeated`] if a feature is listed twice
    pub fn to_html(&self) -> Result<String, ReportError> {
        let page = || "autoencoder".to_owned();
        let d_sae = self.sae.d_sae;
        if !self.densities.is_empty() {
            check_length(page, "densities", self.densities.len(), d_sae)?;
        }
        let n_heads = self.features.iter().map(|f| f.head_shares.len()).max().unwrap_or(0);
        let mut seen = HashSet::new();
        for feature in &self.features {
            feature.check(d_sae)?;
            let number = feature.feature;
            if !seen.insert(number) {
                return Err(ReportError::Repeated { field: "features", index: number });
            }
            if !feature.head_shares.is_empty() {
                let at = || format!("feature {number}");
                check_length(at, "head_shares", feature.head_shares.len(), n_heads)?;
            }
        }
        if let Some(guidance) = &self.guidance {
            guidance.weights.check(page)?;
            let (n, n_layers) = (guidance.contributions.len(), guidance.weights.layers.len());
            if n > 0 {
                check_length(page, "contributions", n, n_layers)?;
            }
        }
        render(&TEMPLATE, &self.title, &PackedPage::new(self))
    }
}

/// A page as it stands in its file.
#[derive(Serialize)]
struct PackedPage<'a> {
    #[serde(flatten)]
    page: &'a SaePage,
    densities: DensityHistogram,
    /// Text and id of each token of a text, in the order of their first occurrence.
    vocabulary: Vec<(&'a str, Option<i64>)>,
    features: Vec<PackedFeature<'a>>,
}

impl<'a> PackedPage<'a> {
    fn new(page: &'a SaePage) -> Self {
        let mut vocabulary = Vocabulary::default();
        let features = page.features.iter();
        let features = features.map(|f| PackedFeature::new(f, &mut vocabulary)).collect();
        let densities = DensityHistogram::new(&page.densities);
        Self { page, densities, vocabulary: vocabulary.into_entries(), features }
    }
}
