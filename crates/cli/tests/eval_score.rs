//! `probe eval` and `probe score` as a person calls them, on probes that are trained here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use attention_probes_activations::{
    ActivationSource, Capture, Component, Dataset, DatasetConfig, ExampleConfig, MemoryActivations,
    NpzArray, Site, Task, TokenizeConfig, examples, tokenize, write_npz,
};
use attention_probes_metrics::ClassificationReport;
use attention_probes_models::{Convention, LanguageModel, open_model};
use attention_probes_probes::{
    AttentionProbeConfig, Evaluation, Labels, LinearProbeConfig, MlpProbeConfig, ModelMetadata,
    ProbeConfig, ProbeMetadata, SavedProbe, TrainConfig, TrainingData, compute_metrics,
    evaluate_probe, train_any_probe,
};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

const D_MODEL: usize = 160;

const LIKED: [&str; 6] = [
    "a warm and wonderful film",
    "the best movie of the year, funny and kind",
    "I loved every minute of it",
    "a good story, well told",
    "charming, bright, and full of joy",
    "great",
];

const DISLIKED: [&str; 6] = [
    "a dull and tedious film",
    "the worst movie of the year, loud and empty",
    "I hated every minute of it and left early",
    "a bad story, badly told",
    "boring, grey, and full of holes",
    "awful",
];

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    command.args(args).current_dir(folder);
    command
}

fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = command(folder, args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output = command(folder, args).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
    stderr
}

