//! Labels other than classes, from a configuration to what `eval`, `score`, and `view` make of the
//! probes.

use std::fmt::Write;
use std::fs;

use attention_probes_activations::{NpzArray, write_npz};
use serde_json::{Value, json};

use crate::call;
use crate::sweep::folder::{Folder, RUN, best, json};

const LINEAR: (&str, &str) = (
    "[sweep]",
    "[[architectures]]\nname = \"linear\"\npool = \"mean\"\n\n[[architectures]]\nname = \"attention\"\n\n[sweep]",
);

/// 90 texts with how often they say a word, which words they say, and how likely it is that they
/// are merry; every text stands three times as a group.
fn lines() -> String {
    let mut lines = String::new();
    for i in 0..90_usize {
        let (dogs, cats) = ((i / 3) % 4, (i / 3) % 3);
        let text = format!("{} {} {i}", "dog ".repeat(dogs + 1), "cat ".repeat(cats));
        let mut labels = Vec::new();
        labels.extend((dogs > 1).then_some("dogs"));
        labels.extend((cats > 0).then_some("cats"));
        let merry = dogs as f64 / 4.0;
        let line = json!({
            "text": text,
            "count": 10.0 * dogs as f64 - 5.5,
            "labels": labels,
            "mood": {"sad": 1.0 - merry, "merry": merry},
            "group": i / 3,
        });
        writeln!(lines, "{line}").unwrap();
    }
    lines
}

fn folder(kind: &str, column: &str) -> Folder {
    let data = format!(
        "path = \"data.jsonl\"\nlabel_kind = \"{kind}\"\nlabel = \"{column}\"\ngroup = \"group\""
    );
    let folder = Folder::with(&[("path = \"data.csv\"", &data), LINEAR]);
    folder.write("data.jsonl", lines());
    folder
}

fn probe(folder: &Folder, args: &[&str]) -> String {
    call::succeed(&mut call::command(&folder.path(""), args)).0
}

const EXPERIMENT: &str = "data-L01-resid_post";
const PROBE: &str = "results/small/seed_42/data-L01-resid_post/trained/linear_probe_state.npz";

fn score_lines(folder: &Folder, args: &[&str]) -> Vec<Value> {
    let args = [&["score", "--probe", PROBE], args].concat();
    probe(folder, &args).lines().map(|line| json(line.as_bytes())).collect()
}

