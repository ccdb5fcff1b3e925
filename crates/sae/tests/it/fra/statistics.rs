//! Statistics over texts against loops over every value.

use std::collections::BTreeMap;

use attention_probes_metrics::SeedSummary;
use attention_probes_models::HookPoint;
use attention_probes_sae::fra::{
    FraActivations, FraLayer, FraPair, FraRank, FraStatistics, FraStatisticsConfig, FraText,
    capture,
};
use burn::tensor::Device;
use proptest::prelude::*;

use crate::fra::input;
use crate::fra::subjects::{ids, model, sae};

/// Sums of one pair by loops, in `f64`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slow {
    sum: f64,
    sum_abs: f64,
    pub(crate) count: u32,
    max: f64,
    distance: f64,
    induction: f64,
}

pub(crate) type Texts = Vec<(Vec<u32>, FraActivations)>;

/// Texts of a model with what a layer reads.
pub(crate) fn texts(name: &str, layer: &FraLayer<'_>, n: u64) -> Texts {
    let (model, device) = (model(name), Device::flex());
    let mut hooks = layer.hooks();
    hooks.push(HookPoint::Pattern(layer.layer()));
    let text = |seed| {
        let ids = ids(9 + seed as usize % 4, model.shape().d_vocab, seed);
        let activations = capture(&*model, &device, &ids, &hooks).unwrap();
        (ids, activations)
    };
    (0..n).map(text).collect()
}

/// Every value of one head, one after another.
pub(crate) fn slow(layer: &FraLayer<'_>, texts: &Texts, head: usize) -> BTreeMap<(u32, u32), Slow> {
    let mut pairs: BTreeMap<(u32, u32), Slow> = BTreeMap::new();
    for (ids, activations) in texts {
        let text = FraText::new(layer, &[head], input(ids, activations, 1)).unwrap();
        let fra = text.head(head).unwrap();
        for query in 0..ids.len() {
            let before = (0..query).rev().find(|earlier| ids[*earlier] == ids[query]);
            let target = before.map(|before| before + 1).filter(|target| *target < query);
            for key in (0..=query).filter(|key| fra.sees(query, *key)) {
                let block = fra.block(query, key);
                for (i, query_feature) in block.query_features.iter().enumerate() {
                    for (j, key_feature) in block.key_features.iter().enumerate() {
                        let value = f64::from(block.values[i * block.key_features.len() + j]);
                        let pair = pairs.entry((*query_feature, *key_feature)).or_default();
                        pair.sum += value;
                        pair.sum_abs += value.abs();
                        pair.count += 1;
                        pair.max = pair.max.max(value.abs());
                        pair.distance += value.abs() * (query - key) as f64;
                        pair.induction += if target == Some(key) { value.abs() } else { 0.0 };
                    }
                }
            }
        }
    }
    pairs
}

fn near(found: f64, expected: f64, size: f64, what: &str) {
    assert!((found - expected).abs() <= 2e-5 * size + 1e-9, "{what}: {found} {expected}");
}

pub(crate) fn collect(
    layer: &FraLayer<'_>,
    texts: &Texts,
    config: FraStatisticsConfig,
) -> FraStatistics {
    let mut statistics = FraStatistics::new(layer, config).unwrap();
    for (ids, activations) in texts {
        statistics.add(layer, input(ids, activations, 1)).unwrap();
    }
    statistics
}

/// The figure that pairs are ranked by.
fn score(rank: FraRank, pair: &Slow) -> f64 {
    match rank {
        FraRank::Sum => pair.sum_abs,
        FraRank::ShrunkMean { prior } => pair.sum_abs / (f64::from(pair.count) + prior),
        FraRank::Max => pair.max,
        FraRank::Induction => pair.induction * (pair.induction / pair.sum_abs.max(1e-30)),
    }
}

pub(crate) const RANKS: [FraRank; 5] = [
    FraRank::Sum,
    FraRank::ShrunkMean { prior: 0.0 },
    FraRank::ShrunkMean { prior: 10.0 },
    FraRank::Max,
    FraRank::Induction,
];

