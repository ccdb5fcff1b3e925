//! What is said of a head over many texts, as JSON and as tables.

use std::collections::BTreeMap;

use anyhow::Result;
use attention_probes_sae::fra::{
    FraHeadPairs, FraLayer, FraPair, FraRank, FraStatistics, SelfInteractions,
};
use serde::Serialize;

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
    pub(super) n_positions: u64,
    /// Active features of a position.
    pub(super) l0: f64,
    pub(super) n_pairs: usize,
    /// Whether no pair had to be dropped.
    pub(super) is_exact: bool,
    /// Sum of the magnitudes of all values.
    pub(super) sum_abs: f64,
    /// Share of that sum where an induction head looks.
    pub(super) induction_share: f64,
    /// Mean attention to where an induction head looks, of the head as it is.
    pub(super) induction_score: Option<f64>,
    /// Self-interactions among the strongest by each ranking, but for `induction`.
    pub(super) self_interactions: BTreeMap<&'static str, SelfInteractions>,
    /// What the ranking `shrunk_mean` adds to the count.
    pub(super) prior: f64,
    /// The strongest pairs by each ranking.
    pub(super) top: BTreeMap<&'static str, Vec<FraPair>>,
    pub(super) library_version: &'static str,
}

/// What all heads of a layer share.
pub(super) struct LayerReport<'a> {
    pub(super) layer: &'a FraLayer<'a>,
    pub(super) statistics: &'a FraStatistics,
    pub(super) model: &'a str,
    pub(super) sae: String,
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
        let report = |(place, (found, nulls)): (usize, (FraHeadPairs, _))| HeadReport {
            mode: if layer.is_published() { "published" } else { "exact" },
            model: self.model.to_owned(),
            sae: self.sae.clone(),
            hook: layer.hook().to_string(),
            layer: layer.layer(),
            head: found.head,
            n_texts: statistics.n_texts(),
            n_positions: statistics.n_positions(),
            l0: statistics.l0(),
            n_pairs: found.n_pairs,
            is_exact: statistics.is_exact(),
            sum_abs: found.sum_abs,
            induction_share: found.induction,
            induction_score: statistics.induction_score(place),
            self_interactions: nulls,
            prior: PRIOR,
            top: ranks.iter().map(|(name, _)| *name).zip(found.top).collect(),
            library_version: env!("CARGO_PKG_VERSION"),
        };
        Ok(found.into_iter().zip(nulls).enumerate().map(report).collect())
    }
}

impl HeadReport {
    /// Name of its file, without what comes behind the point.
    pub(super) fn file_stem(&self) -> String {
        let Self { layer, head, n_texts, .. } = self;
        format!("accumulated_fra_L{layer}H{head}_N{n_texts}")
    }

    /// The ranking that tables show.
    pub(super) fn main_ranking(&self) -> &'static str {
        if self.mode == "published" { "mean" } else { "shrunk_mean" }
    }
}

/// One line for each head.
pub(super) fn heads_table(reports: &[HeadReport]) -> String {
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

/// The strongest pairs of a head.
pub(super) fn pairs_table(report: &HeadReport) -> String {
    let ranking = report.main_ranking();
    let title = format!(
        "layer {}, head {}, the strongest pairs by {}:\n",
        report.layer,
        report.head,
        ranking.replace('_', " ")
    );
    title + &pairs(report.top.get(ranking).map_or(&[][..], |pairs| pairs), &|_| String::new())
}

/// Some pairs; `name` says more of a feature.
pub(super) fn pairs(pairs: &[FraPair], name: &dyn Fn(u32) -> String) -> String {
    let header = ["query", "key", "score", "sum", "count", "distance", "induction"];
    let mut rows = vec![header.map(str::to_owned)];
    for pair in pairs.iter().take(N_SHOWN) {
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
