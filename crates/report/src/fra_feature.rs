//! A feature that pairs are made of, as a part of the pages of feature-resolved attention.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::{check_finite, check_length};
use crate::sae_feature::PackedText;
use crate::token::Vocabulary;
use crate::{FeatureText, ReportError};

/// What is known of a feature that occurs in a pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FraFeature {
    /// Its number.
    pub feature: usize,
    /// What somebody says it stands for; may be empty.
    pub label: String,
    /// Its activation on each token of the text of a [`FraSamplePage`](crate::FraSamplePage),
    /// `[pos]`; may be empty.
    pub activations: Vec<f64>,
    /// Texts with its largest activations, the largest first; may be empty.
    pub texts: Vec<FeatureText>,
}

/// A feature as it stands in a file.
#[derive(Serialize)]
pub(crate) struct PackedFraFeature<'a> {
    feature: usize,
    label: &'a str,
    activations: &'a [f64],
    texts: Vec<PackedText<'a>>,
}

impl FraFeature {
    pub(crate) fn pack<'a>(&'a self, vocabulary: &mut Vocabulary<'a>) -> PackedFraFeature<'a> {
        let texts = self.texts.iter().map(|text| PackedText::new(text, vocabulary)).collect();
        let Self { feature, label, activations, .. } = self;
        PackedFraFeature { feature: *feature, label, activations, texts }
    }
}

/// Checks that features are each there once, and have a number for each token.
pub(crate) fn check_features(features: &[FraFeature], n_tokens: usize) -> Result<(), ReportError> {
    let mut seen = HashSet::new();
    for FraFeature { feature, activations, texts, .. } in features {
        let at = || format!("feature {feature}");
        if !seen.insert(*feature) {
            return Err(ReportError::Repeated { field: "features", index: *feature });
        }
        if !activations.is_empty() {
            check_length(at, "activations", activations.len(), n_tokens)?;
            check_finite(at, "activations", activations)?;
        }
        for text in texts {
            let at = || format!("feature {feature}, text {}", text.row);
            check_length(at, "activations", text.activations.len(), text.tokens.len())?;
            check_finite(at, "activations", &text.activations)?;
        }
    }
    Ok(())
}
