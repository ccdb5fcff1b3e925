//! Changing activations on the way, and starting in the middle.

use crate::hugging_face::reference::{TOLERANCE, golden, values};
use attention_probes_models::load::load_model;
use attention_probes_models::{
    Activation, ForwardRequest, HookPoint, HookSet, HookedModel, Intervention, ModelError,
    PaddingSide, Positions, TokenBatch,
};
use burn::tensor::{Device, Tensor};

const MODELS: [&str; 4] = ["gpt2-base", "gemma1-base", "gemma2-base", "gemma3-base"];

fn model(name: &str) -> Box<dyn HookedModel> {
    load_model(&golden(name), &Device::flex()).unwrap()
}

fn batch() -> TokenBatch {
    let texts: [&[u32]; 2] = [&[5, 6, 7, 8, 9, 10, 11, 12, 13], &[21, 22, 23, 24]];
    TokenBatch::new(&texts, PaddingSide::Left, &Device::flex()).unwrap()
}

fn logits(model: &dyn HookedModel, interventions: &[Intervention]) -> Vec<f32> {
    let request = ForwardRequest { interventions, ..ForwardRequest::logits() };
    values(model.execute(&batch(), &request).unwrap().logits.unwrap())
}

/// Largest difference at real tokens.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let batch = batch();
    let per_token = a.len() / batch.mask().len();
    let rows = a.chunks(per_token).zip(b.chunks(per_token)).zip(batch.mask());
    rows.filter(|(_, real)| **real)
        .flat_map(|((a, b), _)| a.iter().zip(b).map(|(a, b)| (a - b).abs()))
        .fold(0.0, f32::max)
}

#[test]
fn putting_back_what_was_there_changes_nothing_at_any_hook() {
    for name in MODELS {
        let model = model(name);
        let expected = logits(&*model, &[]);
        let hooks = model.hooks();
        let cache = model.run_with_cache(&batch(), &HookSet::new(hooks.clone())).unwrap();
        for hook in hooks {
            let by = cache.get(hook).unwrap().clone();
            let found = logits(&*model, &[Intervention::replace(hook, by)]);
            assert!(difference(&found, &expected) < TOLERANCE, "{name}: {hook}");
        }
    }
}

#[test]
fn a_change_at_any_hook_is_seen_by_what_follows() {
    for name in MODELS {
        let model = model(name);
        let expected = logits(&*model, &[]);
        for hook in model.hooks() {
            let found = logits(&*model, &[Intervention::zero(hook)]);
            // Dividing by zero is not a number: also a change that is seen.
            let changed = difference(&found, &expected) > TOLERANCE
                || found.iter().any(|value| !value.is_finite());
            assert!(changed, "{name}: {hook}");
        }
    }
}

#[test]
fn a_change_at_a_position_is_not_seen_before_it() {
    let model = model("gemma3-base");
    let expected = logits(&*model, &[]);
    let found = logits(&*model, &[Intervention::zero(HookPoint::ResidPost(1)).at([6])]);
    let per_row = expected.len() / batch().mask().len();
    let row = |values: &[f32], pos: usize| values[pos * per_row..(pos + 1) * per_row].to_vec();
    assert_eq!(row(&found, 5), row(&expected, 5));
    assert!(row(&found, 6) != row(&expected, 6));
    assert!(row(&found, 7) != row(&expected, 7));
}

#[test]
fn a_head_is_changed_alone() {
    let model = model("gemma3-base");
    let hooks = HookSet::new([HookPoint::Z(1)]);
    let z = |interventions: &[Intervention]| {
        let request = ForwardRequest { interventions, ..ForwardRequest::hooks(&hooks) };
        values(model.execute(&batch(), &request).unwrap().cache.heads(HookPoint::Z(1)).unwrap())
    };
    let (before, after) = (z(&[]), z(&[Intervention::zero(HookPoint::Z(1)).on_heads([2])]));
    let (n_heads, d_head) = (model.shape().n_heads, model.shape().d_head);
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let expected = if i / d_head % n_heads == 2 { 0.0 } else { *before };
        assert!((after - expected).abs() < f32::EPSILON, "{i}");
    }
}

