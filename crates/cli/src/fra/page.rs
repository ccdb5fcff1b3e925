//! The pages of feature-resolved attention.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use attention_probes_models::HookPoint;
use attention_probes_report::{
    Estimate, FraCorpusHead, FraCorpusPage, FraCorpusPair, FraEntry, FraFeature, FraSampleHead,
    FraSampleLink, FraSamplePage, FraSamplePair, FraSelfInteractions, FraTermMaps, PageToken,
};
use attention_probes_sae::fra::{FraPair, FraTerms};

use super::report::{HeadReport, PairReport};
use super::sample::{Sample, SampleHead, SamplePair, SampleReport, SampleToken};

/// Features with their texts and names.
pub(super) type Features = BTreeMap<u32, FraFeature>;

/// What a page of one text is called, and where other pages lie; empty where there is none.
#[derive(Clone, Copy, Default)]
pub(super) struct Links<'a> {
    /// The text, as in `row 5`.
    pub(super) text: &'a str,
    /// Page of the autoencoder.
    pub(super) sae: &'a str,
    /// Whether the heads have pages over many texts, and of how many.
    pub(super) n_texts: Option<u64>,
}

/// Name of a head's files, without what comes behind the point.
pub(super) fn file_stem(layer: usize, head: usize, n_texts: u64) -> String {
    format!("accumulated_fra_L{layer}H{head}_N{n_texts}")
}

/// The page of one text.
pub(super) fn of_sample(sample: &Sample<'_>, known: &Features, links: Links<'_>) -> FraSamplePage {
    let Sample { report, layer, .. } = sample;
    let token = |(position, token): (usize, &SampleToken)| PageToken {
        text: token.text.clone(),
        id: Some(i64::from(token.id)),
        position,
    };
    let heads = report.heads.iter().filter_map(|head| {
        let page = |n| format!("{}.html", file_stem(report.layer, head.head, n));
        let corpus_page = links.n_texts.map_or_else(String::new, page);
        Some(FraSampleHead { corpus_page, ..sample_head(head, sample)? })
    });
    let layer_of_model = format!("Layer {} of {}", report.layer, report.model);
    let title = match links.text {
        "" => layer_of_model,
        text => format!("{layer_of_model}, {text}"),
    };
    FraSamplePage {
        title,
        model: report.model.clone(),
        layer: report.layer,
        hook: report.hook.clone(),
        sae: report.sae.clone(),
        sae_page: links.sae.to_owned(),
        published: layer.is_published(),
        tokens: report.tokens.iter().enumerate().map(token).collect(),
        heads: heads.collect(),
        features: features(report, known),
    }
}

fn sample_head(head: &SampleHead, sample: &Sample<'_>) -> Option<FraSampleHead> {
    let Sample { layer, text, activations, .. } = sample;
    let factors = text.head(head.head)?;
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
    Some(FraSampleHead {
        head: head.head,
        corpus_page: String::new(),
        pattern: wide(pattern),
        window: layer.weights().window,
        terms: factors.terms().ok().map(|terms| maps(&terms)),
        largest_error: head.identity.as_ref().map(|identity| identity.largest_difference),
        induction_score: head.induction_score,
        pairs: head.pairs.iter().map(sample_pair).collect(),
    })
}

