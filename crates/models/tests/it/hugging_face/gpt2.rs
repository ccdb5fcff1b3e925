//! GPT-2 against Hugging Face's numbers and a published trained model.

use std::collections::BTreeMap;
use std::path::Path;

use crate::hugging_face::reference::{
    Reference, TOLERANCE, assert_rows, check_case, check_tokenizer, golden, values,
};
use attention_probes_models::load::{gpt2_from_bytes, load_gpt2, load_model};
use attention_probes_models::{
    Convention, Gpt2, HookPoint, HookSet, HookedModel, PaddingSide, TokenBatch, Tokenizer,
};
use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

#[test]
fn every_hook_equals_hugging_face_with_padding_on_either_side() {
    for name in ["gpt2-base", "gpt2-sharded", "gpt2-f16"] {
        let model = load_gpt2(&golden(name), &Device::flex()).unwrap();
        for entry in std::fs::read_dir(golden(name).join("ref")).unwrap() {
            check_case(&model, &entry.unwrap().path());
        }
    }
}

#[test]
fn the_last_hidden_state_is_the_normalized_stream_times_weight_plus_bias() {
    let device = Device::flex();
    let model = load_gpt2(&golden("gpt2-base"), &device).unwrap();
    let reference = Reference::read(&golden("gpt2-base/ref/right_pad.f32.safetensors"));
    let bytes = std::fs::read(golden("gpt2-base/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let vector = |name: &str| {
        let view = file.tensor(name).unwrap();
        let numbers = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        Tensor::<1>::from_floats(&numbers.collect::<Vec<_>>()[..], &device).unsqueeze::<3>()
    };
    let hooks = HookSet::new([HookPoint::LnFinalNormalized]);
    let cache = model.run_with_cache(&reference.batch(&device), &hooks).unwrap();
    let normalized = cache.stream(HookPoint::LnFinalNormalized).unwrap();
    let hidden = values(normalized * vector("ln_f.weight") + vector("ln_f.bias"));
    assert_rows("hs.3", &hidden, &reference.floats["hs.3"], &reference.real());
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let device = Device::flex();
    let model = load_gpt2(&golden("gpt2-base"), &device).unwrap();
    let batch = TokenBatch::new(&[[1, 2, 3]], PaddingSide::Right, &device).unwrap();
    let hooks = HookSet::parse(["blocks.1.hook_resid_pre", "blocks.0.attn.hook_z"]).unwrap();
    let cache = model.run_with_cache(&batch, &hooks).unwrap();
    let kept: Vec<String> = cache.hooks().map(|hook| hook.to_string()).collect();
    assert_eq!(kept, ["blocks.1.hook_resid_pre", "blocks.0.attn.hook_z"]);
}

#[test]
fn heads_results_add_up_to_the_attention_output_without_its_bias() {
    let device = Device::flex();
    let model = load_gpt2(&golden("gpt2-base"), &device).unwrap();
    let batch = TokenBatch::new(&[[1, 2, 3, 4]], PaddingSide::Right, &device).unwrap();
    let hooks = HookSet::new([HookPoint::Result(1), HookPoint::AttnOut(1)]);
    let cache = model.run_with_cache(&batch, &hooks).unwrap();
    let sum = cache.heads(HookPoint::Result(1)).unwrap().sum_dim(2).squeeze_dim::<3>(2);
    let bias = cache.stream(HookPoint::AttnOut(1)).unwrap() - sum; // the same at every position
    let bias = values(bias);
    let d_model = model.shape().d_model;
    for (i, value) in bias.iter().enumerate() {
        assert!((value - bias[i % d_model]).abs() < TOLERANCE);
    }
}

#[test]
fn processed_residuals_have_mean_zero_and_processed_z_forgets_the_value_bias() {
    let device = Device::flex();
    let model = load_gpt2(&golden("gpt2-base"), &device).unwrap();
    let batch = TokenBatch::new(&[[1, 2, 3, 4]], PaddingSide::Right, &device).unwrap();
    let hooks = HookSet::new([HookPoint::ResidPost(1), HookPoint::Z(1), HookPoint::V(1)]);
    let mut cache = model.run_with_cache(&batch, &hooks).unwrap();
    let resid = cache.remove(HookPoint::ResidPost(1)).unwrap().flatten_heads();
    let resid = Convention::TlProcessed.apply(&model, HookPoint::ResidPost(1), resid);
    assert!(values(resid.mean_dim(2)).iter().all(|mean| mean.abs() < 1e-6));
    // The first token attends to itself alone, so its z is its v.
    let z = cache.remove(HookPoint::Z(1)).unwrap().flatten_heads();
    let v = cache.remove(HookPoint::V(1)).unwrap().flatten_heads();
    let bias = model.value_bias(1).unwrap().flatten::<1>(0, 1).unsqueeze::<3>();
    let z = Convention::TlProcessed.apply(&model, HookPoint::Z(1), z);
    let difference = values(z.narrow(1, 0, 1) - (v - bias).narrow(1, 0, 1));
    assert!(difference.iter().all(|d| d.abs() < TOLERANCE));
}

#[test]
fn damaged_checkpoints_are_refused_in_words_that_help() {
    let cases: [(&str, &[&str]); 5] = [
        ("gpt2-transposed-c_attn", &["c_attn", "shape"]),
        ("truncated-file", &["model.safetensors", "truncated"]),
        ("absurd-header", &["model.safetensors", "header"]),
        ("missing-shard", &["model-00002-of-00002"]),
        ("unknown-architecture", &["mamba"]),
    ];
    for (name, words) in cases {
        let error = load_model(&golden("negative").join(name), &Device::flex()).err().unwrap();
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "{name}: {message}");
        }
    }
}

