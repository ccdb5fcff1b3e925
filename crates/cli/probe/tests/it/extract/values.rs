//! What the files hold.

use std::fs;

use attention_probes_activations::{NpzArray, NpzData, read_npz};
use attention_probes_models::{
    Activation, HookPoint, HookSet, LanguageModel, PaddingSide, TokenBatch, open_model,
};
use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::extract::fixture::{
    Folder, PADDED_IDS, PADDED_MASK, TEXTS, int64, read_safetensors, write_padded_ids,
};

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// What the model itself says at a hook, with zeros where the token, or the query, is padding.
fn expected(model: &LanguageModel, batch: &TokenBatch, hook: HookPoint) -> (Vec<usize>, Vec<f32>) {
    let mut cache = model.model.run_with_cache(batch, &HookSet::new([hook])).unwrap();
    let activation = cache.remove(hook).unwrap();
    let shape = activation.dims();
    let mut values = match activation {
        Activation::Stream(tensor) => host(tensor),
        Activation::Heads(tensor) => host(tensor),
    };
    let pairs = matches!(hook, HookPoint::AttnScores(_) | HookPoint::Pattern(_));
    let [_, pos] = batch.dims();
    let n_heads = if pairs { shape[1] } else { 1 };
    let per_token = values.len() / (batch.mask().len() * n_heads);
    for (token, values) in values.chunks_mut(per_token).enumerate() {
        let row = token / (pos * n_heads);
        if !batch.mask()[row * pos + token % pos] {
            values.fill(0.0);
        }
    }
    (shape, values)
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Hidden scores are minus infinity on both sides, and their difference is NaN.
        let is_close = found.to_bits() == expected.to_bits()
            || (found - expected).abs() <= 1e-4 * (1.0 + expected.abs());
        assert!(is_close, "{what} at {i}: {found}, expected {expected}");
    }
}

/// The texts as the command should batch them: each file row one batch row.
fn text_batch(model: &LanguageModel) -> TokenBatch {
    let ids = TEXTS.map(|text| {
        if text.is_empty() { Vec::new() } else { model.tokenizer.encode(text).unwrap().ids }
    });
    TokenBatch::new(&ids, PaddingSide::Right, &Device::flex()).unwrap()
}