fn sample_pair(SamplePair { pair, entries }: &SamplePair) -> FraSamplePair {
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
fn features(report: &SampleReport, known: &Features) -> Vec<FraFeature> {
    let pairs = report.heads.iter().flat_map(|head| &head.pairs);
    let shown: BTreeSet<u32> =
        pairs.flat_map(|pair| [pair.pair.query_feature, pair.pair.key_feature]).collect();
    let on = |token: &SampleToken, feature: u32| {
        let active = token.features.iter().find(|(active, _)| *active == feature);
        active.map_or(0.0, |(_, value)| f64::from(*value))
    };
    let feature = |feature: u32| FraFeature {
        feature: feature as usize,
        activations: report.tokens.iter().map(|token| on(token, feature)).collect(),
        ..known.get(&feature).cloned().unwrap_or_default()
    };
    shown.into_iter().map(feature).collect()
}

/// The pages of a layer's heads over many texts, in the order of the reports; `samples` are pages of
/// single texts.
pub(super) fn of_heads(
    reports: &[HeadReport],
    known: &Features,
    samples: &[(FraSampleLink, &SampleReport)],
    links: Links<'_>,
) -> Result<Vec<FraCorpusPage>> {
    let page = |report: &HeadReport| {
        let head = |other: &HeadReport| {
            if other.head == report.head {
                let pair = |of: &PairReport| corpus_pair(of, other, samples);
                FraCorpusHead { pairs: other.shown().map(pair).collect(), ..corpus_head(other) }
            } else {
                FraCorpusHead { page: format!("{}.html", other.file_stem()), ..corpus_head(other) }
            }
        };
        let is_shown: BTreeSet<u32> =
            report.shown().flat_map(|of| [of.pair.query_feature, of.pair.key_feature]).collect();
        Ok(FraCorpusPage {
            title: format!("Layer {}, head {} of {}", report.layer, report.head, report.model),
            model: report.model.clone(),
            layer: report.layer,
            hook: report.hook.clone(),
            sae: report.sae.clone(),
            sae_page: links.sae.to_owned(),
            published: report.mode == "published",
            n_texts: report.n_texts as usize,
            n_tokens: report.n_positions,
            shrinkage: match report.prior {
                prior if prior > 0.0 => format!("sum of magnitudes over count + {prior}"),
                _ => "sum of magnitudes over count".to_owned(),
            },
            heads: reports.iter().map(head).collect(),
            features: is_shown.iter().filter_map(|feature| known.get(feature).cloned()).collect(),
            samples: samples.iter().map(|(link, _)| link.clone()).collect(),
            config: serde_json::to_string_pretty(&report.settings)?,
        })
    };
    reports.iter().map(page).collect()
}

/// A head without its pairs.
fn corpus_head(report: &HeadReport) -> FraCorpusHead {
    let nulls = report.self_interactions.get(report.main_ranking());
    FraCorpusHead {
        head: report.head,
        page: String::new(),
        induction_score: report
            .induction_score
            .map(|value| Estimate { value, interval: report.induction_interval }),
        n_pairs: report.n_pairs as u64,
        n_dropped: report.n_dropped,
        largest_missing: report.largest_missing,
        sum_abs: report.sum_abs,
        induction: report.induction_share,
        pairs: Vec::new(),
        self_interactions: nulls.map(|found| FraSelfInteractions {
            n_pairs: found.n_pairs,
            n_self: found.n_self,
            share: (found.share, found.share_interval).into(),
            other_heads: found.other_heads.clone(),
            permuted: found
                .permuted
                .map(|value| Estimate { value, interval: found.permuted_interval }),
            count_matched: Some((found.count_matched, found.count_matched_interval).into()),
        }),
    }
}

fn corpus_pair(
    of: &PairReport,
    report: &HeadReport,
    samples: &[(FraSampleLink, &SampleReport)],
) -> FraCorpusPair {
    let pair = &of.pair;
    let count = f64::from(pair.count);
    let is_on = |sample: &SampleReport| {
        let head = sample.heads.iter().find(|head| head.head == report.head);
        head.is_some_and(|head| {
            let features = |pair: &FraPair| (pair.query_feature, pair.key_feature);
            head.pairs.iter().any(|shown| features(&shown.pair) == features(pair))
        })
    };
    FraCorpusPair {
        query_feature: pair.query_feature as usize,
        key_feature: pair.key_feature as usize,
        count: u64::from(pair.count),
        sum: pair.sum,
        mean: Estimate { value: pair.sum / count.max(1.0), interval: of.mean_interval },
        shrunk_mean: Estimate {
            value: pair.sum_abs / (count + report.prior).max(1.0),
            interval: of.shrunk_mean_interval,
        },
        max: pair.max,
        mean_distance: pair.mean_distance,
        induction: pair.induction,
        missed: pair.missed,
        samples: (0..samples.len()).filter(|i| is_on(samples[*i].1)).collect(),
    }
}
