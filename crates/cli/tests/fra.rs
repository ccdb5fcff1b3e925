//! `fra` as a person calls it: one text, many texts, what was published, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use attention_probes_sae::{Activation, Sae, SaeConfig, write_sae_lens};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const D_MODEL: usize = 160;

/// A folder with texts and drawn autoencoders of the embedded models.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let animals = ["fox", "cat", "dog", "bird", "horse"];
    let mut lines = String::new();
    for i in 0..12 {
        let (a, b) = (animals[i % 5], animals[(i / 5 + 1) % 5]);
        let text = format!("The {a} ran to the {b} {i} times. \"Come,\" said the {a} to the {b}.");
        writeln!(lines, "{}", serde_json::json!({ "text": text })).unwrap();
    }
    fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
    for (name, model, hook) in [
        ("two", "demo-gpt2", "blocks.2.ln1.hook_normalized"),
        ("three", "demo-gpt2", "blocks.2.hook_resid_post"),
        ("z", "demo-gpt2", "blocks.2.attn.hook_z"),
        ("gemma", "demo-gemma", "blocks.1.hook_resid_pre"),
    ] {
        let mut sae = drawn(96);
        sae.set_hook(hook.parse().unwrap());
        sae.config.metadata.set("model_name", model);
        write_sae_lens(&sae, folder.path().join(name)).unwrap();
    }
    folder
}

fn drawn(d_sae: usize) -> Sae {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut draw =
        |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-0.3_f32..0.3)).collect() };
    let activation =
        Activation::TopK { b_enc: draw(d_sae), k: 6, rescale_acts_by_decoder_norm: false };
    let (encoder, decoder) = (draw(d_sae * D_MODEL), draw(d_sae * D_MODEL));
    let config = SaeConfig::new(D_MODEL, d_sae);
    Sae { config, activation, encoder, decoder, b_dec: draw(D_MODEL) }
}

fn fra(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fra"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1").output().unwrap()
}

/// Standard output and error.
fn succeed(folder: &Path, args: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = fra(folder, args);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{args:?}: {stderr}");
    (String::from_utf8(stdout).unwrap(), stderr)
}

