//! What a sweep finds out about the probes it chose.

use std::fs;

use attention_probes_activations::read_npz;
use serde_json::Value;

use crate::call;
use crate::page_data::data_of;
use crate::sweep::folder::{Folder, RUN, best, json};

const EXPERIMENT: &str = "data-L01-resid_post";

#[test]
fn examples_set_apart_fit_thresholds_and_choose_nothing() {
    let whole = Folder::new();
    whole.succeed(&[]);
    let apart = Folder::with(&[(
        "[sweep]",
        "[evaluation]\ncalibration = 0.5\ntarget_fprs = [0.2]\nconfidence = 0.5\n\n[sweep]",
    )]);
    apart.succeed(&[]);
    let [whole, found] = [&whole, &apart].map(|folder| best(folder, EXPERIMENT));
    assert_eq!((&whole["n_validation"], &whole["n_calibration"]), (&12.into(), &0.into()));
    assert_eq!((&found["n_validation"], &found["n_calibration"]), (&6.into(), &6.into()));
    assert_eq!(whole["n_test"], found["n_test"]);
    let [by_whole, by_part] =
        [&whole, &found].map(|report| &report["architectures"][0]["evaluation"]);
    assert_eq!(by_whole["fitted_on"], "validation");
    assert_eq!(by_part["fitted_on"], "calibration");
    // Twelve validation examples have six negatives: none of 1, 5, and 10 % can be kept to.
    assert_eq!(by_whole["thresholds"], serde_json::json!([]));
    // Of three negatives, the largest is below a share of 0.2 with probability 0.8^3 = 0.512.
    assert_eq!(by_part["thresholds"], serde_json::json!([]));
    let folder = Folder::with(&[(
        "[sweep]",
        "[evaluation]\ncalibration = 0.5\ntarget_fprs = [0.25]\n\n[sweep]",
    )]);
    folder.succeed(&[]);
    let report = best(&folder, EXPERIMENT);
    let evaluation = &report["architectures"][0]["evaluation"];
    let threshold = &evaluation["thresholds"][0]["fitted"];
    assert_eq!((&threshold["n_negatives"], &threshold["target_fpr"]), (&3.into(), &0.25.into()));

    // The probe that is saved has them too.
    let file = report["architectures"][0]["file"].as_str().unwrap();
    let meta = file.replace("_state.npz", "_meta.json");
    let meta =
        json(&fs::read(folder.path(RUN).join(EXPERIMENT).join("trained").join(meta)).unwrap());
    assert_eq!(meta["thresholds"], serde_json::json!([threshold]));
    let calibrators = evaluation["calibrations"].as_array().unwrap().iter();
    let calibrators: Vec<_> = calibrators.map(|fitted| fitted["calibrator"].clone()).collect();
    assert!(!calibrators.is_empty());
    assert_eq!(meta["calibrators"], serde_json::json!(calibrators));
    let arrays = read_npz(folder.path(RUN).join(EXPERIMENT).join("predictions.npz")).unwrap();
    for (side, n) in [("validation", 6), ("calibration", 6), ("test", 12)] {
        assert_eq!(arrays[&format!("{side}/labels")].shape, [n]);
        assert_eq!(arrays[&format!("{side}/logits/attention")].shape, [n, 1]);
    }
}

#[test]
fn eval_measures_what_was_fitted_on_other_examples() {
    let folder = Folder::with(&[("[sweep]", "[evaluation]\ntarget_fprs = [0.2]\n\n[sweep]")]);
    folder.succeed(&[]);
    let file = best(&folder, EXPERIMENT)["architectures"][0]["file"].as_str().unwrap().to_owned();
    let probe = format!("{RUN}/{EXPERIMENT}/trained/{file}");
    let eval = |args: &[&str]| {
        let args = [&["eval", "--probe", &probe, "--data", "data.csv"], args].concat();
        call::succeed(&mut call::command(folder.path("").as_path(), &args)).0
    };
    let decisions = &json(eval(&["--json"]).as_bytes())["decisions"];
    let threshold = &decisions["thresholds"][0];
    assert_eq!(threshold["fitted"]["target_fpr"], 0.2);
    assert!(threshold["false_positive_interval"]["upper"].as_f64().unwrap() <= 1.0);
    assert_eq!(decisions["calibrations"][0]["report"]["n_examples"], 60);
    let table = eval(&[]);
    assert!(table.contains("at the thresholds for false-positive rates:\n"), "{table}");
    assert!(table.contains("\n  as trained "), "{table}");
}

