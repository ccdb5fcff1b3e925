//! Absorption word by word.

use attention_probes_probes::LinearReadout;
use attention_probes_sae::eval::{
    AbsorptionConfig, AbsorptionProbes, ClassifiedWords, Concept, SelectionConfig, TrainTest,
    absorption, train_selection, word_absorption,
};
use serde_json::Value;

use crate::saebench::golden::{Golden, assert_close};

#[test]
fn fractions_and_full_absorptions_are_those_of_sae_bench() {
    let golden = Golden::read();
    let json = &golden.json["absorption"];
    let main: Vec<u32> =
        json["main"].as_array().unwrap().iter().map(|f| f.as_u64().unwrap() as u32).collect();
    let numbers = |key: &str| -> Vec<f64> {
        json[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let direction = golden.array("absorption.direction");
    let concept = Concept { direction: &direction, main_features: &main };
    let acts = golden.array("absorption.acts");
    let words =
        word_absorption(&golden.sae(), &acts, concept, &AbsorptionConfig::default()).unwrap();
    let of = |get: fn(&attention_probes_sae::eval::WordAbsorption) -> f64| -> Vec<f64> {
        words.iter().map(get).collect()
    };
    let projections = of(|word| word.probe_projection);
    assert_close(&projections, &numbers("probe_projection"), 1e-4, "probe_projection");
    let fractions = of(|word| word.absorption_fraction);
    assert_close(&fractions, &numbers("fraction"), 1e-4, "absorption_fraction");
    let full: Vec<bool> = words.iter().map(|word| word.is_full_absorption).collect();
    let expected = json["full"].as_array().unwrap().iter().map(|is| is.as_bool().unwrap());
    assert_eq!(full, expected.collect::<Vec<_>>());
}

fn words(golden: &Golden, split: &str) -> (Vec<f32>, Vec<usize>) {
    let labels = golden.json["absorption"]["split"]["labels"][split].as_array().unwrap();
    let labels = labels.iter().map(|label| label.as_u64().unwrap() as usize).collect();
    (golden.array(&format!("absorption.{split}.acts")), labels)
}

#[test]
fn main_features_are_those_of_sae_bench() {
    let golden = Golden::read();
    let [train, test] = ["train", "test"].map(|split| words(&golden, split));
    let [train, test] =
        [&train, &test].map(|(activations, labels)| ClassifiedWords { activations, labels });
    let wide = |name: &str| -> Vec<f64> {
        golden.array(&format!("absorption.probes.{name}")).into_iter().map(f64::from).collect()
    };
    let truth = LinearReadout::new(&wide("w"), &wide("b")).unwrap();
    let selection = golden.array("absorption.selection");
    let probes = AbsorptionProbes { truth: &truth, selection: &selection };
    let config = AbsorptionConfig { min_classes: 4, ..AbsorptionConfig::default() };
    let found = absorption(&golden.sae(), TrainTest { train, test }, probes, &config).unwrap();
    let split = &golden.json["absorption"]["split"];
    for (i, class) in found.classes.iter().enumerate() {
        let main = Value::from(class.main_features.clone());
        assert_eq!(main, split["main"][i], "class {i}");
        assert_close(&[class.probe_f1], &[split["probe_f1"][i].as_f64().unwrap()], 1e-3, "f1");
    }
    assert!(found.classes.len() == 4 && found.mean.is_some());
}

#[test]
fn weights_that_choose_features_go_where_those_of_sae_bench_go() {
    let golden = Golden::read();
    let (activations, labels) = words(&golden, "train");
    let words = ClassifiedWords { activations: &activations, labels: &labels };
    let config = SelectionConfig { epochs: 2000, ..SelectionConfig::default() };
    let found = train_selection(&golden.sae(), words, 4, &config).unwrap();
    // From other initial weights; seeds of the package itself are 0.1 and 0.11 apart.
    let expected = golden.array("absorption.selection");
    let pairs = found.iter().zip(&expected);
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 0.15, "{largest}");
}