/// The one line of an input that is refused.
fn refused(folder: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = fra(folder, args);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{args:?}: {stderr}");
    assert!(stdout.is_empty(), "{args:?}");
    let errors = stderr.lines().filter(|line| line.starts_with("error"));
    assert_eq!(errors.count(), 1, "{stderr}");
    stderr
}

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a page draws.
fn page(path: impl AsRef<Path>) -> Value {
    let html = fs::read_to_string(path).unwrap();
    let (_, data) = html.split_once("type=\"application/json\"").unwrap();
    let (data, _) = data.split_once('>').unwrap().1.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

/// Features of pairs.
fn pairs_of(pairs: &Value) -> Vec<(u64, u64)> {
    let feature = |pair: &Value, name: &str| pair[name].as_u64().unwrap();
    let pairs = pairs.as_array().unwrap().iter();
    pairs.map(|pair| (feature(pair, "query_feature"), feature(pair, "key_feature"))).collect()
}

#[test]
fn the_scores_of_a_text_are_resolved() {
    let folder = folder();
    let path = folder.path();
    for (sae, n_heads) in [("two", 5), ("gemma", 4)] {
        let text = "The fox ran to the cat. The fox ran to the dog.";
        let args = ["sample", "--sae", sae, "--text", text];
        let (table, _) = succeed(path, &args);
        assert!(table.contains("head 3:") && table.contains("the terms add up"), "{table}");
        let (json, _) =
            succeed(path, &[&args[..], &["--json", "--output", "s.json", "--top", "5"]].concat());
        let report: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(report, read(path.join("s.json")));
        assert_eq!(report["mode"], "exact");
        let heads = report["heads"].as_array().unwrap();
        assert_eq!(heads.len(), n_heads);
        for head in heads {
            let identity = &head["identity"];
            assert!(identity["largest_difference"].as_f64().unwrap() < 1e-4, "{identity}");
            assert_eq!(identity["terms"].as_object().unwrap().len(), 4);
            let pairs = head["pairs"].as_array().unwrap();
            assert_eq!(pairs.len(), 5);
            for pair in pairs {
                let entries = pair["entries"].as_array().unwrap();
                let sum: f64 = entries.iter().map(|entry| entry[2].as_f64().unwrap()).sum();
                let expected = pair["sum"].as_f64().unwrap();
                let size = pair["sum_abs"].as_f64().unwrap();
                assert!((sum - expected).abs() < 1e-4 * size, "{pair}");
                assert_eq!(entries.len() as u64, pair["count"].as_u64().unwrap());
            }
            assert_eq!(head["sources"].as_array().unwrap().len(), 5);
        }
        // The token before the text has no features, every other one has as many as there may be.
        let tokens = report["tokens"].as_array().unwrap();
        let n = |token: &Value| token["features"].as_array().unwrap().len();
        assert_eq!(n(&tokens[0]), 0);
        assert!(tokens[1..].iter().all(|token| n(token) == 6));
    }
    for sae in ["two", "gemma"] {
        let args = ["sample", "--sae", sae, "--text", "a fox and a fox", "--output", "one.html"];
        succeed(path, &args);
        let drawn = page(path.join("one.html"));
        assert!(
            drawn["features"]
                .as_array()
                .unwrap()
                .iter()
                .all(|f| f["texts"] == Value::from([(); 0]))
        );
        // Other texts say where features are strongest.
        let (table, _) = succeed(path, &[&args[..], &["--data", "texts.jsonl"]].concat());
        let with_texts = page(path.join("one.html"));
        let known = with_texts["features"].as_array().unwrap();
        let known: Vec<&Value> = known.iter().filter(|f| f["label"] != "").collect();
        assert!(known.len() > 10, "{}", known.len());
        assert!(known.iter().all(|f| !f["texts"].as_array().unwrap().is_empty()));
        assert!(table.contains(known[0]["label"].as_str().unwrap()), "{table}");
        assert_eq!(with_texts["heads"], drawn["heads"]);
    }
    let args = ["sample", "--sae", "two", "--data", "texts.jsonl", "--row", "3", "--heads", "1"];
    let (json, _) = succeed(path, &[&args[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["heads"].as_array().unwrap().len(), 1);
    assert!(json.contains("bird"), "{json}");
}

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
    let (json, _) = succeed(path, &whole.concat());
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
    let (table, _) = succeed(path, &whole);
    assert!(table.contains("count-matched") && table.contains("wrote 4 heads"), "{table}");
    let again = refused(path, &whole);
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
        refused(path, &args);
        fs::remove_dir_all(blocked).unwrap();
        args
    };
    let (every, _) = (stopped("parts", "4"), stopped("later", "9"));
    // One of two layers is a text further.
    let checkpoint = path.join("parts/accumulated_fra_L3.checkpoint");
    let before = fs::read(&checkpoint).unwrap();
    fs::copy(path.join("later/accumulated_fra_L3.checkpoint"), &checkpoint).unwrap();
    assert_ne!(fs::read(&checkpoint).unwrap(), before);
    let again = refused(path, &every);
    assert!(again.contains("go on with `--resume`"), "{again}");
    succeed(path, &[&every[..], &["--resume"]].concat());
    assert!(!checkpoint.exists());
    for entry in fs::read_dir(path.join("parts")).unwrap() {
        let name = entry.unwrap().file_name();
        let (a, b) = (path.join("parts").join(&name), path.join("whole").join(&name));
        assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap(), "{name:?}");
    }
    assert_eq!(fs::read_to_string(path.join("texts.jsonl")).unwrap(), texts);
}

