//! The pages of a layer's heads over many texts.

use std::collections::BTreeSet;

use attention_probes_report::{
    Estimate, FraCorpusHead, FraCorpusPage, FraCorpusPair, FraSampleLink, ReportError,
};
use attention_probes_sae::fra::{FraHeadReport, FraMode, FraPair, FraPairReport, FraRowSample};

use super::feature::{FraFeatures, page_feature};
use super::links::{FraLinks, file_stem, sample_link};

/// The pages of a layer's heads over many texts, in the order of the reports; `samples` are texts
/// that have pages of their own.
///
/// # Errors
///
/// [`ReportError::Json`] if the settings cannot be written as JSON.
pub fn fra_corpus_pages(
    reports: &[FraHeadReport],
    known: &FraFeatures,
    samples: &[FraRowSample],
    links: FraLinks<'_>,
) -> Result<Vec<FraCorpusPage>, ReportError> {
    let sample_links: Vec<FraSampleLink> = samples.iter().map(sample_link).collect();
    let known_feature =
        |feature: &u32| known.get(feature).map(|found| page_feature(*feature, Some(found)));
    let page = |report: &FraHeadReport| {
        let head = |other: &FraHeadReport| {
            if other.head == report.head {
                let pair = |of: &FraPairReport| corpus_pair(of, other, samples);
                FraCorpusHead { pairs: other.shown().map(pair).collect(), ..corpus_head(other) }
            } else {
                FraCorpusHead { page: format!("{}.html", stem_of(other)), ..corpus_head(other) }
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
            published: report.mode == FraMode::Published,
            n_texts: report.n_texts as usize,
            n_tokens: report.n_positions,
            shrinkage: match report.prior {
                prior if prior > 0.0 => format!("sum of magnitudes over count + {prior}"),
                _ => "sum of magnitudes over count".to_owned(),
            },
            heads: reports.iter().map(head).collect(),
            features: is_shown.iter().filter_map(known_feature).collect(),
            samples: sample_links.clone(),
            config: serde_json::to_string_pretty(&report.settings)
                .map_err(|source| ReportError::Json { source })?,
        })
    };
    reports.iter().map(page).collect()
}

/// A head without its pairs.
fn corpus_head(report: &FraHeadReport) -> FraCorpusHead {
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
        self_interactions: nulls.cloned(),
    }
}

/// Name of a head's files, without what comes behind the point.
pub(super) fn stem_of(report: &FraHeadReport) -> String {
    file_stem(report.layer, report.head, report.n_texts)
}

fn corpus_pair(
    of: &FraPairReport,
    report: &FraHeadReport,
    samples: &[FraRowSample],
) -> FraCorpusPair {
    let pair = &of.pair;
    let count = f64::from(pair.count);
    let is_on = |FraRowSample { sample, .. }: &FraRowSample| {
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
        samples: (0..samples.len()).filter(|i| is_on(&samples[*i])).collect(),
    }
}
