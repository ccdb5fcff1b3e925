//! `probe eval` says what the library says.

use std::path::Path;

use attention_probes_activations::{ExampleConfig, NpzArray, Task, write_npz};
use attention_probes_metrics::{Bootstrap, ClassScores, ClassificationReport};
use attention_probes_probes::{
    Labels, Linear, ProbeConfig, ProbeMetadata, SavedProbe, TrainingData, compute_metrics,
};
use serde_json::Value;

use crate::trained_probe::fixture::{D_MODEL, Fixture};
use crate::trained_probe::score::parse_lines;

#[test]
fn eval_on_the_training_data_equals_the_report_of_the_library() {
    let fixture = Fixture::new();
    let (_, evaluation, data) = fixture.attention();
    let expected = compute_metrics(&evaluation, &data, 42).unwrap();
    let probe = ["--probe", "attention_state.npz", "--data", "reviews.csv"];
    let found = fixture.eval(&probe);
    assert_same_report(&found, &expected);
    assert_eq!(found["classes"], serde_json::json!(["neg", "pos"]));
    assert_eq!(found["n_skipped"], 0);
    assert!(found.get("at_threshold").is_none());

    let table = fixture.succeed(&[&["eval"], &probe[..]].concat());
    assert!(table.starts_with("attention_state.npz on reviews.csv: 12 examples\n"), "{table}");
    for name in ["accuracy", "balanced accuracy", "F1", "AUROC", "log loss", "ECE", "\"neg\""] {
        assert!(table.contains(name), "{name}: {table}");
    }
}

#[test]
fn labels_are_matched_by_name_and_one_class_may_be_absent() {
    let fixture = Fixture::new();
    let data = fixture.reviews();
    // A probe that knows a third class, in an order that is not that of the letters.
    let config = ProbeConfig::new(Linear::default(), D_MODEL, 3);
    let labels: Vec<usize> = data.classes().iter().map(|label| [2, 1][*label]).collect();
    let names = ["unsure", "pos", "neg"].map(str::to_owned).to_vec();
    let labels = Labels::of_classes(labels.clone(), names);
    let data = TrainingData::new(data.x().clone(), data.mask_pad(), labels).unwrap();
    let (saved, evaluation) = fixture.train(&data, &config);
    fixture.save(&saved, "three");
    let expected = compute_metrics(&evaluation, &data, 42).unwrap();
    let found = fixture.eval(&["--probe", "three_state.npz", "--data", "reviews.csv"]);
    assert_same_report(&found, &expected);

    let args = ["score", "--probe", "three_state.npz", "--data", "reviews.csv"];
    for (row, line) in parse_lines(&fixture.succeed(&args)).iter().enumerate() {
        let probabilities: Vec<f64> =
            serde_json::from_value(line["probabilities"].clone()).unwrap();
        for (found, expected) in probabilities.iter().zip(&evaluation.probabilities[row * 3..]) {
            assert!((found - expected).abs() < 1e-4);
        }
        assert_eq!(line["label"], ["neg", "pos"][usize::from(row % 2 == 0)]);
        let logits = line["logits"].as_array().unwrap();
        let bias = &saved.state["bias"].values;
        for (class, logit) in logits.iter().enumerate() {
            let tokens = line["tokens"].as_array().unwrap().iter();
            let sum: f64 = tokens.map(|token| token["scores"][class].as_f64().unwrap()).sum();
            let expected = logit.as_f64().unwrap();
            assert!((sum + f64::from(bias[class]) - expected).abs() < 1e-3);
        }
    }
}

