//! How many of the strongest pairs are a feature with itself, beside what would be anyway.

use attention_probes_metrics::wilson;
use attention_probes_models::{
    AttentionWeights, ForwardRequest, HookPoint, HookedModel, ModelError, ModelOutput, ModelShape,
    Rope, TokenBatch,
};
use attention_probes_sae::fra::{
    FraActivations, FraLayer, FraRank, FraStatistics, FraStatisticsConfig, SelfInteractions,
};
use attention_probes_sae::{Sae, SaeActivation, SaeConfig};
use burn::tensor::Tensor;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fra::statistics::{CASES, RANKS, Texts, collect, slow, texts};
use crate::fra::subjects::{model, sae};

/// Kinds of tokens, and features of each: they occur together always, so that of the pairs that
/// occur often one in `FEATURES` is a feature with itself.
const KINDS: usize = 26;
const FEATURES: usize = 6;

/// Pairs that are looked at.
const TOP: usize = 100;

const HOOK: HookPoint = HookPoint::Ln1Normalized(2);

/// A model with other queries and keys.
struct Reweighted {
    model: Box<dyn HookedModel>,
    weights: AttentionWeights,
}

impl HookedModel for Reweighted {
    fn shape(&self) -> &ModelShape {
        self.model.shape()
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        self.model.has_hook(hook)
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        self.model.execute(batch, request)
    }

    fn value_bias(&self, layer: usize) -> Option<Tensor<2>> {
        self.model.value_bias(layer)
    }

    fn attention_weights(&self, _: usize) -> Result<AttentionWeights, ModelError> {
        Ok(self.weights.clone())
    }

    fn centres_residuals(&self) -> bool {
        self.model.centres_residuals()
    }

    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        self.model.unembed_direction(token)
    }
}

/// About normal numbers.
fn drawn(n: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..n).map(|_| (0..6).map(|_| rng.random_range(-0.5_f32..0.5)).sum()).collect()
}

/// `demo-gpt2` with drawn queries, and with keys that are the queries' or drawn too.
fn reweighted(is_matched: bool, rope: Option<Rope>, rng: &mut ChaCha8Rng) -> Reweighted {
    let model = model("demo-gpt2");
    let mut weights = model.attention_weights(2).unwrap();
    weights.norm.gain.fill(1.0);
    weights.w_q = drawn(weights.w_q.len(), rng);
    weights.w_k = if is_matched { weights.w_q.clone() } else { drawn(weights.w_k.len(), rng) };
    weights.rope = rope;
    Reweighted { model, weights }
}

/// An autoencoder whose features are the axes, a few of which never occur.
fn one_feature_for_each_axis(d: usize) -> Sae {
    assert!(d > KINDS * FEATURES);
    let identity: Vec<f32> = (0..d * d).map(|i| if i / d == i % d { 1.0 } else { 0.0 }).collect();
    let activation = SaeActivation::TopK {
        b_enc: vec![0.0; d],
        k: FEATURES,
        rescale_acts_by_decoder_norm: false,
    };
    let (config, encoder) = (SaeConfig::new(d, d), identity.clone());
    let mut sae = Sae { config, activation, encoder, decoder: identity, b_dec: vec![0.0; d] };
    sae.set_hook(HOOK);
    sae
}

/// Short texts of drawn tokens, each of which has the features of its kind.
fn texts_of_kinds(d: usize, n: usize, rng: &mut ChaCha8Rng) -> Texts {
    let mut features: Vec<usize> = (0..d).collect();
    features.shuffle(rng);
    let text = |_| {
        let ids: Vec<u32> = (0..10).map(|_| rng.random_range(0..KINDS as u32)).collect();
        let mut x = vec![0.0; ids.len() * d];
        for (row, id) in x.chunks_exact_mut(d).zip(&ids) {
            for feature in &features[*id as usize * FEATURES..][..FEATURES] {
                row[*feature] = 1.0;
            }
        }
        (ids, FraActivations::from([(HOOK, x)]))
    };
    (0..n).map(text).collect()
}

/// Self-interactions of all heads of a drawn subject, by the sum.
fn of_drawn(is_matched: bool, rope: Option<Rope>, seed: u64) -> Vec<SelfInteractions> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let model = reweighted(is_matched, rope, &mut rng);
    let d = model.shape().d_model;
    let sae = one_feature_for_each_axis(d);
    let layer = FraLayer::new(&sae, &model, 2).unwrap();
    assert_eq!(layer.is_factored(), rope.is_none());
    let texts = texts_of_kinds(d, 40, &mut rng);
    let heads = (0..layer.n_heads()).collect();
    let config = FraStatisticsConfig { heads, permuted: true, seed, ..Default::default() };
    let statistics: FraStatistics = collect(&layer, &texts, config);
    assert!(statistics.is_exact(0));
    statistics.self_interactions(&layer, &[FraRank::Sum], TOP).unwrap().remove(0)
}

const ROPES: [Option<Rope>; 2] = [None, Some(Rope { theta: 10_000.0, factor: 1.0 })];

#[test]
fn a_head_that_matches_features_stands_out_from_every_null() {
    for rope in ROPES {
        for found in of_drawn(true, rope, 1) {
            assert!(found.share > 0.8, "{found:?}");
            let likely = found.count_matched_interval;
            assert!((0.1..0.3).contains(&found.count_matched), "{found:?}");
            assert!(likely.lower < found.count_matched && found.count_matched < likely.upper);
            assert!(found.share > likely.upper + 0.4, "{found:?}");
            assert!(found.permuted.unwrap() < 0.2, "{found:?}");
            assert!(found.permuted_interval.unwrap().upper < found.share_interval.lower - 0.4);
        }
    }
}

