//! What is known of a head over many texts.

use std::collections::{BTreeMap, BTreeSet};

use attention_probes_metrics::{ClusteredRatio, Interval};
use serde::Serialize;

use super::spread::FraSpreads;
use crate::SaeError;
use crate::fra::layer::FraLayer;
use crate::fra::mode::{FraMode, SHRUNK_MEAN_PRIOR};
use crate::fra::pairs::{
    FraHeadPairs, FraPair, FraRank, FraShownPairs, FraStatistics, SelfInteractions,
};

/// The rankings of a head, the one that nulls are about first.
const RANKS: [(&str, FraRank); 5] = [
    ("shrunk_mean", FraRank::ShrunkMean { prior: SHRUNK_MEAN_PRIOR }),
    ("mean", FraRank::ShrunkMean { prior: 0.0 }),
    ("sum", FraRank::Sum),
    ("max", FraRank::Max),
    ("induction", FraRank::Induction),
];

/// Confidence level of every interval.
const LEVEL: f64 = 0.95;

/// What a run over many texts was asked for, as its reports say it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraSettings {
    /// The texts.
    pub data: String,
    /// Their column.
    pub column: String,
    /// How many of them were asked for.
    pub samples: u64,
    /// Most tokens of a text.
    pub max_tokens: usize,
    /// Whether a token stands before it.
    pub prepend_bos: bool,
    /// Pairs of each ranking.
    pub top: usize,
    /// Memory for the pairs of all heads and layers.
    pub memory_budget_gib: f64,
    /// Whether the null of permuted features was collected where that takes memory.
    pub permuted: bool,
    /// Seed of that null.
    pub seed: u64,
    /// Texts that the intervals of pairs and the texts of features are from.
    pub examples: usize,
    /// What the weights of the model are known by.
    pub model_fingerprint: String,
    /// What the tokens of the texts, the autoencoders, and the device are known by; absent where the
    /// texts are those of a training run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_hash: Option<String>,
}

/// A pair with how sure its means are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraPairReport {
    /// Its figures.
    #[serde(flatten)]
    pub pair: FraPair,
    /// Of `sum / count`.
    pub mean_interval: Option<Interval>,
    /// Of `sum_abs / (count + prior)`.
    pub shrunk_mean_interval: Option<Interval>,
}

/// A head over many texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraHeadReport {
    /// Whether the numbers are a decomposition of scores.
    pub mode: FraMode,
    /// Name of the model.
    pub model: String,
    /// What the autoencoder is called.
    pub sae: String,
    /// The hook that it reads.
    pub hook: String,
    /// The layer.
    pub layer: usize,
    /// The head.
    pub head: usize,
    /// Number of texts.
    pub n_texts: u64,
    /// Texts left out because activations were not finite.
    pub n_skipped: u64,
    /// Positions of all texts.
    pub n_positions: u64,
    /// Active features of a position.
    pub l0: f64,
    /// Pairs that are kept.
    pub n_pairs: usize,
    /// Whether no pair had to be dropped.
    pub is_exact: bool,
    /// Pairs that were dropped, some perhaps more than once.
    pub n_dropped: u64,
    /// No pair that is missing has a larger sum of magnitudes.
    pub largest_missing: f64,
    /// Sum of the magnitudes of all values of these pairs.
    pub sum_abs: f64,
    /// Share of that sum where an induction head looks.
    pub induction_share: f64,
    /// Mean attention to where an induction head looks, of the head as it is.
    pub induction_score: Option<f64>,
    /// Of that mean, with texts as clusters.
    pub induction_interval: Option<Interval>,
    /// Self-interactions among the strongest by each ranking, but for `induction`.
    pub self_interactions: BTreeMap<&'static str, SelfInteractions>,
    /// What the ranking `shrunk_mean` adds to the count.
    pub prior: f64,
    /// The strongest pairs by each ranking.
    pub top: BTreeMap<&'static str, Vec<FraPairReport>>,
    /// What was asked for.
    pub settings: FraSettings,
    /// Version of this library.
    pub library_version: &'static str,
}

