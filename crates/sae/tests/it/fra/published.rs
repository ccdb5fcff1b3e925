//! What the first FRA code computed, by its own steps.

use std::collections::BTreeMap;

use attention_probes_models::HookPoint;
use attention_probes_sae::fra::{
    FraLayer, FraOutput, FraRank, FraStatistics, FraStatisticsConfig, FraText, capture,
};
use burn::tensor::Device;

use crate::fra::input;
use crate::fra::subjects::{ids, model, sae};

#[test]
fn the_published_averages_are_those_of_its_loop_over_positions() {
    let (model, device) = (model("demo-gpt2"), Device::flex());
    let d = model.shape().d_model;
    let (layer, head) = (2, 3);
    // `standard`: far more than 20 features of a position are active.
    let sae = sae(d, HookPoint::Z(layer), 1, 6);
    let fra = FraLayer::published(&sae, &*model, layer).unwrap();
    assert!(fra.is_published());
    assert!(FraLayer::new(&sae, &*model, layer).is_err());
    let config = FraStatisticsConfig { heads: vec![head], ..Default::default() };
    let mut statistics = FraStatistics::new(&fra, config).unwrap();

    // The weights of TransformerLens: gain folded in, then the mean over `d_model` taken away.
    let weights = model.attention_weights(layer).unwrap();
    let width = weights.n_heads * weights.d_head;
    let folded = |w: &[f32]| -> Vec<Vec<f64>> {
        let column = |column: usize| {
            let raw: Vec<f64> = (0..d)
                .map(|i| f64::from(weights.norm.gain[i]) * f64::from(w[i * width + column]))
                .collect();
            let mean = raw.iter().sum::<f64>() / d as f64;
            raw.into_iter().map(|w| w - mean).collect()
        };
        (head * weights.d_head..(head + 1) * weights.d_head).map(column).collect()
    };
    let (w_q, w_k) = (folded(&weights.w_q), folded(&weights.w_k));
    let project = |feature: u32, w: &[Vec<f64>]| -> Vec<f64> {
        let row = &sae.decoder[feature as usize * d..][..d];
        w.iter().map(|w| row.iter().zip(w).map(|(d, w)| f64::from(*d) * w).sum()).collect()
    };
    let mut expected: BTreeMap<(u32, u32), (f64, u32)> = BTreeMap::new();
    for seed in 0..3 {
        let ids = ids(7, model.shape().d_vocab, seed);
        let activations = capture(&*model, &device, &ids, &fra.hooks()).unwrap();
        statistics.add(&fra, input(&ids, &activations, 0)).unwrap();
        let codes = sae.encode(&activations[&HookPoint::Z(layer)]).unwrap().codes;
        let strongest: Vec<Vec<(u32, f32)>> = codes
            .rows()
            .map(|(features, values)| {
                let mut row: Vec<(u32, f32)> =
                    features.iter().copied().zip(values.iter().copied()).collect();
                assert!(row.len() > 20);
                row.sort_by(|a, b| b.1.total_cmp(&a.1));
                row.truncate(20);
                row
            })
            .collect();
        for query in 0..ids.len() {
            for key in 0..=query {
                for (i, a) in &strongest[query] {
                    let q = project(*i, &w_q);
                    for (j, b) in &strongest[key] {
                        let k = project(*j, &w_k);
                        let product: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
                        let value = f64::from(*a) * f64::from(*b) * product;
                        let pair = expected.entry((*i, *j)).or_default();
                        *pair = (pair.0 + value.abs(), pair.1 + 1);
                    }
                }
            }
        }
    }
    let mean = FraRank::ShrunkMean { prior: 0.0 };
    let top = statistics.top(&fra, &[mean], 200).unwrap().remove(0);
    assert_eq!(top.n_pairs, expected.len());
    let mut means: Vec<f64> = expected.values().map(|(sum, n)| sum / f64::from(*n)).collect();
    means.sort_by(|a, b| b.total_cmp(a));
    for (pair, mean) in top.top[0].iter().zip(means) {
        let (sum, count) = expected[&(pair.query_feature, pair.key_feature)];
        assert_eq!(pair.count, count);
        assert!((pair.score - sum / f64::from(count)).abs() < 1e-4 * pair.score);
        assert!((pair.score - mean).abs() < 1e-4 * mean);
    }
}

#[test]
fn what_adds_up_to_nothing_has_no_terms_and_no_output() {
    let (model, device) = (model("demo-gpt2"), Device::flex());
    let sae = sae(model.shape().d_model, HookPoint::Z(2), 0, 6);
    let fra = FraLayer::published(&sae, &*model, 2).unwrap();
    let ids = ids(7, model.shape().d_vocab, 1);
    let hooks = [fra.hooks(), FraOutput::hooks(&fra)].concat();
    let activations = capture(&*model, &device, &ids, &hooks).unwrap();
    let text = FraText::new(&fra, &[3], input(&ids, &activations, 0)).unwrap();
    let expected = |what| {
        format!("the numbers of the first FRA code add up to no {what}; leave `published` out")
    };
    let error = text.head(3).unwrap().terms().unwrap_err().to_string();
    assert_eq!(error, expected("terms of scores"));
    let error = FraOutput::new(&fra, text.codes(), 3, &activations).err().unwrap().to_string();
    assert_eq!(error, expected("output of a head"));
}

#[test]
fn models_that_turn_queries_were_not_known_to_it() {
    let model = model("demo-gemma");
    let narrow = sae(model.shape().n_heads * model.shape().d_head, HookPoint::Z(1), 0, 1);
    let error = FraLayer::published(&narrow, &*model, 1).err().unwrap().to_string();
    assert!(error.contains("residual stream of width 160"), "{error}");
    let wide = sae(160, HookPoint::Z(1), 0, 1);
    let error = FraLayer::published(&wide, &*model, 1).err().unwrap().to_string();
    assert!(error.contains("did not know models that turn"), "{error}");
}
