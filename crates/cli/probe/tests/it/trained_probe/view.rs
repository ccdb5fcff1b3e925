//! `probe view`.

use std::fs;

use attention_probes_probes::{Mlp, ProbeConfig};

use crate::page_data::data_of;
use crate::trained_probe::fixture::{D_MODEL, Fixture};

#[test]
fn a_page_says_of_every_text_and_probe_what_the_probe_says() {
    let fixture = Fixture::new();
    let (_, evaluation, _) = fixture.attention();
    let (mlp, _) = fixture.train(&fixture.reviews(), &ProbeConfig::new(Mlp::default(), D_MODEL, 2));
    fixture.save(&mlp, "mlp");
    let output = fixture.succeed(&[
        "view",
        "--probe",
        "attention_state.npz",
        "mlp_state.npz",
        "--data",
        "reviews.csv",
        "--output",
        "view.html",
        "--title",
        "</script><script>alert(1)</script>",
    ]);
    assert!(output.contains("2 probes, 12 texts"), "{output}");
    let html = fs::read_to_string(fixture.path().join("view.html")).unwrap();
    assert!(!html.contains("<script>alert"));
    let page = data_of(&html);
    assert_eq!(page["probes"][0]["kind"], "attention");
    assert_eq!(page["probes"][0]["n_heads"], 2);
    assert_eq!(page["probes"][1]["kind"], "mlp");
    for (row, text) in page["texts"].as_array().unwrap().iter().enumerate() {
        assert_eq!(text["row"], row);
        assert!(["pos", "neg"].contains(&text["label"].as_str().unwrap()));
        let n_tokens = text["tokens"].as_array().unwrap().len();
        let reading = &text["readings"][0];
        let expected = evaluation.probabilities[2 * row + 1];
        let found = reading["probabilities"][1].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
        assert_eq!(reading["pattern"].as_array().unwrap().len(), 2);
        for reading in text["readings"].as_array().unwrap() {
            let running = reading["prefix_probabilities"].as_array().unwrap();
            assert_eq!(running.len(), n_tokens);
            let (last, whole) = (running.last().unwrap(), &reading["probabilities"][1]);
            assert!((last.as_f64().unwrap() - whole.as_f64().unwrap()).abs() < 1e-3);
        }
        assert!(text["readings"][1]["contributions"].is_null());
    }
}

#[test]
fn texts_without_labels_have_a_page_too_and_a_folder_is_no_page() {
    let fixture = Fixture::new();
    fixture.attention();
    fs::write(fixture.path().join("plain.csv"), "text\na warm film\na cold film\n").unwrap();
    let args = ["view", "--probe", "attention_state.npz", "--data", "plain.csv", "--output"];
    let output = fixture.succeed(&[&args[..], &["plain.html", "--max-texts", "1"]].concat());
    assert!(output.contains("1 probes, 1 texts"), "{output}");
    let page = data_of(&fs::read_to_string(fixture.path().join("plain.html")).unwrap());
    assert!(page["texts"][0]["label"].is_null());

    let error = fixture.refused(&[&args[..], &["."]].concat());
    assert_eq!(error, "error: `.` is a folder, name a file in it\n");
    let error = fixture.refused(&[&args[..], &["x.html", "--label", "mood"]].concat());
    assert!(error.contains("has no column `mood`"), "{error}");
}
