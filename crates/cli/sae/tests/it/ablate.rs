//! `sae ablate` and guided training as a person calls them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::call::{command, refused, succeed};

const ABLATION: &str = r#"
run = "small"
seeds = [1, 2]
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
context_size = 32
test_contexts = 6
[train]
tokens = 1_240
batch_size = 124
buffer_batches = 3
learning_rate = 3e-3
[attention]
held_out_contexts = 6
[sae]
hook = "blocks.1.hook_resid_post"
d_sae = 64
architecture = { name = "topk", k = 6 }
[guidance]
layers = [-1, 0]
n_negatives = 8
"#;

const LABELLED: &str = r#"
[[evaluation.labelled]]
name = "animals"
path = "texts.jsonl"
label = "animal"
"#;

const GUIDED: &str = r#"
run = "guided"
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
context_size = 32
[train]
tokens = 2_480
batch_size = 124
checkpoint_every = 5
[attention]
held_out_contexts = 6
[[saes]]
name = "guided"
hook = "blocks.1.hook_resid_post"
d_sae = 64
architecture = { name = "topk", k = 6 }
guidance = { layers = [-1, 0, 1], n_negatives = 8 }
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let animals = ["fox", "cat"];
    let mut lines = String::new();
    for i in 0..120 {
        let (a, b) = (animals[i % 2], animals[(i / 5 + 1) % 2]);
        let text = format!("The {a} ran to the {b} {i} times. \"Come,\" said the {a}.");
        writeln!(lines, "{}", serde_json::json!({ "text": text, "animal": a })).unwrap();
    }
    fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
    write(folder.path(), "ablation.toml", ABLATION);
    write(folder.path(), "guided.toml", GUIDED);
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn arms_are_trained_measured_and_judged() {
    let folder = folder();
    let path = folder.path();
    write(path, "ablation.toml", &format!("{ABLATION}{LABELLED}"));
    let (plan, told) = succeed(&mut command(path, &["ablate", "ablation.toml", "--dry-run"]));
    assert!(told.contains("time: ") && told.contains(" for training;"), "{told}");
    assert!(plan.contains("mask-11") && plan.contains("8 arms of 2 seeds"), "{plan}");
    assert!(!path.join("results").exists(), "nothing is written");
    let found: Value = serde_json::from_str(
        &succeed(&mut command(path, &["ablate", "ablation.toml", "--json"])).0,
    )
    .unwrap();
    let arms: Vec<&str> =
        found["arms"].as_array().unwrap().iter().map(|arm| arm["name"].as_str().unwrap()).collect();
    let expected = [
        "baseline",
        "mask-10",
        "mask-01",
        "mask-11",
        "equal-weights",
        "control-shuffled",
        "control-local",
        "control-uniform",
    ];
    assert_eq!(arms, expected);
    let metrics = found["metrics"].as_array().unwrap();
    let metric = |name: &str| {
        let of_name = metrics.iter().find(|metric| metric["name"] == name).unwrap();
        let by_arm = of_name["by_arm"].as_array().unwrap();
        let seeds = |arm: &Value| -> Vec<f64> {
            arm.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        by_arm.iter().map(seeds).collect::<Vec<_>>()
    };
    assert!(metric("l0").concat().iter().all(|l0| (l0 - 6.0).abs() < 0.2), "{:?}", metric("l0"));
    for name in ["animals/sae_top_1_test_accuracy", "animals/sae_top_5_test_accuracy"] {
        assert!(metric(name).concat().iter().all(|accuracy| (0.0..=1.0).contains(accuracy)));
    }
    let (variance, tpp) =
        (metric("explained_variance_r2"), metric("animals/tpp_threshold_10_total_metric"));
    assert_ne!(variance[0], variance[3], "guidance changes something");
    assert_eq!(tpp.len(), 8);
    assert_eq!(found["verdict"]["differences"].as_array().unwrap().len(), 4 * 6);
    let text = found["verdict"]["text"].as_str().unwrap();
    assert!(text.starts_with("Guidance by the attention of L-1, L "), "{text}");
    let page = fs::read_to_string(path.join("results/small/ablation.html")).unwrap();
    assert!(page.contains("window as far back as attention"));

    // What was measured is kept; a finished ablation is not begun anew.
    let again = refused(&mut command(path, &["ablate", "ablation.toml"]));
    assert!(again.contains("holds a run already; go on with `--resume`"), "{again}");
    let resumed = succeed(&mut command(path, &["ablate", "ablation.toml", "--resume"])).0;
    assert!(resumed.contains("all earlier tokens alike") && resumed.contains(text), "{resumed}");
    let kept = path.join("results/small/sae/baseline-seed1/ablation_metrics.json");
    let mut measured: Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    measured["values"][0] = 77.0.into();
    fs::write(&kept, measured.to_string()).unwrap();
    let changed = succeed(&mut command(path, &["ablate", "ablation.toml", "--resume"])).0;
    assert!(changed.contains("38."), "what was measured is kept: {changed}");
    // Of other labelled texts nothing is kept.
    let texts = fs::read_to_string(path.join("texts.jsonl")).unwrap();
    write(path, "others.jsonl", &texts.replace("times", "hours"));
    let others = LABELLED.replace("texts.jsonl", "others.jsonl");
    write(path, "ablation.toml", &format!("{ABLATION}{others}"));
    let anew = succeed(&mut command(path, &["ablate", "ablation.toml", "--resume"])).0;
    assert!(!anew.contains("38."), "{anew}");
}

#[test]
fn encoders_of_the_context_are_compared_with_as_many_weights() {
    let folder = folder();
    let path = folder.path();
    let context = ABLATION.replace("n_negatives = 8", "n_negatives = 8\ncontext_encoder = true");
    write(path, "ablation.toml", &context);
    let table = succeed(&mut command(path, &["ablate", "ablation.toml"])).0;
    assert!(table.contains("no guidance, as many weights"), "{table}");
    let mask = path.join("results/small/sae/mask-11-seed1");
    let info = succeed(&mut command(path, &["info", mask.to_str().unwrap()])).0;
    assert!(info.contains("480"), "three blocks of 160: {info}");
    // Nobody can take it for an autoencoder of the activation alone.
    let args = ["eval", "core", "--sae", mask.to_str().unwrap(), "--data", "texts.jsonl"];
    let error = refused(&mut command(path, &args));
    assert!(error.contains("was trained with `context_encoder`"), "{error}");
}

#[test]
fn a_guided_autoencoder_is_trained_and_shown() {
    let folder = folder();
    let path = folder.path();
    succeed(&mut command(path, &["train", "guided.toml"]));
    let run = path.join("results/guided/sae");
    let record: Value =
        serde_json::from_slice(&fs::read(run.join("guided/guidance.json")).unwrap()).unwrap();
    assert_eq!(record["layers"], serde_json::json!([0, 1, 2]));
    assert_eq!(record["history"]["steps"], serde_json::json!([0, 10]));
    let sae = run.join("guided");
    let args = ["view", "--sae", sae.to_str().unwrap(), "--data", "texts.jsonl"];
    succeed(&mut command(path, &[&args[..], &["--output", "view.html"]].concat()));
    let page = fs::read_to_string(path.join("view.html")).unwrap();
    assert!(page.contains("Weight of the layer times the mean cosine"));

    // The attention that was kept is of these texts; with others it is not read.
    fs::remove_file(run.join("config.toml")).unwrap();
    let texts = fs::read_to_string(path.join("texts.jsonl")).unwrap();
    write(path, "texts.jsonl", &texts.replace("ran", "walked"));
    let error = refused(&mut command(path, &["train", "guided.toml"]));
    assert!(error.contains("another tokenization") && error.contains("remove it"), "{error}");
}

#[test]
fn what_cannot_be_ablated_is_refused() {
    let folder = folder();
    let path = folder.path();
    let error = |from: &str, to: &str| {
        write(path, "ablation.toml", &ABLATION.replacen(from, to, 1));
        refused(&mut command(path, &["ablate", "ablation.toml"]))
    };
    assert!(error("seeds = [1, 2]", "seeds = [1]").contains("`the number of seeds` is 1"));
    assert!(error("[-1, 0]", "[-2]").contains("`guidance.layers` is -2"));
    assert!(error("[-1, 0]", "[0, 3]").contains("`guidance.layers` is 4, expected layers that"));
    let first = error("held_out_contexts = 6", "held_out_contexts = 6\nkeep.first_token = true");
    assert!(first.contains("`attention.keep.first_token` is true"), "{first}");
    assert!(error("n_negatives", "n_negative").contains("unknown key `n_negative`"));
    assert!(error("test_contexts = 6", "test_contexts = 9000").contains("`data.test_contexts`"));
    assert!(error("held_out_contexts = 6", "held_out_contexts = 900").contains("held-out"));
    assert!(error("batch_size = 124", "batch_size = 50").contains("`train.batch_size` is 50"));
    let missing = LABELLED.replace("texts.jsonl", "nothing.jsonl");
    write(path, "ablation.toml", &format!("{ABLATION}{missing}"));
    assert!(refused(&mut command(path, &["ablate", "ablation.toml"])).contains("nothing.jsonl"));
}
