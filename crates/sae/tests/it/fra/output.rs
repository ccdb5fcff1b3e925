//! What features add to a head's output adds up to it.

use attention_probes_models::HookPoint;
use attention_probes_sae::fra::{FraCodes, FraLayer, FraOutput, capture};
use burn::tensor::Device;

use crate::fra::input;
use crate::fra::subjects::{MODELS, ids, model, sae, sites};

#[test]
fn contributions_and_rest_add_up_to_the_output_of_the_head() {
    let device = Device::flex();
    for name in MODELS {
        let model = model(name);
        let shape = model.shape().clone();
        let d = shape.d_model;
        for hook in sites(1) {
            let sae = sae(d, hook, 0, 9);
            let layer = FraLayer::new(&sae, &*model, 1).unwrap();
            let ids = ids(10, shape.d_vocab, 4);
            let mut hooks = [layer.hooks(), FraOutput::hooks(&layer)].concat();
            hooks.push(HookPoint::Result(1));
            let activations = capture(&*model, &device, &ids, &hooks).unwrap();
            let codes = FraCodes::new(&layer, input(&ids, &activations, 1)).unwrap();
            let head = shape.n_heads - 1;
            let output = FraOutput::new(&layer, &codes, head, &activations).unwrap();
            let direction: Vec<f32> = (0..d).map(|i| (i as f32 * 0.7).sin()).collect();
            let results = &activations[&HookPoint::Result(1)];
            for query in 0..ids.len() {
                let result = &results[(query * shape.n_heads + head) * d..][..d];
                let (gain, scale) = match &layer.weights().post_norm {
                    Some(norm) => {
                        (norm.gain.clone(), activations[&HookPoint::Ln1PostScale(1)][query])
                    }
                    None => (vec![1.0; d], 1.0),
                };
                let expected: f32 =
                    (0..d).map(|i| result[i] * gain[i] / scale * direction[i]).sum();
                let (parts, rest) = output.direct(query, &direction);
                let found = parts.iter().map(|part| part.value).sum::<f32>() + rest;
                let size = parts.iter().map(|part| part.value.abs()).fold(1.0, f32::max);
                assert!(
                    (found - expected).abs() < 1e-4 * size,
                    "{name} {hook} at {query}: {found} {expected}"
                );
                assert!(parts.windows(2).all(|pair| pair[0].value.abs() >= pair[1].value.abs()));
            }
        }
    }
}

#[test]
fn sources_are_sums_of_their_maps_and_norms_are_those_of_what_is_added() {
    let (model, device) = (model("gpt2-base"), Device::flex());
    let d = model.shape().d_model;
    let sae = sae(d, HookPoint::ResidPre(2), 0, 2);
    let layer = FraLayer::new(&sae, &*model, 2).unwrap();
    let ids = ids(9, model.shape().d_vocab, 8);
    let hooks = [layer.hooks(), FraOutput::hooks(&layer)].concat();
    let activations = capture(&*model, &device, &ids, &hooks).unwrap();
    let codes = FraCodes::new(&layer, input(&ids, &activations, 0)).unwrap();
    let output = FraOutput::new(&layer, &codes, 1, &activations).unwrap();
    let sources = output.sources();
    assert_eq!(sources.len(), codes.features().len());
    assert!(sources.windows(2).all(|pair| pair[0].sum >= pair[1].sum));
    for source in sources.iter().take(5) {
        let map = output.feature_map(source.feature);
        let sum: f64 = map.iter().map(|value| f64::from(*value)).sum();
        assert!((sum - source.sum).abs() < 1e-4 * source.sum.max(1.0));
        // The norm by what one unit of the feature adds along every axis.
        let query = ids.len() - 1;
        let along = |axis: usize| {
            let mut direction = vec![0.0; d];
            direction[axis] = 1.0;
            let (parts, _) = output.direct(query, &direction);
            parts.iter().filter(|part| part.feature == source.feature).map(|p| p.value).sum::<f32>()
        };
        let norm = (0..d).map(along).map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let at_query: f64 = map[query * ids.len()..].iter().map(|value| f64::from(*value)).sum();
        assert!((norm - at_query).abs() < 1e-4 * norm.max(1e-2), "{norm} {at_query}");
    }
    assert!(output.feature_map(u32::MAX).iter().all(|value| *value == 0.0));
    assert!(FraOutput::new(&layer, &codes, 9, &activations).is_err());
}
