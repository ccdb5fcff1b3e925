//! What a sweep does where nothing is said about training, and what it warns of where it is.

use std::fs;

use attention_probes_activations::{NpzArray, write_npz};
use serde_json::Value;

use crate::sweep::folder::{Folder, RUN, best, json};

/// Examples of one token whose class one of eight noisy features tells.
fn one_feature(folder: &Folder) {
    const N: usize = 400;
    const D_MODEL: usize = 8;
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    let y: Vec<i64> = (0..N).map(|i| (i % 2) as i64).collect();
    let mut x = Vec::new();
    for label in &y {
        let first = if *label == 1 { 1.0 } else { -1.0 };
        x.push(first + 0.2 * noise());
        x.extend((1..D_MODEL).map(|_| 4.0 * noise()));
    }
    let arrays = [
        ("x", NpzArray::new(vec![N, 1, D_MODEL], x)),
        ("mask", NpzArray::new(vec![N, 1], vec![1_u8; N])),
        ("y", NpzArray::new(vec![N], y)),
    ];
    write_npz(folder.path("acts.npz"), &arrays).unwrap();
}

fn folder(architecture: &str, sweep: &str) -> Folder {
    let folder = Folder::new();
    let config = format!(
        "run = \"small\"\n[[data]]\npath = \"acts.npz\"\n[[architectures]]\n{architecture}\n\
         [sweep]\nbatch_size = 64\n{sweep}\n"
    );
    folder.write("sweep.toml", config);
    one_feature(&folder);
    folder
}

fn kinds(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_linear_probe_is_solved_exactly_where_nothing_is_said() {
    let folder = folder("name = \"linear\"", "");
    let (stdout, _) = folder.succeed(&[]);
    let report = best(&folder, "acts");
    let probe = &report["architectures"][0];
    assert_eq!(probe["n_trials"], 15);
    assert!(probe["test"]["balanced_accuracy"].as_f64().unwrap() > 0.95, "{probe}");
    assert_eq!(report["warnings"], Value::Array(Vec::new()), "{stdout}");
    let trained = folder.path(RUN).join("acts/trained");
    let names: Vec<String> = fs::read_dir(trained)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.contains(&"linear_probe_lr1.00e+00_wd3.16e-06_state.npz".to_owned()),
        "{names:?}"
    );
    assert_eq!(names.len(), 30, "{names:?}");
}

#[test]
fn a_probe_of_adamw_trains_until_it_gets_no_better_and_its_grid_grows() {
    let grid = "weight_decays = [0.0]";
    let folder = folder("name = \"mlp\"", grid);
    let (_, stderr) = folder.succeed(&[]);
    let report = best(&folder, "acts");
    let probe = &report["architectures"][0];
    assert!(probe["test"]["balanced_accuracy"].as_f64().unwrap() > 0.95, "{probe}");
    let history = fs::read_to_string(folder.path(RUN).join("acts/history.jsonl")).unwrap();
    let mut epochs = std::collections::BTreeMap::new();
    for line in history.lines().map(|line| json(line.as_bytes())) {
        *epochs.entry(line["learning_rate"].to_string()).or_insert(0_usize) += 1;
    }
    assert_eq!(epochs.len() as u64, probe["n_trials"].as_u64().unwrap());
    // Six of the nine rates stop after the tenth epoch; nothing trains for 200 in vain.
    assert_eq!(epochs.values().filter(|n| **n == 10).count(), 6, "{epochs:?}");
    assert!(epochs.values().all(|n| *n >= 10 && *n < 200), "{epochs:?}");
    assert_eq!(epochs.len() > 9, stderr.contains("lay at an end of the default list"), "{stderr}");
    // Of a loss, every larger rate finds a lower one here.
    let grown =
        self::folder("name = \"mlp\"", &format!("{grid}\nselect_by = \"loss\"\npatience = 1"));
    let (_, stderr) = grown.succeed(&[]);
    let expected = "the best learning rate of `mlp` lay at an end of the default list in 1 of 1 experiments; tried \
                    1.58e-2";
    assert!(stderr.contains(expected), "{stderr}");
    assert!(best(&grown, "acts")["architectures"][0]["n_trials"].as_u64().unwrap() > 9);
    // A list that is written is the list, and epochs that are written are the epochs.
    let fixed = self::folder(
        "name = \"mlp\"",
        &format!("{grid}\nlearning_rates = [1e-3, 5e-3]\nepochs = 4"),
    );
    let (_, stderr) = fixed.succeed(&[]);
    assert!(!stderr.contains("default list"), "{stderr}");
    let history = fs::read_to_string(fixed.path(RUN).join("acts/history.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 8);
}

#[test]
fn what_is_underfitted_is_warned_of_everywhere() {
    let keys = "name = \"linear\"\nlearning_rates = [1e-5, 1e-2]";
    let folder = folder(keys, "epochs = 5\nweight_decays = [0.0]");
    let (stdout, _) = folder.succeed(&[]);
    let report = best(&folder, "acts");
    assert_eq!(kinds(&report), ["end_of_list", "falling_loss", "worse_than_exact"], "{report}");
    for message in [
        "`linear`: the best learning rate, 1e-2, is the highest that was tried, and its neighbour, 1e-5,",
        "add higher ones to the probe's `learning_rates`",
        "of 5 epochs; leave out `sweep.epochs`, or raise it",
        "`linear`: the exact linear solution has a balanced accuracy on test that is higher by",
    ] {
        assert!(stdout.contains(message), "{stdout}");
    }
    let page = fs::read_to_string(folder.path("results/small/report.html")).unwrap();
    assert!(page.contains("the exact linear solution has a balanced accuracy"));
    let (json_output, _) = folder.succeed(&["--resume", "--json"]);
    assert_eq!(kinds(&json(json_output.as_bytes())["experiments"][0]).len(), 3);
}
