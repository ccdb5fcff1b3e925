//! One text.

use attention_probes_activations::read_npz;
use serde_json::Value;

use crate::call::{command, succeed};
use crate::fixture::{folder, page, read};

#[test]
fn the_scores_of_a_text_are_resolved() {
    let folder = folder();
    let path = folder.path();
    for (sae, n_heads) in [("two", 5), ("gemma", 4)] {
        let text = "The fox ran to the cat. The fox ran to the dog.";
        let args = ["sample", "--sae", sae, "--text", text];
        let (table, _) = succeed(&mut command(path, &args));
        assert!(table.contains("head 3:") && table.contains("the terms add up"), "{table}");
        let (json, _) = succeed(&mut command(
            path,
            &[&args[..], &["--json", "--output", "s.json", "--top", "5"]].concat(),
        ));
        let report: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(report, read(path.join("s.json")));
        assert_eq!(report["mode"], "exact");
        let heads = report["heads"].as_array().unwrap();
        assert_eq!(heads.len(), n_heads);
        for head in heads {
            let identity = &head["identity"];
            assert!(identity["largest_difference"].as_f64().unwrap() < 1e-4, "{identity}");
            assert_eq!(identity["terms"].as_object().unwrap().len(), 4);
            let pairs = head["pairs"].as_array().unwrap();
            assert_eq!(pairs.len(), 5);
            for pair in pairs {
                let entries = pair["entries"].as_array().unwrap();
                let sum: f64 = entries.iter().map(|entry| entry[2].as_f64().unwrap()).sum();
                let expected = pair["sum"].as_f64().unwrap();
                let size = pair["sum_abs"].as_f64().unwrap();
                assert!((sum - expected).abs() < 1e-4 * size, "{pair}");
                assert_eq!(entries.len() as u64, pair["count"].as_u64().unwrap());
            }
            assert_eq!(head["sources"].as_array().unwrap().len(), 5);
        }
        // The token before the text has no features, every other one has as many as there may be.
        let tokens = report["tokens"].as_array().unwrap();
        let n = |token: &Value| token["features"].as_array().unwrap().len();
        assert_eq!(n(&tokens[0]), 0);
        assert!(tokens[1..].iter().all(|token| n(token) == 6));
    }
    for sae in ["two", "gemma"] {
        let args = ["sample", "--sae", sae, "--text", "a fox and a fox", "--output", "one.html"];
        succeed(&mut command(path, &args));
        let drawn = page(path.join("one.html"));
        assert!(
            drawn["features"]
                .as_array()
                .unwrap()
                .iter()
                .all(|f| f["texts"] == Value::from([(); 0]))
        );
        // Other texts say where features are strongest.
        let (table, _) =
            succeed(&mut command(path, &[&args[..], &["--data", "texts.jsonl"]].concat()));
        let with_texts = page(path.join("one.html"));
        let known = with_texts["features"].as_array().unwrap();
        let known: Vec<&Value> = known.iter().filter(|f| f["label"] != "").collect();
        assert!(known.len() > 10, "{}", known.len());
        assert!(known.iter().all(|f| !f["texts"].as_array().unwrap().is_empty()));
        assert!(table.contains(known[0]["label"].as_str().unwrap()), "{table}");
        assert_eq!(with_texts["heads"], drawn["heads"]);
    }
    let args = ["sample", "--sae", "two", "--data", "texts.jsonl", "--row", "3", "--heads", "1"];
    let (json, _) = succeed(&mut command(path, &[&args[..], &["--json"]].concat()));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["heads"].as_array().unwrap().len(), 1);
    assert!(json.contains("bird"), "{json}");
}

#[test]
fn the_whole_tensor_of_a_text_is_written_as_arrays() {
    let folder = folder();
    let path = folder.path();
    let args = ["sample", "--sae", "two", "--text", "The fox ran to the cat.", "--heads", "0,3"];
    let args = [&args[..], &["--json", "--output", "text.npz"]].concat();
    let report: Value = serde_json::from_str(&succeed(&mut command(path, &args)).0).unwrap();
    let mut arrays = read_npz(path.join("text.npz")).unwrap();
    let n = report["tokens"].as_array().unwrap().len();
    assert_eq!(arrays["tokens"].shape, [n]);
    for head in report["heads"].as_array().unwrap() {
        let name = |what: &str| format!("head{}/{what}", head["head"]);
        let shape = arrays.remove(&name("shape")).unwrap().data.into_i64().unwrap();
        assert_eq!(shape, [n as i64, n as i64, 96, 96]);
        let values = arrays.remove(&name("values")).unwrap().data.into_f32().unwrap();
        let coords = arrays.remove(&name("coords")).unwrap();
        assert_eq!(coords.shape, [4, values.len()]);
        let coords = coords.data.into_i64().unwrap();
        let at = |row: usize, i: usize| coords[row * values.len() + i];
        // The entries of a pair in the report are the values of its coordinates.
        for pair in head["pairs"].as_array().unwrap() {
            let of = |i: &usize| {
                at(2, *i) == pair["query_feature"].as_i64().unwrap()
                    && at(3, *i) == pair["key_feature"].as_i64().unwrap()
            };
            let found: Vec<usize> = (0..values.len()).filter(of).collect();
            let entries = pair["entries"].as_array().unwrap();
            assert_eq!(found.len(), entries.len(), "{pair}");
            for entry in entries {
                let is_there = |i: &&usize| {
                    at(0, **i) == entry[0].as_i64().unwrap()
                        && at(1, **i) == entry[1].as_i64().unwrap()
                };
                let i = *found.iter().find(is_there).unwrap();
                let value = entry[2].as_f64().unwrap();
                assert!((f64::from(values[i]) - value).abs() < 1e-4 * value.abs().max(1.0));
            }
        }
    }
}
