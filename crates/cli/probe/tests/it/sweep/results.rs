//! What a sweep writes and prints.

use std::collections::BTreeSet;
use std::fs;

use attention_probes_activations::{NpzArray, NpzData, read_npz, write_npz};
use serde_json::Value;

use crate::sweep::folder::{Folder, RUN, best, json};

#[test]
fn the_results_tree_holds_exactly_the_files_it_should() {
    let folder = Folder::with(&[
        ("layers = [1]", "layers = [0, 3]"),
        ("weight_decays = [0.0, 0.5]", "weight_decays = [0.0, 1e-5]"),
    ]);
    let (stdout, _) = folder.succeed(&[]);
    assert!(stdout.contains("results: results/small/seed_42"), "{stdout}");

    let mut expected = BTreeSet::from(["config.toml".to_owned()]);
    for experiment in ["data-L00-resid_post", "data-L03-resid_post"] {
        for file in ["best.json", "metrics.json", "history.jsonl", "predictions.npz", "config.toml"]
        {
            expected.insert(format!("{experiment}/{file}"));
        }
        // The best of each weight decay, one of which is the best of all.
        let metrics =
            json(&fs::read(folder.path(RUN).join(experiment).join("metrics.json")).unwrap());
        assert_eq!(metrics.as_array().unwrap().len(), 4);
        let history = fs::read_to_string(folder.path(RUN).join(experiment).join("history.jsonl"));
        assert_eq!(history.unwrap().lines().count(), 4 * 3);
        let trained = folder.tree(&format!("{RUN}/{experiment}/trained"));
        assert_eq!(trained.len(), 4, "{:?}", trained.keys());
        for decay in ["0.00e+00", "1.00e-05"] {
            let of_decay: Vec<&String> =
                trained.keys().filter(|name| name.contains(&format!("_wd{decay}_"))).collect();
            let stem = of_decay[0].strip_suffix("_meta.json").unwrap();
            assert!(
                ["1.00e-03", "1.00e-02"]
                    .iter()
                    .any(|lr| stem == format!("attention_probe_lr{lr}_wd{decay}")),
                "{stem}"
            );
            assert_eq!(*of_decay[1], format!("{stem}_state.npz"));
        }
        expected.extend(trained.keys().map(|name| format!("{experiment}/trained/{name}")));
        let chosen = best(&folder, experiment)["architectures"][0]["file"].clone();
        assert!(trained.contains_key(chosen.as_str().unwrap()), "{chosen}");
    }
    let found: BTreeSet<String> = folder.tree(RUN).into_keys().collect();
    assert_eq!(found, expected);

    // A configuration beside results makes these results again, of this layer alone.
    let resolved =
        fs::read_to_string(folder.path(RUN).join("data-L03-resid_post/config.toml")).unwrap();
    assert!(resolved.contains("layers = [3]"), "{resolved}");
}