#[test]
fn activations_from_a_file_give_the_same_report_and_scores() {
    let fixture = Fixture::new();
    let (saved, evaluation, data) = fixture.attention();
    let mut metadata = ProbeMetadata::new(saved.config().clone(), vec!["0".into(), "1".into()]);
    metadata.threshold = 0.9;
    fixture.save(&SavedProbe { state: saved.state, metadata }, "external");
    let [n, pos, d_model] = data.x().dims();
    let x: Vec<f32> = data.x().clone().into_data().try_into_vec().unwrap();
    let mask: Vec<f32> = data.mask_pad().bool_not().float().into_data().try_into_vec().unwrap();
    let y: Vec<i64> = data.classes().iter().map(|label| *label as i64).collect();
    // One more example, which is all padding.
    let with_empty = |values: Vec<f32>, n: usize| [values, vec![0.0; n]].concat();
    let arrays = [
        ("x", NpzArray::new(vec![n + 1, pos, d_model], with_empty(x, pos * d_model))),
        ("mask", NpzArray::new(vec![n + 1, pos], with_empty(mask, pos))),
        ("y", NpzArray::new(vec![n + 1], [y, vec![0]].concat())),
    ];
    let file = fixture.path().join("a.npz");
    write_npz(&file, &arrays).unwrap();

    let expected = compute_metrics(&evaluation, &data, 42).unwrap();
    let args = ["--probe", "external_state.npz", "--activations", "a.npz"];
    let found = fixture.eval(&args);
    assert_same_report(&found, &expected);
    assert_eq!(found["n_skipped"], 1);
    let at = &found["at_threshold"];
    assert_eq!(at["threshold"], 0.9);
    let n_above = evaluation.probabilities.chunks(2).filter(|row| row[1] >= 0.9).count() as u64;
    let predicted = |row: usize| at["confusion"][row][1].as_u64().unwrap();
    assert_eq!(predicted(0) + predicted(1), n_above);

    let lines = parse_lines(&fixture.succeed(&[&["score"], &args[..]].concat()));
    assert_eq!(lines.len(), n + 1);
    for (line, expected) in lines.iter().zip(evaluation.probabilities.chunks(2)) {
        let probability = line["probability"].as_f64().unwrap();
        assert!((probability - expected[1]).abs() < 1e-4);
        assert_eq!(line["label"], ["0", "1"][usize::from(probability >= 0.9)]);
        assert!(line["tokens"][0]["id"].is_null());
    }
    assert_eq!(lines[n]["error"], "NaN, infinity, or no real token");

    // The same file without labels, and with activations of another width.
    write_npz(&file, &arrays[..2]).unwrap();
    let stderr = fixture.refused(&[&["eval"], &args[..]].concat());
    assert!(stderr.contains("`a.npz`") && stderr.contains("`y`"), "{stderr}");
    let narrow = [
        ("x", NpzArray::new(vec![2, 1, 3], vec![0.0_f32; 6])),
        ("mask", NpzArray::new(vec![2, 1], vec![1_i64; 2])),
        ("y", NpzArray::new(vec![2], vec![0_i64, 1])),
    ];
    write_npz(&file, &narrow).unwrap();
    let stderr = fixture.refused(&[&["eval"], &args[..]].concat());
    assert!(stderr.contains("160 wide, but those of `a.npz` are 3 wide"), "{stderr}");
    // A probe that does not know its model cannot read text.
    let args =
        ["eval", "--probe", "external_state.npz", "--data", "reviews.csv", "--label", "label"];
    assert!(fixture.refused(&args).contains("label `neg` is no class of the probe"));
    let args = ["score", "--probe", "external_state.npz"];
    assert!(fixture.refused(&args).contains("it does not say which layer it reads"));
}

#[test]
fn a_token_task_is_judged_on_examples_drawn_as_in_training() {
    let fixture = Fixture::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../activations/demo/passages.jsonl");
    let task = Task::NextToken { target: " the".into() };
    let drawing = ExampleConfig { task, balance: true, examples_per_text: 2, seed: 7 };
    let data = fixture.examples(&file, &drawing);
    let (mut saved, evaluation) =
        fixture.train(&data, &ProbeConfig::new(Linear::default(), D_MODEL, 2));
    saved.metadata.task = Some("next_token".to_owned());
    saved.metadata.target = Some(" the".into());
    fixture.save(&saved, "next");
    // Examples of one text are drawn together.
    let groups = fixture.drawn(&file, &drawing).1.groups;
    let scores = ClassScores::from_logits(&evaluation.logits, 2).unwrap();
    let bootstrap = Bootstrap { seed: 7, ..Bootstrap::default() }.of_groups(groups.as_deref());
    let expected = ClassificationReport::new(data.classes(), &scores, &bootstrap).unwrap();
    assert_ne!(expected, compute_metrics(&evaluation, &data, 7).unwrap());
    let file = file.display().to_string();
    let args = ["--probe", "next_state.npz", "--data", &file, "--balance"];
    let found = fixture.eval(&[&args[..], &["--examples-per-text", "2", "--seed", "7"]].concat());
    assert_same_report(&found, &expected);
    assert_eq!(found["classes"], serde_json::json!(["other", " the"]));
    // As in a sweep, that is what is done where nothing is said; the natural rate is another.
    let unsaid = [&args[..4], &["--examples-per-text", "2", "--seed", "7"]].concat();
    assert_eq!(fixture.eval(&unsaid), found);
    let natural = fixture.eval(&[&unsaid[..], &["--balance=false"]].concat());
    let share = |report: &serde_json::Value| {
        let of = |class: usize| {
            let row = report["confusion"][class].as_array().unwrap();
            row.iter().map(|n| n.as_f64().unwrap()).sum::<f64>()
        };
        of(1) / (of(0) + of(1))
    };
    assert!((share(&found) - 0.5).abs() < 0.05 && share(&natural) < 0.3);
}

