//! Many texts, a run that is stopped, and texts that are left out.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::call::{command, refused, succeed};
use crate::fixture::{D_MODEL, folder, page, pairs_of, read};

/// Two heads of two layers over nine texts.
const TWO_LAYERS: [&str; 13] = [
    "accumulate",
    "--sae",
    "two",
    "--sae",
    "three",
    "--data",
    "texts.jsonl",
    "--samples",
    "9",
    "--heads",
    "3,0",
    "--top",
    "20",
];

#[test]
fn texts_are_collected_for_several_heads_and_layers() {
    let folder = folder();
    let path = folder.path();
    let whole = [&TWO_LAYERS[..], &["--output", "whole", "--package", "all.tar.gz", "--json"]];
    let (json, _) = succeed(&mut command(path, &whole.concat()));
    let found: Value = serde_json::from_str(&json).unwrap();
    let heads = found["heads"].as_array().unwrap();
    let of = |head: &Value| (head["layer"].as_u64().unwrap(), head["head"].as_u64().unwrap());
    assert_eq!(heads.iter().map(of).collect::<Vec<_>>(), [(2, 3), (2, 0), (3, 3), (3, 0)]);
    for head in heads {
        let (layer, number) = of(head);
        let name = format!("accumulated_fra_L{layer}H{number}_N9.json");
        assert_eq!(read(path.join("whole").join(&name)), *head);
        let drawn = page(path.join("whole").join(name.replace(".json", ".html")));
        let heads = drawn["heads"].as_array().unwrap();
        assert_eq!(heads.len(), 2);
        for of in heads {
            let pairs = pairs_of(&of["pairs"]);
            if of["head"] != head["head"] {
                let other = of["page"].as_str().unwrap();
                assert!(pairs.is_empty() && path.join("whole").join(other).exists(), "{other}");
                continue;
            }
            assert_eq!(of["page"], "");
            assert_eq!(pairs[..20], pairs_of(&head["top"]["shrunk_mean"]));
            for pair in of["pairs"].as_array().unwrap() {
                for sample in pair["samples"].as_array().unwrap() {
                    let sample = &drawn["samples"][sample.as_u64().unwrap() as usize]["page"];
                    let sample = page(path.join("whole").join(sample.as_str().unwrap()));
                    let there = sample["heads"].as_array().unwrap().iter();
                    let there: Vec<_> = there.filter(|h| h["head"] == head["head"]).collect();
                    let features = pairs_of(&Value::from(vec![pair.clone()]))[0];
                    assert!(pairs_of(&there[0]["pairs"]).contains(&features), "{pair}");
                    assert_eq!(there[0]["corpus_page"], name.replace(".json", ".html"));
                }
            }
        }
        assert_eq!(drawn["samples"].as_array().unwrap().len(), 3);
        let means = head["top"]["mean"].as_array().unwrap();
        for pair in means {
            let (sum, count) = (pair["sum"].as_f64().unwrap(), pair["count"].as_f64().unwrap());
            let interval = &pair["mean_interval"];
            if !interval.is_null() {
                let (lower, upper) = (&interval["lower"], &interval["upper"]);
                assert!(lower.as_f64().unwrap() <= sum / count, "{pair}");
                assert!(upper.as_f64().unwrap() >= sum / count, "{pair}");
            }
        }
        assert!(means.iter().any(|pair| !pair["mean_interval"].is_null()));
        assert_eq!(head["settings"]["data"], "texts.jsonl");
        assert_eq!(head["n_dropped"], 0);
        assert_eq!(head["n_texts"], 9);
        assert!(head["is_exact"].as_bool().unwrap());
        assert!(head["induction_score"].as_f64().unwrap() > 0.0);
        for ranking in ["shrunk_mean", "mean", "sum", "max", "induction"] {
            let pairs = head["top"][ranking].as_array().unwrap();
            assert_eq!(pairs.len(), 20);
            let score = |pair: &Value| pair["score"].as_f64().unwrap();
            assert!(pairs.windows(2).all(|two| score(&two[0]) >= score(&two[1])));
        }
        let nulls = &head["self_interactions"]["shrunk_mean"];
        assert_eq!(nulls["other_heads"].as_array().unwrap().len(), 1);
        for null in ["share", "permuted", "count_matched"] {
            let of = |end: &str| nulls[format!("{null}_interval")][end].as_f64().unwrap();
            let value = nulls[null].as_f64().unwrap();
            assert!((of("lower")..=of("upper")).contains(&value), "{null}: {nulls}");
        }
    }
    let package = fs::read(path.join("whole/all.tar.gz")).unwrap();
    assert_eq!(package[..2], [0x1f, 0x8b]);
}