/// A model, a site, and heads: with one table for all heads, with distances, with a window.
pub(crate) const CASES: [(&str, HookPoint, usize, [usize; 2]); 4] = [
    ("gpt2-base", HookPoint::ResidPre(1), 1, [3, 0]),
    ("demo-gpt2", HookPoint::Ln1Normalized(2), 2, [0, 4]),
    ("gemma2-base", HookPoint::ResidPost(0), 1, [1, 2]),
    ("gemma3-base", HookPoint::ResidPre(3), 3, [2, 3]),
];

#[test]
fn sums_and_rankings_are_those_of_loops_over_every_value() {
    for (name, hook, layer, heads) in CASES {
        let model = model(name);
        let sae = sae(model.shape().d_model, hook, 0, 5);
        let layer = FraLayer::new(&sae, &*model, layer).unwrap();
        assert_eq!(layer.is_factored(), name.contains("gpt2"));
        let texts = texts(name, &layer, 6);
        let config = FraStatisticsConfig { heads: heads.to_vec(), ..Default::default() };
        let statistics = collect(&layer, &texts, config);
        assert!((0..heads.len()).all(|place| statistics.is_exact(place)));
        let all = statistics.top(&layer, &RANKS, usize::MAX / 4).unwrap();
        let some = statistics.top(&layer, &RANKS, 7).unwrap();
        for (place, head) in heads.into_iter().enumerate() {
            let expected = slow(&layer, &texts, head);
            assert_eq!(all[place].head, head);
            assert_eq!(statistics.n_pairs(place), expected.len());
            assert_eq!(all[place].n_pairs, expected.len());
            let total: f64 = expected.values().map(|pair| pair.sum_abs).sum();
            let induction: f64 = expected.values().map(|pair| pair.induction).sum();
            near(all[place].sum_abs, total, total, name);
            near(all[place].induction, induction / total, 1.0, name);
            assert!(induction > 0.0, "{name}: the texts have repetitions");
            let largest = expected.values().map(|pair| pair.max).fold(0.0, f64::max);
            for pair in &all[place].top[0] {
                let slow = &expected[&(pair.query_feature, pair.key_feature)];
                check(pair, slow, largest, name);
            }
            for (rank, (all, some)) in RANKS.iter().zip(all[place].top.iter().zip(&some[place].top))
            {
                assert_eq!(all.len(), expected.len());
                assert_eq!(all[..7], some[..]);
                assert!(all.windows(2).all(|pair| pair[0].score >= pair[1].score));
                let most = expected.values().map(|pair| score(*rank, pair)).fold(0.0, f64::max);
                near(all[0].score, most, most, name);
            }
            let patterns = texts.iter().map(|(ids, activations)| {
                let n = ids.len();
                let all = &activations[&HookPoint::Pattern(layer.layer())];
                (ids, &all[head * n * n..(head + 1) * n * n])
            });
            let mut of_texts = Vec::new();
            for (ids, pattern) in patterns {
                let (mut sum, mut n_queries) = (0.0, 0.0);
                for query in 0..ids.len() {
                    let before = (0..query).rev().find(|earlier| ids[*earlier] == ids[query]);
                    if let Some(key) = before.map(|b| b + 1).filter(|key| *key < query) {
                        sum += f64::from(pattern[query * ids.len() + key]);
                        n_queries += 1.0;
                    }
                }
                if n_queries > 0.0 {
                    of_texts.push((sum, n_queries));
                }
            }
            let n_queries: f64 = of_texts.iter().map(|(_, n)| n).sum();
            let score = of_texts.iter().map(|(sum, _)| sum).sum::<f64>() / n_queries;
            near(statistics.induction_score(place).unwrap(), score, 1.0, name);
            // The interval is that of the mean of what each text adds to the ratio.
            let n_texts = of_texts.len() as f64;
            let added = |(sum, n): &(f64, f64)| score + (sum - score * n) * n_texts / n_queries;
            let added: Vec<f64> = of_texts.iter().map(added).collect();
            let expected = SeedSummary::new(&added, 0.95).unwrap().interval;
            let interval = statistics.induction_interval(place).unwrap();
            near(interval.lower, expected.lower.max(0.0), 1e-3, name);
            near(interval.upper, expected.upper.min(1.0), 1e-3, name);
        }
    }
}

