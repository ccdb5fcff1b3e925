//! Statistics of feature pairs over any number of texts.

use attention_probes_errors::ValueError;
use attention_probes_metrics::Interval;
use attention_probes_models::HookPoint;

use super::by_distance::add_head;
use super::co_occurrence::add_factored;
use super::induction_sums::InductionSums;
use super::permutation::Permutation;
use super::row::PAIR_BYTES;
use super::table::PairTable;
use crate::SaeError;
use crate::fra::capture::FraActivations;
use crate::fra::codes::{FraCodes, FraInput, rows};
use crate::fra::layer::FraLayer;
use crate::fra::text::FraText;

/// Features whose directions are projected at a time.
const ROWS_PER_PRODUCT: usize = 1024;

/// What statistics are collected, and in how much memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraStatisticsConfig {
    /// Heads of the layer, each once.
    pub heads: Vec<usize>,
    /// Bytes that the pairs of all heads may take together. While they fit everything is exact;
    /// then the pairs with the smallest sums are dropped, and every figure says what it may lack.
    pub budget_bytes: usize,
    /// Seed of the permutation of key features that is a null.
    pub seed: u64,
    /// Whether the null of permuted features is collected where that takes tables of its own, as
    /// large as the others: where values depend on distances. Elsewhere it costs nothing.
    pub permuted: bool,
}

impl Default for FraStatisticsConfig {
    fn default() -> Self {
        Self { heads: vec![0], budget_bytes: 1 << 30, seed: 0, permuted: false }
    }
}

/// Sum, sum of magnitudes, count, largest magnitude, and distance of every pair of features, and how
/// much of it is where an induction head looks.
///
/// Where values do not depend on distances ([`FraLayer::is_factored`]), all heads share one table
/// of products of activations; else each head has a table of values.
///
/// # Memory
///
/// [`FraStatisticsConfig::budget_bytes`], however many texts there are and whatever is active in
/// them, beside 96 bytes for each feature of each table; and while a text is added its factors ([`FraText`]), or 16 bytes for each of its positions
/// and each feature that occurs in it, and the pairs of a few of its query features with the others.
#[derive(Clone, Debug, PartialEq)]
pub struct FraStatistics {
    pub(super) config: FraStatisticsConfig,
    /// What is read, and the layer that reads it.
    pub(super) place: (HookPoint, usize),
    pub(super) d_sae: usize,
    pub(super) is_factored: bool,
    /// One, or one for each head.
    pub(super) tables: Vec<PairTable>,
    /// One for each head, of keys with the directions of other features; or none.
    pub(super) permuted: Vec<PairTable>,
    /// The features that occurred, and whose direction each has there.
    pub(super) permutation: Permutation,
    pub(super) n_texts: u64,
    pub(super) n_skipped: u64,
    pub(super) n_positions: u64,
    pub(super) n_active: u64,
    /// Attention of each head to where an induction head looks.
    pub(super) induction: Vec<InductionSums>,
}

impl FraStatistics {
    /// Begins with no text.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Head`] if the layer has no such head.
    /// - [`SaeError::Hyperparameter`] if there is no head, or one is named twice.
    pub fn new(layer: &FraLayer<'_>, config: FraStatisticsConfig) -> Result<Self, SaeError> {
        let n_heads = config.heads.len();
        let mut distinct = config.heads.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.is_empty() || distinct.len() < n_heads {
            let (name, value) = ("heads", n_heads as f64);
            return Err(ValueError::new(name, value, "heads, each once").into());
        }
        for head in &config.heads {
            layer.check_head(*head)?;
        }
        let (d_sae, is_factored) = (layer.sae().config.d_sae, layer.is_factored());
        let n_tables = if is_factored { 1 } else { n_heads };
        let n_permuted = if is_factored || !config.permuted { 0 } else { n_heads };
        let budget = config.budget_bytes / (n_tables + n_permuted);
        let tables = |n: usize| (0..n).map(|_| PairTable::new(d_sae, budget)).collect();
        Ok(Self {
            place: (layer.hook(), layer.layer()),
            d_sae,
            is_factored,
            tables: tables(n_tables),
            permuted: tables(n_permuted),
            permutation: Permutation::new(d_sae),
            n_texts: 0,
            n_skipped: 0,
            n_positions: 0,
            n_active: 0,
            induction: vec![InductionSums::default(); n_heads],
            config,
        })
    }

