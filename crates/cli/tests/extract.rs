//! `probe extract` as a person calls it, on the embedded model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use attention_probes_activations::{NpzArray, NpzData, read_npz};
use attention_probes_models::{
    Activation, HookPoint, HookSet, LanguageModel, PaddingSide, TokenBatch, open_model,
};
use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

const HOOKS: &str = "blocks.1.hook_resid_post,blocks.0.attn.hook_z,blocks.2.attn.hook_attn_scores,\
                     blocks.2.attn.hook_pattern,ln_final.hook_scale";

/// The third row is empty.
const TEXTS: [&str; 5] = [
    "Once upon a time there was a little dog.",
    "Yes.",
    "",
    "The sun was warm, and the girl wanted to play in the garden with her friend.",
    "He ran.",
];

fn extract(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probe"))
        .arg("extract")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = extract(folder, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a call that must end with exit code 2 and print nothing else.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = extract(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

fn write_texts(folder: &Path) {
    let rows: Vec<String> =
        TEXTS.iter().enumerate().map(|(i, text)| format!("{i},\"{text}\"\n")).collect();
    fs::write(folder.join("texts.csv"), format!("id,text\n{}", rows.concat())).unwrap();
}

fn write_ids(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn int64(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Shape and values of every f32 tensor.
fn read_safetensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = file.tensors().into_iter().filter(|(_, tensor)| tensor.dtype() == Dtype::F32);
    let values = |bytes: &[u8]| {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    floats.map(|(name, tensor)| (name, (tensor.shape().to_vec(), values(tensor.data())))).collect()
}

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
    let folder = tempfile::tempdir().unwrap();
    write_texts(folder.path());
    let args = [
        "--model",
        "demo-gpt2",
        "--data",
        "texts.csv",
        "--hooks",
        HOOKS,
        "--output",
        "o.safetensors",
    ];
    let stdout = succeed(folder.path(), &args);
    let model = open_model("demo-gpt2", None, &Device::flex()).unwrap();
    let batch = text_batch(&model);
    let [n, pos] = batch.dims();
    assert!(stdout.starts_with("wrote o.safetensors ("), "{stdout}");
    let line = format!("  blocks.1.hook_resid_post        [{n}, {pos}, 160]\n");
    assert!(stdout.contains(&line), "{stdout}");

    let found = read_safetensors(&folder.path().join("o.safetensors"));
    assert_eq!(found.len(), 5);
    for (name, (shape, values)) in &found {
        let (expected_shape, expected) = expected(&model, &batch, name.parse().unwrap());
        assert_eq!(*shape, expected_shape, "{name}");
        assert_close(values, &expected, name);
    }
    let scores = &found["blocks.2.attn.hook_attn_scores"].1;
    assert!(scores.contains(&f32::NEG_INFINITY));

    let bytes = fs::read(folder.path().join("o.safetensors")).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    write_texts(folder.path());
    let run = |output: &str, batch_tokens: &str| {
        let args = [
            "--model",
            "demo-gpt2",
            "--data",
            "texts.csv",
            "--hooks",
            HOOKS,
            "--output",
            output,
            "--batch-tokens",
            batch_tokens,
        ];
        succeed(folder.path(), &args);
        folder.path().join(output)
    };
    let whole = run("whole.safetensors", "4096");
    let bytes = fs::read(&whole).unwrap();
    for batch_tokens in ["1", "20", "50"] {
        let pieces = fs::read(run("pieces.safetensors", batch_tokens)).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let ids = [5, 6, 7, 8, 0, 0, 9, 10, 11, 0, 12, 0, 1, 1, 1, 1_i64];
    let mask = [1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0_i64];
    write_ids(
        &folder.path().join("ids.safetensors"),
        &[
            ("input_ids", Dtype::I64, &[4, 4], int64(&ids)),
            ("attention_mask", Dtype::I64, &[4, 4], int64(&mask)),
        ],
    );
    let args = [
        "--model",
        "demo-gpt2",
        "--input-ids",
        "ids.safetensors",
        "--hooks",
        HOOKS,
        "--output",
        "o.safetensors",
        "--json",
    ];
    let report: Value = serde_json::from_str(&succeed(folder.path(), &args)).unwrap();
    assert_eq!(report["tensors"]["blocks.0.attn.hook_z"], serde_json::json!([4, 4, 5, 32]));
    assert_eq!(report["tensors"].as_object().unwrap().len(), 5);

    let model = open_model("demo-gpt2", None, &Device::flex()).unwrap();
    let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
    let mask = mask.map(|real| real == 1);
    // Only real tokens are compared, so a row without any may stay out.
    let batch = TokenBatch::from_mask(&ids[..12], &mask[..12], 3, &Device::flex()).unwrap();
    for (name, (shape, values)) in read_safetensors(&folder.path().join("o.safetensors")) {
        let (_, expected) = expected(&model, &batch, name.parse().unwrap());
        assert_eq!(shape[0], 4);
        let (real, padding) = values.split_at(expected.len());
        assert_close(real, &expected, &name);
        assert!(padding.iter().all(|value| *value == 0.0), "{name}");
    }
}

#[test]
fn the_processed_convention_takes_the_mean_out_and_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    write_texts(folder.path());
    let args = [
        "--model",
        "demo-gpt2",
        "--data",
        "texts.csv",
        "--hooks",
        "blocks.1.hook_resid_post",
        "--output",
        "o.safetensors",
        "--convention",
        "tl_processed",
        "--max-tokens",
        "3",
    ];
    succeed(folder.path(), &args);
    let path = folder.path().join("o.safetensors");
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
fn a_dry_run_prints_the_shapes_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_texts(folder.path());
    let args = [
        "--model",
        "demo-gpt2",
        "--data",
        "texts.csv",
        "--hooks",
        "hook_embed",
        "--output",
        "o.npz",
        "--dry-run",
    ];
    let stdout = succeed(folder.path(), &args);
    assert!(stdout.starts_with("would write o.npz ("), "{stdout}");
    assert!(stdout.contains("hook_embed"), "{stdout}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A copy of the embedded model whose embedding of one token is NaN.
fn damaged_model(folder: &Path, id: usize) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo/demo-gpt2");
    fs::create_dir(folder).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(demo.join(file), folder.join(file)).unwrap();
    }
    let mut bytes = fs::read(demo.join("model.safetensors")).unwrap();
    let (header_bytes, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let tensors = header.tensors();
    let (_, wte) = tensors.iter().find(|(name, _)| name.ends_with("wte.weight")).unwrap();
    let item_bytes = wte.dtype.bitsize() / 8;
    let start = 8 + header_bytes + wte.data_offsets.0 + id * wte.shape[1] * item_bytes;
    bytes[start..start + item_bytes].fill(0x7f);
    // All ones in exponent and mantissa are NaN in either format.
    bytes[start + item_bytes - 2] = 0xff;
    fs::write(folder.join("model.safetensors"), bytes).unwrap();
}

#[test]
fn activations_that_are_not_finite_are_refused_unless_allowed() {
    let folder = tempfile::tempdir().unwrap();
    damaged_model(&folder.path().join("damaged"), 9);
    write_ids(
        &folder.path().join("ids.safetensors"),
        &[("input_ids", Dtype::I64, &[3, 2], int64(&[5, 6, 7, 9, 8, 8]))],
    );
    let args = [
        "--model",
        "damaged",
        "--input-ids",
        "ids.safetensors",
        "--hooks",
        "blocks.0.hook_resid_pre",
        "--output",
        "o.safetensors",
        "--json",
        "--allow-non-finite",
    ];
    let stderr = refused(folder.path(), &args[..9]);
    assert!(
        stderr.contains("`blocks.0.hook_resid_pre` of text 1 of `ids.safetensors` has NaN"),
        "{stderr}"
    );
    assert!(!folder.path().join("o.safetensors").exists());

    let report: Value = serde_json::from_str(&succeed(folder.path(), &args)).unwrap();
    assert_eq!(report["non_finite_texts"], serde_json::json!([1]));
    let values = &read_safetensors(&folder.path().join("o.safetensors"))["blocks.0.hook_resid_pre"];
    assert_eq!(values.1.iter().filter(|value| value.is_nan()).count(), 1);
    assert!(values.1[3 * 160].is_nan());
}

#[test]
fn wrong_inputs_are_named_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_texts(folder.path());
    let ids = || ("input_ids", Dtype::I64, &[1, 2][..], int64(&[5, 6]));
    let mask = |values: [i64; 2]| ("attention_mask", Dtype::I64, &[1, 2][..], int64(&values));
    write_ids(&path("good.safetensors"), &[ids()]);
    write_ids(&path("two.safetensors"), &[ids(), mask([1, 2])]);
    write_ids(&path("none.safetensors"), &[ids(), mask([0, 0])]);
    write_ids(
        &path("float.safetensors"),
        &[ids(), ("attention_mask", Dtype::F32, &[1, 2], vec![0; 8])],
    );
    write_ids(
        &path("short.safetensors"),
        &[ids(), ("attention_mask", Dtype::I64, &[2, 1], int64(&[1, 1]))],
    );
    write_ids(&path("other.safetensors"), &[("ids", Dtype::I64, &[1, 1], int64(&[5]))]);
    write_ids(&path("big.safetensors"), &[("input_ids", Dtype::I64, &[1, 1], int64(&[2048]))]);
    write_ids(&path("minus.safetensors"), &[("input_ids", Dtype::I64, &[1, 1], int64(&[-1]))]);
    write_ids(&path("long.safetensors"), &[("input_ids", Dtype::I64, &[1, 257], int64(&[5; 257]))]);
    let good = fs::read(path("good.safetensors")).unwrap();
    fs::write(path("cut.safetensors"), &good[..good.len() - 3]).unwrap();
    fs::create_dir(path("folder.npz")).unwrap();

    let with_ids = |file: &str, expected: &str| {
        let args = [
            "--model",
            "demo-gpt2",
            "--input-ids",
            file,
            "--hooks",
            "hook_embed",
            "--output",
            "o.npz",
        ];
        let stderr = refused(folder.path(), &args);
        assert!(stderr.contains(expected), "{file}: {stderr}");
    };
    with_ids(
        "two.safetensors",
        "`two.safetensors`: tensor `attention_mask` has 2 at row 0, position 1, expected 1 for a \
         real token or 0 for padding",
    );
    with_ids("none.safetensors", "has no 1, so there is no real token");
    with_ids("float.safetensors", "tensor `attention_mask` is F32, expected I64");
    with_ids("short.safetensors", "has shape [2, 1], but `input_ids` has shape [1, 2]");
    with_ids("other.safetensors", "has no tensor `input_ids`; tensors: `ids`");
    with_ids("big.safetensors", "token id 2048 is outside the model's vocabulary of 2048");
    with_ids("minus.safetensors", "has -1 at row 0, position 0, expected a token id");
    with_ids("long.safetensors", "a text has 257 tokens, but the model's context is 256");
    with_ids("cut.safetensors", "`cut.safetensors` is truncated");
    with_ids("missing.safetensors", "cannot read `missing.safetensors`");

    let with_texts = |changes: &[(&str, &str)], expected: &str| {
        let mut flags = BTreeMap::from([
            ("--model", "demo-gpt2"),
            ("--data", "texts.csv"),
            ("--hooks", "hook_embed"),
            ("--output", "o.npz"),
        ]);
        flags.extend(changes.iter().copied());
        let args: Vec<&str> = flags.into_iter().flat_map(|(flag, value)| [flag, value]).collect();
        let stderr = refused(folder.path(), &args);
        assert!(stderr.contains(expected), "{changes:?}: {stderr}");
    };
    with_texts(
        &[("--hooks", "hook_embed,blocks.1.hook_resid_pots")],
        "unknown hook `blocks.1.hook_resid_pots`, did you mean `blocks.1.hook_resid_post`",
    );
    with_texts(&[("--hooks", "blocks.4.hook_resid_pre")], "is of layer 4, but the model has 4");
    with_texts(&[("--text", "txt")], "has no column `txt`; columns: `id`, `text`");
    with_texts(&[("--data", "missing.csv")], "cannot read `missing.csv`");
    with_texts(&[("--output", "missing/o.npz")], "cannot write `missing/o.npz`");
    with_texts(&[("--output", "o.bin")], "`--output o.bin` is neither .safetensors nor .npz");
    with_texts(&[("--output", "folder.npz")], "`folder.npz` is a folder");
    with_texts(&[("--model", "demo-gpt3")], "`demo-gpt3` is neither an embedded model");
    with_texts(&[("--device", "tpu")], "device `tpu` is unknown");
    with_texts(&[("--memory-budget-gib", "0.000001")], "but `--memory-budget-gib` is 0.000001");
    with_texts(&[("--max-tokens", "0")], "--max-tokens");
    with_texts(&[("--input-ids", "good.safetensors")], "cannot be used with");
    assert!(!path("o.npz").exists());

    let onto_itself = [
        "--model",
        "demo-gpt2",
        "--input-ids",
        "good.safetensors",
        "--hooks",
        "hook_embed",
        "--output",
        "good.safetensors",
    ];
    assert!(refused(folder.path(), &onto_itself).contains("is the input, name another output"));
    assert_eq!(fs::read(path("good.safetensors")).unwrap(), good);
}
