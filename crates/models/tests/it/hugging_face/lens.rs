//! Losses, the logit lens, and direct logit attribution.

use attention_probes_models::load::load_model;
use attention_probes_models::{
    HookPoint, HookSet, direct_logit_attribution, logits_from_resid, next_token_losses,
};
use burn::tensor::Device;

use crate::hugging_face::reference::{Reference, TOLERANCE, assert_rows, golden, values};

const MODELS: [&str; 4] = ["gpt2-base", "gemma1-base", "gemma2-base", "gemma3-base"];

#[test]
fn losses_are_those_of_hugging_face() {
    let device = Device::flex();
    for name in ["gpt2-base", "gemma1-base", "gemma3-base"] {
        let model = load_model(&golden(name), &device).unwrap();
        let reference = Reference::read(&golden(name).join("ref/right_pad.f32.safetensors"));
        let batch = reference.batch(&device);
        let losses = next_token_losses(&model.forward(&batch).unwrap(), &batch).unwrap();
        let expected = &reference.floats["token_loss"];
        assert_eq!(losses.len(), expected.len());
        for (found, expected) in losses.iter().zip(expected) {
            assert!((found - expected).abs() < TOLERANCE, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn the_lens_on_the_last_stream_gives_the_logits() {
    let device = Device::flex();
    for name in MODELS {
        let model = load_model(&golden(name), &device).unwrap();
        let n_layers = model.shape().n_layers;
        let reference = Reference::read(&golden(name).join("ref/left_pad.f32.safetensors"));
        let batch = reference.batch(&device);
        let last = HookPoint::ResidPost(n_layers - 1);
        let cache = model.run_with_cache(&batch, &HookSet::new([last])).unwrap();
        let resid = cache.stream(last).unwrap();
        let logits = logits_from_resid(&*model, &batch, n_layers, resid).unwrap();
        assert_rows(name, &values(logits), &reference.floats["logits"], &reference.real());
    }
}

#[test]
fn the_attributions_of_all_parts_add_up_to_the_logit() {
    let device = Device::flex();
    // The random GPT-2 has a bias in its final norm, which belongs to no part; differences of
    // positions are free of it. Gemma 2 caps its logits.
    for name in ["gpt2-base", "gemma1-base", "gemma3-base"] {
        let model = load_model(&golden(name), &device).unwrap();
        let reference = Reference::read(&golden(name).join("ref/right_pad.f32.safetensors"));
        let batch = reference.batch(&device);
        let parts = (0..model.shape().n_layers)
            .flat_map(|l| [HookPoint::AttnOut(l), HookPoint::MlpOut(l)])
            .chain([HookPoint::ResidPre(0)]);
        let hooks = HookSet::new(parts.clone().chain([HookPoint::LnFinalScale]));
        let output = model.run(&batch, &hooks, true).unwrap();
        let token = 17;
        let [_, pos] = batch.dims();
        let mut sum = vec![0.0_f32; batch.mask().len()];
        for part in parts {
            let part = output.cache.stream(part).unwrap();
            let added = direct_logit_attribution(&*model, &output.cache, part, token).unwrap();
            sum.iter_mut().zip(values(added)).for_each(|(sum, added)| *sum += added);
        }
        let d_vocab = model.shape().d_vocab;
        let logits = values(output.logits.unwrap());
        let logit = |i: usize| logits[i * d_vocab + token as usize];
        for i in (0..sum.len()).filter(|i| reference.real()[*i]) {
            let first = i / pos * pos;
            let (found, expected) = if model.centres_residuals() {
                (sum[i] - sum[first], logit(i) - logit(first))
            } else {
                (sum[i], logit(i))
            };
            assert!((found - expected).abs() < TOLERANCE, "{name}: {found} {expected}");
        }
    }
}