#[test]
fn a_head_that_matches_nothing_does_as_its_nulls() {
    for rope in ROPES {
        let all: Vec<SelfInteractions> =
            (0..4).flat_map(|seed| of_drawn(false, rope, seed)).collect();
        let is_outside = |found: &&SelfInteractions| {
            let likely = found.count_matched_interval;
            found.share < likely.lower || found.share > likely.upper
        };
        // More than 3 of 20 are outside ranges of 95 % once in 60 times.
        assert_eq!(all.len(), 20);
        let outside: Vec<_> = all.iter().filter(is_outside).collect();
        assert!(outside.len() <= 3, "{outside:?}");
        let mean = |of: &dyn Fn(&SelfInteractions) -> f64| all.iter().map(of).sum::<f64>() / 20.0;
        let share = mean(&|found| found.share);
        assert!((share - mean(&|found| found.count_matched)).abs() < 0.03, "{share}");
        // Keys have other directions, but occur where they did.
        assert!((share - mean(&|found| found.permuted.unwrap())).abs() < 0.03, "{share}");
    }
}

/// An autoencoder whose feature `i` reads and writes along direction `i`.
fn axes(d: usize, hook: HookPoint) -> Sae {
    let mut sae = sae(d, hook, 1, 0);
    let identity = |value: f32| -> Vec<f32> {
        (0..3 * d * d).map(|i| if i / d % d == i % d { value } else { 0.0 }).collect()
    };
    (sae.encoder, sae.decoder) = (identity(1.0), identity(1.0));
    sae
}

/// Up to 16 a number is alike only itself, above in its four first binary digits.
fn alike(a: u32, b: u32) -> bool {
    let digits = |count: u32| {
        if count <= 16 { (0, count) } else { (count.ilog2(), count >> (count.ilog2() - 3)) }
    };
    digits(a) == digits(b)
}

#[test]
fn self_interactions_are_those_of_loops_over_every_pair() {
    for (name, hook, layer, heads) in CASES {
        let model = model(name);
        let sae = axes(model.shape().d_model, hook);
        let layer = FraLayer::new(&sae, &*model, layer).unwrap();
        let texts = texts(name, &layer, 4);
        let config =
            FraStatisticsConfig { heads: heads.to_vec(), permuted: true, ..Default::default() };
        let statistics = collect(&layer, &texts, config);
        let n = 50;
        let found = statistics.self_interactions(&layer, &RANKS[..2], n).unwrap();
        assert_eq!(found.len(), 2);
        let found = &found[0];
        let top = statistics.top(&layer, &[FraRank::Sum], n).unwrap();
        for (place, top) in top.iter().enumerate() {
            let (found, other) = (&found[place], &found[1 - place]);
            let pairs = &top.top[0];
            let n_self = pairs.iter().filter(|p| p.query_feature == p.key_feature).count();
            assert_eq!((found.n_pairs, found.n_self), (n, n_self));
            assert_eq!(found.share_interval, wilson(n_self, n, 0.95).unwrap());
            assert!((found.share - n_self as f64 / n as f64).abs() < 1e-12);
            assert_eq!(found.other_heads, [other.share]);
            let n_permuted = (found.permuted.unwrap() * n as f64).round() as usize;
            assert_eq!(found.permuted_interval, wilson(n_permuted, n, 0.95).ok());

            let expected = slow(&layer, &texts, heads[place]);
            let drawn_from: Vec<Vec<bool>> = pairs
                .iter()
                .map(|pair| {
                    let others =
                        expected.iter().filter(|(_, other)| alike(other.count, pair.count));
                    others.map(|((i, j), _)| i == j).collect()
                })
                .collect();
            let share = |from: &Vec<bool>| {
                from.iter().filter(|is_self| **is_self).count() as f64 / from.len() as f64
            };
            let matched = drawn_from.iter().map(share).sum::<f64>() / n as f64;
            assert!((found.count_matched - matched).abs() < 1e-9, "{name}");

            let likely = found.count_matched_interval;
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let mut shares = (0..2000).map(|_| {
                let draw = |from: &Vec<bool>| from[rng.random_range(0..from.len())];
                let is_self: Vec<bool> = drawn_from.iter().map(draw).collect();
                share(&is_self)
            });
            let (mut n_inside, mut n_well_inside) = (0, 0);
            shares.by_ref().for_each(|share| {
                n_inside += u32::from((likely.lower..=likely.upper).contains(&share));
                let (lower, upper) = (likely.lower + 1e-9, likely.upper - 1e-9);
                n_well_inside += u32::from(share > lower && share < upper);
            });
            assert!(n_inside > 1870, "{name}: {n_inside} of 2000");
            assert!(n_well_inside < 1930, "{name}: {n_well_inside} of 2000");
        }
        let without = FraStatisticsConfig { heads: heads.to_vec(), ..Default::default() };
        let without = collect(&layer, &texts, without);
        let found = without.self_interactions(&layer, &[FraRank::Sum], n).unwrap();
        assert_eq!(found[0][0].permuted.is_some(), layer.is_factored());
        assert_eq!(found[0][0].permuted_interval.is_some(), layer.is_factored());
    }
}