#[test]
fn a_saved_probe_has_the_references_arrays_and_its_metadata_inside() {
    let folder = Folder::with(&[(
        "[sweep]",
        "[[architectures]]\nname = \"attention\"\nconfig_name = \"two\"\nn_heads = 2\n\n[sweep]",
    )]);
    folder.succeed(&[]);
    let experiment = "data-L01-resid_post";
    let file = best(&folder, experiment)["architectures"][0]["file"].as_str().unwrap().to_owned();
    assert!(file.starts_with("two_probe_lr"), "{file}");
    let path = folder.path(RUN).join(experiment).join("trained").join(&file);
    let mut arrays = read_npz(&path).unwrap();
    let NpzData::U8(inside) = arrays.remove("metadata").unwrap().data else {
        panic!("metadata is no array of bytes")
    };
    let beside = fs::read(path.with_file_name(file.replace("_state.npz", "_meta.json"))).unwrap();
    // Only the npz knows the texts that it was trained or selected on.
    let mut known = json(&inside);
    let trained_on = known["data"].as_object_mut().unwrap().remove("trained_on").unwrap();
    assert_eq!(trained_on.as_str().unwrap().len(), 12 * (36 + 12));
    assert_eq!(known, json(&beside));

    let shapes: Vec<(&str, &[usize])> =
        arrays.iter().map(|(name, array)| (name.as_str(), array.shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 4] = [
        ("position_weight", &[2]),
        ("q.weight", &[2, 160]),
        ("v.bias", &[2]),
        ("v.weight", &[2, 160]),
    ];
    assert_eq!(shapes, expected);
    assert!(arrays.values().all(|array| matches!(array.data, NpzData::F32(_))));

    let metadata = json(&inside);
    assert_eq!(metadata["model"]["name"], "demo-gpt2");
    assert_eq!(metadata["layer"], 1);
    assert_eq!(metadata["component"], "resid_post");
    assert_eq!(metadata["convention"], "raw");
    assert_eq!(metadata["task"], "sequence");
    assert_eq!(metadata["class_names"], serde_json::json!(["disliked", "liked"]));
    assert_eq!((&metadata["epochs"], &metadata["batch_size"]), (&3.into(), &16.into()));
    assert_eq!(metadata["data"]["n_train"].as_u64().unwrap(), 36);
    assert!(metadata["metrics"]["test"]["confusion"].is_array());
}

#[test]
fn two_runs_write_the_same_bytes() {
    let replacements = [("layers = [1]", "layers = \"auto\"")];
    let (first, second) = (Folder::with(&replacements), Folder::with(&replacements));
    let outputs = [&first, &second].map(|folder| folder.succeed(&[]).0);
    assert_eq!(outputs[0], outputs[1]);
    let trees = [&first, &second].map(|folder| folder.tree("results"));
    assert!(trees[0].len() > 4 * 8);
    assert_eq!(trees[0], trees[1]);
}

#[test]
fn auroc_chooses_among_two_classes_only() {
    let by_auroc = ("epochs = 3", "epochs = 3\nselect_by = \"auroc\"");
    let folder = Folder::with(&[by_auroc]);
    folder.succeed(&[]);
    let folder = Folder::with(&[by_auroc]);
    let three = fs::read_to_string(folder.path("data.csv")).unwrap();
    let three = three.replacen(",liked", ",loved", 12);
    folder.write("data.csv", three);
    let stderr = folder.refused(&[]);
    assert!(stderr.contains("`sweep.select_by` is `auroc`, which needs two classes"), "{stderr}");
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let folder = Folder::new();
    let before: Vec<String> = folder.tree("").into_keys().collect();
    let (stdout, _) = folder.succeed(&["--dry-run"]);
    assert!(stdout.contains("4 trials by AdamW: 2 learning rates x 2 weight decays"), "{stdout}");
    for part in [
        "data: `data`, 36 training, 12 validation, 12 test examples",
        "2 classes: `disliked` 30, `liked` 30",
        "1 experiment, ",
        " in memory, training ",
        "time: less than a second, of which ",
    ] {
        assert!(stdout.contains(part), "`{part}` is not in: {stdout}");
    }
    let (stdout, _) = folder.succeed(&["--dry-run", "--json"]);
    let plan = json(stdout.as_bytes());
    assert_eq!(plan["n_trials"], 4);
    assert_eq!(plan["config"]["sweep"]["epochs"], 3);
    let data = &plan["data"][0];
    assert_eq!(data["classes"][1], serde_json::json!({ "class": "liked", "n_examples": 30 }));
    let n = |side: &str| data[side].as_u64().unwrap();
    assert_eq!(n("n_train") + n("n_validation") + n("n_test"), 60);
    // Of each parameter of four trials there are three numbers.
    assert_eq!(data["activations_bytes"], 4 * 160 * n("n_tokens"));
    assert!(n("training_bytes") > 4 * 12 * 160 && plan["estimated_seconds"].as_f64() > Some(0.0));
    assert_eq!(folder.tree("").into_keys().collect::<Vec<_>>(), before);

    // It checks what a run would check.
    folder.write("data.csv", "text,label\na,0\nb,0\n");
    for args in [&["--dry-run"][..], &["--dry-run", "--json"]] {
        folder.refused(args);
    }
}

#[test]
fn json_is_one_object_on_stdout_with_what_was_written() {
    let folder = Folder::new();
    let (stdout, stderr) = folder.succeed(&["--json"]);
    let report = json(stdout.as_bytes());
    assert_eq!(report["folder"], RUN);
    assert_eq!(report["experiments"][0], best(&folder, "data-L01-resid_post"));
    assert!(stderr.contains("wrote `data-L01-resid_post`"), "{stderr}");
}

#[test]
fn where_activations_are_kept_changes_no_choice() {
    let folder = Folder::new();
    let mut reports: Vec<Value> = Vec::new();
    for storage in ["memory", "disk", "recompute"] {
        let (stdout, _) = folder.succeed(&["--storage", storage, "--run-name", storage, "--json"]);
        reports.push(json(stdout.as_bytes())["experiments"][0]["architectures"][0].take());
    }
    let [memory, disk, recomputed] = &reports[..] else { unreachable!() };
    assert_eq!(memory, disk);
    assert_eq!(memory["file"], recomputed["file"]);
    for side in ["validation", "test"] {
        for metric in ["balanced_accuracy", "log_loss", "auroc", "brier"] {
            let [a, b] = [memory, recomputed].map(|report| report[side][metric].as_f64().unwrap());
            assert!((a - b).abs() < 1e-3, "{side} {metric}: {a} and {b}");
        }
    }
    let n_stores = folder
        .tree("results/cache/activations")
        .keys()
        .filter(|name| name.ends_with("manifest.json"))
        .count();
    assert_eq!(n_stores, 1, "only `disk` leaves activations behind");
}

#[test]
fn an_architecture_that_diverges_leaves_the_others_alone() {
    let folder = Folder::with(&[
        ("[1e-3, 1e-2]", "[1e-3]"),
        (
            "[sweep]",
            "[[architectures]]\nname = \"linear\"\noptimizer = \"adamw\"\n\
             [[architectures]]\nn_heads = 1024\n[sweep]",
        ),
    ]);
    // Activations so large that the sum over many heads overflows, but one readout does not.
    let n = 40;
    // No two are equal, which would be one group of a split.
    let size = |i: usize| 1e38 - 1e35 * i as f32;
    let x: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { size(i) } else { -size(i) }).collect();
    let y: Vec<i64> = (0..n as i64).map(|i| i % 2).collect();
    write_npz(
        folder.path("data.npz"),
        &[
            ("x", NpzArray::new(vec![n, 1, 1], x)),
            ("mask", NpzArray::new(vec![n, 1], vec![1_i64; n])),
            ("y", NpzArray::new(vec![n], y)),
        ],
    )
    .unwrap();
    let config = fs::read_to_string(folder.path("sweep.toml")).unwrap();
    folder.write("sweep.toml", config.replace("data.csv", "data.npz"));
    let (stdout, _) = folder.succeed(&[]);
    let report = best(&folder, "data");
    assert_eq!(report["diverged"], serde_json::json!(["attention"]));
    assert_eq!(report["architectures"].as_array().unwrap().len(), 1);
    assert!(stdout.contains("every trial diverged"), "{stdout}");
}

#[test]
fn a_trial_that_diverges_is_reported_and_not_chosen() {
    let folder = Folder::with(&[("[1e-3, 1e-2]", "[1e-2, 1e38]")]);
    folder.succeed(&[]);
    let report = best(&folder, "data-L01-resid_post");
    assert_eq!(report["architectures"][0]["learning_rate"], 1e-2);
    let metrics = fs::read(folder.path(RUN).join("data-L01-resid_post/metrics.json")).unwrap();
    let trials = json(&metrics);
    let diverged = trials.as_array().unwrap().iter().filter(|trial| trial["test"].is_null());
    assert_eq!(diverged.count(), 2);
}
