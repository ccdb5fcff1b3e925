//! Number formats: what they cost in precision, and who refuses them.

use attention_probes_models::load::{gpt2_from_bytes, load_gemma, load_gpt2, load_model};
use attention_probes_models::{
    Dtype, ForwardRequest, HookPoint, HookSet, HookedModel, Intervention, ModelError,
    direct_logit_attribution, host_values, logits_from_resid, next_token_losses,
};
use burn::tensor::{Device, Tensor};

use crate::hugging_face::reference::{Reference, golden};

#[test]
fn bf16_is_as_close_to_f32_as_hugging_faces_bf16() {
    let device = Device::flex();
    let dir = golden("gemma3-bf16");
    let model = load_gemma(&dir, (&device, Dtype::Bf16)).unwrap();
    for case in ["left_pad", "long"] {
        let exact = Reference::read(&dir.join(format!("ref/{case}.f32.safetensors")));
        let theirs = Reference::read(&dir.join(format!("ref-bf16/{case}.safetensors")));
        let hooks = HookSet::new(model.hooks());
        let output = model.run(&exact.batch(&device), &hooks, true).unwrap();
        let real = exact.real();
        let stream = |hook| host_values(output.cache.stream(hook).unwrap()).unwrap();

        let embed = stream(HookPoint::Embed);
        assert_eq!(rms(&embed, &theirs.floats["hs.0"], &real).to_bits(), 0, "the same rounding");
        for (name, ours) in [
            ("hs.1", stream(HookPoint::ResidPost(0))),
            ("hs.2", stream(HookPoint::ResidPost(1))),
            ("resid_final", stream(HookPoint::ResidPost(2))),
            ("logits", host_values(output.logits.clone().unwrap()).unwrap()),
        ] {
            let [expected, theirs] = [&exact, &theirs].map(|reference| &reference.floats[name]);
            let (ours, theirs) = (rms(&ours, expected, &real), rms(theirs, expected, &real));
            assert!(ours < 1.25 * theirs, "{case} {name}: {ours} against {theirs}");
            assert!(ours > 0.25 * theirs, "{case} {name}: {ours}, is this bf16?");
        }
    }
}

#[test]
fn gemma_3_refuses_f16_and_gpt_2_takes_it() {
    let device = Device::flex();
    let error = load_model(&golden("gemma3-base"), (&device, Dtype::F16)).err().unwrap();
    assert!(matches!(error, ModelError::F16Overflow), "{error}");
    assert!(error.to_string().contains("65504"), "{error}");

    let dir = golden("gpt2-base");
    let model = load_gpt2(&dir, (&device, Dtype::F16)).unwrap();
    let exact = Reference::read(&dir.join("ref/right_pad.f32.safetensors"));
    let logits = host_values(model.forward(&exact.batch(&device)).unwrap()).unwrap();
    let expected = &exact.floats["logits"];
    let zero = vec![0.0; expected.len()];
    let error = rms(&logits, expected, &exact.real());
    assert!(error < 5e-3 * rms(expected, &zero, &exact.real()), "{error}");
}

#[test]
fn a_table_in_its_file_gives_the_numbers_of_one_in_memory() {
    let device = Device::flex();
    let dir = golden("gpt2-f16");
    let bytes = ["config.json", "model.safetensors"].map(|f| std::fs::read(dir.join(f)).unwrap());
    let in_memory = gpt2_from_bytes(&bytes[0], &bytes[1], &dir, &device).unwrap();
    let in_file = load_gpt2(&dir, &device).unwrap();
    let batch = Reference::read(&dir.join("ref/left_pad.f32.safetensors")).batch(&device);
    let run = |model: &dyn HookedModel| {
        let output = model.run(&batch, &HookSet::new([HookPoint::Embed]), true).unwrap();
        let embed = output.cache.stream(HookPoint::Embed).unwrap();
        let direction = model.unembed_direction(3).unwrap();
        let logits = host_values(output.logits.unwrap()).unwrap();
        [host_values(embed).unwrap(), logits, host_values(direction).unwrap()]
    };
    assert_eq!(run(&in_file), run(&in_memory));
}

#[test]
fn changes_and_lenses_in_f32_fit_a_model_in_bf16() {
    let device = Device::flex();
    for name in ["gpt2-base", "gemma3-base"] {
        let model = load_model(&golden(name), (&device, Dtype::Bf16)).unwrap();
        let reference = Reference::read(&golden(name).join("ref/left_pad.f32.safetensors"));
        let batch = reference.batch(&device);
        let (d_model, n_layers) = (model.shape().d_model, model.shape().n_layers);
        let direction = Tensor::<1>::ones([d_model], &device).mul_scalar(2.0);
        let last = HookPoint::ResidPost(n_layers - 1);
        let hooks = HookSet::new([last, HookPoint::LnFinalScale]);
        let run = |interventions: &[Intervention]| {
            let request = ForwardRequest { hooks: &hooks, interventions, ..Default::default() };
            model.execute(&batch, &request).unwrap().cache
        };
        let hooked = [Intervention::add(last, direction), Intervention::mean(last)];
        let [plain, shifted] = [run(&[]), run(&hooked[..1])];
        let [before, after] = [&plain, &shifted].map(|cache| cache.stream(last).unwrap());
        let shift = host_values((after.clone() - before).mean()).unwrap()[0];
        assert!((shift - 2.0).abs() < 0.02, "{name}: {shift}");
        assert!(run(&hooked).stream(last).is_some());

        let parts = direct_logit_attribution(model.as_ref(), &shifted, after.clone(), 3).unwrap();
        let logits = logits_from_resid(model.as_ref(), &batch, n_layers, after).unwrap();
        let losses = next_token_losses(&logits, &batch).unwrap();
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        assert!(finite(&host_values(parts).unwrap()) && finite(&losses), "{name}");
    }
}

/// Root mean square of the difference over real tokens.
fn rms(found: &[f32], expected: &[f32], real: &[bool]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let width = found.len() / real.len();
    let of_real = |i: &usize| real[i / width];
    let squares = (0..found.len()).filter(of_real).map(|i| {
        let difference = f64::from(found[i]) - f64::from(expected[i]);
        difference * difference
    });
    (squares.sum::<f64>() / found.len() as f64).sqrt()
}
