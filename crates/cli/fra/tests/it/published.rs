//! What was published.

use serde_json::Value;

use crate::call::{command, refused, succeed};
use crate::fixture::folder;

#[test]
fn what_was_published_is_computed_only_where_it_is_asked_for() {
    let folder = folder();
    let path = folder.path();
    let args = ["accumulate", "--sae", "z", "--data", "texts.jsonl", "--heads", "0"];
    let error = refused(&mut command(path, &args));
    assert!(error.contains("do not read `blocks.2.attn.hook_z`"), "{error}");
    assert!(error.contains("`blocks.2.ln1.hook_normalized`"), "{error}");
    let (json, warning) =
        succeed(&mut command(path, &[&args[..], &["--published", "--json"]].concat()));
    assert!(warning.contains("add up to no score"), "{warning}");
    let found: Value = serde_json::from_str(&json).unwrap();
    let head = &found["heads"][0];
    assert_eq!(head["mode"], "published");
    let rankings: Vec<&String> = head["top"].as_object().unwrap().keys().collect();
    assert_eq!(rankings, ["mean"]);
    for pair in head["top"]["mean"].as_array().unwrap() {
        let number = |name: &str| pair[name].as_f64().unwrap();
        let mean = number("sum_abs") / number("count");
        assert!((number("score") - mean).abs() < 1e-9 * mean.max(1.0), "{pair}");
    }
    let (json, _) = succeed(&mut command(
        path,
        &["sample", "--sae", "z", "--text", "a fox", "--published", "--json"],
    ));
    let sample: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(sample["mode"], "published");
    assert!(sample["heads"][0].get("identity").is_none());
    // That code read 500 characters of a text.
    let long = "Yesterday the horse went back to the little café. ".repeat(12);
    let first: String = long.chars().take(500).collect();
    let tokens = |sae: &str, text: &str, flags: &[&str]| {
        let args = ["sample", "--sae", sae, "--max-tokens", "256", "--text", text, "--json"];
        let found: Value =
            serde_json::from_str(&succeed(&mut command(path, &[&args, flags].concat())).0).unwrap();
        found["tokens"].as_array().unwrap().len()
    };
    let expected = tokens("z", &first, &["--published"]);
    assert_eq!(tokens("z", &long, &["--published"]), expected);
    assert!(tokens("two", &long, &[]) > expected);
    let gemma = ["sample", "--sae", "gemma", "--text", "a fox", "--published"];
    assert!(refused(&mut command(path, &gemma)).contains("did not know models that turn"));
}
