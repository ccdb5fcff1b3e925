//! `probe score --stream` answers every activation as the whole text so far is scored.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use attention_probes_metrics::{
    Calibrator, Deferral, DeferralTarget, FprThreshold, Guarantee, Temperature,
};
use attention_probes_probes::{Linear, ProbeConfig, SavedProbe, StreamingProbe};
use serde_json::{Value, json};

use crate::call::command;
use crate::trained_probe::fixture::{D_MODEL, Fixture};

/// A stream that is held open; what is said is answered at once.
struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Talk {
    fn start(fixture: &Fixture, args: &[&str]) -> Self {
        let args = [&["score", "--stream", "--probe"], args].concat();
        let mut child = command(fixture.path(), &args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Says a line and waits for its answer.
    fn say(&mut self, line: &str) -> Value {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn push(&mut self, stream: &str, x: &[f32]) -> Value {
        self.say(&json!({ "stream": stream, "x": x }).to_string())
    }

    fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// An activation that differs from token to token and text to text.
fn activation(text: usize, token: usize) -> Vec<f32> {
    (0..D_MODEL).map(|d| ((7 * text + 3 * token + d) as f32).sin()).collect()
}

#[test]
fn texts_are_read_side_by_side_and_answered_as_they_come() {
    let fixture = Fixture::new();
    let (saved, ..) = fixture.attention();
    let mut talk = Talk::start(&fixture, &["attention_state.npz"]);
    let blank = StreamingProbe::from_saved(&saved).unwrap();
    let mut readers = [blank.clone(), blank];
    for token in 0..5 {
        for (text, reader) in readers.iter_mut().enumerate() {
            let x = activation(text, token);
            let answer = talk.push(["a", "b"][text], &x);
            let expected = f64::from(reader.push(&x)[0]);
            let found = answer["logit"].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
            assert_eq!(answer["stream"], ["a", "b"][text]);
            assert_eq!(answer["position"], token);
        }
    }
    let ended = talk.say(r#"{"stream": "a", "end": true}"#);
    assert_eq!(ended, json!({ "stream": "a", "ended": true, "n_tokens": 5 }));
    // The text begins again, while the other goes on.
    assert_eq!(talk.push("a", &activation(0, 0))["position"], 0);
    assert_eq!(talk.push("b", &activation(1, 5))["position"], 5);
    talk.end();
}

#[test]
fn a_bad_line_is_answered_and_changes_no_text() {
    let fixture = Fixture::new();
    fixture.attention();
    let mut talk = Talk::start(&fixture, &["attention_state.npz", "--max-streams", "1"]);
    let first = talk.push("", &activation(0, 0));
    for (line, expected) in [
        ("great", "not an object with `stream` and `x` or `end`"),
        (r#"{"y": 1}"#, "unknown key `y`"),
        ("{}", "neither `x` nor `end`"),
        (r#"{"x": [1.0, 2.0]}"#, "`x` has 2 numbers, but probe `attention` reads 160"),
        (r#"{"x": {"blocks.0.hook_resid_post": []}}"#, "`x` has no `blocks.1.hook_resid_post`"),
        (r#"{"stream": "other", "x": [1.0]}"#, "`x` has 1 numbers"),
    ] {
        let answer = talk.say(line);
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{line}: {answer}"));
        assert!(error.contains(expected), "{line}: {error}");
    }
    let mut infinite = json!({ "x": activation(0, 1) });
    infinite["x"][3] = json!(1e300);
    let answer = talk.say(&infinite.to_string());
    assert!(answer["error"].as_str().unwrap().contains("not finite"), "{answer}");
    let answer = talk.push("other", &activation(0, 0));
    assert_eq!(answer["error"], "1 streams are open; end one, or raise `--max-streams`");
    let by_hook = json!({ "x": { "blocks.1.hook_resid_post": activation(0, 1) } });
    assert_eq!(talk.say(&by_hook.to_string())["position"], 1);
    // With `end`, the same line gives the last token and ends the text.
    let last = json!({ "x": activation(0, 2), "end": true });
    assert_eq!(talk.say(&last.to_string())["position"], 2);
    assert_eq!(talk.push("", &activation(0, 0)), first);
    talk.end();
}

#[test]
fn several_probes_take_the_activations_of_their_own_hooks() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    saved.metadata.layer = Some(3);
    fixture.save(&saved, "higher");
    let mut talk = Talk::start(&fixture, &["attention_state.npz", "higher_state.npz"]);
    let mut readers = [0, 1].map(|_| StreamingProbe::from_saved(&saved).unwrap());
    for token in 0..3 {
        let x = [activation(0, token), activation(1, token)];
        let line = json!({ "x": {
            "blocks.1.hook_resid_post": x[0], "blocks.3.hook_resid_post": x[1],
        } });
        let answer = talk.say(&line.to_string());
        assert_eq!(answer["position"], token);
        for (index, name) in ["attention", "higher"].iter().enumerate() {
            let said = &answer["probes"][index];
            assert_eq!(said["probe"], *name);
            let expected = f64::from(readers[index].push(&x[index])[0]);
            assert!((said["logit"].as_f64().unwrap() - expected).abs() < 1e-6);
        }
    }
    talk.end();
}

/// A probe whose logit is the mean of the first number, with what is fitted on its logits.
fn fitted(fixture: &Fixture) -> SavedProbe {
    let data = fixture.reviews();
    let (mut saved, _) = fixture.train(&data, &ProbeConfig::new(Linear::default(), D_MODEL, 2));
    for (name, array) in &mut saved.state {
        array.values.fill(0.0);
        if name == "weight" {
            array.values[0] = 1.0;
        }
    }
    let logits: Vec<f64> = (0..80).map(|i| f64::from(i) / 10.0 - 4.0).collect();
    let labels: Vec<bool> = (0..80).map(|i| i >= 60 || (i >= 20 && i % 2 == 0)).collect();
    let negatives: Vec<f64> =
        logits.iter().zip(&labels).filter(|(_, label)| !**label).map(|(z, _)| *z).collect();
    let guarantee = Guarantee::Marginal;
    let target = DeferralTarget { target_fpr: 0.1, target_fnr: 0.1, guarantee };
    saved.metadata.thresholds = vec![FprThreshold::fit(&negatives, 0.1, guarantee).unwrap()];
    saved.metadata.deferral = Some(Deferral::fit(&logits, &labels, target).unwrap());
    let temperature = Temperature::fit(&logits, &labels).unwrap();
    saved.metadata.calibrators = vec![Calibrator::Temperature(temperature)];
    saved
}

#[test]
fn the_probe_decides_by_what_was_fitted_for_it() {
    let fixture = Fixture::new();
    let saved = fitted(&fixture);
    fixture.save(&saved, "fitted");
    let metadata = &saved.metadata;
    let flags =
        ["fitted_state.npz", "--target-fpr", "0.1", "--defer", "--calibration", "temperature"];
    let mut talk = Talk::start(&fixture, &flags);
    let mut decisions = Vec::new();
    for step in 0..9 {
        let logit = step as f32 - 4.0;
        let mut x = vec![0.0; D_MODEL];
        x[0] = logit;
        let answer = talk.push(&step.to_string(), &x);
        let logit = f64::from(logit);
        let is_positive = metadata.thresholds[0].is_positive(logit);
        assert_eq!(answer["label"], metadata.class_names[usize::from(is_positive)]);
        let expected = metadata.calibrators[0].apply(logit);
        let found = answer["calibrated_probability"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12);
        decisions.push(answer["decision"].as_str().unwrap().to_owned());
    }
    talk.end();
    let mut kinds = decisions.clone();
    kinds.dedup();
    assert_eq!(kinds, ["negative", "defer", "positive"], "{decisions:?}");

    let refused = |flags: &[&str]| {
        fixture.refused(&[&["score", "--stream", "--probe", "fitted_state.npz"], flags].concat())
    };
    let error = refused(&["--target-fpr", "0.02"]);
    assert!(
        error.contains("no threshold for a false-positive rate of 0.02, but for 0.1"),
        "{error}"
    );
    let error = refused(&["--calibration", "platt"]);
    assert!(error.contains("it has no calibrator `platt`"), "{error}");
    fixture.attention();
    let error = fixture.refused(&["score", "--probe", "attention_state.npz", "--defer"]);
    assert!(error.contains("no two thresholds to defer by"), "{error}");
}

/// Lines to a stream that ends, and what it answers, its warnings, and its exit code.
fn stream(fixture: &Fixture, args: &[&str], lines: &[String]) -> (Vec<Value>, String, Option<i32>) {
    std::fs::write(fixture.path().join("in.jsonl"), lines.join("\n")).unwrap();
    let mut command = command(fixture.path(), &[&["score", "--stream", "--probe"], args].concat());
    command.stdin(std::fs::File::open(fixture.path().join("in.jsonl")).unwrap());
    let output = command.output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (answers, String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn a_first_line_says_what_the_stream_is_and_is_compared_with_the_probe() {
    let fixture = Fixture::new();
    fixture.attention();
    let probe = ["attention_state.npz"];
    let x = json!({ "x": activation(0, 0) }).to_string();
    let hook = "blocks.1.hook_resid_post";
    let good = json!({
        "model": "demo-gpt2", "revision": fixture.model.revision, "hooks": [hook],
        "convention": "raw",
    });
    let (answers, stderr, code) = stream(&fixture, &probe, &[good.to_string(), x.clone()]);
    assert_eq!(answers[0], json!({ "checked": ["model", "revision", "hooks", "convention"] }));
    assert_eq!((&answers[1]["position"], code), (&json!(0), Some(0)));
    assert!(!stderr.contains("does not say"), "{stderr}");
    // In the middle, it is no such line.
    let (answers, ..) = stream(&fixture, &probe, &[x.clone(), good.to_string()]);
    assert_eq!(answers[1]["error"], "what the activations are can be said in the first line alone");
    let (answers, stderr, _) = stream(&fixture, &probe, &[x.clone(), x.clone()]);
    assert_eq!(answers.len(), 2);
    assert_eq!(stderr.matches("the stream does not say what its activations are").count(), 1);
    let flags = ["attention_state.npz", "--model", "demo-gpt2", "--hooks", hook];
    let (_, stderr, code) = stream(&fixture, &flags, std::slice::from_ref(&x));
    assert!(!stderr.contains("does not say") && code == Some(0), "{stderr}");

    for (key, value, expected) in [
        ("model", json!("demo-gemma"), "it was trained on `demo-gpt2`"),
        ("revision", json!("0123"), "of revision 0123; give `--allow-other-revision` to go on"),
        ("convention", json!("tl_processed"), "but those of the stream are `tl_processed`"),
        ("convention", json!("folded"), "`convention` of the stream is `folded`, expected `raw`"),
        (
            "hooks",
            json!(["blocks.3.hook_resid_post"]),
            "it reads `blocks.1.hook_resid_post`, which the stream does not have; its hooks: \
             `blocks.3.hook_resid_post`",
        ),
        ("hook", json!(1), "it may have `model`, `revision`, `hooks`, a list, and `convention`"),
    ] {
        let mut header = json!({ "model": "demo-gpt2" });
        header[key] = value;
        let (answers, stderr, code) = stream(&fixture, &probe, &[header.to_string(), x.clone()]);
        assert!(answers.is_empty() && code == Some(2), "{header}: {stderr}");
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{header}: {stderr}");
    }
    let flags = ["attention_state.npz", "--convention", "tl_processed"];
    let (_, stderr, code) = stream(&fixture, &flags, std::slice::from_ref(&x));
    assert!(stderr.contains("the convention `raw`") && code == Some(2), "{stderr}");
    // The first line and a flag that contradict each other.
    let flags = ["attention_state.npz", "--hooks", &format!("{hook},hook_embed")];
    let (answers, stderr, code) = stream(&fixture, &flags, &[good.to_string(), x]);
    assert!(answers.is_empty() && code == Some(2), "{stderr}");
    assert!(stderr.contains("in the first line of the stream, but"), "{stderr}");
}

#[test]
fn a_probe_of_processed_numbers_or_joined_layers_must_be_told_that_it_gets_them() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    let x = json!({ "x": activation(0, 0) }).to_string();
    saved.metadata.convention = Some("tl_processed".to_owned());
    fixture.save(&saved, "processed");
    let (_, stderr, code) = stream(&fixture, &["processed_state.npz"], std::slice::from_ref(&x));
    assert!(stderr.contains("it reads activations of the convention `tl_processed`; begin"));
    assert_eq!(code, Some(2));
    let header = json!({ "convention": "tl_processed" }).to_string();
    let told = stream(&fixture, &["processed_state.npz"], &[header, x.clone()]);
    assert_eq!((&told.0[1]["position"], told.2), (&json!(0), Some(0)));

    // Half of the width each.
    saved.metadata.convention = None;
    (saved.metadata.layer, saved.metadata.layers) = (None, Some(vec![0, 2]));
    fixture.save(&saved, "joined");
    let probe = ["joined_state.npz"];
    let (answers, _, code) = stream(&fixture, &probe, &["not JSON".to_owned(), x.clone()]);
    assert!(answers[0]["error"].as_str().unwrap().contains("not an object"), "{answers:?}");
    let error = answers[1]["error"].as_str().unwrap();
    assert!(error.contains("reads 2 hooks side by side; give an object of lists"), "{error}");
    assert_eq!(code, Some(0));
    let hooks = ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"];
    let said = json!({ "hooks": hooks }).to_string();
    let expected = stream(&fixture, &probe, &[said.clone(), x.clone()]).0[1]["logit"].clone();
    assert!(expected.is_number());
    let values = activation(0, 0);
    let (low, high) = values.split_at(D_MODEL / 2);
    let by_hook = json!({ "x": { hooks[1]: high, hooks[0]: low } }).to_string();
    let (answers, ..) = stream(&fixture, &probe, &[by_hook, x.clone()]);
    assert_eq!(answers[0]["logit"], expected);
    // Every line for itself.
    assert!(answers[1]["error"].as_str().unwrap().contains("2 hooks side by side"));
    let flags = ["joined_state.npz", "--hooks", &hooks.join(",")];
    assert_eq!(stream(&fixture, &flags, std::slice::from_ref(&x)).0[0]["logit"], expected);
    // Side by side in another order.
    let said = json!({ "hooks": [hooks[1], hooks[0]] }).to_string();
    let (answers, ..) = stream(&fixture, &probe, &[said, x]);
    let error = answers[1]["error"].as_str().unwrap();
    assert!(error.contains("give an object of lists by hook"), "{error}");
}
