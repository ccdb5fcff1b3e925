//! The pages of feature-resolved attention.

use std::collections::BTreeSet;

use attention_probes_models::HookPoint;
use attention_probes_report::{
    FraCorpusHead, FraCorpusPage, FraCorpusPair, FraEntry, FraFeature, FraSampleHead,
    FraSamplePage, FraSamplePair, FraSelfInteractions, FraTermMaps, PageToken,
};
use attention_probes_sae::fra::{FraActivations, FraHead, FraLayer, FraPair, FraTerms, FraText};

use super::report::HeadReport;
use super::sample::{SampleHead, SamplePair, SampleReport};

/// Places of a pair that a page shows, the strongest.
const N_ENTRIES: usize = 400;

/// The page of one text.
pub(super) fn of_sample(
    report: &SampleReport,
    layer: &FraLayer<'_>,
    text: &FraText,
    activations: &FraActivations,
) -> FraSamplePage {
    let token = |(position, token): (usize, &super::sample::SampleToken)| PageToken {
        text: token.text.clone(),
        id: Some(i64::from(token.id)),
        position,
    };
    let heads = report
        .heads
        .iter()
        .filter_map(|head| Some(sample_head(head, layer, &text.head(head.head)?, activations)));
    FraSamplePage {
        title: format!("Layer {} of {}", report.layer, report.model),
        model: report.model.clone(),
        layer: report.layer,
        hook: report.hook.clone(),
        sae: report.sae.clone(),
        sae_page: String::new(),
        corpus_page: String::new(),
        published: layer.is_published(),
        tokens: report.tokens.iter().enumerate().map(token).collect(),
        heads: heads.collect(),
        features: features(report),
    }
}

fn sample_head(
    head: &SampleHead,
    layer: &FraLayer<'_>,
    factors: &FraHead<'_>,
    activations: &FraActivations,
) -> FraSampleHead {
    let n = factors.n_positions();
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let pattern = activations.get(&HookPoint::Pattern(layer.layer()));
    let pattern = pattern.map_or(&[][..], |all| &all[head.head * n * n..(head.head + 1) * n * n]);
    let maps = |terms: &FraTerms| FraTermMaps {
        pairs: wide(&terms.pairs),
        query_features: wide(&terms.query_features),
        key_features: wide(&terms.key_features),
        rest: wide(&terms.rest),
    };
    FraSampleHead {
        head: head.head,
        pattern: wide(pattern),
        window: layer.weights().window,
        terms: head.identity.as_ref().map(|_| maps(&factors.terms())),
        largest_error: head.identity.as_ref().map(|identity| identity.largest_difference),
        induction_score: head.induction_score,
        pairs: head.pairs.iter().map(sample_pair).collect(),
    }
}

fn sample_pair(SamplePair { pair, cells }: &SamplePair) -> FraSamplePair {
    let mut cells = cells.clone();
    cells.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
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
        entries: cells.iter().take(N_ENTRIES).map(entry).collect(),
    }
}

/// Features of the pairs that are shown, with their activations.
fn features(report: &SampleReport) -> Vec<FraFeature> {
    let pairs = report.heads.iter().flat_map(|head| &head.pairs);
    let shown: BTreeSet<u32> =
        pairs.flat_map(|pair| [pair.pair.query_feature, pair.pair.key_feature]).collect();
    let on = |token: &super::sample::SampleToken, feature: u32| {
        let active = token.features.iter().find(|(active, _)| *active == feature);
        active.map_or(0.0, |(_, value)| f64::from(*value))
    };
    let feature = |feature: u32| FraFeature {
        feature: feature as usize,
        label: String::new(),
        activations: report.tokens.iter().map(|token| on(token, feature)).collect(),
        texts: Vec::new(),
    };
    shown.into_iter().map(feature).collect()
}

/// The page of one head over many texts.
pub(super) fn of_head(report: &HeadReport) -> FraCorpusPage {
    let is_published = report.mode == "published";
    let prior = if is_published { 0.0 } else { report.prior };
    let mut seen = BTreeSet::new();
    // The ranking that comes first on the page, then what the others add.
    let main = report.top.get(report.main_ranking()).into_iter();
    let pairs = main.chain(report.top.values()).flatten();
    let pairs = pairs.filter(|pair| seen.insert((pair.query_feature, pair.key_feature)));
    let nulls = report.self_interactions.get(report.main_ranking());
    let head = FraCorpusHead {
        head: report.head,
        induction_score: report.induction_score.map(Into::into),
        n_pairs: report.n_pairs as u64,
        sum_abs: report.sum_abs,
        induction: report.induction_share,
        pairs: pairs.map(|pair| corpus_pair(pair, prior)).collect(),
        self_interactions: nulls.map(|found| FraSelfInteractions {
            n_pairs: found.n_pairs,
            n_self: found.n_self,
            share: found.share.into(),
            other_heads: found.other_heads.clone(),
            permuted: found.permuted.map(Into::into),
            count_matched: Some(found.count_matched.into()),
        }),
    };
    let shrinkage = if is_published {
        "sum of magnitudes over count".to_owned()
    } else {
        format!("sum of magnitudes over count + {prior}")
    };
    FraCorpusPage {
        title: format!("Layer {}, head {} of {}", report.layer, report.head, report.model),
        model: report.model.clone(),
        layer: report.layer,
        hook: report.hook.clone(),
        sae: report.sae.clone(),
        sae_page: String::new(),
        published: is_published,
        n_texts: report.n_texts as usize,
        n_tokens: report.n_positions,
        shrinkage,
        heads: vec![head],
        features: Vec::new(),
        samples: Vec::new(),
        config: String::new(),
    }
}

fn corpus_pair(pair: &FraPair, prior: f64) -> FraCorpusPair {
    let count = f64::from(pair.count);
    FraCorpusPair {
        query_feature: pair.query_feature as usize,
        key_feature: pair.key_feature as usize,
        count: u64::from(pair.count),
        sum: pair.sum,
        mean: (pair.sum / count.max(1.0)).into(),
        shrunk_mean: (pair.sum_abs / (count + prior).max(1.0)).into(),
        max: pair.max,
        mean_distance: pair.mean_distance,
        induction: pair.induction,
        missed: pair.missed,
        samples: Vec::new(),
    }
}
