//! `--track tensorboard`, read back by `TensorBoard`'s own Python package where there is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::Running;
use crate::skip::skipped;
use crate::sweep::folder::{Folder, RUN, best, json};

/// Python with the package `tensorboard`: `ATTENTION_PROBES_PYTHON`, or `python3`.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ATTENTION_PROBES_PYTHON").unwrap_or_else(|| "python3".into());
    let has_it = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skipped(
            &format!("`{}` has no package `tensorboard`", python.display()),
            Some(
                "install it (`pip install tensorboard`), or name a Python that has it in \
                 `ATTENTION_PROBES_PYTHON`",
            ),
        );
        return None;
    }
    Some(python.into())
}

/// Every scalar of a run, as `TensorBoard` reads them: folder, tag, list of step and value.
fn scalars(folder: &Folder, python: &Path) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tensorboard/read_events.py");
    let logs = folder.path(RUN).join("tensorboard");
    let output = Command::new(python).arg(script).arg(logs).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    json(&output.stdout)
}

#[test]
fn tensorboard_reads_the_curves_of_the_chosen_trials() {
    let folder = Folder::with(&[
        ("layers = [1]", "layers = [0, 3]"),
        (
            "[sweep]",
            "[[architectures]]\nname = \"linear\"\noptimizer = \"adamw\"\n[[architectures]]\n\n[sweep]",
        ),
    ]);
    folder.succeed(&["--track", "tensorboard"]);
    // A second time writes over the first.
    folder.succeed(&["--track", "tensorboard", "--resume"]);
    let logs = folder.tree(&format!("{RUN}/tensorboard"));
    let run = |layer| format!("data-resid_post/probe-layer{layer}-ctx256-all-data-demo-gpt2");
    let files = ["0000", "attention-probes"].map(|name| format!("events.out.tfevents.0.{name}"));
    let expected =
        [0, 3].map(|layer| files.each_ref().map(|file| format!("{}/{file}", run(layer))));
    assert!(logs.keys().eq(expected.as_flattened()), "{:?}", logs.keys());

    let Some(python) = python() else { return };
    let found = scalars(&folder, &python);
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

/// Stands in for `wandb`: prints one line of JSON for each run, and refuses steps that do not rise.
const WANDB: &str = r#"
import json

class Run:
    def __init__(self, name):
        self.name, self.summary, self.steps, self.logged = name, {}, [], set()

    def log(self, values, step):
        assert not self.steps or step > self.steps[-1], "steps rise"
        self.steps.append(step)
        self.logged |= set(values)

    def finish(self):
        print(json.dumps([self.name, self.steps, sorted(self.logged), self.summary]))

def init(project, group, name, config):
    return Run(name)
"#;

#[test]
fn the_snippet_for_weights_and_biases_takes_every_kind_of_labels() {
    let python = std::env::var_os("ATTENTION_PROBES_PYTHON").unwrap_or_else(|| "python3".into());
    if !Command::new(&python).arg("--version").output().is_ok_and(|it| it.status.success()) {
        eprintln!("skipped: no `{}`; name a Python in ATTENTION_PROBES_PYTHON", python.display());
        return;
    }
    let number = "[[data]]\nname = \"age\"\npath = \"age.csv\"\nlabel_kind = \"number\"\n\n";
    let linear = "[[architectures]]\nname = \"linear\"\n[[architectures]]\n\n[sweep]";
    let folder = Folder::with(&[("[activations]", &format!("{number}[activations]"))]);
    let config = std::fs::read_to_string(folder.path("sweep.toml")).unwrap();
    folder.write("sweep.toml", config.replace("[sweep]", linear));
    let rows = (0..60).map(|i| format!("it is {i} years old,{i}\n"));
    folder.write("age.csv", format!("text,label\n{}", rows.collect::<String>()));
    folder.succeed(&[]);

    let markdown = include_str!("../../../../../../docs/tracking.md");
    let snippet = markdown.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    folder.write("snippet.py", snippet);
    folder.write("wandb.py", WANDB);
    let mut command = Command::new(&python);
    command.args(["snippet.py", RUN]).current_dir(folder.path("")).env("PYTHONPATH", ".");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| json(line.as_bytes()))
        .collect();
    let [age, classes] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&age[0], &age[1]), (&"age-L01-resid_post".into(), &serde_json::json!([])));
    let found = best(&folder, "age-L01-resid_post");
    let expected = &found["probes"][0]["test"]["number"]["r_squared"];
    assert_eq!(&age[3]["linear/test_r_squared"], expected);
    assert_eq!(classes[0], "data-L01-resid_post");
    assert!(classes[2].as_array().unwrap().contains(&"attention/train_loss".into()));
    let found = best(&folder, "data-L01-resid_post");
    let expected = &found["architectures"][1]["test"]["balanced_accuracy"];
    assert_eq!(&classes[3]["attention/test_balanced_accuracy"], expected);
}