#[test]
fn what_was_published_is_computed_only_where_it_is_asked_for() {
    let folder = folder();
    let path = folder.path();
    let args = ["accumulate", "--sae", "z", "--data", "texts.jsonl", "--heads", "0"];
    let error = refused(path, &args);
    assert!(error.contains("do not read `blocks.2.attn.hook_z`"), "{error}");
    assert!(error.contains("`blocks.2.ln1.hook_normalized`"), "{error}");
    let (json, warning) = succeed(path, &[&args[..], &["--published", "--json"]].concat());
    assert!(warning.contains("add up to no score"), "{warning}");
    let found: Value = serde_json::from_str(&json).unwrap();
    let head = &found["heads"][0];
    assert_eq!(head["mode"], "published");
    let rankings: Vec<&String> = head["top"].as_object().unwrap().keys().collect();
    assert_eq!(rankings, ["mean"]);
    for pair in head["top"]["mean"].as_array().unwrap() {
        let number = |name: &str| pair[name].as_f64().unwrap();
        let mean = number("sum_abs") / number("count");
        assert!((number("score") - mean).abs() < 1e-9 * mean.max(1.0), "{pair}");
    }
    let (json, _) =
        succeed(path, &["sample", "--sae", "z", "--text", "a fox", "--published", "--json"]);
    let sample: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(sample["mode"], "published");
    assert!(sample["heads"][0].get("identity").is_none());
    // That code read 500 characters of a text.
    let long = "Yesterday the horse went back to the little café. ".repeat(12);
    let first: String = long.chars().take(500).collect();
    let tokens = |sae: &str, text: &str, flags: &[&str]| {
        let args = ["sample", "--sae", sae, "--max-tokens", "256", "--text", text, "--json"];
        let found: Value =
            serde_json::from_str(&succeed(path, &[&args, flags].concat()).0).unwrap();
        found["tokens"].as_array().unwrap().len()
    };
    let expected = tokens("z", &first, &["--published"]);
    assert_eq!(tokens("z", &long, &["--published"]), expected);
    assert!(tokens("two", &long, &[]) > expected);
    let gemma = ["sample", "--sae", "gemma", "--text", "a fox", "--published"];
    assert!(refused(path, &gemma).contains("did not know models that turn"));
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = folder();
    let path = folder.path();
    let sample = |more: &[&str]| {
        refused(path, &[&["sample", "--sae", "two", "--text", "a fox"][..], more].concat())
    };
    assert!(sample(&["--heads", "5"]).contains("layer 2 has heads 0 to 4, not 5"));
    assert!(sample(&["--heads", "1,1"]).contains("heads, each once"));
    assert!(sample(&["--heads", "first"]).contains("expected `all`"));
    assert!(sample(&["--max-tokens", "999"]).contains("256 at most"));
    assert!(sample(&["--model", "demo-none"]).contains("demo-none"));
    assert!(sample(&["--sae", "three"]).contains("takes one autoencoder"));
    assert!(sample(&["--device", "tpu"]).contains("tpu"));
    assert!(sample(&["--output", "none/s.json"]).contains("none/s.json"));
    assert!(sample(&["--output", "s.txt"]).contains("ends neither in .html nor in .json"));
    let none = ["sample", "--sae", "texts.jsonl", "--text", "a"];
    assert!(refused(path, &none).contains("is no sparse autoencoder"));
    let row = ["sample", "--sae", "two", "--data", "texts.jsonl", "--row", "99"];
    assert!(refused(path, &row).contains("`texts.jsonl` has no row 99"));
    let accumulate = |more: &[&str]| refused(path, &[&["accumulate"][..], more].concat());
    let both = ["--sae", "two", "--sae", "gemma", "--data", "texts.jsonl"];
    assert!(accumulate(&both).contains("two models, `demo-gpt2` and `demo-gemma`"));
    let data = ["--sae", "two", "--data"];
    assert!(accumulate(&[&data[..], &["none.jsonl"]].concat()).contains("none.jsonl"));
    let budget = [&data[..], &["texts.jsonl", "--memory-budget-gib", "0"]].concat();
    assert!(accumulate(&budget).contains("a number above 0"));
    fs::write(path.join("short.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let short = [&data[..], &["short.jsonl"]].concat();
    assert!(accumulate(&short).contains("no text of two tokens"));
    fs::create_dir(path.join("results")).unwrap();
    fs::write(path.join("results/accumulated_fra_L2.checkpoint"), "something else").unwrap();
    let row = ["sample", "--sae", "two", "--data", "short.jsonl", "--max-tokens", "1"];
    assert!(refused(path, &row).contains("row 0 of `short.jsonl` has no token"));
    let package =
        |name: &str| accumulate(&[&data[..], &["texts.jsonl", "--package", name]].concat());
    assert!(package("all.zip").contains("ends neither in .tar.gz nor in .tgz"));
    assert!(package("none/all.tgz").contains("no folder `none`"));
    let pages = [&data[..], &["texts.jsonl", "--sae-page", "a.html", "--sae-page", "b.html"]];
    assert!(accumulate(&pages.concat()).contains("is given 2 times"));
    let page = [&data[..], &["texts.jsonl", "--sae-page", "https://example.org/sae.html"]].concat();
    assert!(accumulate(&page).contains("relative to the page"));
    let damaged = [&data[..], &["texts.jsonl", "--resume"]].concat();
    assert!(accumulate(&damaged).contains("remove it to begin anew"));
}

#[test]
fn the_demo_takes_pairs_from_an_induction_head() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // The autoencoder hardly learns anything in so many tokens, but everything else is as ever.
    let (json, _) = succeed(path, &["demo", "--tokens", "20000", "--json"]);
    let found: Value = serde_json::from_str(&json).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let best = &found["induction_scores"][0];
    assert_eq!((&best[0], &best[1]), (&found["layer"], &found["head"]));
    assert!(number(&best[2]) > 0.5, "{best}");
    let arms = found["ablation"].as_array().unwrap();
    assert_eq!(arms.len(), 9);
    let of = |arm: usize, name: &str| number(&arms[arm]["repeated"][name]);
    assert_eq!(arms[0]["removed"], "nothing");
    assert_eq!(arms[8]["removed"], "the scores");
    // Without its scores the head does not know where to look, and the model feels it.
    assert!(of(8, "attention") < 0.1 * of(0, "attention"), "{json}");
    assert!(of(8, "loss_nats") > 2.0 * of(0, "loss_nats"), "{json}");
    // The control has as much magnitude, as far as there are pairs for it.
    for arm in [1, 4] {
        let (share, matched) = (number(&arms[arm]["share"]), number(&arms[arm + 1]["share"]));
        assert!(share > 0.0 && (matched / share - 1.0).abs() < 0.5, "{share} {matched}");
    }
    let run = path.join("results/fra-demo-gpt2");
    assert!(run.join("sae.html").exists());
    for head in found["heads"].as_array().unwrap() {
        let (layer, number, n) = (&head["layer"], &head["head"], &head["n_texts"]);
        let name = format!("accumulated_fra_L{layer}H{number}_N{n}");
        assert_eq!(read(run.join(format!("{name}.json"))), *head);
        let drawn = page(run.join(format!("{name}.html")));
        assert_eq!(drawn["sae_page"], "sae.html");
        for sample in drawn["samples"].as_array().unwrap() {
            assert!(run.join(sample["page"].as_str().unwrap()).exists(), "{sample}");
        }
    }
}

/// The embedded model as a folder, where one token's embedding is no number.
fn spoilt_model(folder: &Path, token: u64) {
    let origin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo/demo-gpt2");
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
    let (json, _) = succeed(path, &["sample", "--sae", "two", "--text", "Q", "--json"]);
    let sample: Value = serde_json::from_str(&json).unwrap();
    let tokens = sample["tokens"].as_array().unwrap();
    spoilt_model(&path.join("model"), tokens.last().unwrap()["id"].as_u64().unwrap());
    let texts = fs::read_to_string(path.join("texts.jsonl")).unwrap();
    let mut lines: Vec<&str> = texts.lines().collect();
    let good = ["accumulate", "--sae", "two", "--model", "model", "--heads", "1", "--json"];
    let run = |data: &str, output: &str| {
        succeed(path, &[&good[..], &["--data", data, "--output", output]].concat())
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
    assert!(refused(path, &none).contains("are not finite"));
}