#[test]
fn labels_shuffled_several_times_have_a_mean_and_a_range() {
    let several = |value: &str| {
        let evaluation = format!("[evaluation]\nshuffled_labels = {value}\n\n[sweep]");
        let folder = Folder::with(&[("[sweep]", &evaluation)]);
        folder.succeed(&[]);
        let control = &best(&folder, EXPERIMENT)["architectures"][0]["evaluation"];
        (folder, control["shuffled_labels"].clone())
    };
    let (folder, control) = several("4");
    assert_eq!((&control["n_shuffles"], &control["interval"]), (&4.into(), &Value::Null));
    let number = |value: &Value| value.as_f64().unwrap();
    let [low, high] = [0, 1].map(|end| number(&control["range"][end]));
    let mean = number(&control["balanced_accuracy"]);
    assert!(low < mean && mean < high, "{control}");
    let page = fs::read_to_string(folder.path("results/small/report.html")).unwrap();
    let shown = &data_of(&page)["experiments"][0]["shuffled_labels"];
    assert_eq!(shown["n_shuffles"], 4);
    for end in [0, 1] {
        assert!((number(&shown["range"][end]) - number(&control["range"][end])).abs() < 1e-3);
    }
    // `true` is once, as before.
    let (_, once) = several("true");
    assert_eq!((&once["n_shuffles"], &once["range"]), (&1.into(), &Value::Null));
    assert!(once["interval"]["lower"].is_number(), "{once}");
    assert!((low..=high).contains(&number(&once["balanced_accuracy"])), "the first of the four");
}

#[test]
fn controls_can_be_left_out_and_seeds_are_summed_up() {
    let folder = Folder::with(&[
        ("[sweep]", "[evaluation]\nshuffled_labels = false\n\n[sweep]"),
        ("epochs = 3", "epochs = 3\nseeds = [1, 2, 3]"),
    ]);
    folder.succeed(&[]);
    let report = best(&folder, EXPERIMENT);
    let evaluation = &report["architectures"][0]["evaluation"];
    assert!(evaluation["shuffled_labels"].is_null());
    assert_eq!(evaluation["seeds"]["agreement"]["n_seeds"], 3);
    assert!(evaluation["over_best"].is_null(), "it is the best itself");
    assert!(evaluation["over_bag_of_words"]["p_value"].as_f64().unwrap() <= 1.0);
    let history = fs::read_to_string(folder.path(RUN).join(EXPERIMENT).join("history.jsonl"));
    for line in history.unwrap().lines() {
        let counts = &json(line.as_bytes())["validation_counts"];
        let n: u64 = counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(n, 12);
    }
}

#[test]
fn shares_and_rates_out_of_range_are_refused_by_name() {
    for (key, value) in [
        ("target_fprs", "[0.0]"),
        ("target_fprs", "[1.0]"),
        ("defer_fpr", "0.0"),
        ("defer_fnr", "1.0"),
        ("confidence", "1.0"),
        ("calibration", "1.0"),
        ("calibration", "-0.1"),
    ] {
        let folder =
            Folder::with(&[("[sweep]", &format!("[evaluation]\n{key} = {value}\n\n[sweep]"))]);
        let error = folder.refused(&[]);
        assert!(error.contains(&format!("`evaluation.{key}` has")), "{error}");
    }
}
