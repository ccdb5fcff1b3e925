//! The four terms add up to the model's own scores.
//!
//! In `f64` they are made from the formulas, and add up within 1e-10 to the score that the model's
//! weights give in `f64`; with these the library's four terms and the model's own score agree
//! within the rounding of `f32`. So it is for drawn models of every family and for the embedded
//! ones.

use attention_probes_models::{AttentionWeights, HookPoint, HookedModel, NormKind, NormWeights};
use attention_probes_sae::fra::{FraActivations, FraHead, FraLayer, FraText, capture};
use attention_probes_sae::{SaeMetadata, SparseCodes};
use burn::tensor::Device;
use proptest::prelude::*;

use crate::fra::input;
use crate::fra::subjects::{MODELS, drawn_model, ids, model, sae, sites};

/// Everything in `f64`, from the formulas.
struct Oracle {
    /// The terms of one head.
    terms: [Vec<f64>; 4],
    /// Its scores before the soft cap, of whole activations without any autoencoder.
    scores: Vec<f64>,
}

/// What an oracle is made from.
struct Given<'a> {
    weights: &'a AttentionWeights,
    decoder: &'a [f32],
    /// What features are multiplied by in the space of the activations.
    codes: &'a SparseCodes,
    /// What the autoencoder reads.
    x: &'a [f32],
    is_normalized: bool,
    head: usize,
    n_before: usize,
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// The scale of a norm.
fn scale(norm: &NormWeights, x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = match norm.kind {
        NormKind::Layer => x.iter().sum::<f64>() / n,
        NormKind::RootMeanSquare => 0.0,
    };
    (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + norm.epsilon).sqrt()
}