#[test]
fn a_run_that_was_stopped_is_gone_on_with_to_the_same_bits() {
    let folder = folder();
    let path = folder.path();
    let whole = [&TWO_LAYERS[..], &["--output", "whole"]].concat();
    let (table, _) = succeed(&mut command(path, &whole));
    assert!(table.contains("count-matched") && table.contains("wrote 4 heads"), "{table}");
    let again = refused(&mut command(path, &whole));
    assert!(
        again.contains("accumulated_fra_L2H3_N9.json` is of a run that is finished"),
        "{again}"
    );

    // A run that cannot write its last files leaves its checkpoints.
    let texts = fs::read_to_string(path.join("texts.jsonl")).unwrap();
    let stopped = |output: &'static str, every: &'static str| {
        let blocked = path.join(output).join("accumulated_fra_L3H0_N9.html");
        fs::create_dir_all(blocked.join("folder")).unwrap();
        let flags = ["--output", output, "--checkpoint-every", every];
        let args = [&TWO_LAYERS[..], &flags].concat();
        refused(&mut command(path, &args));
        fs::remove_dir_all(blocked).unwrap();
        args
    };
    let (every, _) = (stopped("parts", "4"), stopped("later", "9"));
    // One of two layers is a text further.
    let checkpoint = path.join("parts/accumulated_fra_L3.checkpoint");
    let before = fs::read(&checkpoint).unwrap();
    fs::copy(path.join("later/accumulated_fra_L3.checkpoint"), &checkpoint).unwrap();
    assert_ne!(fs::read(&checkpoint).unwrap(), before);
    let again = refused(&mut command(path, &every));
    assert!(again.contains("go on with `--resume`"), "{again}");
    succeed(&mut command(path, &[&every[..], &["--resume"]].concat()));
    assert!(!checkpoint.exists());
    for entry in fs::read_dir(path.join("parts")).unwrap() {
        let name = entry.unwrap().file_name();
        let (a, b) = (path.join("parts").join(&name), path.join("whole").join(&name));
        assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap(), "{name:?}");
    }
    assert_eq!(fs::read_to_string(path.join("texts.jsonl")).unwrap(), texts);
}

/// The embedded model as a folder, where one token's embedding is no number.
fn spoilt_model(folder: &Path, token: u64) {
    let origin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/demo-gpt2");
    fs::create_dir(folder).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(origin.join(name), folder.join(name)).unwrap();
    }
    let mut file = fs::read(origin.join("model.safetensors")).unwrap();
    let header_end = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..header_end]).unwrap();
    let tensors = header.as_object().unwrap();
    let (_, embedding) = tensors.iter().find(|(name, _)| name.ends_with("wte.weight")).unwrap();
    assert_eq!(embedding["dtype"], "BF16");
    let row = embedding["data_offsets"][0].as_u64().unwrap() + token * 2 * D_MODEL as u64;
    file[header_end + row as usize..][..2].copy_from_slice(&[0xff, 0x7f]);
    fs::write(folder.join("model.safetensors"), file).unwrap();
}

#[test]
fn a_text_whose_activations_are_not_finite_is_left_out() {
    let folder = folder();
    let path = folder.path();
    let (json, _) =
        succeed(&mut command(path, &["sample", "--sae", "two", "--text", "Q", "--json"]));
    let sample: Value = serde_json::from_str(&json).unwrap();
    let tokens = sample["tokens"].as_array().unwrap();
    spoilt_model(&path.join("model"), tokens.last().unwrap()["id"].as_u64().unwrap());
    let texts = fs::read_to_string(path.join("texts.jsonl")).unwrap();
    let mut lines: Vec<&str> = texts.lines().collect();
    let good = ["accumulate", "--sae", "two", "--model", "model", "--heads", "1", "--json"];
    let run = |data: &str, output: &str| {
        succeed(&mut command(path, &[&good[..], &["--data", data, "--output", output]].concat()))
    };
    let (without, _) = run("texts.jsonl", "without");
    lines.insert(4, "{\"text\": \"Q\\nQ\\nQ\"}");
    fs::write(path.join("one.jsonl"), lines.join("\n")).unwrap();
    let (with, log) = run("one.jsonl", "with");
    assert!(log.contains("row 4 of `one.jsonl` left out"), "{log}");
    let head = |json: &str| serde_json::from_str::<Value>(json).unwrap()["heads"][0].clone();
    let (without, with) = (head(&without), head(&with));
    assert_eq!((&with["n_texts"], &with["n_skipped"]), (&Value::from(12), &Value::from(1)));
    for key in ["top", "self_interactions", "sum_abs", "induction_interval"] {
        assert_eq!(with[key], without[key], "{key}");
    }
    // Nothing is left of texts that are all like that.
    fs::write(path.join("none.jsonl"), lines[4]).unwrap();
    let none = [&good[..7], &["--data", "none.jsonl", "--output", "none"]].concat();
    assert!(refused(&mut command(path, &none)).contains("are not finite"));
}
