//! The demo.

use serde_json::Value;

use crate::call::{command, succeed};
use crate::fixture::{page, read};

#[test]
fn the_demo_takes_pairs_from_an_induction_head() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // The autoencoder hardly learns anything in so many tokens, but everything else is as ever.
    let (json, _) = succeed(&mut command(path, &["demo", "--tokens", "20000", "--json"]));
    let found: Value = serde_json::from_str(&json).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let best = &found["induction_scores"][0];
    assert_eq!((&best[0], &best[1]), (&found["layer"], &found["head"]));
    assert!(number(&best[2]) > 0.5, "{best}");
    let arms = found["ablation"].as_array().unwrap();
    assert_eq!(arms.len(), 9);
    let of = |arm: usize, name: &str| number(&arms[arm]["repeated"][name]);
    assert_eq!(arms[0]["removed"], "nothing");
    assert_eq!(arms[8]["removed"], "the scores");
    // Without its scores the head does not know where to look, and the model feels it.
    assert!(of(8, "attention") < 0.1 * of(0, "attention"), "{json}");
    assert!(of(8, "loss_nats") > 2.0 * of(0, "loss_nats"), "{json}");
    // The control has as much magnitude, as far as there are pairs for it.
    for arm in [1, 4] {
        let (share, matched) = (number(&arms[arm]["share"]), number(&arms[arm + 1]["share"]));
        assert!(share > 0.0 && (matched / share - 1.0).abs() < 0.5, "{share} {matched}");
    }
    let run = path.join("results/fra-demo-gpt2");
    assert!(run.join("sae.html").exists());
    for head in found["heads"].as_array().unwrap() {
        let (layer, number, n) = (&head["layer"], &head["head"], &head["n_texts"]);
        let name = format!("accumulated_fra_L{layer}H{number}_N{n}");
        assert_eq!(read(run.join(format!("{name}.json"))), *head);
        let drawn = page(run.join(format!("{name}.html")));
        assert_eq!(drawn["sae_page"], "sae.html");
        for sample in drawn["samples"].as_array().unwrap() {
            assert!(run.join(sample["page"].as_str().unwrap()).exists(), "{sample}");
        }
    }
}