#[test]
fn a_direction_is_added_and_a_mean_is_that_of_the_real_tokens() {
    let model = model("gpt2-base");
    let d_model = model.shape().d_model;
    let hook = HookPoint::ResidPost(0);
    let hooks = HookSet::new([hook]);
    let stream = |interventions: &[Intervention]| {
        let request = ForwardRequest { interventions, ..ForwardRequest::hooks(&hooks) };
        values(model.execute(&batch(), &request).unwrap().cache.stream(hook).unwrap())
    };
    let before = stream(&[]);
    let direction: Vec<f32> = (0..d_model).map(|i| i as f32).collect();
    let direction = Tensor::<1>::from_floats(&direction[..], &Device::flex());
    let chosen = Positions::Where(vec![true; batch().mask().len()]);
    let added = stream(&[Intervention { positions: chosen, ..Intervention::add(hook, direction) }]);
    for (i, (before, added)) in before.iter().zip(&added).enumerate() {
        assert!((added - before - (i % d_model) as f32).abs() < 1e-3);
    }
    let mean = stream(&[Intervention::mean(hook)]);
    let real: Vec<&[f32]> = before
        .chunks(d_model)
        .zip(batch().mask())
        .filter(|(_, real)| **real)
        .map(|(row, _)| row)
        .collect();
    for feature in 0..d_model {
        let expected = real.iter().map(|row| row[feature]).sum::<f32>() / real.len() as f32;
        assert!((mean[feature] - expected).abs() < TOLERANCE);
    }
}

#[test]
fn a_pass_that_starts_in_the_middle_ends_the_same() {
    for name in MODELS {
        let model = model(name);
        let expected = logits(&*model, &[]);
        let n_layers = model.shape().n_layers;
        let hooks = HookSet::new([HookPoint::ResidPre(1), HookPoint::ResidPost(n_layers - 1)]);
        let cache = model.run_with_cache(&batch(), &hooks).unwrap();
        for (layer, hook) in
            [(1, HookPoint::ResidPre(1)), (n_layers, HookPoint::ResidPost(n_layers - 1))]
        {
            let start = Some((layer, cache.stream(hook).unwrap()));
            let request = ForwardRequest { start, ..ForwardRequest::logits() };
            let found = values(model.execute(&batch(), &request).unwrap().logits.unwrap());
            assert!(difference(&found, &expected) < TOLERANCE, "{name} from layer {layer}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let model = model("gpt2-base");
    let device = Device::flex();
    let narrow = Tensor::<1>::zeros([3], &device);
    let refused = |interventions: &[Intervention]| -> ModelError {
        let request = ForwardRequest { interventions, ..ForwardRequest::logits() };
        model.execute(&batch(), &request).unwrap_err()
    };
    let hook = HookPoint::ResidPost(0);
    let error = refused(&[Intervention::add(hook, narrow)]);
    assert!(matches!(error, ModelError::InterventionShape { .. }), "{error}");
    let stream = Activation::Stream(Tensor::zeros([2, 4, 7], &device));
    let error = refused(&[Intervention::replace(hook, stream)]);
    assert!(matches!(error, ModelError::InterventionShape { .. }), "{error}");
    let error = refused(&[Intervention::zero(hook).at([9])]);
    assert_eq!(
        error.to_string(),
        "a change at `blocks.0.hook_resid_post` names position 9, but there are 9"
    );
    let error = refused(&[Intervention::zero(HookPoint::Z(0)).on_heads([40])]);
    assert!(error.to_string().contains("names head 40"), "{error}");
    let error = refused(&[Intervention::zero(HookPoint::RotQ(0))]);
    assert!(error.to_string().contains("attn.hook_rot_q"), "{error}");
    let start = Some((9, Tensor::zeros([2, 9, model.shape().d_model], &device)));
    let request = ForwardRequest { start, ..ForwardRequest::logits() };
    let error = model.execute(&batch(), &request).unwrap_err();
    assert!(matches!(error, ModelError::Start { layer: 9, .. }), "{error}");
}
