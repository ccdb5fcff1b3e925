//! Results that were damaged, and names that are very long.

use std::ffi::OsStr;
use std::fs;

use attention_probes_activations::{NpzArray, NpzData, read_npz, write_npz};

use super::folder;
use crate::call::{command, refused_in_a_line, succeed};

#[test]
fn a_class_with_a_very_long_name_is_trained_and_evaluated() {
    let folder = folder();
    let path = folder.path();
    let long = "é".repeat(70_000);
    let csv = fs::read_to_string(path.join("texts.csv")).unwrap();
    let renamed = csv.lines().map(|line| line.replace(",neg", &format!(",{long}")) + "\n");
    fs::write(path.join("texts.csv"), renamed.collect::<String>()).unwrap();
    succeed(&mut command(path, &["sweep", "sweep.toml"]));
    let trained = path.join("out/s/seed_42/texts-L00-resid_post/trained");
    let state = fs::read_dir(trained).unwrap().map(|entry| entry.unwrap().path());
    let state = state.into_iter().find(|path| path.extension() == Some(OsStr::new("npz"))).unwrap();
    let args = ["eval", "--probe", state.to_str().unwrap(), "--data", "texts.csv"];
    succeed(&mut command(path, &args));
}

#[test]
fn results_that_were_damaged_are_refused_by_name() {
    let folder = folder();
    let path = folder.path();
    succeed(&mut command(path, &["sweep", "sweep.toml"]));
    let run = path.join("out/s/seed_42");
    let predictions = run.join("texts-L00-resid_post/predictions.npz");
    let good = fs::read(&predictions).unwrap();
    let mut arrays = read_npz(&predictions).unwrap();
    for (name, array) in &mut arrays {
        if name.contains("logits")
            && let NpzData::F32(values) = &mut array.data
        {
            values[0] = f32::NAN;
        }
    }
    let named: Vec<(&str, NpzArray)> =
        arrays.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
    write_npz(&predictions, &named).unwrap();
    let error = refused_in_a_line(&mut command(path, &["sweep", "sweep.toml", "--resume"]));
    assert!(error.contains("predictions.npz` does not hold"), "{error}");
    fs::write(&predictions, good).unwrap();
    succeed(&mut command(path, &["sweep", "sweep.toml", "--resume"]));

    fs::write(run.join("config.toml"), "run = 3\n").unwrap();
    let output = command(path, &["compare", "out/s", "out/s"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("out/s/seed_42/config.toml` is not a valid sweep"), "{stderr}");
}