    /// Adds a text from what [`FraLayer::hooks`] names; with `hook_pattern` of the layer also how
    /// much the heads attend to where an induction head looks. `n_before` as in [`FraCodes::new`].
    ///
    /// # Errors
    ///
    /// - the errors of [`FraCodes::new`].
    /// - [`SaeError::Site`] if the statistics are of another layer or hook, or of a model that turns
    ///   queries and keys where this one does not.
    /// - [`SaeError::SizeMismatch`] if the autoencoder has another number of features.
    pub fn add(&mut self, layer: &FraLayer<'_>, text: FraInput<'_>) -> Result<(), SaeError> {
        let codes = FraCodes::new(layer, text)?;
        self.add_codes(layer, codes, text.activations)
    }

    /// As [`FraStatistics::add`], of codes that are there already.
    ///
    /// # Errors
    ///
    /// As [`FraStatistics::add`].
    pub fn add_codes(
        &mut self,
        layer: &FraLayer<'_>,
        codes: FraCodes,
        activations: &FraActivations,
    ) -> Result<(), SaeError> {
        self.check(layer)?;
        let attention = self.attention(layer, &codes, activations)?;
        if self.is_factored {
            self.count(&codes, &attention);
            add_factored(&mut self.tables[0], &codes);
            return Ok(());
        }
        let text = FraText::from_codes(layer, &self.config.heads, codes, activations)?;
        self.count(text.codes(), &attention);
        let heads = &self.config.heads;
        for (table, head) in self.tables.iter_mut().zip(heads) {
            if let Some(head) = text.head(*head) {
                add_head(table, &head);
            }
        }
        if !self.permuted.is_empty() {
            let text = text.with_keys_of(layer, self.permutation());
            for (table, head) in self.permuted.iter_mut().zip(heads) {
                if let Some(head) = text.head(*head) {
                    add_head(table, &head);
                }
            }
        }
        Ok(())
    }

