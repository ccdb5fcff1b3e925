//! `probe score` says for every text what the probe says, and what each token adds.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};

use attention_probes_metrics::{Bootstrap, ClassScores, ClassificationReport};
use attention_probes_probes::{Mlp, ProbeConfig};
use serde_json::Value;

use crate::call::command;
use crate::trained_probe::eval::assert_same_report;
use crate::trained_probe::fixture::{D_MODEL, DISLIKED, Fixture, LIKED};

/// Runs `probe score` on some lines of stdin.
fn score_lines(fixture: &Fixture, args: &[&str], lines: &[u8]) -> Vec<Value> {
    let mut child = command(fixture.path(), args)
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

pub(crate) fn parse_lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scores_equal_the_evaluation_and_tokens_add_up_to_the_logit() {
    let fixture = Fixture::new();
    let (saved, evaluation, data) = fixture.attention();
    let args = ["score", "--probe", "attention_state.npz", "--data", "reviews.csv"];
    let lines = parse_lines(&fixture.succeed(&args));
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
        let last = tokens.last().unwrap()["running_probability"].as_f64().unwrap();
        assert!((last - probability).abs() < 1e-6, "{last}, expected {probability}");
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
    let logits: Vec<f64> = lines.iter().map(|line| line["logit"].as_f64().unwrap()).collect();
    let scores = ClassScores::from_logits(&logits, 2).unwrap();
    let bootstrap = Bootstrap { seed: 42, ..Bootstrap::default() };
    let report = ClassificationReport::new(data.classes(), &scores, &bootstrap).unwrap();
    let found = fixture.eval(&["--probe", "attention_state.npz", "--data", "reviews.csv"]);
    assert_same_report(&found, &report);
}

#[test]
fn a_probe_with_a_hidden_layer_scores_no_token() {
    let fixture = Fixture::new();
    let data = fixture.reviews();
    let (saved, _) = fixture.train(&data, &ProbeConfig::new(Mlp::default(), D_MODEL, 2));
    fixture.save(&saved, "mlp");
    let lines = score_lines(&fixture, &["score", "--probe", "mlp_state.npz"], b"a warm film\n");
    assert!(lines[0]["logit"].is_number());
    let token = lines[0]["tokens"][0].as_object().unwrap();
    assert!(token["attention"].is_null() && token["score"].is_null());
    let last = lines[0]["tokens"].as_array().unwrap().last().unwrap();
    let (running, whole) = (&last["running_probability"], &lines[0]["probability"]);
    assert!((running.as_f64().unwrap() - whole.as_f64().unwrap()).abs() < 1e-6);
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
    let lines = score_lines(&fixture, &args, &input);
    assert_eq!(lines.len(), 7);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], index);
        assert!(line.get("tokens").is_none());
    }
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4;
    assert!(close(&lines[0]["logit"], &lines[1]["logit"]));
    assert!(close(&lines[0]["logit"], &lines[6]["logit"]));
    assert_eq!(lines[2], serde_json::json!({ "index": 2, "error": "empty text" }));
    assert!(lines[3]["error"].as_str().unwrap().contains("`text` is missing"));
    assert_eq!(lines[4]["error"], "the line is not UTF-8");
    assert_eq!(lines[5]["truncated"], true);

    saved.metadata.threshold = 0.0;
    fixture.save(&saved, "attention");
    let lines = score_lines(&fixture, &args, b"awful\ngreat\n");
    assert!(lines.iter().all(|line| line["label"] == "pos"));
    let cut = [&args[..3], &["--max-tokens", "2"]].concat();
    let lines = score_lines(&fixture, &cut, b"a warm and wonderful film\n");
    assert_eq!(lines[0]["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(lines[0]["truncated"], true);
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
    let lines = parse_lines(&fixture.succeed(&args));
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], serde_json::json!({ "index": 1, "error": "empty text" }));
    let tokens = lines[2]["tokens"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(text, "bad");
}

#[test]
fn several_probes_read_one_forward_pass_and_say_what_each_says_alone() {
    let fixture = Fixture::new();
    let (mut attention, _, data) = fixture.attention();
    let (mlp, _) = fixture.train(&data, &ProbeConfig::new(Mlp::default(), D_MODEL, 2));
    fixture.save(&mlp, "mlp");
    attention.metadata.layer = Some(3);
    fixture.save(&attention, "higher");
    let names = ["attention", "mlp", "higher"];
    let files = names.map(|name| format!("{name}_state.npz"));
    let args = ["score", "--data", "reviews.csv", "--probe"];
    let all = fixture.succeed(&[&args[..], &files.each_ref().map(String::as_str)].concat());
    let all = parse_lines(&all);
    assert_eq!(all.len(), 12);
    for (index, (name, file)) in names.iter().zip(&files).enumerate() {
        let alone = parse_lines(&fixture.succeed(&[&args[..], &[file]].concat()));
        for (mut all, alone) in all.iter().cloned().zip(alone) {
            assert_eq!(all["index"], alone["index"]);
            let mut said = all["probes"][index].take();
            assert_eq!(said["probe"], *name);
            said.as_object_mut().unwrap().remove("probe");
            let mut alone = alone;
            alone.as_object_mut().unwrap().remove("index");
            assert_eq!(said, alone);
        }
    }
    let stray = [&args[..], &[&files[0], "stray_state.npz"]].concat();
    attention.metadata.model.as_mut().unwrap().revision = Some("0".repeat(64));
    fixture.save(&attention, "stray");
    assert!(fixture.refused(&stray).contains("it is a probe for another model"));
}
