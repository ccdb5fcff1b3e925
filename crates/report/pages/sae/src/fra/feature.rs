//! Features of pairs on pages.

use std::collections::BTreeMap;

use attention_probes_report::{FeatureText, FraFeature, PageToken};
use attention_probes_sae::fra::{FraFeatureText, FraFeatureTexts};

/// What is known of features by other texts, [`FraExamples::features`].
///
/// [`FraExamples::features`]: attention_probes_sae::fra::FraExamples::features
pub type FraFeatures = BTreeMap<u32, FraFeatureTexts>;

/// A feature without activations on the text of a page.
pub(super) fn page_feature(feature: u32, known: Option<&FraFeatureTexts>) -> FraFeature {
    FraFeature {
        feature: feature as usize,
        label: known.map_or_else(String::new, |known| known.label.clone()),
        activations: Vec::new(),
        texts: known.map_or_else(Vec::new, |known| known.texts.iter().map(page_text).collect()),
    }
}

fn page_text(text: &FraFeatureText) -> FeatureText {
    let token = |(position, (text, id)): (usize, &(String, u32))| PageToken {
        text: text.clone(),
        id: Some(i64::from(*id)),
        position,
    };
    FeatureText {
        row: text.row,
        tokens: (text.first..).zip(&text.tokens).map(token).collect(),
        activations: text.activations.iter().map(|value| f64::from(*value)).collect(),
    }
}
