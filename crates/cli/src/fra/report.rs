//! What is said of a head over many texts, as JSON and as tables.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use attention_probes_metrics::{ClusteredRatio, Interval};
use attention_probes_sae::fra::{
    FraHeadPairs, FraLayer, FraPair, FraRank, FraStatistics, SelfInteractions,
};
use serde::Serialize;

use super::examples::{Examples, ShownPairs};
use super::page::file_stem;
use crate::table::aligned;

/// Occurrences without a value that the shrunk mean adds.
pub(super) const PRIOR: f64 = 20.0;

/// Pairs of a head in a table.
const N_SHOWN: usize = 12;

/// The rankings of a head, the one that nulls are about first.
pub(super) const RANKS: [(&str, FraRank); 5] = [
    ("shrunk_mean", FraRank::ShrunkMean { prior: PRIOR }),
    ("mean", FraRank::ShrunkMean { prior: 0.0 }),
    ("sum", FraRank::Sum),
    ("max", FraRank::Max),
    ("induction", FraRank::Induction),
];

/// Confidence level of every interval.
pub(super) const LEVEL: f64 = 0.95;

/// What a run was asked for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Settings {
    /// The texts, their column, and how many of them were asked for.
    pub(super) data: String,
    pub(super) column: String,
    pub(super) samples: u64,
    /// Most tokens of a text, and whether a token stands before it.
    pub(super) max_tokens: usize,
    pub(super) prepend_bos: bool,
    /// Pairs of each ranking.
    pub(super) top: usize,
    pub(super) memory_budget_gib: f64,
    /// Whether the null of permuted features was collected where that takes memory, and its seed.
    pub(super) permuted: bool,
    pub(super) seed: u64,
    /// Texts that the intervals of pairs and the texts of features are from.
    pub(super) examples: usize,
    /// What the weights of the model are known by.
    pub(super) model_fingerprint: String,
    /// What the tokens of the texts, the autoencoders, and the device are known by; absent where the
    /// texts are those of a training run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inputs_hash: Option<String>,
}

/// A pair with how sure its means are.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PairReport {
    #[serde(flatten)]
    pub(super) pair: FraPair,
    /// Of `sum / count`.
    pub(super) mean_interval: Option<Interval>,
    /// Of `sum_abs / (count + prior)`.
    pub(super) shrunk_mean_interval: Option<Interval>,
}

/// A head over many texts.
#[derive(Debug, Serialize)]
pub(super) struct HeadReport {
    /// `exact`, or `published` where the numbers are those of the first FRA code.
    pub(super) mode: &'static str,
    pub(super) model: String,
    pub(super) sae: String,
    pub(super) hook: String,
    pub(super) layer: usize,
    pub(super) head: usize,
    pub(super) n_texts: u64,
    /// Texts left out because activations were not finite.
    pub(super) n_skipped: u64,
    pub(super) n_positions: u64,
    /// Active features of a position.
    pub(super) l0: f64,
    /// Pairs that are kept.
    pub(super) n_pairs: usize,
    /// Whether no pair had to be dropped.
    pub(super) is_exact: bool,
    /// Pairs that were dropped, some perhaps more than once.
    pub(super) n_dropped: u64,
    /// No pair that is missing has a larger sum of magnitudes.
    pub(super) largest_missing: f64,
    /// Sum of the magnitudes of all values of these pairs.
    pub(super) sum_abs: f64,
    /// Share of that sum where an induction head looks.
    pub(super) induction_share: f64,
    /// Mean attention to where an induction head looks, of the head as it is.
    pub(super) induction_score: Option<f64>,
    /// Of that mean, with texts as clusters.
    pub(super) induction_interval: Option<Interval>,
    /// Self-interactions among the strongest by each ranking, but for `induction`.
    pub(super) self_interactions: BTreeMap<&'static str, SelfInteractions>,
    /// What the ranking `shrunk_mean` adds to the count.
    pub(super) prior: f64,
    /// The strongest pairs by each ranking.
    pub(super) top: BTreeMap<&'static str, Vec<PairReport>>,
    pub(super) settings: Settings,
    pub(super) library_version: &'static str,
}