impl Given<'_> {
    /// Takes a part of an activation through norm, projection, norm of the head, and rotation, all
    /// with scales that are given; `constant` where biases belong to it.
    fn side(
        &self,
        part: &[f64],
        (position, sigma, sigma_head): (usize, f64, f64),
        (is_query, constant): (bool, bool),
    ) -> Vec<f64> {
        let weights = self.weights;
        let (w, b, norm, head) = if is_query {
            (&weights.w_q, &weights.b_q, &weights.q_norm, self.head)
        } else {
            (&weights.w_k, &weights.b_k, &weights.k_norm, weights.key_value_head(self.head))
        };
        let mean = match weights.norm.kind {
            NormKind::Layer if !self.is_normalized => part.iter().sum::<f64>() / part.len() as f64,
            _ => 0.0,
        };
        let y: Vec<f64> = part
            .iter()
            .zip(weights.norm.gain.iter().zip(&weights.norm.bias))
            .map(|(x, (gain, bias))| {
                let bias = if constant { f64::from(*bias) } else { 0.0 };
                (x - mean) / sigma * f64::from(*gain) + bias
            })
            .collect();
        let d_head = weights.d_head;
        let mut row: Vec<f64> = (head * d_head..(head + 1) * d_head)
            .map(|column| {
                let bias = if constant { f64::from(b[column]) } else { 0.0 };
                let rows = y.iter().enumerate();
                rows.map(|(i, y)| y * f64::from(w[i * b.len() + column])).sum::<f64>() + bias
            })
            .collect();
        if let Some(norm) = norm {
            for (x, gain) in row.iter_mut().zip(&norm.gain) {
                *x *= f64::from(*gain) / sigma_head;
            }
        }
        if let Some(rope) = &weights.rope {
            let half = d_head / 2;
            for i in 0..half {
                // Angles are numbers in `f32`, as the model has them.
                let frequency = rope.theta.powf(-2.0 * i as f64 / d_head as f64) as f32;
                let angle = position as f32 * (frequency / rope.factor as f32);
                let (sin, cos) = (f64::from(angle.sin()), f64::from(angle.cos()));
                let (a, b) = (row[i], row[i + half]);
                (row[i], row[i + half]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
        row
    }

    fn oracle(&self) -> Oracle {
        let weights = self.weights;
        let d = weights.d_model;
        let n = self.x.len() / d;
        let (mut sides, mut wholes) = (Vec::new(), Vec::new());
        for is_query in [true, false] {
            let norm = if is_query { &weights.q_norm } else { &weights.k_norm };
            let (mut side, mut whole) = (Vec::new(), Vec::new());
            for position in 0..n {
                let x = to_f64(&self.x[position * d..][..d]);
                let mut features = vec![0.0; d];
                let (active, values) = self.codes.row(position);
                for (feature, value) in
                    active.iter().zip(values).filter(|_| position >= self.n_before)
                {
                    for (x, d) in features.iter_mut().zip(&self.decoder[*feature as usize * d..]) {
                        *x += f64::from(*value) * f64::from(*d);
                    }
                }
                let rest: Vec<f64> = x.iter().zip(&features).map(|(x, f)| x - f).collect();
                let sigma = if self.is_normalized { 1.0 } else { scale(&weights.norm, &x) };
                // The scale of the head's norm is that of the whole, and frozen.
                let raw = Given { weights: &without_head_norms(weights), ..*self };
                let plain = raw.side(&x, (0, sigma, 1.0), (is_query, true));
                let sigma_head = norm.as_ref().map_or(1.0, |norm| scale(norm, &plain));
                let frozen = (position, sigma, sigma_head);
                side.push([
                    self.side(&features, frozen, (is_query, false)),
                    self.side(&rest, frozen, (is_query, true)),
                ]);
                whole.push(self.side(&x, frozen, (is_query, true)));
            }
            sides.push(side);
            wholes.push(whole);
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let products = |part: [usize; 2]| {
            let at = |query: usize, key: usize| {
                let product = dot(&sides[0][query][part[0]], &sides[1][key][part[1]]);
                if weights.sees(query, key) { weights.scale * product } else { 0.0 }
            };
            (0..n * n).map(|i| at(i / n, i % n)).collect::<Vec<f64>>()
        };
        let terms = [[0, 0], [0, 1], [1, 0], [1, 1]].map(products);
        let score = |i: usize| {
            let (query, key) = (i / n, i % n);
            let product = weights.scale * dot(&wholes[0][query], &wholes[1][key]);
            if weights.sees(query, key) { product } else { 0.0 }
        };
        Oracle { terms, scores: (0..n * n).map(score).collect() }
    }
}

/// The same weights without norms of queries and keys and without rotation.
fn without_head_norms(weights: &AttentionWeights) -> AttentionWeights {
    AttentionWeights { q_norm: None, k_norm: None, rope: None, ..weights.clone() }
}

/// Codes in the space of the activations: as [`attention_probes_sae::Sae::decode`] takes them.
fn codes_in_activations(layer: &FraLayer<'_>, x: &[f32]) -> SparseCodes {
    let sae = layer.sae();
    let encoded = sae.encode(x).unwrap();
    // What one feature adds is what decoding it alone adds to decoding nothing.
    let norms = sae.decoder_norms();
    let mut codes = SparseCodes::new(sae.config.d_sae);
    let rescaled = matches!(
        sae.activation,
        attention_probes_sae::SaeActivation::TopK { rescale_acts_by_decoder_norm: true, .. }
    );
    let d = sae.config.d_in;
    for (row, (features, values)) in encoded.codes.rows().enumerate() {
        let x = to_f64(&x[row * d..][..d]);
        let mean = x.iter().sum::<f64>() / d as f64;
        let scale = match sae.config.normalize_activations {
            attention_probes_sae::Normalization::LayerNorm => {
                let squares: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
                (squares / (d - 1) as f64).sqrt()
            }
            attention_probes_sae::Normalization::ConstantNormRescale => {
                x.iter().map(|x| x * x).sum::<f64>().sqrt() / (d as f64).sqrt()
            }
            _ => 1.0,
        };
        codes.push_row(features.iter().zip(values).map(|(feature, value)| {
            let norm = if rescaled { f64::from(norms[*feature as usize]) } else { 1.0 };
            (*feature, (f64::from(*value) * scale / norm) as f32)
        }));
    }
    codes
}

/// The text of one head, checked against oracle and model.
fn check(
    layer: &FraLayer<'_>,
    (ids, activations, n_before): (&[u32], &FraActivations, usize),
    head: usize,
    case: &str,
) {
    let text = FraText::new(layer, &[head], input(ids, activations, n_before)).unwrap();
    let n = ids.len();
    let x = &activations[&layer.hook()];
    let codes = codes_in_activations(layer, x);
    let given = Given {
        weights: layer.weights(),
        decoder: &layer.sae().decoder,
        codes: &codes,
        x,
        is_normalized: matches!(layer.hook(), HookPoint::Ln1Normalized(_)),
        head,
        n_before,
    };
    let oracle = given.oracle();
    let fra = text.head(head).unwrap();
    let terms = fra.terms().unwrap();
    let parts = [&terms.pairs, &terms.query_features, &terms.key_features, &terms.rest];
    let size = oracle.terms.iter().flatten().fold(1.0_f64, |a, b| a.max(b.abs()));
    for i in 0..n * n {
        let sum: f64 = oracle.terms.iter().map(|term| term[i]).sum();
        assert!((sum - oracle.scores[i]).abs() < 1e-10, "{case}: {sum} {}", oracle.scores[i]);
        for (term, (found, expected)) in parts.iter().zip(&oracle.terms).enumerate() {
            let difference = (f64::from(found[i]) - expected[i]).abs();
            assert!(difference < 2e-5 * size, "{case}: term {term} at {i}: {difference} of {size}");
        }
    }
    let cap = layer.weights().softcap;
    let of_model = &activations[&HookPoint::AttnScores(layer.layer())][head * n * n..][..n * n];
    for (i, (sum, score)) in terms.scores().iter().zip(of_model).enumerate() {
        if !layer.weights().sees(i / n, i % n) {
            assert!(*score == f32::NEG_INFINITY && sum.abs() <= 0.0, "{case}");
            continue;
        }
        // Terms that cancel are rounded by their own size, not by that of their sum.
        let tolerance = 1e-4_f64.max(2e-5 * size);
        for sum in [f64::from(*sum), oracle.scores[i]] {
            let capped = cap.map_or(sum, |cap| cap * (sum / cap).tanh());
            let difference = (capped - f64::from(*score)).abs();
            assert!(difference < tolerance, "{case} at {i}: {capped} {score}");
        }
    }
    check_slices(&fra, &terms.pairs, case);
}

/// Every slice says the same, and the pairs of a position add up to its pair term.
fn check_slices(fra: &FraHead<'_>, pairs: &[f32], case: &str) {
    let n = fra.n_positions();
    let cells = || (0..n).flat_map(|query| (0..n).map(move |key| (query, key)));
    // Of many features with values that cancel the sum is rounded by the values' size.
    let magnitudes = cells().map(|(query, key)| {
        let values = fra.block(query, key).values;
        0.1 * values.iter().map(|value| value.abs()).sum::<f32>()
    });
    let size = pairs.iter().map(|sum| sum.abs()).chain(magnitudes).fold(1.0, f32::max);
    let mut streamed = vec![0.0; n * n];
    fra.for_each_query(|query, values| {
        let mut columns = Vec::new();
        for key in (0..=query).filter(|key| fra.sees(query, *key)) {
            columns.extend(std::iter::repeat_n(key, fra.block(query, key).key_features.len()));
        }
        for row in values.chunks_exact(columns.len().max(1)) {
            for (key, value) in columns.iter().zip(row) {
                streamed[query * n + key] += value;
            }
        }
    });
    for (query, key) in cells() {
        let block = fra.block(query, key);
        let sum: f32 = block.values.iter().sum();
        for sum in [sum, streamed[query * n + key]] {
            assert!((sum - pairs[query * n + key]).abs() < 1e-4 * size, "{case}: {query} {key}");
        }
    }
    // A pair's map, a feature's row, and a block hold the same numbers.
    let (query, key) = (n - 1, (0..n).rev().find(|key| fra.sees(n - 1, *key)).unwrap());
    let block = fra.block(query, key);
    let width = block.key_features.len();
    for (i, query_feature) in block.query_features.iter().enumerate().take(3) {
        let row = fra.query_row(*query_feature);
        for (j, key_feature) in block.key_features.iter().enumerate().take(3) {
            let value = block.values[i * width + j];
            let map = fra.pair_map(*query_feature, *key_feature);
            assert!((map[query * n + key] - value).abs() < 1e-4 * size, "{case}");
            let sums = [
                map.iter().sum::<f32>(),
                row.iter().filter(|v| v.feature == *key_feature).map(|v| v.value).sum(),
                fra.key_row(*key_feature)
                    .iter()
                    .filter(|v| v.feature == *query_feature)
                    .map(|v| v.value)
                    .sum(),
            ];
            assert!((sums[0] - sums[1]).abs() < 1e-3 * size, "{case}: {sums:?}");
            assert!((sums[0] - sums[2]).abs() < 1e-3 * size, "{case}: {sums:?}");
        }
    }
}

#[test]
fn the_four_terms_add_up_at_every_site_of_every_model() {
    let device = Device::flex();
    for name in MODELS {
        let model = model(name);
        let shape = model.shape().clone();
        for layer in [0, shape.n_layers - 1, 2] {
            for (i, hook) in sites(layer).into_iter().enumerate() {
                let sae = sae(shape.d_model, hook, (layer + i) as u8 % 4, 7 + i as u64);
                let layer = FraLayer::new(&sae, &*model, layer).unwrap();
                let ids = ids(11, shape.d_vocab, 3);
                let mut hooks = layer.hooks();
                hooks.push(HookPoint::AttnScores(layer.layer()));
                let activations = capture(&*model, &device, &ids, &hooks).unwrap();
                let head = (i + layer.layer()) % shape.n_heads;
                let case = format!("{name} {hook} head {head}");
                check(&layer, (&ids, &activations, i % 2), head, &case);
            }
        }
    }
}

/// Checks one head of a layer of a model, all of them by `seed`, on a text of `n` tokens.
fn check_some(
    model: &dyn HookedModel,
    (kind, seed): (u8, u64),
    [n, n_before]: [usize; 2],
    case: &str,
) {
    let shape = model.shape().clone();
    let layer = seed as usize % shape.n_layers;
    let sites = sites(layer);
    let hook = sites[seed as usize / 2 % sites.len()];
    let sae = sae(shape.d_model, hook, kind, seed);
    let layer = FraLayer::new(&sae, model, layer).unwrap();
    let ids = ids(n, shape.d_vocab, seed);
    let mut hooks = layer.hooks();
    hooks.push(HookPoint::AttnScores(layer.layer()));
    let activations = capture(model, &Device::flex(), &ids, &hooks).unwrap();
    let head = seed as usize % shape.n_heads;
    let case = format!("{case} {hook} kind {kind} head {head}");
    check(&layer, (&ids, &activations, n_before), head, &case);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn they_add_up_whatever_the_autoencoder(
        name in 0..MODELS.len(),
        kind in 0..12_u8,
        seed in 0..1000_u64,
        n in 2..15_usize,
        n_before in 0..2_usize,
    ) {
        let model = model(MODELS[name]);
        check_some(&*model, (kind, seed), [n, n_before], MODELS[name]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]
    #[test]
    fn they_add_up_whatever_the_model(
        family in 0..4_u8,
        kind in 0..12_u8,
        seed in 0..100_000_u64,
        n in 2..15_usize,
        n_before in 0..2_usize,
    ) {
        let model = drawn_model(family, seed);
        check_some(&*model, (kind, seed), [n, n_before], &format!("family {family} seed {seed}"));
    }
}

#[test]
fn what_cannot_add_up_is_refused() {
    let model = model("demo-gpt2");
    let d = model.shape().d_model;
    let with = |hook: HookPoint, layer| {
        let sae = sae(d, hook, 0, 1);
        FraLayer::new(&sae, &*model, layer).err().unwrap().to_string()
    };
    let error = with(HookPoint::Z(2), 2);
    assert!(error.contains("do not read `blocks.2.attn.hook_z`"), "{error}");
    assert!(error.contains("`blocks.2.ln1.hook_normalized`"), "{error}");
    assert!(with(HookPoint::ResidPre(2), 3).contains("`blocks.2.hook_resid_post`"));
    assert!(with(HookPoint::ResidPre(4), 4).contains("4 layers"));
    let narrow = sae(d - 2, HookPoint::ResidPre(1), 0, 1);
    let error = FraLayer::new(&narrow, &*model, 1).err().unwrap().to_string();
    assert!(error.contains("rows of 158"), "{error}");
    let mut unnamed = sae(d, HookPoint::ResidPre(1), 0, 1);
    unnamed.config.metadata = SaeMetadata::default();
    let error = FraLayer::new(&unnamed, &*model, 1).err().unwrap().to_string();
    assert!(error.contains("names no hook"), "{error}");
    let sae = sae(d, HookPoint::ResidPre(1), 0, 1);
    let layer = FraLayer::new(&sae, &*model, 1).unwrap();
    let activations = capture(&*model, &Device::flex(), &[1, 2], &layer.hooks()).unwrap();
    let text = |heads: &[usize], ids: &[u32]| {
        FraText::new(&layer, heads, input(ids, &activations, 0)).err().unwrap().to_string()
    };
    assert_eq!(text(&[5], &[1, 2]), "layer 1 has heads 0 to 4, not 5");
    assert!(text(&[0], &[1, 2, 3]).contains("expected 480"));
}
