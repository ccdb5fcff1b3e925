//! One feature of a sparse autoencoder, as a part of its page.

use serde::{Deserialize, Serialize};

use crate::error::{check_index, check_length};
use crate::token::{Positions, Vocabulary};
use crate::{PageToken, ReportError};

/// What is known of one feature.
///
/// Serialises without its texts, which a page holds with its vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SaeFeature {
    /// Its number, below `d_sae`.
    pub feature: usize,
    /// What somebody says it stands for; may be empty.
    pub label: String,
    /// Share of tokens that it fires on, from 0 to 1.
    pub density: f64,
    /// Its largest activation.
    pub max_activation: f64,
    /// Tokens that it fires on, with the share of its activations that is theirs; may be empty,
    /// then the strongest tokens of `texts` stand for them.
    pub top_tokens: Vec<FeatureToken>,
    /// Texts with its largest activations, the largest first.
    #[serde(skip)]
    pub texts: Vec<FeatureText>,
    /// Samples from further down; may be empty.
    #[serde(skip)]
    pub quantiles: Vec<FeatureQuantile>,
    /// How often it fires how strongly, from the weakest on; may be empty.
    pub activations: Vec<ActivationBin>,
    /// Tokens whose logits its direction raises most, with what it adds to them; may be empty.
    pub raised: Vec<FeatureToken>,
    /// Tokens whose logits its direction lowers most; may be empty.
    pub lowered: Vec<FeatureToken>,
    /// Share of each head in its decoder direction, `[n_heads]`; may be empty.
    pub head_shares: Vec<f64>,
    /// From where its activation on the first text comes.
    pub attribution: Option<SourceAttribution>,
    /// Features whose decoder directions are nearest, the nearest first; may be empty.
    pub neighbours: Vec<FeatureNeighbour>,
}

/// A token with a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureToken {
    /// The token as the tokenizer decodes it, white space included.
    pub text: String,
    /// Its id, where it is known.
    pub id: Option<i64>,
    /// The number.
    pub value: f64,
}

/// A text with the activation of a feature on each token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureText {
    /// Row of the data.
    pub row: u64,
    /// The tokens.
    pub tokens: Vec<PageToken>,
    /// Activation on each token, `[pos]`.
    pub activations: Vec<f64>,
}

/// Texts on which a feature fires less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureQuantile {
    /// Which activations these are, such as `half to three quarters of the maximum`.
    pub name: String,
    /// The texts.
    pub texts: Vec<FeatureText>,
}

/// Tokens on which a feature fires alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivationBin {
    /// Lowest activation of the bin.
    pub lower: f64,
    /// Highest activation of the bin.
    pub upper: f64,
    /// Number of tokens.
    pub n: u64,
}

/// What each source position adds to the activation of a feature on one token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceAttribution {
    /// Index of the token in the first of [`SaeFeature::texts`].
    pub token: usize,
    /// What each token of that text adds, `[pos]`.
    pub values: Vec<f64>,
}

/// A feature whose decoder direction is near.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureNeighbour {
    /// Its number, below `d_sae`.
    pub feature: usize,
    /// Cosine of the two decoder directions.
    pub cosine: f64,
}

impl SaeFeature {
    pub(crate) fn check(&self, d_sae: usize) -> Result<(), ReportError> {
        let at = || format!("feature {}", self.feature);
        check_index(at, "feature", self.feature, d_sae)?;
        let quantiles = self.quantiles.iter().flat_map(|quantile| &quantile.texts);
        for text in self.texts.iter().chain(quantiles) {
            let at = || format!("feature {}, text {}", self.feature, text.row);
            check_length(at, "activations", text.activations.len(), text.tokens.len())?;
        }
        if let Some(attribution) = &self.attribution {
            let n_tokens = self.texts.first().map_or(0, |text| text.tokens.len());
            check_length(at, "attribution.values", attribution.values.len(), n_tokens)?;
            check_index(at, "attribution.token", attribution.token, n_tokens)?;
        }
        for neighbour in &self.neighbours {
            check_index(at, "neighbours.feature", neighbour.feature, d_sae)?;
        }
        Ok(())
    }
}

/// A feature as it stands in a file: tokens of texts are indices into the vocabulary of the page.
#[derive(Serialize)]
pub(crate) struct PackedFeature<'a> {
    #[serde(flatten)]
    feature: &'a SaeFeature,
    texts: Vec<PackedText<'a>>,
    quantiles: Vec<PackedQuantile<'a>>,
}

/// A text with the activations of a feature, as it stands in a file.
#[derive(Serialize)]
pub(crate) struct PackedText<'a> {
    row: u64,
    tokens: Vec<usize>,
    positions: Positions,
    activations: &'a [f64],
}

#[derive(Serialize)]
struct PackedQuantile<'a> {
    name: &'a str,
    texts: Vec<PackedText<'a>>,
}

impl<'a> PackedText<'a> {
    pub(crate) fn new(text: &'a FeatureText, vocabulary: &mut Vocabulary<'a>) -> Self {
        Self {
            row: text.row,
            tokens: vocabulary.indices(&text.tokens),
            positions: Positions::of(&text.tokens),
            activations: &text.activations,
        }
    }
}

impl<'a> PackedFeature<'a> {
    pub(crate) fn new(feature: &'a SaeFeature, vocabulary: &mut Vocabulary<'a>) -> Self {
        let mut pack = |texts: &'a [FeatureText]| -> Vec<PackedText<'a>> {
            texts.iter().map(|text| PackedText::new(text, vocabulary)).collect()
        };
        Self {
            feature,
            texts: pack(&feature.texts),
            quantiles: (feature.quantiles.iter())
                .map(|quantile| PackedQuantile {
                    name: &quantile.name,
                    texts: pack(&quantile.texts),
                })
                .collect(),
        }
    }
}