/// What all heads of a layer share.
pub(super) struct LayerReport<'a> {
    pub(super) layer: &'a FraLayer<'a>,
    pub(super) statistics: &'a FraStatistics,
    pub(super) model: &'a str,
    pub(super) sae: String,
    pub(super) settings: &'a Settings,
}

impl LayerReport<'_> {
    /// Ranks the pairs of every head, and compares them with the nulls.
    pub(super) fn heads(&self, n_top: usize) -> Result<Vec<HeadReport>> {
        let (layer, statistics) = (self.layer, self.statistics);
        // The first FRA code had one ranking.
        let ranks = if layer.is_published() { &RANKS[1..2] } else { &RANKS[..] };
        let all: Vec<FraRank> = ranks.iter().map(|(_, rank)| *rank).collect();
        let found = statistics.top(layer, &all, n_top)?;
        let mut nulls: Vec<BTreeMap<&'static str, SelfInteractions>> =
            vec![BTreeMap::new(); found.len()];
        let judged = || ranks.iter().filter(|(_, rank)| *rank != FraRank::Induction);
        let of_ranks: Vec<FraRank> = judged().map(|(_, rank)| *rank).collect();
        let found_nulls = statistics.self_interactions(layer, &of_ranks, n_top)?;
        for ((name, _), of_rank) in judged().zip(found_nulls) {
            for (nulls, of_head) in nulls.iter_mut().zip(of_rank) {
                nulls.insert(name, of_head);
            }
        }
        let missing: Vec<f64> = (0..found.len())
            .map(|place| statistics.largest_missing(layer, place))
            .collect::<Result<_, _>>()?;
        let report =
            |(place, ((found, nulls), missing)): (usize, ((FraHeadPairs, _), f64))| HeadReport {
                mode: if layer.is_published() { "published" } else { "exact" },
                model: self.model.to_owned(),
                sae: self.sae.clone(),
                hook: layer.hook().to_string(),
                layer: layer.layer(),
                head: found.head,
                n_texts: statistics.n_texts(),
                n_skipped: statistics.n_skipped(),
                n_positions: statistics.n_positions(),
                l0: statistics.l0(),
                n_pairs: found.n_pairs,
                is_exact: statistics.is_exact(place),
                n_dropped: statistics.n_dropped(place),
                largest_missing: missing,
                sum_abs: found.sum_abs,
                induction_share: found.induction,
                induction_score: statistics.induction_score(place),
                induction_interval: statistics.induction_interval(place),
                self_interactions: nulls,
                prior: prior_of(layer),
                top: ranks
                    .iter()
                    .map(|(name, _)| *name)
                    .zip(found.top.into_iter().map(bare))
                    .collect(),
                settings: self.settings.clone(),
                library_version: env!("CARGO_PKG_VERSION"),
            };
        Ok(found.into_iter().zip(nulls).zip(missing).enumerate().map(report).collect())
    }
}

/// What the shrunk mean of a layer's pairs adds to the count; the first FRA code had none.
pub(super) fn prior_of(layer: &FraLayer<'_>) -> f64 {
    if layer.is_published() { 0.0 } else { PRIOR }
}

/// Pairs of which no interval is known yet.
fn bare(pairs: Vec<FraPair>) -> Vec<PairReport> {
    let bare = |pair| PairReport { pair, mean_interval: None, shrunk_mean_interval: None };
    pairs.into_iter().map(bare).collect()
}

/// The pairs of some heads that are shown, each once, those of the main ranking first.
pub(super) fn shown_pairs(reports: &[HeadReport]) -> ShownPairs {
    reports.iter().map(|report| (report.head, report.shown().map(|of| of.pair).collect())).collect()
}

impl HeadReport {
    /// Its pairs, each once: the main ranking, then what the others add.
    pub(super) fn shown(&self) -> impl Iterator<Item = &PairReport> {
        let mut seen = BTreeSet::new();
        let pairs = self.main_pairs().iter().chain(self.top.values().flatten());
        pairs.filter(move |of| seen.insert((of.pair.query_feature, of.pair.key_feature)))
    }

    /// Its pairs by the main ranking.
    pub(super) fn main_pairs(&self) -> &[PairReport] {
        self.top.get(self.main_ranking()).map_or(&[], |pairs| pairs)
    }

