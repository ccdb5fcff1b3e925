//! A saved probe beside activations: it takes its own place of them, and refuses those of another
//! model, place, or convention.

use attention_probes_activations::{Component, Place};
use attention_probes_models::Convention;
use attention_probes_probes::{Linear, ProbeConfig, ProbeState, SavedProbe};
use serde_json::Value;

use crate::trained_probe::fixture::{D_MODEL, Fixture};

const HOOKS: &str = "blocks.0.hook_resid_post,blocks.1.hook_resid_post";

/// Extracts the reviews at two layers, of a model and a convention.
fn extract(fixture: &Fixture, output: &str, more: &[&str]) {
    let args = ["extract", "--data", "reviews.csv", "--output", output];
    let model: &[&str] = if more.contains(&"--model") { &[] } else { &["--model", "demo-gpt2"] };
    let hooks: &[&str] = if more.contains(&"--hooks") { &[] } else { &["--hooks", HOOKS] };
    fixture.succeed(&[&args[..], model, hooks, more].concat());
}

fn logits(lines: &str) -> Vec<f64> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    lines.lines().map(|text| line(text)["logit"].as_f64().unwrap()).collect()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
    }
}

#[test]
fn every_form_that_extract_writes_is_scored_as_its_texts() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    saved.metadata.layer = Some(0);
    fixture.save(&saved, "lower");
    let probes = ["score", "--no-tokens", "--probe", "attention_state.npz", "lower_state.npz"];
    let both = |args: &[&str]| {
        let lines = fixture.succeed(&[&probes[..], args].concat());
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            [0, 1].map(|probe| line["probes"][probe]["logit"].as_f64().unwrap())
        };
        lines.lines().flat_map(line).collect::<Vec<f64>>()
    };
    let expected = both(&["--data", "reviews.csv"]);
    assert_eq!(expected.len(), 24);
    let eval = ["--probe", "attention_state.npz"];
    let of_texts = fixture.eval(&[&eval[..], &["--data", "reviews.csv"]].concat());
    for output in ["acts", "acts.npz", "acts.safetensors"] {
        extract(&fixture, output, &[]);
        // Each probe reads its own layer.
        assert_close(&both(&["--activations", output]), &expected);
        let found = fixture.eval(&[&eval[..], &["--activations", output]].concat());
        for key in ["n_examples", "classes", "confusion"] {
            assert_eq!(found[key], of_texts[key], "{output} {key}");
        }
    }
}

#[test]
fn a_probe_of_joined_layers_takes_them_side_by_side() {
    let fixture = Fixture::new();
    let data = fixture.reviews();
    let (narrow, _) = fixture.train(&data, &ProbeConfig::new(Linear::default(), D_MODEL, 2));
    let mut metadata = narrow.metadata.clone();
    metadata.config = ProbeConfig::new(Linear::default(), 2 * D_MODEL, 2);
    (metadata.layer, metadata.layers) = (None, Some(vec![0, 1]));
    let mut state = ProbeState::new();
    for (name, mut array) in narrow.state {
        if name == "weight" {
            array.shape = vec![1, 2 * D_MODEL];
            let other: Vec<f32> = array.values.iter().map(|weight| weight / -2.0).collect();
            array.values.extend(other);
        }
        state.insert(name, array);
    }
    fixture.save(&SavedProbe { state, metadata }, "joined");
    let score = |args: &[&str]| {
        let probe = ["score", "--no-tokens", "--probe", "joined_state.npz"];
        logits(&fixture.succeed(&[&probe[..], args].concat()))
    };
    let expected = score(&["--data", "reviews.csv"]);
    for output in ["acts", "acts.npz"] {
        extract(&fixture, output, &[]);
        assert_close(&score(&["--activations", output]), &expected);
    }
    let place = Place::new([0, 1], Component::ResidPost, Convention::Raw);
    assert_eq!(place.to_string(), "L00+L01-resid_post");
    extract(&fixture, "one", &["--hooks", "blocks.1.hook_resid_post"]);
    let refused =
        fixture.refused(&["score", "--probe", "joined_state.npz", "--activations", "one"]);
    assert!(refused.contains("it reads `blocks.0.hook_resid_post`, which `one` does not have"));
}

#[test]
fn activations_of_another_model_layer_or_convention_are_refused() {
    let fixture = Fixture::new();
    let (mut saved, ..) = fixture.attention();
    extract(&fixture, "gemma", &["--model", "demo-gemma"]);
    extract(&fixture, "processed.npz", &["--convention", "tl_processed"]);
    extract(&fixture, "other.safetensors", &["--hooks", "blocks.3.hook_resid_post"]);
    for (path, expected) in [
        ("gemma", "it is a probe for another model: it was trained on `demo-gpt2` of revision "),
        (
            "processed.npz",
            "it reads activations of the convention `raw`, but those of `processed.npz` are \
             `tl_processed`; give activations of the convention `raw`",
        ),
        (
            "other.safetensors",
            "it reads `blocks.1.hook_resid_post`, which `other.safetensors` does not have; hooks \
             there: `blocks.3.hook_resid_post`",
        ),
    ] {
        for command in ["eval", "score"] {
            let args = [command, "--probe", "attention_state.npz", "--activations", path];
            let stderr = fixture.refused(&args);
            assert!(stderr.contains(expected), "{path}: {stderr}");
        }
    }
    // Weights that have changed since, under the same name.
    saved.metadata.model.as_mut().unwrap().revision = Some("0123456789abcdef".to_owned());
    fixture.save(&saved, "older");
    extract(&fixture, "acts.npz", &[]);
    let args = ["eval", "--probe", "older_state.npz", "--activations", "acts.npz"];
    let stderr = fixture.refused(&args);
    assert!(stderr.contains("give `--allow-other-revision` to go on"), "{stderr}");
    fixture.succeed(&[&args[..], &["--allow-other-revision"]].concat());
}
