//! SCR and TPP, with the probes that `sae-bench` trained.

use attention_probes_sae::SaeActivation;
use attention_probes_sae::eval::{
    PerturbationConfig, Sampling, ScrPair, ScrTexts, TrainTest, ablated_means, scr, tpp,
};

use crate::saebench::golden::{Golden, assert_close};

const N_VALUES: [usize; 4] = [2, 5, 20, 100];

fn config() -> PerturbationConfig {
    PerturbationConfig {
        n_values: N_VALUES.to_vec(),
        sampling: Sampling::InOrder,
        ..PerturbationConfig::default()
    }
}

#[test]
fn tpp_is_that_of_sae_bench() {
    let golden = Golden::read();
    let (train, test) = (golden.classes("train"), golden.classes("test"));
    let names = golden.names("tpp.train.names");
    let probes: Vec<_> =
        names.iter().map(|name| golden.probe(&format!("tpp.probe.{name}"))).collect();
    let found =
        tpp(&golden.sae(), TrainTest { train: &train, test: &test }, &probes, &config()).unwrap();
    let json = &golden.json["tpp"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    for (class, found_clean) in found.classes.iter().zip(&found.clean) {
        let name = &class.class;
        assert!((found_clean - number(&json["clean"][name])).abs() < 1e-3);
        let effects = golden.array(&format!("tpp.effects.{name}"));
        assert_close(&class.effects, &effects, 1e-4, &format!("effects of {name}"));
        for (i, n) in N_VALUES.iter().enumerate() {
            for (other, accuracy) in names.iter().zip(&class.accuracies[i]) {
                let expected = number(&json["ablated"][name][n.to_string()][other]);
                assert!((accuracy - expected).abs() < 1e-3, "{name} {n} {other} {accuracy}");
            }
            let key =
                |end: &str| number(&json["per_class"][name][format!("tpp_threshold_{n}_{end}")]);
            let score = class.scores[i];
            assert!((score.total_metric - key("total_metric")).abs() < 1e-3);
            assert!((score.intended_diff_only - key("intended_diff_only")).abs() < 1e-3);
            assert!((score.unintended_diff_only - key("unintended_diff_only")).abs() < 1e-3);
        }
    }
    for score in found.scores() {
        let key = format!("tpp_threshold_{}_total_metric", score.n);
        assert!((score.total_metric - number(&json["overall"][&key])).abs() < 1e-3, "{key}");
    }
    let selected = json["selected_top5_class0"].as_array().unwrap();
    let selected: Vec<u64> = selected.iter().map(|f| f.as_u64().unwrap()).collect();
    let chosen: Vec<u64> = found.classes[0].ablated[1].iter().map(|f| u64::from(*f)).collect();
    assert_eq!(chosen, selected);
}

#[test]
fn ablated_means_are_those_of_sae_bench() {
    let golden = Golden::read();
    // With larger biases features are active on zeros, and absent positions change the mean too.
    for (features, bias, name) in [
        ("selected_top5_class0", 0.0, "tpp.ablated.class0_top5.on_class1"),
        ("active_on_zeros", 0.5, "tpp.ablated.active_on_zeros.on_class1"),
    ] {
        let features = golden.json["tpp"][features].as_array().unwrap();
        let features: Vec<u32> = features.iter().map(|f| f.as_u64().unwrap() as u32).collect();
        let mut sae = golden.sae();
        let b_enc = golden.array("sae.b_enc").into_iter().map(|b| b + bias).collect();
        sae.activation = SaeActivation::Standard { b_enc };
        let found = ablated_means(&sae, &golden.texts("tpp.test.1"), &features).unwrap();
        assert_close(&found, &golden.array(name), 1e-4, name);
    }
}

#[test]
fn scr_is_that_of_sae_bench() {
    let golden = Golden::read();
    let texts = |split: &str| {
        let pair = |i: usize| ScrPair {
            positive: golden.texts(&format!("scr.{split}.{}", 2 * i)),
            negative: golden.texts(&format!("scr.{split}.{}", 2 * i + 1)),
        };
        ScrTexts { first: pair(0), second: pair(1), biased: pair(2) }
    };
    let probes: Vec<_> = (0..3).map(|i| golden.probe(&format!("scr.probe.{i}"))).collect();
    let sides = TrainTest { train: &texts("train"), test: &texts("test") };
    let found = scr(&golden.sae(), sides, &probes, &config()).unwrap();
    let names = golden.names("scr.train.names");
    let names: Vec<&String> = names.iter().step_by(2).collect();
    let json = &golden.json["scr"];
    let key = |data: usize, probe: usize| {
        if data == probe {
            names[data].clone()
        } else {
            format!("{} probe on {} data", names[probe], names[data])
        }
    };
    let check = |found: &[[f64; 3]; 3], expected: &serde_json::Value, what: &str| {
        for (data, row) in found.iter().enumerate() {
            for (probe, accuracy) in row.iter().enumerate() {
                let expected = expected[key(data, probe)].as_f64().unwrap();
                let key = key(data, probe);
                assert!((accuracy - expected).abs() < 1e-3, "{what} {key}: {accuracy} {expected}");
            }
        }
    };
    check(&found.clean, &json["clean"], "clean");
    for (i, ablation) in found.ablations.iter().enumerate() {
        let effects = golden.array(&format!("scr.effects.{i}"));
        assert_close(&ablation.effects, &effects, 1e-4, &format!("effects of {}", names[i]));
        for (n, accuracies) in N_VALUES.iter().zip(&ablation.accuracies) {
            check(accuracies, &json["ablated"][names[i]][n.to_string()], &format!("{i} {n}"));
        }
    }
    for score in &found.scores {
        let number = |name: &str| {
            json["scores"][format!("scr_{name}_threshold_{}", score.n)].as_f64().unwrap()
        };
        assert!((score.dir1 - number("dir1")).abs() < 1e-3, "{score:?}");
        assert!((score.dir2 - number("dir2")).abs() < 1e-3, "{score:?}");
        assert!((score.metric.unwrap() - number("metric")).abs() < 1e-3, "{score:?}");
    }
}