fn check(pair: &FraPair, slow: &Slow, largest: f64, name: &str) {
    // A value may be small because a product of large numbers is.
    let size = slow.sum_abs + 0.02 * largest * f64::from(slow.count);
    near(pair.sum, slow.sum, size, name);
    near(pair.sum_abs, slow.sum_abs, size, name);
    near(pair.max, slow.max, size, name);
    assert_eq!(pair.count, slow.count, "{name}");
    assert!(pair.missed <= 0.0);
    if slow.sum_abs > 0.1 * size {
        near(pair.mean_distance, slow.distance / slow.sum_abs, 20.0, name);
        near(pair.induction, slow.induction / slow.sum_abs, 1.0, name);
    }
}

#[test]
fn in_little_memory_every_sum_is_within_what_it_may_lack() {
    for (name, hook, layer, heads) in [CASES[0], CASES[3]] {
        let model = model(name);
        let sae = sae(model.shape().d_model, hook, 0, 5);
        let layer = FraLayer::new(&sae, &*model, layer).unwrap();
        let texts = texts(name, &layer, 20);
        let budget_bytes = 150_000;
        let config =
            FraStatisticsConfig { heads: heads.to_vec(), budget_bytes, ..Default::default() };
        let mut statistics = FraStatistics::new(&layer, config).unwrap();
        for (ids, activations) in &texts {
            statistics.add(&layer, input(ids, activations, 1)).unwrap();
            assert!(statistics.size_bytes() <= budget_bytes, "{name}");
        }
        assert!((0..heads.len()).all(|place| !statistics.is_exact(place)));
        let found = statistics.top(&layer, &[FraRank::Sum], usize::MAX / 4).unwrap();
        for (place, head) in heads.into_iter().enumerate() {
            let expected = slow(&layer, &texts, head);
            assert!(found[place].n_pairs < expected.len());
            let largest = expected.values().map(|pair| pair.max).fold(0.0, f64::max);
            let mut lacking = 0;
            for pair in &found[place].top[0] {
                let slow = &expected[&(pair.query_feature, pair.key_feature)];
                let slack = 2e-5 * slow.sum_abs + 1e-6 * largest * f64::from(slow.count);
                assert!(pair.sum_abs <= slow.sum_abs + slack, "{name}");
                assert!(slow.sum_abs <= pair.sum_abs + pair.missed + slack, "{name}");
                lacking += usize::from(pair.count < slow.count);
            }
            assert!(lacking > 0, "{name}: the bound was put to use");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn no_missing_pair_has_a_larger_sum_than_is_said(
        case in 0..CASES.len(),
        seed in 0..100_u64,
        budget_bytes in 4_000..120_000_usize,
    ) {
        let (name, hook, layer, heads) = CASES[case];
        let model = model(name);
        let sae = sae(model.shape().d_model, hook, 0, seed);
        let layer = FraLayer::new(&sae, &*model, layer).unwrap();
        let texts = texts(name, &layer, 6);
        let config =
            FraStatisticsConfig { heads: heads.to_vec(), budget_bytes, ..Default::default() };
        let statistics = collect(&layer, &texts, config);
        let found = statistics.top(&layer, &[FraRank::Sum], usize::MAX / 4).unwrap();
        for (place, head) in heads.into_iter().enumerate() {
            let most = statistics.largest_missing(&layer, place).unwrap();
            let expected = slow(&layer, &texts, head);
            let n_missing = expected.len() - found[place].n_pairs;
            prop_assert_eq!(statistics.n_dropped(place) == 0, n_missing == 0 && most <= 0.0);
            prop_assert!(statistics.n_dropped(place) >= n_missing as u64);
            let mut missing = expected;
            for pair in &found[place].top[0] {
                missing.remove(&(pair.query_feature, pair.key_feature));
            }
            prop_assert_eq!(missing.len(), n_missing);
            let largest = missing.values().map(|pair| pair.sum_abs).fold(0.0, f64::max);
            prop_assert!(largest <= most * (1.0 + 2e-5), "{name}: {largest} {most}");
        }
    }
}

#[test]
fn a_text_that_is_refused_leaves_no_trace() {
    for (name, hook, layer, heads) in [CASES[0], CASES[3]] {
        let model = model(name);
        let sae = sae(model.shape().d_model, hook, 0, 5);
        let layer = FraLayer::new(&sae, &*model, layer).unwrap();
        let mut texts = texts(name, &layer, 3);
        let config =
            FraStatisticsConfig { heads: heads.to_vec(), permuted: true, ..Default::default() };
        let mut statistics = collect(&layer, &texts[..2].to_vec(), config);
        let before = statistics.clone();
        let (ids, mut activations) = texts.remove(2);
        activations.get_mut(&HookPoint::Pattern(layer.layer())).unwrap().pop();
        let error = statistics.add(&layer, input(&ids, &activations, 1)).unwrap_err().to_string();
        assert!(error.starts_with("the number of values of an activation"), "{error}");
        assert!(statistics == before, "{name}");
    }
}

#[test]
fn saved_statistics_go_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.fra");
    for (budget_bytes, (name, hook, layer, heads)) in
        [1 << 20, 90_000].into_iter().flat_map(|budget| [CASES[0], CASES[3]].map(|c| (budget, c)))
    {
        let model = model(name);
        let sae = sae(model.shape().d_model, hook, 0, 5);
        let layer = FraLayer::new(&sae, &*model, layer).unwrap();
        let texts = texts(name, &layer, 8);
        let config =
            FraStatisticsConfig { heads: heads.to_vec(), budget_bytes, seed: 3, permuted: true };
        let whole = collect(&layer, &texts, config.clone());
        collect(&layer, &texts[..5].to_vec(), config.clone()).save(&path, "these texts").unwrap();
        let mut resumed = FraStatistics::new(&layer, config.clone()).unwrap();
        resumed.load(&path, "these texts").unwrap();
        assert_eq!(resumed.n_texts(), 5);
        for (ids, activations) in &texts[5..] {
            resumed.add(&layer, input(ids, activations, 1)).unwrap();
        }
        assert!(resumed == whole, "{name} {budget_bytes}");

        let refused = |statistics: &FraStatistics, digest: &str| {
            let mut statistics = statistics.clone();
            let error = statistics.load(&path, digest).unwrap_err().to_string();
            assert!(error.contains("remove it to start over"), "{error}");
            error
        };
        assert!(refused(&whole, "other texts").contains("other settings, texts, or model"));
        let other = FraStatisticsConfig { seed: 4, ..config.clone() };
        let other = FraStatistics::new(&layer, other).unwrap();
        assert!(refused(&other, "these texts").contains("other settings"));
        let other = FraStatisticsConfig { heads: vec![heads[0]], ..config };
        let other = FraStatistics::new(&layer, other).unwrap();
        assert!(refused(&other, "these texts").contains("other settings"));

        let bytes = std::fs::read(&path).unwrap();
        for at in [3, 60, bytes.len() / 2, bytes.len() - 40, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            refused(&whole, "these texts");
        }
        for n in [0, 20, bytes.len() / 3, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..n]).unwrap();
            refused(&whole, "these texts");
        }
        std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        refused(&whole, "these texts");

        // Pairs of features that never occurred, under a hash that is right.
        let lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let others = lines.map(|(at, _)| at + 1).nth(1).unwrap();
        let mut made_up = bytes[..bytes.len() - 32].to_vec();
        made_up[others..others + 4 * layer.sae().config.d_sae].fill(u8::MAX);
        let hash = blake3::hash(&made_up);
        made_up.extend(hash.as_bytes());
        std::fs::write(&path, made_up).unwrap();
        assert!(refused(&whole, "these texts").contains("it is damaged"));
    }
}

#[test]
fn what_is_no_set_of_heads_is_refused() {
    let model = model("demo-gpt2");
    let sae = sae(model.shape().d_model, HookPoint::ResidPre(1), 0, 5);
    let layer = FraLayer::new(&sae, &*model, 1).unwrap();
    for heads in [vec![], vec![1, 1], vec![5]] {
        let config = FraStatisticsConfig { heads, ..Default::default() };
        assert!(FraStatistics::new(&layer, config).is_err());
    }
}
