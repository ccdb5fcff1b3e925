//! Data and models of others that were read wrongly, or that ended a run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_activations::{NpzData, read_npz};
use serde_json::{Value, json};

use super::{SWEEP, folder};
use crate::call::{command, refused_in_a_line, succeed};

const EXTRACT: [&str; 4] = ["extract", "--data", "texts.csv", "--hooks"];

/// An embedded model as a folder of its own, with one of its JSON files changed.
fn model(folder: &Path, name: &str, file: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let origin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo").join(name);
    let copy = folder.join(format!("copy-of-{name}"));
    fs::create_dir_all(&copy).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(origin.join(name), copy.join(name)).unwrap();
    }
    // Both models have the same tokenizer.
    let tokenizer = origin.with_file_name("demo-gpt2").join("tokenizer.json");
    fs::copy(tokenizer, copy.join("tokenizer.json")).unwrap();
    let path = copy.join(file);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    copy
}

/// What a model computes at its second layer, as the bytes of an npz.
fn activations(folder: &Path, model: &str) -> Vec<u8> {
    let args = [&EXTRACT[..], &["blocks.1.hook_resid_post", "--model", model]].concat();
    succeed(&mut command(folder, &[&args[..], &["--output", "x.npz", "--overwrite"]].concat()));
    let arrays = read_npz(folder.join("x.npz")).unwrap();
    let Some(NpzData::F32(values)) =
        arrays.get("blocks.1.hook_resid_post").map(|array| array.data.clone())
    else {
        panic!("{:?}", arrays.keys())
    };
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn a_class_too_rare_for_every_side_is_refused_before_training() {
    let folder = folder();
    let path = folder.path();
    let rows = (0..200).map(|i| format!("text number {i},{}\n", if i < 2 { "neg" } else { "pos" }));
    fs::write(path.join("texts.csv"), "text,label\n".to_owned() + &rows.collect::<String>())
        .unwrap();
    for flags in [&[][..], &["--resume"]] {
        let error =
            refused_in_a_line(&mut command(path, &[&["sweep", "sweep.toml"][..], flags].concat()));
        assert!(error.contains("side has no example of class `neg`"), "{error}");
    }
    assert!(!path.join("out/s/seed_42/texts-L00-resid_post").exists(), "nothing was trained");
}

#[test]
fn hostile_tokenizers_are_refused() {
    let folder = folder();
    let path = folder.path();
    let refuse = |model: &Path, part: &str| {
        let hook = "blocks.0.hook_resid_post";
        let args = [&EXTRACT[..], &[hook, "--model", model.to_str().unwrap()]].concat();
        let error =
            refused_in_a_line(&mut command(path, &[&args[..], &["--output", "x.npz"]].concat()));
        assert!(error.contains("tokenizer.json") && error.contains(part), "{error}");
    };
    let huge = |tokenizer: &mut Value| tokenizer["model"]["vocab"]["e"] = json!(1_u64 << 31);
    refuse(&model(path, "demo-gpt2", "tokenizer.json", huge), "2147483648");
    let deep = |tokenizer: &mut Value| {
        let mut decoder = json!({ "type": "ByteLevel" });
        for _ in 0..60 {
            decoder = json!({ "type": "Sequence", "decoders": [decoder] });
        }
        tokenizer["decoder"] = decoder;
    };
    refuse(&model(path, "demo-gpt2", "tokenizer.json", deep), "deeper than");
}

#[test]
fn both_spellings_of_a_field_and_a_stale_index_are_read_as_transformers_reads_them() {
    let folder = folder();
    let path = folder.path();
    let expected = activations(path, "demo-gemma");
    let both = |config: &mut Value| {
        for layers in ["full_attention", "sliding_attention"] {
            config["rope_parameters"][layers]["type"] = json!("default");
        }
    };
    let copy = model(path, "demo-gemma", "config.json", both);
    assert_eq!(activations(path, copy.to_str().unwrap()), expected);
    let patterns = |config: &mut Value| {
        config.as_object_mut().unwrap().remove("layer_types");
        config["sliding_window_pattern"] = json!(2);
        config["_sliding_window_pattern"] = json!(2);
    };
    let copy = model(path, "demo-gemma", "config.json", patterns);
    assert_eq!(activations(path, copy.to_str().unwrap()), expected);

    // An index of shards that are no longer there, beside the whole file.
    let copy = model(path, "demo-gpt2", "config.json", |_| ());
    let index = json!({
        "metadata": { "total_size": 1 },
        "weight_map": { "transformer.wte.weight": "model-00001-of-00002.safetensors" },
    });
    fs::write(copy.join("model.safetensors.index.json"), index.to_string()).unwrap();
    let expected = activations(path, "demo-gpt2");
    assert_eq!(activations(path, copy.to_str().unwrap()), expected);
}

#[test]
fn rows_of_a_table_are_neither_swallowed_nor_made() {
    let folder = folder();
    let path = folder.path();
    for (name, content, part) in [
        (
            "quotes.tsv",
            "text\tlabel\nfirst\t1\n\"She left\t0\nhe stayed\t1\nthen\t0\n\"home\" again\t1\nlast\t0\n",
            "after the closing quote",
        ),
        (
            "escape.csv",
            "text,label\n\"he said \\\"fine\\\" and left\",1\n\"plain\",0\n\"a \\\"b\\\", c\",1\n\"end\",0\n",
            "after the closing quote",
        ),
        (
            "return.csv",
            "label,text\n0,quiet day\n1,first line\r0,second line\n1,loud night\n0,grey sea\n",
            "outside quotes",
        ),
    ] {
        fs::write(path.join(name), content).unwrap();
        let config = SWEEP.replace("texts.csv", name);
        fs::write(path.join("table.toml"), config).unwrap();
        let error = refused_in_a_line(&mut command(path, &["sweep", "table.toml"]));
        assert!(error.contains(&format!("{name}` line ")) && error.contains(part), "{error}");
    }
    assert!(!path.join("out").exists(), "nothing is written");
}

/// Rows of the sides of an experiment, and their labels.
fn sides(folder: &Path, experiment: &str) -> Vec<(Vec<i64>, Vec<i64>)> {
    let path = folder.join("out/s/seed_42").join(experiment).join("predictions.npz");
    let arrays = read_npz(path).unwrap();
    let integers = |side: &str, name: &str| {
        let array = arrays[&format!("{side}/{name}")].clone();
        array.data.into_i64().unwrap()
    };
    let side = |side: &str| (integers(side, "rows"), integers(side, "labels"));
    vec![side("validation"), side("test")]
}

#[test]
fn equal_texts_are_on_one_side() {
    let folder = folder();
    let path = folder.path();
    let rows = (0..240).map(|i| format!("text number {},{}\n", i % 60, ["neg", "pos"][i % 2]));
    fs::write(path.join("texts.csv"), "text,label\n".to_owned() + &rows.collect::<String>())
        .unwrap();
    succeed(&mut command(path, &["sweep", "sweep.toml"]));
    let texts: Vec<(BTreeSet<i64>, usize)> = sides(path, "texts-L00-resid_post")
        .into_iter()
        .map(|(rows, _)| (rows.iter().map(|row| row % 60).collect(), rows.len()))
        .collect();
    for (texts, n_rows) in &texts {
        assert_eq!(texts.len() * 4, *n_rows, "all four copies of a text, or none");
    }
    assert!(texts[0].0.is_disjoint(&texts[1].0));
}

#[test]
fn rows_are_those_of_the_file_where_some_are_left_out() {
    let folder = folder();
    let path = folder.path();
    let label = |row: usize| if row % 5 < 2 { "neg" } else { "pos" };
    let text = |row: usize| {
        if row.is_multiple_of(3) { String::new() } else { format!("text number {row}") }
    };
    let line = |row| json!({ "text": text(row), "label": label(row) }).to_string() + "\n";
    fs::write(path.join("rows.jsonl"), (0..150).map(line).collect::<String>()).unwrap();
    fs::write(path.join("rows.toml"), SWEEP.replace("texts.csv", "rows.jsonl")).unwrap();
    succeed(&mut command(path, &["sweep", "rows.toml"]));
    let mut n_rows = 0;
    for (rows, labels) in sides(path, "rows-L00-resid_post") {
        for (row, found) in rows.into_iter().zip(labels) {
            let row = row as usize;
            assert!(!row.is_multiple_of(3), "row {row} has no text");
            assert_eq!(["neg", "pos"][found as usize], label(row), "row {row}");
            n_rows += 1;
        }
    }
    assert!(n_rows > 20);
}