/// Numbers of whole records of the event files of a run, file by file, by the lengths before them.
fn n_records(folder: &Folder) -> BTreeMap<String, usize> {
    let count = |bytes: Vec<u8>| {
        let (mut rest, mut n) = (&bytes[..], 0);
        while let Some((length, more)) = rest.split_first_chunk::<8>() {
            let n_bytes = usize::try_from(u64::from_le_bytes(*length)).unwrap() + 8;
            let Some((_, more)) = more.split_at_checked(n_bytes) else { break };
            (rest, n) = (more, n + 1);
        }
        n
    };
    let files = folder.tree(&format!("{RUN}/tensorboard")).into_iter();
    files.map(|(name, bytes)| (name, count(bytes))).collect()
}

#[test]
fn curves_grow_while_a_run_goes_on_and_a_resumed_one_repeats_nothing() {
    const EPOCHS: u64 = 2000;
    let folder = Folder::with(&[("epochs = 3", &format!("epochs = {EPOCHS}"))]);
    let args = ["--track", "tensorboard", "--resume"];
    let run = "data-resid_post/probe-layer1-ctx256-attention-data-demo-gpt2";
    let python = python();
    let mut n_before = 0;
    for n_files in 1..=2 {
        let mut running = Running::start(folder.command(&args));
        let start = Instant::now();
        // The record of the version comes first.
        let has_grown = || {
            let files = n_records(&folder);
            files.len() == n_files && files.values().last().is_some_and(|n| *n > 20)
        };
        while !has_grown() {
            assert!(start.elapsed() < Duration::from_mins(2), "{:?}", n_records(&folder));
            assert!(running.is_going_on(), "ended before its curves were seen");
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some(python) = &python {
            let found = scalars(&folder, python);
            assert!(running.is_going_on(), "the curves were read after the run had ended");
            let curve = found[run]["attention/leading/train/loss"].as_array().unwrap();
            assert!(curve.len() > n_before + 15, "{}", curve.len());
            n_before = curve.len();
        }
        drop(running); // kills it
    }
    folder.succeed(&args);
    let files: Vec<String> = n_records(&folder).into_keys().collect();
    let names = ["0000", "0001", "0002", "attention-probes"];
    assert_eq!(files, names.map(|name| format!("{run}/events.out.tfevents.0.{name}")));

    let Some(python) = python else { return };
    let found = scalars(&folder, &python);
    let curve = |tag: &str| found[run][format!("attention/{tag}")].as_array().unwrap().clone();
    for tag in ["train/loss", "validation/balanced_accuracy", "validation/true_positives"] {
        let leading = curve(&format!("leading/{tag}"));
        let steps: Vec<u64> = leading.iter().map(|point| point[0].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=EPOCHS).collect::<Vec<_>>(), "{tag}");
        // The one that leads in the end is chosen.
        assert_eq!(leading.last(), curve(tag).last());
    }
}
