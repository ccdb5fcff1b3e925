//! A sweep without files finds what a sweep of a file finds, and writes the same results.

use std::fs;

use attention_probes_activations::{ExternalActivations, NpzArray, write_npz};
use attention_probes_probes::{Kinds, Labels, Loss, TrainingData};
use attention_probes_sweep::config::{ArchitectureConfig, DataConfig, GridConfig};
use attention_probes_sweep::{
    NoTracker, RunOptions, SweepConfig, SweepDataConfig, SweepError, run_sweep, sweep_data,
};
use burn::tensor::Device;

/// 240 texts of 1 to 4 tokens, 6 wide, that the first number of one token tells apart.
fn write_texts(path: &std::path::Path) {
    let (n, pos, d) = (240, 4, 6);
    let noise = |i: usize| ((i * 7919 + i / 3 * 31) % 2003) as f32 / 1001.0 - 1.0;
    let x = |i: usize| {
        let (row, token, column) = (i / (pos * d), i / d % pos, i % d);
        noise(i) + if row % 2 == 1 && token == 0 && column == 0 { 3.0 } else { 0.0 }
    };
    let mask = |i: usize| i64::from(i % pos <= (i / pos) % 5);
    let arrays = [
        ("x", NpzArray::new(vec![n, pos, d], (0..n * pos * d).map(x).collect::<Vec<f32>>())),
        ("mask", NpzArray::new(vec![n, pos], (0..n * pos).map(mask).collect::<Vec<i64>>())),
        ("y", NpzArray::new(vec![n], (0..n as i64).map(|i| i % 2).collect::<Vec<i64>>())),
    ];
    write_npz(path, &arrays).unwrap();
}

fn config() -> SweepConfig {
    let kind = |name: &str| ArchitectureConfig { name: name.to_owned(), ..Default::default() };
    SweepConfig {
        architectures: vec![kind("linear"), kind("attention")],
        sweep: GridConfig {
            learning_rates: Some(vec![1e-2, 5e-2]),
            weight_decays: vec![0.0, 1e-2],
            epochs: Some(3),
            ..GridConfig::default()
        },
        ..SweepConfig::default()
    }
}

#[test]
fn a_sweep_in_memory_finds_and_writes_what_one_of_a_file_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.npz");
    write_texts(&path);
    let device = Device::flex();
    let data = vec![DataConfig { path: path.clone(), ..DataConfig::default() }];
    let of_file = SweepConfig { output: folder.path().to_owned(), data, ..config() };
    let plan = of_file.check().unwrap();
    let expected = run_sweep(&plan, &RunOptions::new(&device), &mut NoTracker).unwrap();
    let of_file = expected.folder.join(&expected.experiments[0].experiment);

    let external = ExternalActivations::read(&path).unwrap();
    let data = TrainingData::from_external(&external, &device).unwrap();
    let plan = config().check_without_data(&Kinds::builtin()).unwrap();
    let options = SweepDataConfig::new("rows", &device);
    let swept = sweep_data(&plan, &data, &options, &mut NoTracker).unwrap();

    let (found, expected) = (&swept.experiment.report, &expected.experiments[0]);
    assert_eq!(found.architectures, expected.architectures);
    assert_eq!((&found.counts, &found.classes), (&expected.counts, &expected.classes));
    assert_eq!((&found.baselines, &found.warnings), (&expected.baselines, &expected.warnings));
    let accuracy = found.architectures[0].test.accuracy;
    assert!(accuracy > 0.7, "{accuracy}");
    assert_eq!(swept.fits.iter().map(|fit| fit.trials.len()).collect::<Vec<_>>(), [15, 4]);
    let chosen = swept.experiment.probe("attention").unwrap();
    assert_eq!(chosen.state, swept.fits[1].trials[swept.fits[1].best].state);

    let own = folder.path().join("own");
    swept.experiment.write(&own).unwrap();
    for file in ["metrics.json", "history.jsonl", "predictions.npz"] {
        let read = |folder: &std::path::Path| fs::read(folder.join(file)).unwrap();
        assert_eq!(read(&own), read(&of_file), "{file}");
    }
    let names = |folder: &std::path::Path| {
        let names = fs::read_dir(folder.join("trained")).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&own), names(&of_file));
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let with_data = SweepConfig { data: vec![DataConfig::default()], ..config() };
    let error = with_data.check_without_data(&Kinds::builtin()).unwrap_err().to_string();
    assert!(error.contains("`data` must be empty where the data are in memory"), "{error}");

    let rows: Vec<f32> = (0..4).map(|i| i as f32).collect();
    let labels = Labels::numbered((0..4).map(|i| i % 2).collect(), 2);
    let data = TrainingData::from_rows(&rows, &[1; 4], labels, &device).unwrap();
    let plan = config().check_without_data(&Kinds::builtin()).unwrap();
    let sweep = |test: f64| {
        let options = SweepDataConfig { test, ..SweepDataConfig::new("few", &device) };
        sweep_data(&plan, &data, &options, &mut NoTracker)
    };
    let error = sweep(1.5).map(|_| ()).unwrap_err();
    assert!(matches!(error, SweepError::Data { .. }), "{error:?}");
    // Two examples of a class cannot be on three sides.
    let error = sweep(0.2).map(|_| ()).unwrap_err();
    assert!(!matches!(error, SweepError::Diverged), "{error:?}");

    let mut of_tokens = config();
    of_tokens.architectures.truncate(1);
    of_tokens.architectures[0].loss = Loss::SoftmaxWeighted { window: 2, temperature: 1.0 };
    assert!(of_tokens.check_without_data(&Kinds::builtin()).is_err());
}