    /// Says how sure the means of pairs are, by how they differ from text to text.
    pub(super) fn add_intervals(&mut self, examples: &Examples) {
        let (head, prior, n_clusters) = (self.head, self.prior, self.n_texts as usize);
        for of in self.top.values_mut().flatten() {
            let FraPair { query_feature, key_feature, sum, sum_abs, count, .. } = of.pair;
            // What was dropped before is not in the sums, but in the texts.
            if of.pair.missed > 0.0 {
                continue;
            }
            let Some(spread) = examples.spreads.get(&(head, query_feature, key_feature)) else {
                continue;
            };
            let interval = |sum: f64, denominator: f64, squares| {
                let value = sum / denominator.max(1.0);
                let (n_sampled, n_present) = (examples.n_texts, spread.n_present);
                let ratio = ClusteredRatio {
                    value,
                    denominator,
                    n_clusters,
                    n_sampled,
                    n_present,
                    squares,
                };
                ratio.interval(LEVEL)
            };
            let count = f64::from(count);
            let n = examples.n_texts;
            of.mean_interval = interval(sum, count, spread.signed.about_mean(n));
            of.shrunk_mean_interval =
                interval(sum_abs, count + prior, spread.magnitudes.about_mean(n));
        }
    }

    /// Name of its file, without what comes behind the point.
    pub(super) fn file_stem(&self) -> String {
        file_stem(self.layer, self.head, self.n_texts)
    }

    /// The ranking that tables show.
    pub(super) fn main_ranking(&self) -> &'static str {
        if self.mode == "published" { "mean" } else { "shrunk_mean" }
    }
}

/// One line for each head.
pub(super) fn heads_table<'a>(reports: impl Iterator<Item = &'a HeadReport>) -> String {
    let header = [
        "layer",
        "head",
        "induction score",
        "of the pairs",
        "self",
        "other heads",
        "permuted",
        "count-matched",
        "pairs",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for report in reports {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let found = report.self_interactions.get(report.main_ranking());
        let others = found
            .filter(|found| !found.other_heads.is_empty())
            .map(|found| found.other_heads.iter().sum::<f64>() / found.other_heads.len() as f64);
        rows.push([
            report.layer.to_string(),
            report.head.to_string(),
            number(report.induction_score),
            number(Some(report.induction_share)),
            number(found.map(|found| found.share)),
            number(others),
            number(found.and_then(|found| found.permuted)),
            number(found.map(|found| found.count_matched)),
            report.n_pairs.to_string(),
        ]);
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    text
}

/// What is missing of the heads whose pairs did not fit, a line for each.
pub(super) fn missing<'a>(reports: impl Iterator<Item = &'a HeadReport>) -> String {
    let line = |report: &HeadReport| {
        let HeadReport { layer, head, n_dropped, largest_missing, .. } = report;
        format!(
            "layer {layer}, head {head}: pairs were dropped {n_dropped} times for want of memory \
             (`--memory-budget-gib`), none with a sum of magnitudes above {largest_missing:.3}\n"
        )
    };
    reports.filter(|report| !report.is_exact).map(line).collect()
}

/// The strongest pairs of a head; `name` says more of a feature.
pub(super) fn pairs_table(report: &HeadReport, name: &dyn Fn(u32) -> String) -> String {
    let ranking = report.main_ranking();
    let title = format!(
        "layer {}, head {}, the strongest pairs by {}:\n",
        report.layer,
        report.head,
        ranking.replace('_', " ")
    );
    title + &pairs(report.main_pairs().iter().map(|of| &of.pair), name)
}

/// Some pairs; `name` says more of a feature.
pub(super) fn pairs<'a>(
    pairs: impl Iterator<Item = &'a FraPair>,
    name: &dyn Fn(u32) -> String,
) -> String {
    let header = ["query", "key", "score", "sum", "count", "distance", "induction"];
    let mut rows = vec![header.map(str::to_owned)];
    for pair in pairs.take(N_SHOWN) {
        let feature = |feature: u32| format!("{feature}{}", name(feature));
        rows.push([
            feature(pair.query_feature),
            feature(pair.key_feature),
            format!("{:.4}", pair.score),
            format!("{:.2}", pair.sum),
            pair.count.to_string(),
            format!("{:.1}", pair.mean_distance),
            format!("{:.3}", pair.induction),
        ]);
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    text
}
