//! The page of one text.

use std::collections::BTreeSet;

use attention_probes_report::{
    FraEntry, FraFeature, FraSampleHead, FraSamplePage, FraSamplePair, FraTermMaps, PageToken,
};
use attention_probes_sae::fra::{
    FraMode, FraSample, FraSampleHead as HeadOfText, FraSamplePair as PairOfText, FraTerms,
    TokenFeatures,
};

use super::feature::{FraFeatures, page_feature};
use super::links::{FraLinks, file_stem};

/// The page of one text; what is known of features comes from other texts.
///
/// The heads are shown whose [`maps`](attention_probes_sae::fra::FraSampleHead::maps) were kept.
pub fn fra_sample_page(
    sample: &FraSample,
    known: &FraFeatures,
    links: FraLinks<'_>,
) -> FraSamplePage {
    let token = |(position, token): (usize, &TokenFeatures)| PageToken {
        text: token.text.clone(),
        id: Some(i64::from(token.id)),
        position,
    };
    let heads = sample.heads.iter().filter_map(|head| {
        let page = |n| format!("{}.html", file_stem(sample.layer, head.head, n));
        let corpus_page = links.n_texts.map_or_else(String::new, page);
        Some(FraSampleHead { corpus_page, ..page_head(head)? })
    });
    let layer_of_model = format!("Layer {} of {}", sample.layer, sample.model);
    let title = match links.text {
        "" => layer_of_model,
        text => format!("{layer_of_model}, {text}"),
    };
    FraSamplePage {
        title,
        model: sample.model.clone(),
        layer: sample.layer,
        hook: sample.hook.clone(),
        sae: sample.sae.clone(),
        sae_page: links.sae.to_owned(),
        published: sample.mode == FraMode::Published,
        tokens: sample.tokens.iter().enumerate().map(token).collect(),
        heads: heads.collect(),
        features: features(sample, known),
    }
}

fn page_head(head: &HeadOfText) -> Option<FraSampleHead> {
    let maps = head.maps.as_ref()?;
    let terms = |terms: &FraTerms| FraTermMaps {
        pairs: wide(&terms.pairs),
        query_features: wide(&terms.query_features),
        key_features: wide(&terms.key_features),
        rest: wide(&terms.rest),
    };
    Some(FraSampleHead {
        head: head.head,
        corpus_page: String::new(),
        pattern: wide(&maps.pattern),
        window: maps.window,
        terms: maps.terms.as_ref().map(terms),
        largest_error: head.identity.as_ref().map(|identity| identity.largest_difference),
        induction_score: head.induction_score,
        pairs: head.pairs.iter().map(page_pair).collect(),
    })
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn page_pair(PairOfText { pair, entries }: &PairOfText) -> FraSamplePair {
    let entry = |(query_pos, key_pos, value): &(usize, usize, f32)| FraEntry {
        query_pos: *query_pos,
        key_pos: *key_pos,
        value: f64::from(*value),
    };
    FraSamplePair {
        query_feature: pair.query_feature as usize,
        key_feature: pair.key_feature as usize,
        sum: pair.sum,
        sum_abs: pair.sum_abs,
        entries: entries.iter().map(entry).collect(),
    }
}

/// Features of the pairs that are shown, with their activations.
fn features(sample: &FraSample, known: &FraFeatures) -> Vec<FraFeature> {
    let pairs = sample.heads.iter().flat_map(|head| &head.pairs);
    let shown: BTreeSet<u32> =
        pairs.flat_map(|of| [of.pair.query_feature, of.pair.key_feature]).collect();
    let on = |token: &TokenFeatures, feature: u32| {
        let active = token.features.iter().find(|(active, _)| *active == feature);
        active.map_or(0.0, |(_, value)| f64::from(*value))
    };
    let feature = |feature: u32| FraFeature {
        activations: sample.tokens.iter().map(|token| on(token, feature)).collect(),
        ..page_feature(feature, known.get(&feature))
    };
    shown.into_iter().map(feature).collect()
}