/// Runs `probe score` on some lines of stdin.
fn score_lines(folder: &Path, args: &[&str], lines: &[u8]) -> Vec<Value> {
    let mut child = command(folder, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    parse_lines(&String::from_utf8(stdout).unwrap())
}

fn parse_lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A folder with `reviews.csv`, the model, and its activations.
struct Fixture {
    folder: tempfile::TempDir,
    model: LanguageModel,
    device: Device,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = LIKED
            .iter()
            .zip(DISLIKED)
            .map(|(liked, disliked)| format!("\"{liked}\",pos\n\"{disliked}\",neg"))
            .collect::<Vec<_>>()
            .join("\n");
        fs::write(folder.path().join("reviews.csv"), format!("text,label\n{rows}")).unwrap();
        let device = Device::flex();
        Self { folder, model: open_model("demo-gpt2", None, &device).unwrap(), device }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Examples of a task at layer 1, padded by this test's own code.
    fn examples(&self, file: &Path, config: &ExampleConfig) -> TrainingData {
        let is_sequence = config.task == Task::Sequence;
        let columns = DatasetConfig::default();
        let dataset = Dataset::read("data", file, &columns, is_sequence).unwrap();
        let tokens = tokenize(&dataset, &self.model.tokenizer, &TokenizeConfig::default()).unwrap();
        let set = examples(&dataset, &tokens, &self.model.tokenizer, config).unwrap();
        let sites =
            [Site { layer: 1, component: Component::ResidPost, convention: Convention::Raw }];
        let capture = Capture {
            model: &*self.model.model,
            tokens: &tokens,
            sites: &sites,
            device: &self.device,
            max_tokens_per_batch: 4096,
        };
        let mut source =
            MemoryActivations::capture(&capture, &set.sequences(), &mut |_, _| {}).unwrap();
        let prefixes: Vec<_> = set.examples.iter().map(|e| (e.sequence, e.end)).collect();
        let (n, pos) = (prefixes.len(), prefixes.iter().map(|p| p.1).max().unwrap());
        let mut x = vec![0.0; n * pos * D_MODEL];
        let mut padding = vec![1.0; n * pos];
        source
            .with_rows(&prefixes, &mut |sites| {
                for (row, values) in sites[0].iter().enumerate() {
                    let start = row * pos * D_MODEL;
                    x[start..start + values.len()].copy_from_slice(values);
                    padding[row * pos..row * pos + values.len() / D_MODEL].fill(0.0);
                }
            })
            .unwrap();
        let x = Tensor::from_data(TensorData::new(x, [n, pos, D_MODEL]), &self.device);
        let padding = Tensor::<2>::from_data(TensorData::new(padding, [n, pos]), &self.device);
        let labels = Labels { values: set.labels(), class_names: set.classes };
        TrainingData::new(x, padding.bool(), labels).unwrap()
    }

    fn reviews(&self) -> TrainingData {
        self.examples(&self.path().join("reviews.csv"), &ExampleConfig::default())
    }

    fn train(&self, data: &TrainingData, config: &ProbeConfig) -> (SavedProbe, Evaluation) {
        let training = TrainConfig { n_steps: 12, weight_decay: 0.01, ..TrainConfig::default() };
        let trained = train_any_probe(data, None, config, &training, &self.device).unwrap();
        let evaluation = evaluate_probe(&trained.probe, data, &self.device).unwrap();
        let mut metadata = ProbeMetadata::new(config.clone(), data.class_names().to_vec());
        metadata.model = Some(ModelMetadata {
            name: "demo-gpt2".to_owned(),
            revision: Some(self.model.revision.clone()),
        });
        metadata.layer = Some(1);
        metadata.component = Some("resid_post".to_owned());
        metadata.convention = Some("raw".to_owned());
        metadata.task = Some("sequence".to_owned());
        (SavedProbe::from_probe(&trained.probe, metadata).unwrap(), evaluation)
    }

    /// An attention probe with two heads, saved as `attention_state.npz`.
    fn attention(&self) -> (SavedProbe, Evaluation, TrainingData) {
        let data = self.reviews();
        let config = AttentionProbeConfig { n_heads: 2, ..AttentionProbeConfig::new(D_MODEL, 2) };
        let (saved, evaluation) = self.train(&data, &config.into());
        self.save(&saved, "attention");
        (saved, evaluation, data)
    }

    fn save(&self, saved: &SavedProbe, stem: &str) -> PathBuf {
        saved.save(self.path(), stem).unwrap()
    }

    fn eval(&self, args: &[&str]) -> Value {
        let args = [&["eval", "--json"], args].concat();
        serde_json::from_str(&succeed(self.path(), &args)).unwrap()
    }
}

fn assert_same_report(found: &Value, expected: &ClassificationReport) {
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

    let table = succeed(fixture.path(), &[&["eval"], &probe[..]].concat());
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
    let config = ProbeConfig::from(LinearProbeConfig::new(D_MODEL, 3));
    let labels: Vec<usize> = data.labels().iter().map(|label| [2, 1][*label]).collect();
    let names = ["unsure", "pos", "neg"].map(str::to_owned).to_vec();
    let labels = Labels { values: labels.clone(), class_names: names };
    let data = TrainingData::new(data.x().clone(), data.mask_pad().clone(), labels).unwrap();
    let (saved, evaluation) = fixture.train(&data, &config);
    fixture.save(&saved, "three");
    let expected = compute_metrics(&evaluation, &data, 42).unwrap();
    let found = fixture.eval(&["--probe", "three_state.npz", "--data", "reviews.csv"]);
    assert_same_report(&found, &expected);

    let args = ["score", "--probe", "three_state.npz", "--data", "reviews.csv"];
    for (row, line) in parse_lines(&succeed(fixture.path(), &args)).iter().enumerate() {
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
    let mask: Vec<f32> =
        data.mask_pad().clone().bool_not().float().into_data().try_into_vec().unwrap();
    let y: Vec<i64> = data.labels().iter().map(|label| *label as i64).collect();
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

    let lines = parse_lines(&succeed(fixture.path(), &[&["score"], &args[..]].concat()));
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
    let stderr = refused(fixture.path(), &[&["eval"], &args[..]].concat());
    assert!(stderr.contains("`a.npz`") && stderr.contains("`y`"), "{stderr}");
    let narrow = [
        ("x", NpzArray::new(vec![2, 1, 3], vec![0.0_f32; 6])),
        ("mask", NpzArray::new(vec![2, 1], vec![1_i64; 2])),
        ("y", NpzArray::new(vec![2], vec![0_i64, 1])),
    ];
    write_npz(&file, &narrow).unwrap();
    let stderr = refused(fixture.path(), &[&["eval"], &args[..]].concat());
    assert!(stderr.contains("160 wide, but those of `a.npz` are 3 wide"), "{stderr}");
    // A probe that does not know its model cannot read text.
    let args =
        ["eval", "--probe", "external_state.npz", "--data", "reviews.csv", "--label", "label"];
    assert!(refused(fixture.path(), &args).contains("label `neg` is no class of the probe"));
    let args = ["score", "--probe", "external_state.npz"];
    assert!(refused(fixture.path(), &args).contains("it does not say which layer it reads"));
}

#[test]
fn a_token_task_is_judged_on_examples_drawn_as_in_training() {
    let fixture = Fixture::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/passages.jsonl");
    let task = Task::NextToken { target: " the".to_owned() };
    let drawing = ExampleConfig { task, balance: true, examples_per_text: 2, seed: 7 };
    let data = fixture.examples(&file, &drawing);
    let (mut saved, evaluation) = fixture.train(&data, &LinearProbeConfig::new(D_MODEL, 2).into());
    saved.metadata.task = Some("next_token".to_owned());
    saved.metadata.target = Some(" the".to_owned());
    fixture.save(&saved, "next");
    let expected = compute_metrics(&evaluation, &data, 7).unwrap();
    let file = file.display().to_string();
    let args = ["--probe", "next_state.npz", "--data", &file, "--balance"];
    let found = fixture.eval(&[&args[..], &["--examples-per-text", "2", "--seed", "7"]].concat());
    assert_same_report(&found, &expected);
    assert_eq!(found["classes"], serde_json::json!(["other", " the"]));
}

#[test]
fn scores_equal_the_evaluation_and_tokens_add_up_to_the_logit() {
    let fixture = Fixture::new();
    let (saved, evaluation, data) = fixture.attention();
    let args = ["score", "--probe", "attention_state.npz", "--data", "reviews.csv"];
    let lines = parse_lines(&succeed(fixture.path(), &args));
    assert_eq!(lines.len(), 12);
    let bias: f32 = saved.state["v.bias"].values.iter().sum();
    for (row, line) in lines.iter().enumerate() {
        let expected = evaluation.probabilities[2 * row + 1];
        assert_eq!(line["index"], row);
        let probability = line["probability"].as_f64().unwrap();
        assert!((probability - expected).abs() < 1e-4, "{probability}, expected {expected}");
        assert_eq!(line["label"], data.class_names()[usize::from(expected >= 0.5)]);
        assert!(line.get("truncated").is_none());

        let logit = line["logit"].as_f64().unwrap();
        let tokens = line["tokens"].as_array().unwrap();
        let sum: f64 = tokens.iter().map(|token| token["score"].as_f64().unwrap()).sum();
        assert!((sum + f64::from(bias) - logit).abs() < 1e-3, "{sum} + {bias}, expected {logit}");
        for head in 0..2 {
            let attention = tokens.iter().map(|token| token["attention"][head].as_f64().unwrap());
            assert!((attention.sum::<f64>() - 1.0).abs() < 1e-4);
        }
        let text: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
        let reviews: Vec<&str> =
            LIKED.into_iter().zip(DISLIKED).flat_map(|(a, b)| [a, b]).collect();
        assert_eq!(text, reviews[row]);
        let ids: Vec<u32> =
            tokens.iter().map(|token| token["id"].as_u64().unwrap() as u32).collect();
        assert_eq!(ids, fixture.model.tokenizer.encode(reviews[row]).unwrap().ids);
    }

    // What eval reports is what the scores give.
    let rows: Vec<f64> = lines
        .iter()
        .map(|line| line["probability"].as_f64().unwrap())
        .flat_map(|probability| [1.0 - probability, probability])
        .collect();
    let report = ClassificationReport::new(data.labels(), &rows, 2, 42).unwrap();
    let found = fixture.eval(&["--probe", "attention_state.npz", "--data", "reviews.csv"]);
    assert_same_report(&found, &report);
}

#[test]
fn a_probe_with_a_hidden_layer_scores_no_token() {
    let fixture = Fixture::new();
    let data = fixture.reviews();
    let (saved, _) = fixture.train(&data, &MlpProbeConfig::new(D_MODEL, 2).into());
    fixture.save(&saved, "mlp");
    let lines =
        score_lines(fixture.path(), &["score", "--probe", "mlp_state.npz"], b"a warm film\n");
    assert!(lines[0]["logit"].is_number());
    let token = lines[0]["tokens"][0].as_object().unwrap();
    assert!(token["attention"].is_null() && token["score"].is_null());
}

#[test]
fn lines_of_stdin_are_texts_or_objects_and_a_bad_one_stops_nothing() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    let args = ["score", "--probe", "attention_state.npz", "--no-tokens"];
    let long = "the dog ran home. ".repeat(100);
    let input = [
        "great\n".as_bytes(),
        br#"{"text": "great", "id": 3}"#,
        b"\n\n{\"txt\": 1}\n\xff\n",
        long.as_bytes(),
        b"\r\ngreat",
    ]
    .concat();
    let lines = score_lines(fixture.path(), &args, &input);
    assert_eq!(lines.len(), 7);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], index);
        assert!(line.get("tokens").is_none());
    }
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4;
    assert!(close(&lines[0]["logit"], &lines[1]["logit"]));
    assert!(close(&lines[0]["logit"], &lines[6]["logit"]));
    assert_eq!(lines[2], serde_json::json!({ "index": 2, "error": "empty text" }));
    assert!(lines[3]["error"].as_str().unwrap().contains("missing field `text`"));
    assert_eq!(lines[4]["error"], "the line is not UTF-8");
    assert_eq!(lines[5]["truncated"], true);

    saved.metadata.threshold = 0.0;
    fixture.save(&saved, "attention");
    let lines = score_lines(fixture.path(), &args, b"awful\ngreat\n");
    assert!(lines.iter().all(|line| line["label"] == "pos"));
    let cut = [&args[..3], &["--max-tokens", "2"]].concat();
    let lines = score_lines(fixture.path(), &cut, b"a warm and wonderful film\n");
    assert_eq!(lines[0]["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(lines[0]["truncated"], true);
}

#[test]
fn texts_are_cut_as_in_training_by_eval_and_score_alike() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    saved.metadata.max_tokens = Some(2);
    fixture.save(&saved, "short");
    let args = ["score", "--probe", "short_state.npz", "--data", "reviews.csv"];
    let lines = parse_lines(&succeed(fixture.path(), &args));
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

#[test]
fn a_line_is_answered_before_the_next_is_sent_and_a_closed_pipe_is_quiet() {
    let fixture = Fixture::new();
    fixture.attention();
    let args = ["score", "--probe", "attention_state.npz"];
    let mut child = command(fixture.path(), &args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for index in 0..2 {
        writeln!(stdin, "a good story").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["index"], index);
    }
    drop(stdout);
    writeln!(stdin, "nobody reads this").unwrap();
    drop(stdin);
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert!(status.success());
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn empty_rows_of_a_file_keep_their_place() {
    let fixture = Fixture::new();
    fixture.attention();
    fs::write(
        fixture.path().join("t.jsonl"),
        "{\"t\": \"great\"}\n{\"t\": \" \"}\n{\"t\": \"bad\"}\n",
    )
    .unwrap();
    let args = ["score", "--probe", "attention_state.npz", "--data", "t.jsonl", "--text", "t"];
    let lines = parse_lines(&succeed(fixture.path(), &args));
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], serde_json::json!({ "index": 1, "error": "empty text" }));
    let tokens = lines[2]["tokens"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(text, "bad");
}

#[test]
fn a_probe_for_another_model_is_refused() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo/demo-gpt2");
    let demo = demo.display().to_string();
    let eval = |probe: &str, flags: &[&str]| {
        let args = ["eval", "--probe", probe, "--data", "reviews.csv"];
        args.iter().chain(flags).map(|arg| (*arg).to_owned()).collect::<Vec<String>>()
    };
    let refused_with = |probe: &str, flags: &[&str], expected: &[&str]| {
        let args = eval(probe, flags);
        let stderr = refused(fixture.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
        for part in expected {
            assert!(stderr.contains(part), "{flags:?}: {stderr}");
        }
    };
    let good = "attention_state.npz";
    refused_with(good, &["--layer", "2"], &["`--layer 2` contradicts", "layer `1`"]);
    refused_with(good, &["--component", "z"], &["`--component z` contradicts"]);
    refused_with(good, &["--component", "zz"], &["zz"]);
    refused_with(good, &["--model", "demo-gpt3"], &["`demo-gpt3` is neither"]);
    succeed(fixture.path(), &["eval", "--probe", good, "--data", "reviews.csv", "--layer", "1"]);

    let revision = fixture.model.revision.clone();
    saved.metadata.model.as_mut().unwrap().revision = Some("0123456789abcdef".to_owned());
    fixture.save(&saved, "revision");
    let other = "revision_state.npz";
    let parts = ["probe for another model", "012345678", &revision[..12], "--allow-other-revision"];
    refused_with(other, &[], &parts);
    let args = eval(other, &["--allow-other-revision"]);
    succeed(fixture.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
    refused_with(
        other,
        &["--model", &demo, "--allow-other-revision"],
        &["probe for another model", "leave out `--model`"],
    );

    saved.metadata.model.as_mut().unwrap().revision = None;
    fixture.save(&saved, "name");
    refused_with("name_state.npz", &["--model", &demo], &["contradicts", "model `demo-gpt2`"]);
    saved.metadata.layer = Some(4);
    fixture.save(&saved, "layer");
    refused_with("layer_state.npz", &[], &["reads layer 4, but `demo-gpt2` has 4 layers"]);
    saved.metadata.task = Some("parity".to_owned());
    fixture.save(&saved, "task");
    refused_with("task_state.npz", &[], &["its task `parity` is unknown"]);
}

#[test]
fn wrong_files_are_named_with_exit_code_2() {
    let fixture = Fixture::new();
    fixture.attention();
    let path = |name: &str| fixture.path().join(name);
    let bytes = fs::read(path("attention_state.npz")).unwrap();
    fs::write(path("cut_state.npz"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(path("unknown.csv"), "text,label\ngood,pos\nmiddling,meh\n").unwrap();
    fs::write(path("alike.csv"), "text,label\ngood,pos\nbetter,pos\n").unwrap();
    let good = "attention_state.npz";
    let cases: [(&[&str], &str); 9] = [
        (&["eval", "--probe", "cut_state.npz", "--data", "reviews.csv"], "`cut_state.npz`"),
        (&["score", "--probe", "cut_state.npz"], "`cut_state.npz` is not a readable npz"),
        (&["score", "--probe", "no_state.npz"], "cannot read `no_state.npz`"),
        (
            &["eval", "--probe", good, "--data", "reviews.csv", "--label", "lable"],
            "`reviews.csv` line 1 has no column `lable`; columns: `text`, `label`",
        ),
        (
            &["eval", "--probe", good, "--data", "unknown.csv"],
            "`unknown.csv`: label `meh` is no class of the probe, whose classes are `neg`, `pos`",
        ),
        (&["eval", "--probe", good, "--data", "alike.csv"], "every label of `alike.csv` is `pos`"),
        (&["score", "--probe", good, "--data", "missing.csv"], "cannot read `missing.csv`"),
        (
            &["score", "--probe", good, "--data", "a.csv", "--activations", "a.npz"],
            "cannot be used",
        ),
        (&["eval", "--probe", good], "--data"),
    ];
    for (args, expected) in cases {
        let stderr = refused(fixture.path(), args);
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
}
