//! Number formats: what they cost in precision, and who refuses them.

use attention_probes_models::load::{gpt2_from_bytes, load_gemma, load_gpt2, load_model};
use attention_probes_models::{Dtype, HookPoint, HookSet, HookedModel, ModelError, host_values};
use burn::tensor::Device;

use crate::reference::{Reference, golden};

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
        let direction = model.unembed_direction(3);
        let logits = host_values(output.logits.unwrap()).unwrap();
        [host_values(embed).unwrap(), logits, host_values(direction).unwrap()]
    };
    assert_eq!(run(&in_file), run(&in_memory));
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