    pub(super) fn check(&self, layer: &FraLayer<'_>) -> Result<(), SaeError> {
        let place = (layer.hook(), layer.layer());
        if place != self.place || self.is_factored != layer.is_factored() {
            let shown = |((hook, layer), is_factored): ((HookPoint, usize), bool)| {
                let way = if is_factored { "as they are" } else { "turned by position" };
                format!("`{hook}` for the scores of layer {layer}, queries and keys {way}")
            };
            let reads = shown((place, layer.is_factored()));
            return Err(SaeError::Site { reads, asked: shown((self.place, self.is_factored)) });
        }
        let (found, expected) = (layer.sae().config.d_sae, self.d_sae);
        if found != expected {
            let what = "the number of features of the statistics";
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        self.config.heads.iter().try_for_each(|head| layer.check_head(*head))
    }

    /// How much the heads attend to where an induction head looks, and from how many queries; of no
    /// head if the pattern was not kept.
    fn attention(
        &self,
        layer: &FraLayer<'_>,
        codes: &FraCodes,
        activations: &FraActivations,
    ) -> Result<Vec<(f64, u64)>, SaeError> {
        let n = codes.n_positions();
        let hook = HookPoint::Pattern(layer.layer());
        if !activations.contains_key(&hook) {
            return Ok(Vec::new());
        }
        let patterns = rows(activations, hook, layer.n_heads() * n * n)?;
        let of_head =
            |head: &usize| codes.induction_attention(&patterns[head * n * n..(head + 1) * n * n]);
        Ok(self.config.heads.iter().map(of_head).collect())
    }

    /// Counts a text and its features.
    fn count(&mut self, codes: &FraCodes, attention: &[(f64, u64)]) {
        for (induction, (sum, n)) in self.induction.iter_mut().zip(attention) {
            induction.add(*sum, *n);
        }
        self.permutation.meet(codes.features(), self.config.seed, self.n_texts);
        self.n_texts += 1;
        self.n_positions += codes.n_positions() as u64;
        self.n_active += codes.n_active() as u64;
    }

    /// Another feature for each feature that occurred.
    pub(super) fn permutation(&self) -> &[u32] {
        &self.permutation.others
    }

    /// The table of a head's pairs; heads by their place in the configuration.
    pub(super) fn table(&self, head: usize) -> &PairTable {
        if self.is_factored { &self.tables[0] } else { &self.tables[head] }
    }

    /// How they are collected.
    pub fn config(&self) -> &FraStatisticsConfig {
        &self.config
    }

    /// Number of texts.
    pub fn n_texts(&self) -> u64 {
        self.n_texts
    }

    /// Counts a text that cannot be added, so that a run that goes on later knows where it is.
    pub fn skip(&mut self) {
        self.n_skipped += 1;
    }

    /// Number of texts that were skipped.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// Number of positions of all texts.
    pub fn n_positions(&self) -> u64 {
        self.n_positions
    }

    /// Active features of a position on average.
    pub fn l0(&self) -> f64 {
        self.n_active as f64 / self.n_positions.max(1) as f64
    }

    /// Number of a head's pairs that are kept.
    ///
    /// # Panics
    ///
    /// If the head's place is not one of the configuration.
    pub fn n_pairs(&self, head: usize) -> usize {
        self.table(head).len()
    }

    /// Whether none of a head's pairs had to be dropped so far.
    ///
    /// # Panics
    ///
    /// If the head's place is not one of the configuration.
    pub fn is_exact(&self, head: usize) -> bool {
        self.n_dropped(head) == 0
    }

    /// Number of a head's pairs that had to be dropped, those that came again and were dropped
    /// again counted each time.
    ///
    /// # Panics
    ///
    /// If the head's place is not one of the configuration.
    pub fn n_dropped(&self, head: usize) -> u64 {
        self.table(head).n_dropped
    }

    /// No pair of a head that is missing has a larger sum of magnitudes than this, but for
    /// rounding; 0 while nothing was dropped.
    ///
    /// Where each head has a table of values it is the largest bound that was dropped. Where heads
    /// share a table that is a bound on products of activations, and the values of no pair are
    /// larger than
    ///
    /// ```text
    /// bound · max over i of ‖u_i‖ · max over j of ‖v_j‖
    /// ```
    ///
    /// over the features that occurred, which is seldom reached.
    ///
    /// # Errors
    ///
    /// [`SaeError::Site`] or [`SaeError::SizeMismatch`] as [`FraStatistics::add`].
    ///
    /// # Panics
    ///
    /// If the head's place is not one of the configuration.
    pub fn largest_missing(&self, layer: &FraLayer<'_>, head: usize) -> Result<f64, SaeError> {
        self.check(layer)?;
        let floor = f64::from(self.table(head).floor);
        if !self.is_factored || floor <= 0.0 {
            return Ok(floor);
        }
        let met: Vec<u32> = self.permutation.met().collect();
        let head = self.config.heads[head];
        let key_head = layer.weights().key_value_head(head);
        let (d_head, d_in) = (layer.weights().d_head, layer.sae().config.d_in);
        let longest = |rows: Vec<f32>| {
            let squares = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            rows.chunks_exact(d_head).map(squares).fold(0.0, f64::max).sqrt()
        };
        let (mut query, mut key) = (0.0_f64, 0.0_f64);
        for features in met.chunks(ROWS_PER_PRODUCT) {
            let rows = layer.decoder_rows(features);
            query = query.max(longest(layer.query.head_rows(&rows, d_in, [head, d_head])));
            key = key.max(longest(layer.key.head_rows(&rows, d_in, [key_head, d_head])));
        }
        Ok(floor * query * key)
    }

    /// Bytes that pairs take.
    pub fn size_bytes(&self) -> usize {
        let tables = self.tables.iter().chain(&self.permuted);
        tables.map(|table| table.len() * PAIR_BYTES).sum()
    }

    /// Mean attention of a head to where an induction head looks, over all queries that have such a
    /// place; `None` if no pattern was given, or no token occurs twice.
    ///
    /// # Panics
    ///
    /// If the head's place is not one of the configuration.
    pub fn induction_score(&self, head: usize) -> Option<f64> {
        self.induction[head].mean()
    }

    /// 95 % interval of [`FraStatistics::induction_score`], of what other texts like these would
    /// give: from the differences between texts, as queries of one text are alike. `None` if fewer
    /// than two texts have such a place.
    ///
    /// ```text
    /// r ± t √(T / (T - 1) Σ over texts of (sum - r n)²) / Σ n      r = Σ sum / Σ n
    /// ```
    ///
    /// with Student's `t` for `T` texts, and cut off at 0 and 1; a ratio of means, whose interval is
    /// good from some twenty texts on (Cochran, *Sampling Techniques*, 1977, 6.11).
    ///
    /// # Panics
    ///
    /// If the head's place is not one of the configuration.
    pub fn induction_interval(&self, head: usize) -> Option<Interval> {
        self.induction[head].interval()
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_models::{Gpt2Config, HookedModel};
    use burn::tensor::Device;

    use super::super::ranking::{FraRank, Keys};
    use super::*;
    use crate::fra::capture::capture;
    use crate::{Sae, SaeActivation, SaeConfig};

    /// A model whose pairs do not depend on distances, and an autoencoder of it.
    fn subject() -> (impl HookedModel, Sae) {
        let device = Device::flex();
        device.seed(3);
        let config = Gpt2Config {
            n_layers: 1,
            n_heads: 2,
            d_model: 12,
            d_mlp: 8,
            d_vocab: 9,
            n_ctx: 20,
            activation: attention_probes_models::ActivationFunction::GeluTanh,
            layer_norm_epsilon: 1e-5,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
        };
        let (d_in, d_sae) = (12, 40);
        let wave = |n: usize, at: f32| (0..n).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
        let mut sae = Sae {
            config: SaeConfig::new(d_in, d_sae),
            activation: SaeActivation::Standard { b_enc: vec![0.01; d_sae] },
            encoder: wave(d_in * d_sae, 0.9),
            decoder: wave(d_in * d_sae, 1.3),
            b_dec: vec![0.0; d_in],
        };
        sae.set_hook(HookPoint::ResidPre(0));
        (config.init(&device), sae)
    }

    #[test]
    fn one_table_for_all_heads_is_as_good_as_one_for_each() {
        let (model, sae) = subject();
        let layer = FraLayer::new(&sae, &model, 0).unwrap();
        assert!(layer.is_factored());
        let config =
            FraStatisticsConfig { heads: vec![1, 0], seed: 5, ..FraStatisticsConfig::default() };
        let mut factored = FraStatistics::new(&layer, config.clone()).unwrap();
        // The same by head, as if values depended on distances.
        let tables = || (0..2).map(|_| PairTable::new(40, 1 << 20)).collect::<Vec<_>>();
        let mut by_head = FraStatistics {
            is_factored: false,
            tables: tables(),
            permuted: tables(),
            ..factored.clone()
        };
        for seed in 0..4 {
            let ids: Vec<u32> = (0..14).map(|i| (i * i * (seed + 2) + seed) % 9).collect();
            let kept = capture(&model, &Device::flex(), &ids, &layer.hooks()).unwrap();
            let input = FraInput { ids: &ids, activations: &kept, n_before: 1 };
            factored.add(&layer, input).unwrap();
            let text = FraText::new(&layer, &config.heads, input).unwrap();
            let permuted = text.with_keys_of(&layer, factored.permutation());
            for (place, head) in config.heads.iter().enumerate() {
                add_head(&mut by_head.tables[place], &text.head(*head).unwrap());
                add_head(&mut by_head.permuted[place], &permuted.head(*head).unwrap());
            }
        }
        for (keys, tables) in [(Keys::Own, &by_head.tables), (Keys::Permuted, &by_head.permuted)] {
            let found = factored.ranked(&layer, &[FraRank::Sum], 4000, keys).unwrap();
            for (found, table) in found.iter().zip(tables) {
                let n_pairs: usize = (0..40).map(|feature| table.row(feature).len()).sum();
                assert_eq!((found.top[0].len(), found.n_pairs), (n_pairs, n_pairs));
                let most = found.top[0].iter().map(|pair| pair.max).fold(0.0, f64::max);
                for pair in &found.top[0] {
                    let row = table.row(pair.query_feature as usize);
                    let at = row.binary_search_by_key(&pair.key_feature, |e| e.key_feature);
                    let entry = row[at.unwrap()];
                    let near = |found: f64, expected: f64| {
                        // A value may be small because a product of large numbers is.
                        let size = entry.sum_abs + 0.05 * most * f64::from(entry.count);
                        assert!((found - expected).abs() < 2e-5 * size, "{pair:?} {entry:?}");
                    };
                    near(pair.sum, entry.sum);
                    near(pair.sum_abs, entry.sum_abs);
                    near(pair.max, f64::from(entry.max));
                    near(pair.induction * pair.sum_abs, entry.induction);
                    near(pair.mean_distance * pair.sum_abs / 10.0, entry.distance / 10.0);
                    assert_eq!(pair.count, entry.count);
                }
            }
        }
    }
}