#[test]
fn other_families_are_refused_by_name() {
    let error = load_gpt2(&golden("gemma3-base"), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("`gemma` is not supported, use one of: gpt2"), "{error}");
}

#[test]
fn a_configuration_that_changes_the_numbers_is_refused_by_field() {
    let dir = golden("gpt2-base");
    let config = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let weights = std::fs::read(dir.join("model.safetensors")).unwrap();
    let cases = [
        ("\"add_cross_attention\": true,", "add_cross_attention"),
        ("\"quantization_config\": {\"bits\": 4},", "quantization_config"),
        ("\"pruned_heads\": {\"0\": [1]},", "pruned_heads"),
        ("\"activation_function\": \"mish\",", "activation_function"),
        ("\"rope_theta\": 10000.0,", "rope_theta"),
        ("\"n_head\": 5,", "n_embd"),
    ];
    for (field, word) in cases {
        let key = field.split(':').next().unwrap();
        let kept: Vec<&str> =
            config.lines().filter(|line| !line.trim_start().starts_with(key)).collect();
        let changed = kept.join("\n").replacen('{', &format!("{{{field}"), 1);
        let error = gpt2_from_bytes(
            changed.as_bytes(),
            &weights,
            Path::new("config.json"),
            &Device::flex(),
        )
        .unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn tokens_offsets_and_decodings_are_exact() {
    let tokenizer = Tokenizer::from_dir(&golden("gpt2-base")).unwrap();
    check_tokenizer(&tokenizer, "byte_bpe.golden.json");
}

/// The tensors of `gpt2-base`, changed, as a safetensors file.
fn changed_weights(
    change: impl Fn(&str, Vec<usize>, Vec<u8>) -> Option<(Vec<usize>, Vec<u8>)>,
) -> Vec<u8> {
    let bytes = std::fs::read(golden("gpt2-base/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let changed: BTreeMap<String, (Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| {
            let kept = change(&name, view.shape().to_vec(), view.data().to_vec())?;
            Some((name, kept))
        })
        .collect();
    let views = changed.iter().map(|(name, (shape, bytes))| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn load_changed(weights: &[u8]) -> Result<Gpt2, attention_probes_models::ModelError> {
    let config = std::fs::read(golden("gpt2-base/config.json")).unwrap();
    gpt2_from_bytes(&config, weights, Path::new("changed"), &Device::flex())
}

#[test]
fn a_missing_tensor_is_named() {
    let lost = "h.1.mlp.c_proj.weight";
    let weights = changed_weights(|name, shape, bytes| (name != lost).then_some((shape, bytes)));
    let error = load_changed(&weights).unwrap_err().to_string();
    assert_eq!(error, "tensor `h.1.mlp.c_proj.weight` is missing from `changed`");
}

#[test]
fn a_wrong_shape_is_named_beside_the_right_one() {
    let weights = changed_weights(|name, shape, bytes| {
        Some(if name == "ln_f.bias" { (vec![40], bytes[..160].to_vec()) } else { (shape, bytes) })
    });
    let error = load_changed(&weights).unwrap_err().to_string();
    assert_eq!(error, "tensor `ln_f.bias` has shape [40], expected shape [48]");
}

#[test]
fn a_weight_that_is_not_a_number_reaches_the_activations_as_such() {
    let weights = changed_weights(|name, shape, mut bytes| {
        if name == "h.1.mlp.c_fc.weight" {
            bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        Some((shape, bytes))
    });
    let device = Device::flex();
    let model = load_changed(&weights).unwrap();
    let batch = TokenBatch::new(&[[1, 2, 3]], PaddingSide::Right, &device).unwrap();
    let hooks = HookSet::new([HookPoint::ResidPost(0), HookPoint::ResidPost(1)]);
    let cache = model.run_with_cache(&batch, &hooks).unwrap();
    let finite = |layer| {
        values(cache.stream(HookPoint::ResidPost(layer)).unwrap()).iter().all(|x| x.is_finite())
    };
    assert!(finite(0));
    assert!(!finite(1));
}