#[test]
fn activations_of_texts_equal_those_of_the_model() {
    let folder = Folder::new();
    let stdout = folder.succeed(&[]);
    let model = open_model("demo-gpt2", None, &Device::flex()).unwrap();
    let batch = text_batch(&model);
    let [n, pos] = batch.dims();
    assert!(stdout.starts_with("wrote o.safetensors ("), "{stdout}");
    let line = format!("  blocks.1.hook_resid_post        [{n}, {pos}, 160]\n");
    assert!(stdout.contains(&line), "{stdout}");

    let found = read_safetensors(&folder.path("o.safetensors"));
    assert_eq!(found.len(), 5);
    for (name, (shape, values)) in &found {
        let (expected_shape, expected) = expected(&model, &batch, name.parse().unwrap());
        assert_eq!(*shape, expected_shape, "{name}");
        assert_close(values, &expected, name);
    }
    let scores = &found["blocks.2.attn.hook_attn_scores"].1;
    assert!(scores.contains(&f32::NEG_INFINITY));

    let bytes = fs::read(folder.path("o.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids = host(batch.input_ids().float());
    let ids: Vec<i64> = ids.into_iter().map(|id| id as i64).collect();
    assert_eq!(file.tensor("input_ids").unwrap().data(), int64(&ids));
    let mask: Vec<i64> = batch.mask().iter().map(|real| i64::from(*real)).collect();
    assert_eq!(file.tensor("attention_mask").unwrap().data(), int64(&mask));
    assert_eq!(file.tensor("attention_mask").unwrap().shape(), [n, pos]);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["model"], "demo-gpt2");
    assert_eq!(metadata["revision"], model.revision);
    assert_eq!(metadata["convention"], "raw");
}

#[test]
fn pieces_and_formats_change_nothing() {
    let folder = Folder::new();
    let run = |output: &str, batch_tokens: &str| {
        folder.succeed(&[("--output", output), ("--batch-tokens", batch_tokens)]);
        folder.path(output)
    };
    let whole = run("whole.safetensors", "4096");
    let bytes = fs::read(&whole).unwrap();
    for batch_tokens in ["1", "20", "50"] {
        let pieces = fs::read(run(&format!("{batch_tokens}.safetensors"), batch_tokens)).unwrap();
        assert!(pieces == bytes, "at most {batch_tokens} tokens at a time");
    }

    let whole = read_safetensors(&whole);
    let npz = read_npz(run("whole.npz", "4096")).unwrap();
    assert_eq!(npz.len(), 5 + 3);
    for (name, (shape, values)) in whole {
        assert_eq!(npz[&name], NpzArray::new(shape, values), "{name}");
    }
    let NpzData::U8(metadata) = &npz["metadata"].data else { panic!("bytes") };
    let metadata: Value = serde_json::from_slice(metadata).unwrap();
    assert_eq!(metadata["model"], "demo-gpt2");
    assert_eq!(npz["input_ids"].shape, npz["attention_mask"].shape);
}

#[test]
fn token_ids_may_be_padded_on_any_side() {
    let folder = Folder::new();
    let (ids, mask) = (PADDED_IDS, PADDED_MASK);
    write_padded_ids(&folder);
    let flags = [("--input-ids", "ids.safetensors"), ("--json", "")];
    let report: Value = serde_json::from_str(&folder.succeed(&flags)).unwrap();
    assert_eq!(report["tensors"]["blocks.0.attn.hook_z"], serde_json::json!([4, 4, 5, 32]));
    assert_eq!(report["tensors"].as_object().unwrap().len(), 5 + 2);
    // What stands in padding does not come back.
    let bytes = fs::read(folder.path("o.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let real: Vec<i64> = ids.iter().zip(mask).map(|(id, real)| id * real).collect();
    assert_eq!(file.tensor("input_ids").unwrap().data(), int64(&real));
    assert_eq!(file.tensor("attention_mask").unwrap().data(), int64(&mask));

    let model = open_model("demo-gpt2", None, &Device::flex()).unwrap();
    let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
    let mask = mask.map(|real| real == 1);
    // Only real tokens are compared, so a row without any may stay out.
    let batch = TokenBatch::from_mask(&ids[..12], &mask[..12], 3, &Device::flex()).unwrap();
    for (name, (shape, values)) in read_safetensors(&folder.path("o.safetensors")) {
        let (_, expected) = expected(&model, &batch, name.parse().unwrap());
        assert_eq!(shape[0], 4);
        let (real, padding) = values.split_at(expected.len());
        assert_close(real, &expected, &name);
        assert!(padding.iter().all(|value| *value == 0.0), "{name}");
    }
}

#[test]
fn the_processed_convention_takes_the_mean_out_and_is_recorded() {
    let folder = Folder::new();
    let flags = [
        ("--hooks", "blocks.1.hook_resid_post"),
        ("--convention", "tl_processed"),
        ("--max-tokens", "3"),
    ];
    folder.succeed(&flags);
    let path = folder.path("o.safetensors");
    let (shape, values) = read_safetensors(&path).remove("blocks.1.hook_resid_post").unwrap();
    assert_eq!(shape, [5, 3, 160]);
    for token in values.chunks(160) {
        assert!(token.iter().sum::<f32>().abs() < 1e-2);
    }
    assert!(values.iter().any(|value| value.abs() > 0.1));
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().clone().unwrap()["convention"], "tl_processed");
}

#[test]
fn a_file_keeps_labels_with_the_names_of_their_classes() {
    let folder = Folder::new();
    let json = |label: &str, text: &str| format!("{{\"kind\": {label}, \"text\": \"{text}\"}}\n");
    let rows = [json("\"b\"", "one"), json("\"a\"", "two"), json("\"b\"", "three")].concat();
    fs::write(folder.path("labelled.jsonl"), rows).unwrap();
    let flags = [("--data", "labelled.jsonl"), ("--label", "kind"), ("--max-tokens", "7")];
    for output in ["o.npz", "o.safetensors"] {
        folder.succeed(&[&flags[..], &[("--output", output)]].concat());
    }
    let npz = read_npz(folder.path("o.npz")).unwrap();
    assert_eq!(npz["y"], NpzArray::new(vec![3], vec![1_i64, 0, 1]));
    assert_eq!(npz["class_names"].data, NpzData::Text(vec!["a".to_owned(), "b".to_owned()]));
    let bytes = fs::read(folder.path("o.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("y").unwrap().data(), int64(&[1, 0, 1]));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["class_names"], "[\"a\",\"b\"]");
    assert_eq!((&metadata["max_tokens"][..], &metadata["data"][..]), ("7", "labelled.jsonl"));
    assert_eq!(metadata["data_hash"].len(), 64);
}

#[test]
fn a_dry_run_prints_the_shapes_and_writes_nothing() {
    let folder = Folder::new();
    let flags = [("--hooks", "hook_embed"), ("--output", "o.npz"), ("--dry-run", "")];
    let stdout = folder.succeed(&flags);
    assert!(stdout.starts_with("would write o.npz ("), "{stdout}");
    assert!(stdout.contains("hook_embed"), "{stdout}");
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
}
