//! `--track tensorboard`, read back by `TensorBoard`'s own Python package where there is one.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::folder::{Folder, RUN, best, json};

/// Python with the package `tensorboard`: `ATTENTION_PROBES_PYTHON`, or `python3`.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ATTENTION_PROBES_PYTHON").unwrap_or_else(|| "python3".into());
    let has_it = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: `{}` has no tensorboard; name one that has in ATTENTION_PROBES_PYTHON",
            python.display()
        );
        return None;
    }
    Some(python.into())
}

#[test]
fn tensorboard_reads_the_curves_of_the_chosen_trials() {
    let folder = Folder::with(&[
        ("layers = [1]", "layers = [0, 3]"),
        ("[sweep]", "[[architectures]]\nname = \"linear\"\n[[architectures]]\n\n[sweep]"),
    ]);
    folder.succeed(&["--track", "tensorboard"]);
    // A second time writes over the first.
    folder.succeed(&["--track", "tensorboard", "--resume"]);
    let logs = folder.tree(&format!("{RUN}/tensorboard"));
    let run = |layer| format!("data-resid_post/probe-layer{layer}-ctx256-all-data-demo-gpt2");
    let file = "events.out.tfevents.0.attention-probes";
    assert!(logs.keys().eq(&[0, 3].map(|layer| format!("{}/{file}", run(layer)))), "{logs:?}");

    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tensorboard/read_events.py");
    let logs = folder.path(RUN).join("tensorboard");
    let output = Command::new(python).arg(script).arg(logs).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = json(&output.stdout);
    assert_eq!(found.as_object().unwrap().len(), 2);
    for layer in [0, 3] {
        let report = best(&folder, &format!("data-L{layer:02}-resid_post"));
        for chosen in report["architectures"].as_array().unwrap() {
            let curve = |tag: &str| -> &Vec<Value> {
                let name = chosen["config_name"].as_str().unwrap();
                found[&run(layer)][format!("{name}/{tag}")].as_array().unwrap()
            };
            let steps = curve("train/loss").iter().map(|point| point[0].as_u64().unwrap());
            assert!(steps.eq(1..=3));
            let last = |tag| curve(tag).last().unwrap()[1].as_f64().unwrap();
            let expected = chosen["validation"]["balanced_accuracy"].as_f64().unwrap();
            assert!((last("validation/balanced_accuracy") - expected).abs() < 1e-6);
            let confusion = &chosen["validation"]["confusion"];
            for (tag, [row, column]) in [
                ("validation/true_negatives", [0, 0]),
                ("validation/false_positives", [0, 1]),
                ("validation/false_negatives", [1, 0]),
                ("validation/true_positives", [1, 1]),
            ] {
                let expected = confusion[row][column].as_f64().unwrap();
                assert!((last(tag) - expected).abs() < 1e-6, "{tag}");
            }
        }
    }
}
