//! Logits beyond what a probability resolves are ranked as they are.

use std::fs;
use std::path::Path;

use attention_probes_probes::{
    Linear, ParamArray, ProbeConfig, ProbeMetadata, ProbeState, SavedProbe,
};
use serde_json::Value;

use crate::call;

/// Saves a probe whose logit is the one number of a row.
fn identity(folder: &Path) {
    let weight = ParamArray { shape: vec![1, 1], values: vec![1.0] };
    let state = ProbeState::from([
        ("weight".to_owned(), weight),
        ("bias".to_owned(), ParamArray::zeros(&[1])),
    ]);
    let classes = ["0", "1"].map(str::to_owned).to_vec();
    let metadata = ProbeMetadata::new(ProbeConfig::new(Linear::default(), 1, 2), classes);
    SavedProbe { state, metadata }.save(folder, "identity").unwrap();
}

#[test]
fn eval_ranks_saturated_logits_as_scikit_learn_does() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/saturated");
    let text = fs::read(golden.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    identity(folder.path());
    for name in ["shifted", "wide"] {
        let data = golden.join(format!("{name}.npz")).display().to_string();
        let args = ["eval", "--probe", "identity_state.npz", "--activations", &data, "--json"];
        let (text, _) = call::succeed(&mut call::command(folder.path(), &args));
        let found: Value = serde_json::from_str(&text).unwrap();
        for (metric, expected) in expected[name].as_object().unwrap() {
            let found =
                if metric.starts_with("tpr") { &found[metric]["tpr"] } else { &found[metric] };
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-9, "{metric} of {name}: {found}, {expected}");
        }
        // A threshold is a logit, and one that occurs.
        let threshold = found["tpr_at_5_percent_fpr"]["threshold"].as_f64().unwrap();
        assert!(threshold > 40.0, "{threshold}");
    }
}
