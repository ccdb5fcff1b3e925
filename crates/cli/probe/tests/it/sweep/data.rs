//! What a sweep trains on: texts, files held out, groups, token tasks, and activations.

use std::fmt::Write;
use std::fs;

use attention_probes_activations::{NpzArray, write_npz};
use serde_json::Value;

use crate::call;
use crate::running;
use crate::sweep::folder::{Folder, RUN, best, json, reviews};

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
        "path = \"data.csv\"\ntask = \"next_token\"\ntarget = \" the\"",
    )]);
    // No labels: a token task brings its own.
    let texts: Vec<&str> =
        include_str!("../../../../../activations/demo/passages.jsonl").lines().take(30).collect();
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
    // As many of both, where nothing is said of it.
    let n = |side: &str| report[side].as_u64().unwrap();
    let resolved = fs::read_to_string(folder.path(&format!("{RUN}/config.toml"))).unwrap();
    assert!(resolved.contains("balance = true") && n("n_test").abs_diff(2 * counts[1]) <= 4);
    let trained = folder.tree(&format!("{RUN}/data-L03-resid_post/trained"));
    let (_, metadata) = trained.iter().find(|(name, _)| name.ends_with("_meta.json")).unwrap();
    assert_eq!(json(metadata)["task"], "next_token");
    assert_eq!(json(metadata)["target"], " the");
}

#[test]
fn a_probe_for_a_set_of_targets_is_judged_by_eval_as_by_its_sweep() {
    let folder = Folder::with(&[(
        "path = \"data.csv\"",
        "path = \"data.csv\"\ntask = \"current_token\"\ntarget = [\" warm and\", \" sad\"]",
    )]);
    folder.succeed(&[]);
    let report = best(&folder, "data-L01-resid_post");
    assert_eq!(report["classes"], serde_json::json!(["other", " warm and| sad"]));
    let file = report["architectures"][0]["file"].as_str().unwrap();
    let probe = format!("{RUN}/data-L01-resid_post/trained/{file}");
    let metadata =
        json(&fs::read(folder.path(&probe.replace("_state.npz", "_meta.json"))).unwrap());
    assert_eq!(metadata["target"], serde_json::json!([" warm and", " sad"]));
    let args = ["eval", "--probe", &probe, "--data", "data.csv", "--json"];
    let (found, _) = call::succeed(&mut call::command(&folder.path(""), &args));
    let found = json(found.as_bytes());
    let drawn: u64 =
        ["n_train", "n_validation", "n_test"].iter().map(|n| report[n].as_u64().unwrap()).sum();
    assert_eq!(found["n_examples"], drawn);
    assert_eq!(found["classes"], report["classes"]);
}

/// Most memory that a run takes, in bytes: its own pages, not those of files that it maps, which
/// the system takes back when it needs them.
#[cfg(target_os = "linux")]
fn peak_memory(folder: &Folder, args: &[&str]) -> u64 {
    running::peak_memory(folder.command(args), "RssAnon:")
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
