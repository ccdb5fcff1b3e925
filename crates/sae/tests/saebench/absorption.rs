//! Absorption word by word.

use attention_probes_sae::eval::{AbsorptionConfig, word_absorption};

use crate::golden::{Golden, assert_close};

#[test]
fn fractions_and_full_absorptions_are_those_of_sae_bench() {
    let golden = Golden::read();
    let json = &golden.json["absorption"];
    let main: Vec<u32> =
        json["main"].as_array().unwrap().iter().map(|f| f.as_u64().unwrap() as u32).collect();
    let numbers = |key: &str| -> Vec<f64> {
        json[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let words = word_absorption(
        &golden.sae(),
        &golden.array("absorption.acts"),
        &golden.array("absorption.direction"),
        &main,
        &AbsorptionConfig::default(),
    )
    .unwrap();
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