#[test]
fn a_number_is_learned_judged_and_scored() {
    let folder = folder("number", "count");
    let (stdout, _) = folder.succeed(&[]);
    assert!(stdout.contains("R² (95 %)") && stdout.contains("bag of words"), "{stdout}");
    let report = best(&folder, EXPERIMENT);
    assert_eq!((&report["label_kind"], &report["names"]), (&json!("number"), &json!(["count"])));
    let sides = ["n_train", "n_validation", "n_test"].map(|n| report[n].as_u64().unwrap());
    assert_eq!(sides.iter().sum::<u64>(), 90);
    assert!(sides.iter().all(|n| n % 3 == 0), "groups are whole: {sides:?}");
    let found = &report["probes"][0]["test"]["number"];
    let share = found["r_squared"].as_f64().unwrap();
    assert!(share > 0.8, "{found}");
    let interval = &found["r_squared_interval"];
    assert!(interval["lower"].as_f64().unwrap() <= share, "{found}");
    let mean = report["baselines"]["mean"]["number"]["r_squared"].as_f64().unwrap();
    assert!(mean <= 1e-9, "{mean}");
    let shuffled = &report["probes"][0]["shuffled_labels"]["number"]["r_squared"];
    assert!(shuffled.as_f64().unwrap() < share - 0.5, "{shuffled}");
    assert!(stdout.contains("labels shuffled"), "{stdout}");

    // What is chosen is what validation likes best.
    let metrics =
        json(&fs::read(folder.path(&format!("{RUN}/{EXPERIMENT}/metrics.json"))).unwrap());
    let of_linear = metrics.as_array().unwrap().iter().filter(|one| one["config_name"] == "linear");
    let best_of = of_linear.max_by(|a, b| {
        a["validation"].as_f64().unwrap().total_cmp(&b["validation"].as_f64().unwrap())
    });
    assert_eq!(report["probes"][0]["penalties"], json!([best_of.unwrap()["penalty"]]));

    let args = ["eval", "--probe", PROBE, "--data", "data.jsonl", "--label", "count", "--json"];
    let eval = json(probe(&folder, &args).as_bytes());
    assert_eq!((&eval["outputs"], &eval["n_examples"]), (&json!("number"), &json!(90)));
    assert!(eval["number"]["r_squared"].as_f64().unwrap() > 0.8, "{eval}");
    let table = probe(&folder, &args[..7]);
    assert!(table.contains("R²") && table.contains("Spearman"), "{table}");

    let scores = score_lines(&folder, &["--data", "data.jsonl"]);
    assert_eq!(scores.len(), 90);
    let value = scores[0]["value"].as_f64().unwrap();
    assert!((value + 5.5).abs() < 8.0, "{value}");
    let tokens = scores[0]["tokens"].as_array().unwrap();
    let last = tokens.last().unwrap()["running_value"].as_f64().unwrap();
    assert!((last - value).abs() < 1e-4 * value.abs().max(1.0), "{last} {value}");
    assert!(scores[0].get("label").is_none() && scores[0].get("probability").is_none());

    let page = fs::read_to_string(folder.path("results/small/report.html")).unwrap();
    assert!(page.contains("mean of the labels") && page.contains(PROBE.split_at(14).1), "targets");
    for (command, flag, expected) in [
        ("score", "--defer", "need a probe of classes; leave them out"),
        ("eval", "--data", "`nan`, expected a finite number"),
    ] {
        folder.write("bad.csv", "text,label\na,1\nb,nan\n");
        let args = match command {
            "score" => vec!["score", "--probe", PROBE, flag],
            _ => vec!["eval", "--probe", PROBE, flag, "bad.csv"],
        };
        let error = call::refused(&mut call::command(&folder.path(""), &args));
        assert!(error.contains(expected), "{error}");
    }
    let args = ["view", "--probe", PROBE, "--data", "data.jsonl", "--output", "view.html"];
    probe(&folder, &[&args[..], &["--label", "count"]].concat());
    let view = fs::read_to_string(folder.path("view.html")).unwrap();
    assert!(view.contains(r#""outputs":"number""#) && view.contains(r#""label":"-5.5"#), "view");

    let args = ["compare", "results/small", "results/small"];
    let (compared, _) = call::succeed(&mut call::command(&folder.path(""), &args));
    let line = compared.lines().nth(2).unwrap();
    assert!(line.contains("  R²  ") && line.contains('['), "{compared}");
    let (plan, _) = folder.succeed(&["--dry-run", "--output", "elsewhere"]);
    let penalties = "13 penalties for labels that are not classes\n  attention: ";
    assert!(plan.contains(penalties) && plan.contains("trials by AdamW"), "{plan}");

    // A finished run is found again, and an unfinished one is made to the same bytes.
    let (_, stderr) = folder.succeed(&["--resume"]);
    assert!(stderr.contains("`data` is complete already"), "{stderr}");
    let first = folder.tree(RUN);
    fs::remove_file(folder.path(&format!("{RUN}/{EXPERIMENT}/best.json"))).unwrap();
    folder.succeed(&["--resume"]);
    assert_eq!(folder.tree(RUN), first);
}

#[test]
fn several_labels_are_learned_judged_and_scored() {
    let folder = folder("labels", "labels");
    folder.succeed(&[]);
    let report = best(&folder, EXPERIMENT);
    assert_eq!(report["names"], json!(["cats", "dogs"]));
    let found = &report["probes"][0]["test"]["labels"];
    assert!(found["report"]["macro_auroc"].as_f64().unwrap() > 0.8, "{found}");
    assert!(found["macro_auroc_interval"]["upper"].as_f64().unwrap() <= 1.0, "{found}");
    assert_eq!(report["probes"][0]["penalties"].as_array().unwrap().len(), 2);
    let chance = &report["baselines"]["mean"]["labels"]["report"]["macro_auroc"];
    assert_eq!(chance, &json!(0.5));
    // Which words a text says is all that its labels tell.
    let bag = &report["baselines"]["bag_of_words"]["labels"]["report"]["macro_auroc"];
    assert!(bag.as_f64().unwrap() > 0.95, "{bag}");
    let shuffled = &report["probes"][0]["shuffled_labels"]["labels"]["report"]["macro_auroc"];
    let found = found["report"]["macro_auroc"].as_f64().unwrap();
    assert!(shuffled.as_f64().unwrap() < found, "{shuffled}");

    let args = ["eval", "--probe", PROBE, "--data", "data.jsonl", "--label", "labels", "--json"];
    let eval = json(probe(&folder, &args).as_bytes());
    assert_eq!(eval["names"], json!(["cats", "dogs"]));
    assert!(eval["labels"]["report"]["macro_auroc"].as_f64().unwrap() > 0.8, "{eval}");
    let scores = score_lines(&folder, &["--data", "data.jsonl"]);
    for score in &scores {
        let probabilities = &score["probabilities"];
        let dogs = probabilities["dogs"].as_f64().unwrap();
        let labels = score["labels"].as_array().unwrap();
        assert_eq!(labels.contains(&json!("dogs")), dogs >= 0.5, "{score}");
        let last = score["tokens"].as_array().unwrap().last().unwrap();
        let running = last["running_probabilities"][1].as_f64().unwrap();
        assert!((running - dogs).abs() < 1e-4, "{score}");
    }
    // Labels that the probe does not know are refused by name.
    folder.write("other.csv", "text,label\na,dogs;birds\nb,\n");
    let args = ["eval", "--probe", PROBE, "--data", "other.csv"];
    let error = call::refused(&mut call::command(&folder.path(""), &args));
    assert!(error.contains("the label `birds`"), "{error}");
}

#[test]
fn soft_labels_give_an_ordinary_probe() {
    let folder = folder("distribution", "mood");
    folder.succeed(&[]);
    let report = best(&folder, EXPERIMENT);
    assert_eq!(report["names"], json!(["merry", "sad"]));
    let loss = |side: &Value| side["distribution"]["cross_entropy"].as_f64().unwrap();
    let (found, mean) = (&report["probes"][0]["test"], &report["baselines"]["mean"]);
    assert!(loss(found) < loss(mean), "{found} {mean}");
    assert!(loss(&report["baselines"]["bag_of_words"]) < loss(mean), "{mean}");
    assert!(loss(found) < loss(&report["probes"][0]["shuffled_labels"]), "{found}");
    assert!(found["distribution"]["likeliest"]["balanced_accuracy"].is_number());
    let scores = score_lines(&folder, &["--data", "data.jsonl", "--no-tokens"]);
    assert!(
        scores.iter().all(|score| score["probability"].is_number() && score["label"].is_string())
    );
}

#[test]
fn activations_bring_their_numbers_and_labels() {
    let folder = Folder::with(&[
        ("path = \"data.csv\"", "path = \"data.npz\"\nlabel_kind = \"number\""),
        LINEAR,
    ]);
    let n = 60;
    let x: Vec<f32> = (0..n * 2).map(|i| ((i * 7 % 13) as f32) / 3.0).collect();
    let y: Vec<f64> = x.chunks(2).map(|row| f64::from(row[0]) - 2.0 * f64::from(row[1])).collect();
    let write = |y: NpzArray| {
        let arrays = [
            ("x", NpzArray::new(vec![n, 1, 2], x.clone())),
            ("mask", NpzArray::new(vec![n, 1], vec![1_i64; n])),
            ("y", y),
        ];
        write_npz(folder.path("data.npz"), &arrays).unwrap();
    };
    write(NpzArray::new(vec![n], y.clone()));
    folder.succeed(&["--output", "exact"]);
    let report = json(&fs::read(folder.path("exact/small/seed_42/data/best.json")).unwrap());
    let share = report["probes"][0]["test"]["number"]["r_squared"].as_f64().unwrap();
    assert!(share > 0.9999, "{share}");
    assert_eq!(report["baselines"]["bag_of_words"], Value::Null);
    let probe_file = "exact/small/seed_42/data/trained/linear_probe_state.npz";
    let args = ["eval", "--probe", probe_file, "--activations", "data.npz", "--json"];
    let eval = json(probe(&folder, &args).as_bytes());
    assert!(eval["number"]["r_squared"].as_f64().unwrap() > 0.9999, "{eval}");
    // Beside a running model: the value of the text so far.
    let mut command =
        call::command(&folder.path(""), &["score", "--probe", probe_file, "--stream"]);
    fs::write(folder.path("in.jsonl"), "{\"x\":[1.0,0.5]}\n").unwrap();
    command.stdin(fs::File::open(folder.path("in.jsonl")).unwrap());
    let answer = json(call::succeed(&mut command).0.trim().as_bytes());
    assert!(answer["value"].as_f64().unwrap().abs() < 1e-2, "{answer}");

    let mut bad = y.clone();
    bad[7] = f64::NAN;
    for (y, expected) in [
        (NpzArray::new(vec![n], bad), "row 8: `y` is `NaN`"),
        (NpzArray::new(vec![n], vec![3_i64; n]), "are all alike"),
        (NpzArray::new(vec![n / 2, 2], y.clone()), "expected [n]"),
    ] {
        write(y);
        let error = folder.refused(&[]);
        assert!(error.contains(expected) && error.contains("data.npz"), "{error}");
    }
}

#[test]
fn what_cannot_be_learned_is_refused_in_one_line() {
    let cases: [(&str, &str, &str); 6] = [
        (
            "text,label\na,1\nb,x\n",
            "label_kind = \"number\"",
            "row 2: `label` is `x`, expected a finite",
        ),
        ("text,label\na,1\nb,1.5\n", "label_kind = \"distribution\"", "row 2: `label` is `1.5`"),
        ("text,label\na,\nb,\n", "label_kind = \"labels\"", "no row has a label in `label`"),
        (
            "text,label\na,1\n",
            "label_kind = \"numbers\"",
            "unknown word `numbers`; did you mean `number`?",
        ),
        ("text,label\na,1\n", "label_kind = \"number\"\nlabel_separator = \";\"", "remove it"),
        (
            "text,label\na,1\n",
            "label_kind = \"number\"\ntask = \"next_token\"\ntarget = \"a\"",
            "for the task `sequence`",
        ),
    ];
    for (csv, keys, expected) in cases {
        let data = format!("path = \"data.csv\"\n{keys}");
        let folder = Folder::with(&[("path = \"data.csv\"", &data), LINEAR]);
        folder.write("data.csv", csv);
        let error = folder.refused(&[]);
        assert!(error.contains(expected), "{error}");
    }
    let number = "path = \"data.csv\"\nlabel_kind = \"number\"";
    let formula = ("[sweep]", "[[architectures]]\nname = \"linear\"\nrecipe = \"lda\"\n\n[sweep]");
    let of_formula = Folder::with(&[("path = \"data.csv\"", number), formula]);
    assert!(of_formula.refused(&[]).contains("add one with `name = \"linear\"`"));
    let folder = Folder::with(&[("epochs = 3", "epochs = 3\npenalties = [1.0]")]);
    assert!(folder.refused(&[]).contains("`sweep.penalties` is for a linear probe"));
    for (penalties, expected) in
        [("[]", "is empty"), ("[0.0]", "has 0"), ("[1.0, 1.0]", "tell apart")]
    {
        let penalties = format!("epochs = 3\npenalties = {penalties}");
        let changes = [("path = \"data.csv\"", number), ("epochs = 3", &penalties), LINEAR];
        assert!(Folder::with(&changes).refused(&[]).contains(expected));
    }
}

#[test]
fn a_penalty_at_the_end_of_its_list_is_a_warning() {
    let folder = folder("number", "count");
    let config = fs::read_to_string(folder.path("sweep.toml")).unwrap();
    folder.write("sweep.toml", config.replace("epochs = 3", "epochs = 3\npenalties = [1e3, 1e6]"));
    let (stdout, _) = folder.succeed(&[]);
    assert!(
        stdout.contains("`linear`: the best penalty, 1e3, is the lowest that was tried"),
        "{stdout}"
    );
    assert!(stdout.contains("add lower ones to `sweep.penalties`"), "{stdout}");
    let report = best(&folder, EXPERIMENT);
    assert_eq!(report["warnings"][0]["kind"], "end_of_list");
}

#[test]
fn every_kind_of_probe_learns_every_kind_of_label() {
    let kinds = [
        ("mlp", ""),
        ("attention", "recipe = \"ensemble_mean\""),
        ("token", ""),
        ("multimax", ""),
        ("rolling_attention", ""),
        ("gated_bipolar", "d_gate = 8"),
    ];
    let mut architectures = String::new();
    for (name, keys) in kinds {
        write!(architectures, "[[architectures]]\nname = \"{name}\"\n{keys}\n\n").unwrap();
    }
    let decays = "[[architectures]]\nname = \"linear\"\nconfig_name = \"decays\"\n\
                  weight_decays = [1e-4, 1e-2]\n\n[[architectures]]\nname = \"linear\"\n\
                  config_name = \"lda\"\nrecipe = \"lda\"\n\n";
    for (kind, column) in [("number", "count"), ("labels", "labels"), ("distribution", "mood")] {
        let folder = folder(kind, column);
        let config = fs::read_to_string(folder.path("sweep.toml")).unwrap();
        let (before, after) = config.split_once("[[architectures]]").unwrap();
        let sweep = &after[after.find("[sweep]").unwrap()..];
        let sweep = sweep.replace("epochs = 3", "epochs = 60");
        folder.write("sweep.toml", format!("{before}{decays}{architectures}{sweep}"));
        let (stdout, stderr) = folder.succeed(&[]);
        assert!(stderr.contains("1 architectures left out, they learn classes only"), "{stderr}");
        let report = best(&folder, EXPERIMENT);
        let loss = |side: &Value| match kind {
            "number" => 1.0 - side["number"]["r_squared"].as_f64().unwrap(),
            "labels" => 1.0 - side["labels"]["report"]["macro_auroc"].as_f64().unwrap(),
            _ => side["distribution"]["cross_entropy"].as_f64().unwrap(),
        };
        let mean = loss(&report["baselines"]["mean"]);
        let probes = report["probes"].as_array().unwrap();
        assert_eq!(probes.len(), 7, "{report}");
        for found in probes {
            let name = found["config_name"].as_str().unwrap();
            let at = format!("{kind}, {name}: {} {mean}", loss(&found["test"]));
            assert!(loss(&found["test"]) < 0.9 * mean, "{at}");
            assert!(loss(&found["shuffled_labels"]) > loss(&found["test"]), "{at}");
            assert!(found["trial"]["n_trials"].as_u64().unwrap() > 1, "{at}");
            assert!(stdout.contains(name), "{stdout}");

            // The saved probe says of the file what the report says of its examples.
            let file = found["file"].as_str().unwrap();
            let path = format!("{RUN}/{EXPERIMENT}/trained/{file}");
            let args = ["score", "--probe", &path, "--data", "data.jsonl"];
            let lines = probe(&folder, &args);
            let line = json(lines.lines().next().unwrap().as_bytes());
            let tokens = line["tokens"].as_array().unwrap();
            let last = tokens.last().unwrap();
            let (whole, so_far) = match kind {
                "number" => (&line["value"], &last["running_value"]),
                "labels" => (&line["probabilities"]["cats"], &last["running_probabilities"][0]),
                _ => (&line["probability"], &last["running_probability"]),
            };
            let (whole, so_far) = (whole.as_f64().unwrap(), so_far.as_f64().unwrap());
            assert!((whole - so_far).abs() < 1e-3 * whole.abs().max(1.0), "{at}: {whole} {so_far}");
            if kind != "distribution" {
                let args = ["eval", "--probe", &path, "--data", "data.jsonl", "--json"];
                let args = [&args[..], &["--label", column]].concat();
                let eval = json(probe(&folder, &args).as_bytes());
                assert!(loss(&eval) < 0.9 * mean, "{at}: {eval}");
            }
        }
        let history = fs::read_to_string(folder.path(&format!("{RUN}/{EXPERIMENT}/history.jsonl")));
        let first = json(history.unwrap().lines().next().unwrap().as_bytes());
        assert!(first["validation_loss"].is_number() && first.get("validation_accuracy").is_none());
    }
}