#[test]
fn texts_are_cut_as_in_training_by_eval_and_score_alike() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    saved.metadata.max_tokens = Some(2);
    fixture.save(&saved, "short");
    let args = ["score", "--probe", "short_state.npz", "--data", "reviews.csv"];
    let lines = parse_lines(&fixture.succeed(&args));
    assert!(lines.iter().all(|line| line["tokens"].as_array().unwrap().len() == 2));
    let eval = ["--probe", "short_state.npz", "--data", "reviews.csv"];
    let found = fixture.eval(&eval);
    let explicit = fixture.eval(&[&eval[..], &["--max-tokens", "2"]].concat());
    assert_eq!(found, explicit);

    // The texts are liked and disliked in turn.
    let losses = lines.iter().enumerate().map(|(row, line)| {
        let positive = line["probability"].as_f64().unwrap();
        let of_label = if row % 2 == 0 { positive } else { 1.0 - positive };
        -of_label.ln()
    });
    let log_loss = losses.sum::<f64>() / lines.len() as f64;
    assert!((found["log_loss"].as_f64().unwrap() - log_loss).abs() < 1e-4);

    let whole = fixture.eval(&[&eval[..], &["--max-tokens", "200"]].concat());
    assert_ne!(found["log_loss"], whole["log_loss"]);
}

pub(crate) fn assert_same_report(found: &Value, expected: &ClassificationReport) {
    let found: ClassificationReport = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(found.confusion, expected.confusion);
    assert_eq!(found.balanced_accuracy_interval, expected.balanced_accuracy_interval);
    assert_eq!(found.auroc.is_some(), expected.auroc.is_some());
    let pairs = [
        (found.accuracy, expected.accuracy),
        (found.auroc.unwrap_or(0.0), expected.auroc.unwrap_or(0.0)),
        (found.log_loss, expected.log_loss),
        (found.brier, expected.brier),
    ];
    for (found, expected) in pairs {
        assert!((found - expected).abs() < 1e-4, "{found}, expected {expected}");
    }
}

#[test]
fn a_folder_of_shards_gives_the_report_of_its_texts_and_the_scores() {
    let fixture = Fixture::new();
    fixture.attention();
    let expected = fixture.eval(&["--probe", "attention_state.npz", "--data", "reviews.csv"]);
    let hooks = "blocks.1.hook_resid_post,blocks.0.hook_resid_post";
    let args = ["extract", "--model", "demo-gpt2", "--data", "reviews.csv", "--hooks", hooks];
    fixture.succeed(&[&args[..], &["--output", "acts", "--shard-rows", "5"]].concat());
    // The probe says which of the hooks it reads.
    let args = ["--probe", "attention_state.npz", "--activations", "acts"];
    let found = fixture.eval(&args);
    assert_same_report(&found, &serde_json::from_value(expected).unwrap());

    let texts = ["score", "--probe", "attention_state.npz", "--data", "reviews.csv"];
    let lines = [&texts[..], &[&["score"], &args[..]].concat()]
        .map(|args| parse_lines(&fixture.succeed(args)));
    assert_eq!(lines[0].len(), lines[1].len());
    for (text, activations) in lines[0].iter().zip(&lines[1]) {
        assert_eq!(text["label"], activations["label"]);
        assert_eq!(text["tokens"][0]["id"], activations["tokens"][0]["id"]);
        let [a, b] = [text, activations].map(|line| line["logit"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-3, "{a} and {b}");
    }
    let same = [&["eval"], &args[..], &["--hook", "blocks.1.hook_resid_post"]].concat();
    fixture.succeed(&same);
    let typo = [&["eval"], &args[..], &["--hook", "hook_embed"]].concat();
    let expected = "`--hook hook_embed` contradicts the probe, which reads \
                    `blocks.1.hook_resid_post`; leave out the flag";
    assert!(fixture.refused(&typo).contains(expected));
}
