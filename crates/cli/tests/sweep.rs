//! `probe sweep` as a person calls it: what it writes, and that it writes the same every time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use attention_probes_activations::{NpzArray, NpzData, read_npz, write_npz};
use common::{Folder, Running, reviews};
use serde_json::Value;

/// Folder of the runs' results.
const RUN: &str = "results/small/seed_42";

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// `best.json` of an experiment.
fn best(folder: &Folder, experiment: &str) -> Value {
    let path = folder.path(RUN).join(experiment).join("best.json");
    json(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

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
        for file in ["best.json", "metrics.json", "history.jsonl", "config.toml"] {
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
    assert_eq!(inside, beside);

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

/// Pseudo-random numbers from 0 to 1, by a linear congruential generator.
fn moments() -> impl FnMut() -> f64 {
    let mut state: u64 = 20_240_607;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f64 / f64::from(1 << 24)
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_in_the_same_bytes() {
    let replacements = [("epochs = 3", "epochs = 120"), ("layers = [1]", "layers = [1, 2]")];
    let whole = Folder::with(&replacements);
    whole.succeed(&[]);

    let killed = Folder::with(&replacements);
    let checkpoint = || {
        let mut tree = killed.tree(RUN).into_iter();
        tree.find_map(|(name, bytes)| name.ends_with(".checkpoint").then_some(bytes))
    };
    let mut moment = moments();
    let mut n_killed_in_training = 0;
    for round in 0..10 {
        let before = checkpoint();
        let mut run = Running::start(killed.command(&["--resume"]));
        // Every second kill comes at any moment from the start, the others after a new epoch.
        let start = Instant::now();
        let is_waiting = || start.elapsed() < Duration::from_mins(1) && checkpoint() == before;
        while round % 2 == 1 && is_waiting() && run.is_going_on() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_secs_f64(0.05 * moment()));
        if !run.is_going_on() {
            break;
        }
        drop(run); // kills it
        n_killed_in_training += usize::from(round % 2 == 1 && checkpoint().is_some());
    }
    assert!(n_killed_in_training >= 2, "only {n_killed_in_training} kills came in time");
    killed.succeed(&["--resume"]);
    assert_eq!(killed.tree(RUN), whole.tree(RUN));
}

#[test]
fn resuming_a_complete_run_changes_nothing() {
    let folder = Folder::new();
    let (first, _) = folder.succeed(&[]);
    let before = folder.tree("results");
    let written =
        |name: &str| fs::metadata(folder.path(RUN).join(name)).unwrap().modified().unwrap();
    let best = "data-L01-resid_post/best.json";
    let times = [written("config.toml"), written(best)];
    // The data may be gone.
    fs::remove_file(folder.path("data.csv")).unwrap();
    let (again, stderr) = folder.succeed(&["--resume"]);
    assert_eq!(again, first);
    assert!(stderr.contains("`data` is complete already"), "{stderr}");
    assert_eq!(folder.tree("results"), before);
    assert_eq!([written("config.toml"), written(best)], times);
}

#[test]
fn a_complete_run_is_made_anew_where_its_data_have_changed() {
    let folder = Folder::new();
    folder.succeed(&[]);
    let best = || fs::read(folder.path(RUN).join("data-L01-resid_post/best.json")).unwrap();
    let before = json(&best());
    let changed = fs::read_to_string(folder.path("data.csv")).unwrap().replace("king", "queen");
    folder.write("data.csv", changed);
    let (_, stderr) = folder.succeed(&["--resume"]);
    assert!(!stderr.contains("is complete already"), "{stderr}");
    let after = json(&best());
    assert_ne!(after["origin"]["data_hash"], before["origin"]["data_hash"]);
    assert_eq!(after["origin"]["model_revision"], before["origin"]["model_revision"]);
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
    let output = folder.output(&[]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("`sweep.select_by` is `auroc`, which needs two classes"), "{stderr}");
}

#[test]
fn another_configuration_is_not_resumed_and_nothing_is_overwritten() {
    let folder = Folder::new();
    folder.succeed(&[]);
    let before = folder.tree("results");
    for (args, expected) in [
        (&[][..], "continue it with --resume or choose another --output"),
        (&["--dry-run"], "continue it with --resume or choose another --output"),
        (&["--resume", "--epochs", "4"], "was made with another configuration"),
    ] {
        let output = folder.output(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("results/small/seed_42") && stderr.contains(expected), "{stderr}");
        assert_eq!(folder.tree("results"), before);
    }
    // Another seed is another folder.
    folder.succeed(&["--seed", "7"]);
    assert!(folder.path("results/small/seed_7/data-L01-resid_post/best.json").exists());
    assert_eq!(folder.tree(RUN).len(), before.len() - folder.tree("results/cache").len());
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let folder = Folder::new();
    let before: Vec<String> = folder.tree("").into_keys().collect();
    let (stdout, _) = folder.succeed(&["--dry-run"]);
    assert!(stdout.contains("4 trials each: 2 learning rates x 2 weight decays"), "{stdout}");
    let (stdout, _) = folder.succeed(&["--dry-run", "--json"]);
    let plan = json(stdout.as_bytes());
    assert_eq!(plan["n_trials"], 4);
    assert_eq!(plan["config"]["sweep"]["epochs"], 3);
    assert_eq!(folder.tree("").into_keys().collect::<Vec<_>>(), before);

    // It checks what a run would check.
    folder.write("data.csv", "text,label\na,0\nb,0\n");
    for args in [&["--dry-run"][..], &["--dry-run", "--json"]] {
        let output = folder.output(args);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
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

/// 40 examples of up to 4 tokens of width 6; class 1 has a larger first value at one token.
fn write_activations(folder: &Folder, nan_at: Option<usize>) {
    let (n, pos, d_model) = (40, 4, 6);
    let mut x = Vec::new();
    let mut mask = Vec::new();
    for example in 0..n {
        for token in 0..pos {
            for value in 0..d_model {
                let noise = ((example * 31 + token * 17 + value * 7) % 13) as f32 / 13.0 - 0.5;
                let signal = if value == 0 && token == example % 3 { 4.0 } else { 0.0 };
                x.push(noise + signal * (example % 2) as f32);
            }
            mask.push(u8::from(token < 3 || example % 4 == 0));
        }
    }
    if let Some(example) = nan_at {
        x[example * pos * d_model + 1] = f32::NAN;
    }
    let y: Vec<i64> = (0..n).map(|example| (example % 2) as i64).collect();
    write_npz(
        folder.path("acts.npz"),
        &[
            ("x", NpzArray::new(vec![n, pos, d_model], x)),
            ("mask", NpzArray::new(vec![n, pos], mask)),
            ("y", NpzArray::new(vec![n], y)),
        ],
    )
    .unwrap();
}

#[test]
fn activations_of_somebody_else_are_swept_without_a_model() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"acts.npz\""),
        ("epochs = 3", "epochs = 40"),
        ("run = \"small\"", "run = \"small\"\n[model]\nname = \"no-such-model\""),
    ]);
    write_activations(&folder, Some(5));
    let (_, stderr) = folder.succeed(&[]);
    assert!(stderr.contains("1 examples skipped") && stderr.contains(": 5"), "{stderr}");
    let report = best(&folder, "acts");
    assert_eq!(report["n_skipped"], 1);
    assert_eq!(report["layer"], Value::Null);
    assert_eq!(report["classes"], serde_json::json!(["0", "1"]));
    let n: u64 =
        ["n_train", "n_validation", "n_test"].iter().map(|n| report[n].as_u64().unwrap()).sum();
    assert_eq!(n, 39);
    assert_eq!(report["baselines"]["bag_of_words"], Value::Null);
    let accuracy = report["architectures"][0]["test"]["balanced_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.85, "{accuracy}");
}

#[test]
fn a_file_held_out_judges_and_the_rest_is_divided() {
    let folder = Folder::with(&[("validation = 0.2", "validation = 0.2\ntest = \"judge.csv\"")]);
    let reviews = reviews();
    let judge: Vec<&str> = reviews.lines().take(13).collect();
    folder.write("judge.csv", judge.join("\n"));
    folder.succeed(&[]);
    let report = best(&folder, "data-L01-resid_post");
    assert_eq!(
        ["n_train", "n_validation", "n_test"].map(|n| report[n].as_u64()),
        [Some(48), Some(12), Some(12)]
    );
    // The configuration kept beside the results is a whole one, also from another folder.
    let kept = folder.path(RUN).join("data-L01-resid_post/config.toml");
    let kept = fs::read_to_string(kept).unwrap();
    let elsewhere = Folder::new();
    elsewhere.write("sweep.toml", &kept);
    elsewhere.succeed(&["--run-name", "small"]);
    assert_eq!(best(&elsewhere, "data-L01-resid_post"), report);
}

#[test]
fn an_architecture_that_diverges_leaves_the_others_alone() {
    let folder = Folder::with(&[
        ("[1e-3, 1e-2]", "[1e-3]"),
        (
            "[sweep]",
            "[[architectures]]\nname = \"linear\"\n[[architectures]]\nn_heads = 1024\n[sweep]",
        ),
    ]);
    // Activations so large that the sum over many heads overflows, but one readout does not.
    let n = 40;
    let x: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { 1e38 } else { -1e38 }).collect();
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
fn groups_stay_on_one_side() {
    let folder = Folder::with(&[("validation = 0.2", "validation = 0.2\ngroup = \"who\"")]);
    let mut csv = String::new();
    for (index, line) in reviews().lines().enumerate() {
        // Four rows in a row are one group; the header comes first.
        let group = if index == 0 { "who".to_owned() } else { ((index - 1) / 4).to_string() };
        writeln!(csv, "{line},{group}").unwrap();
    }
    folder.write("data.csv", csv);
    folder.succeed(&[]);
    let report = best(&folder, "data-L01-resid_post");
    let sizes = ["n_train", "n_validation", "n_test"].map(|n| report[n].as_u64().unwrap());
    assert_eq!(sizes.iter().sum::<u64>(), 60);
    assert!(sizes.iter().all(|size| *size > 0 && size % 4 == 0), "{sizes:?}");
}

#[test]
fn a_token_task_asks_about_the_next_token() {
    let folder = Folder::with(&[(
        "path = \"data.csv\"",
        "path = \"data.csv\"\ntask = \"next_token\"\ntarget = \" the\"\nbalance = true",
    )]);
    // No labels: a token task brings its own.
    let texts: Vec<&str> = include_str!("../data/passages.jsonl").lines().take(30).collect();
    let mut csv = "text\n".to_owned();
    for line in texts {
        let text = json(line.as_bytes())["text"].as_str().unwrap().replace('"', "\"\"");
        writeln!(csv, "\"{text}\"").unwrap();
    }
    folder.write("data.csv", csv);
    folder.succeed(&["--layers", "3"]);
    let report = best(&folder, "data-L03-resid_post");
    assert_eq!(report["classes"], serde_json::json!(["other", " the"]));
    let confusion = &report["architectures"][0]["test"]["confusion"];
    let of_class =
        |class: usize| confusion[class].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    let counts: [u64; 2] = [of_class(0), of_class(1)];
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    let trained = folder.tree(&format!("{RUN}/data-L03-resid_post/trained"));
    let (_, metadata) = trained.iter().find(|(name, _)| name.ends_with("_meta.json")).unwrap();
    assert_eq!(json(metadata)["task"], "next_token");
    assert_eq!(json(metadata)["target"], " the");
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

/// Most memory that a run takes, in bytes: its own pages, not those of files that it maps, which
/// the system takes back when it needs them.
#[cfg(target_os = "linux")]
fn peak_memory(folder: &Folder, args: &[&str]) -> u64 {
    let mut run = Running::start(folder.command(args));
    let status = format!("/proc/{}/status", run.0.id());
    let mut peak_kib = 0;
    while run.is_going_on() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(run.0.wait().unwrap().success());
    peak_kib * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn activations_on_disk_take_no_memory() {
    let folder = Folder::with(&[
        ("layers = [1]", "layers = \"all\"\nmemory_budget_gib = 0.01"),
        ("epochs = 3", "epochs = 1"),
    ]);
    let reviews = reviews();
    let rows: Vec<(&str, &str)> =
        reviews.lines().skip(1).map(|line| line.rsplit_once(',').unwrap()).collect();
    let mut csv = "text,label\n".to_owned();
    for index in 0..200 {
        let of_class = |k: usize| rows[(index * 7 + 2 * k) % 60].0;
        let text: Vec<&str> = (0..30).map(of_class).collect();
        writeln!(csv, "\"{}\",{}", text.join(". "), rows[index * 7 % 60].1).unwrap();
    }
    folder.write("data.csv", csv);
    let on_disk = peak_memory(&folder, &["--storage", "disk"]);
    let activations: usize = folder.tree("results/cache/activations").values().map(Vec::len).sum();
    let budget = 10 << 20;
    assert!(activations > 10 * budget, "{activations} bytes are too few to tell");

    let config = fs::read_to_string(folder.path("sweep.toml")).unwrap();
    folder.write("sweep.toml", config.replace("memory_budget_gib = 0.01", ""));
    let in_memory = peak_memory(&folder, &["--storage", "memory", "--run-name", "memory"]);
    // What a run takes beside its activations, and 32 MiB for how allocators differ.
    let overhead = in_memory.saturating_sub(activations as u64) + (32 << 20);
    let mib = |bytes: u64| bytes >> 20;
    assert!(
        on_disk < budget as u64 + overhead,
        "{} MiB on disk, {} MiB in memory",
        mib(on_disk),
        mib(in_memory)
    );
}