/// What the reports of all heads of a layer name.
#[derive(Clone, Copy, Debug)]
pub struct FraReportConfig<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// What the autoencoder is called.
    pub sae: &'a str,
    /// What was asked for; as many pairs of each ranking as it says are reported.
    pub settings: &'a FraSettings,
}

impl FraStatistics {
    /// Ranks the pairs of every head, and compares them with the nulls. Intervals of pairs are added
    /// by [`FraHeadReport::add_intervals`].
    ///
    /// # Errors
    ///
    /// [`SaeError::Site`] or [`SaeError::SizeMismatch`] as [`FraStatistics::add`].
    pub fn reports(
        &self,
        layer: &FraLayer<'_>,
        config: &FraReportConfig<'_>,
    ) -> Result<Vec<FraHeadReport>, SaeError> {
        let (statistics, n_top) = (self, config.settings.top);
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
            |(place, ((found, nulls), missing)): (usize, ((FraHeadPairs, _), f64))| FraHeadReport {
                mode: layer.mode(),
                model: config.model.to_owned(),
                sae: config.sae.to_owned(),
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
                prior: layer.prior(),
                top: ranks
                    .iter()
                    .map(|(name, _)| *name)
                    .zip(found.top.into_iter().map(bare))
                    .collect(),
                settings: config.settings.clone(),
                library_version: env!("CARGO_PKG_VERSION"),
            };
        Ok(found.into_iter().zip(nulls).zip(missing).enumerate().map(report).collect())
    }
}

/// Pairs of which no interval is known yet.
fn bare(pairs: Vec<FraPair>) -> Vec<FraPairReport> {
    let bare = |pair| FraPairReport { pair, mean_interval: None, shrunk_mean_interval: None };
    pairs.into_iter().map(bare).collect()
}

/// The pairs of some heads that are shown, each once, those of the main ranking first.
pub fn shown_pairs(reports: &[FraHeadReport]) -> FraShownPairs {
    reports.iter().map(|report| (report.head, report.shown().map(|of| of.pair).collect())).collect()
}

impl FraHeadReport {
    /// Its pairs, each once: the main ranking, then what the others add.
    pub fn shown(&self) -> impl Iterator<Item = &FraPairReport> {
        let mut seen = BTreeSet::new();
        let pairs = self.main_pairs().iter().chain(self.top.values().flatten());
        pairs.filter(move |of| seen.insert((of.pair.query_feature, of.pair.key_feature)))
    }

    /// Its pairs by the main ranking.
    pub fn main_pairs(&self) -> &[FraPairReport] {
        self.top.get(self.main_ranking()).map_or(&[], |pairs| pairs)
    }

    /// Says how sure the means of pairs are, by how they differ from text to text.
    pub fn add_intervals(&mut self, spreads: &FraSpreads) {
        let (head, prior, n_clusters) = (self.head, self.prior, self.n_texts as usize);
        for of in self.top.values_mut().flatten() {
            let FraPair { query_feature, key_feature, sum, sum_abs, count, .. } = of.pair;
            // What was dropped before is not in the sums, but in the texts.
            if of.pair.missed > 0.0 {
                continue;
            }
            let Some(spread) = spreads.of_pair(head, query_feature, key_feature) else {
                continue;
            };
            let interval = |sum: f64, denominator: f64, squares| {
                let value = sum / denominator.max(1.0);
                let (n_sampled, n_present) = (spreads.n_texts, spread.n_present);
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
            let n = spreads.n_texts;
            of.mean_interval = interval(sum, count, spread.signed.about_mean(n));
            of.shrunk_mean_interval =
                interval(sum_abs, count + prior, spread.magnitudes.about_mean(n));
        }
    }

    /// The ranking that tables show.
    pub fn main_ranking(&self) -> &'static str {
        match self.mode {
            FraMode::Exact => "shrunk_mean",
            FraMode::Published => "mean",
        }
    }
}
