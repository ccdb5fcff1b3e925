//! What is measured, from texts and from activations.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::call::{command, succeed};
use crate::eval::fixture::{check_layout, folder};

fn json(folder: &Path, evaluation: &str, args: &[&str]) -> Value {
    let args = [&["eval", evaluation, "--json"], args].concat();
    let found = serde_json::from_str(&succeed(&mut command(folder, &args)).0).unwrap();
    check_layout(&found);
    found
}

fn metric(found: &Value, category: &str, name: &str) -> f64 {
    found["eval_result_metrics"][category][name].as_f64().unwrap()
}

const TEXTS: [&str; 6] = ["--sae", "resid", "--data", "texts.jsonl", "--label", "subject"];

#[test]
fn subjects_are_told_from_features_over_several_seeds() {
    let folder = folder();
    let path = folder.path();
    let args = [&TEXTS[..], &["--seeds", "2"]].concat();
    let found = json(path, "sparse-probing", &args);
    // Every text names its subject, so that the activations tell them apart.
    assert!(metric(&found, "llm", "llm_test_accuracy") > 0.95, "{found}");
    assert!(metric(&found, "sae", "sae_top_5_test_accuracy") > 0.7, "{found}");
    let details = found["eval_result_details"].as_array().unwrap();
    let names: Vec<&str> =
        details.iter().map(|one| one["dataset_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["texts (seed 42)", "texts (seed 43)"]);
    let mean = details.iter().map(|one| one["sae_top_1_test_accuracy"].as_f64().unwrap());
    let mean = mean.sum::<f64>() / 2.0;
    assert!((metric(&found, "sae", "sae_top_1_test_accuracy") - mean).abs() < 1e-9);
    let settings = &found["eval_config"];
    assert_eq!(
        (&settings["probe_train_set_size"], &settings["context_length"]),
        (&Value::from(128), &Value::from(16))
    );
    assert_eq!(
        json(path, "sparse-probing", &args)["eval_result_metrics"],
        found["eval_result_metrics"]
    );

    let args = [&["eval", "sparse-probing"], &TEXTS[..], &["--output", "s.json"]];
    let table = succeed(&mut command(path, &args.concat())).0;
    assert!(table.contains("2 classes, 64 training and 16 test texts of each"), "{table}");
    assert!(table.contains("95 % over seeds") && table.contains("sae_top_1"), "{table}");
    let written: Value = serde_json::from_slice(&fs::read(path.join("s.json")).unwrap()).unwrap();
    check_layout(&written);
    let reseed = written["eval_result_unstructured"]["reseed"].as_array().unwrap();
    assert_eq!(reseed[0]["summary"]["n_seeds"], 3);
}

#[test]
fn ablating_a_subject_harms_its_probe() {
    let folder = folder();
    let path = folder.path();
    let args = [&TEXTS[..], &["--seeds", "1"]].concat();
    let found = json(path, "tpp", &args);
    let intended = |n: usize| {
        let name = format!("tpp_threshold_{n}_intended_diff_only");
        metric(&found, "tpp_metrics", &name)
    };
    // All features together are most of what a probe reads.
    assert!(intended(100) >= intended(2) && intended(100) > 0.1, "{found}");
    let table = succeed(&mut command(path, &[&["eval", "tpp"], &args[..]].concat())).0;
    assert!(table.contains("tpp_threshold_2_total_metric"), "{table}");
    assert!(table.contains("32 texts test a probe, so one text is 0.031"), "{table}");
    assert!(
        table.contains("seed 42: accuracy of the probes, nothing ablated: \"garden\" "),
        "{table}"
    );
}

#[test]
fn a_biased_probe_is_scored_by_what_frees_it() {
    let folder = folder();
    let path = folder.path();
    let scr = ["--spurious", "form", "--seeds", "2"];
    let found = json(path, "scr", &[&TEXTS[..], &scr].concat());
    assert_eq!(found["eval_config"]["perform_scr"], true);
    let pair = &found["eval_config"]["column1_vals_lookup"]["texts (seed 42)"];
    assert_eq!(*pair, serde_json::json!([["sea", "garden"]]));
    let data = &found["eval_result_unstructured"]["seeds"][0]["texts (seed 42)"];
    let clean = |set: usize, probe: usize| data["clean"][set][probe].as_f64().unwrap();
    // Each concept has a probe that knows it, and the biased one knows what it was trained on.
    assert!(clean(0, 0) > 0.9 && clean(1, 1) > 0.9 && clean(2, 2) > 0.9, "{data}");
    assert!(clean(0, 2) < 1.0 || clean(1, 2) < 1.0, "{data}");
    let pairs = ["--pair", "garden", "sea", "--spurious-pair", "told", "asked"];
    let table =
        succeed(&mut command(path, &[&["eval", "scr"], &TEXTS[..], &scr, &pairs].concat())).0;
    assert!(table.contains("\"garden\" or \"sea\" with \"told\" or \"asked\""), "{table}");
    assert!(table.contains("scr_dir1_threshold_2"), "{table}");
}

#[test]
fn activations_need_no_model() {
    let folder = folder();
    let path = folder.path();
    let file = ["--sae", "four", "--activations", "x.npz"];
    let found = json(path, "core", &file);
    // Nothing is below 0, so nothing is lost.
    assert!(metric(&found, "reconstruction_quality", "mse") < 1e-12, "{found}");
    assert!(metric(&found, "token_stats", "total_tokens_eval_sparsity_variance") > 700.0);
    assert!(metric(&found, "model_performance_preservation", "ce_loss_score") < 0.0);
    let table = succeed(&mut command(path, &[&["eval", "core"], &file[..]].concat())).0;
    assert!(table.contains("cossim") && !table.contains("ce_loss_score"), "{table}");

    let found = json(path, "sparse-probing", &file);
    for name in ["sae_top_1_test_accuracy", "sae_test_accuracy"] {
        assert!(metric(&found, "sae", name) > 0.999, "{found}");
    }
    let class = &found["eval_result_unstructured"]["seeds"][0]["x (seed 42)"]["classes"][1];
    assert_eq!(class["class"], "1");
    // The number that is the class's own, or the one that is the other's.
    assert!(class["sae"][0]["features"][0].as_u64().unwrap() < 2, "{class}");
    let found = json(path, "tpp", &[&file[..], &["--seeds", "1"]].concat());
    assert!(metric(&found, "tpp_metrics", "tpp_threshold_2_intended_diff_only") > 0.2, "{found}");
}
