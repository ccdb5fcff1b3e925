//! What the command refuses.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::extract::fixture::{Folder, int64, read_safetensors, write_ids};

/// A copy of the embedded model whose embedding of one token is NaN.
fn damaged_model(folder: &Path, id: usize) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/demo-gpt2");
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
    let folder = Folder::new();
    damaged_model(&folder.path("damaged"), 9);
    write_ids(
        &folder.path("ids.safetensors"),
        &[("input_ids", Dtype::I64, &[3, 2], int64(&[5, 6, 7, 9, 8, 8]))],
    );
    let flags = [
        ("--model", "damaged"),
        ("--input-ids", "ids.safetensors"),
        ("--hooks", "blocks.0.hook_resid_pre"),
        ("--json", ""),
        ("--allow-non-finite", ""),
    ];
    let stderr = folder.refused(&flags[..4]);
    assert!(
        stderr.contains("`blocks.0.hook_resid_pre` of text 1 of `ids.safetensors` has NaN"),
        "{stderr}"
    );
    assert!(!folder.path("o.safetensors").exists());

    let report: Value = serde_json::from_str(&folder.succeed(&flags)).unwrap();
    assert_eq!(report["non_finite_texts"], serde_json::json!([1]));
    let values = &read_safetensors(&folder.path("o.safetensors"))["blocks.0.hook_resid_pre"];
    assert_eq!(values.1.iter().filter(|value| value.is_nan()).count(), 1);
    assert!(values.1[3 * 160].is_nan());

    // In a folder, of one file per text, what comes before is kept.
    let folder_flags =
        |n: usize| [&flags[..n], &[("--output", "out"), ("--shard-rows", "1")]].concat();
    let stderr = folder.refused(&folder_flags(3));
    assert!(stderr.contains("of text 1 of `ids.safetensors` has NaN"), "{stderr}");
    let n_parts = || {
        let names = fs::read_dir(folder.path("out")).unwrap().map(|file| file.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors")).count()
    };
    assert_eq!(n_parts(), 1);
    let report: Value = serde_json::from_str(&folder.succeed(&folder_flags(5))).unwrap();
    assert_eq!((&report["non_finite_texts"], n_parts()), (&serde_json::json!([1]), 3));
    assert_eq!((&report["n_found"], &report["n_written"]), (&1.into(), &2.into()));
    let stderr = folder.refused(&folder_flags(3));
    assert!(stderr.contains("text 1 of `ids.safetensors` has NaN or infinity"), "{stderr}");
}

#[test]
fn wrong_inputs_are_named_with_exit_code_2() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
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
        let stderr = folder.refused(&[("--input-ids", file)]);
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

    let with_texts = |flags: &[(&str, &str)], expected: &str| {
        let stderr = folder.refused(flags);
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    };
    with_texts(
        &[("--hooks", "hook_embed,blocks.1.hook_resid_pots")],
        "unknown hook `blocks.1.hook_resid_pots`, did you mean `blocks.1.hook_resid_post`",
    );
    with_texts(&[("--hooks", "blocks.4.hook_resid_pre")], "is of layer 4, but the model has 4");
    with_texts(&[("--text", "txt")], "has no column `txt`; columns: `id`, `text`");
    with_texts(&[("--data", "missing.csv")], "cannot read `missing.csv`");
    with_texts(&[("--output", "texts.csv/o.npz")], "`texts.csv/o.npz`");
    with_texts(&[("--output", "o.bin")], "`--output o.bin` is neither .safetensors nor .npz");
    with_texts(&[("--output", "folder.npz")], "`folder.npz` is a folder");
    with_texts(&[("--model", "demo-gpt3")], "`demo-gpt3` is neither an embedded model");
    with_texts(&[("--device", "tpu")], "device `tpu` is unknown");
    with_texts(&[("--max-tokens", "0")], "--max-tokens");
    let both = [("--data", "texts.csv"), ("--input-ids", "good.safetensors")];
    with_texts(&both, "cannot be used with");
    assert!(!path("o.safetensors").exists());

    let onto_itself = [("--input-ids", "good.safetensors"), ("--output", "good.safetensors")];
    assert!(folder.refused(&onto_itself).contains("is read by this command, name another file"));
    assert_eq!(fs::read(path("good.safetensors")).unwrap(), good);
}
