//! Sweeps and fits that are told to stop.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use attention_probes_activations::EarlierRun;
use attention_probes_errors::Stop;
use attention_probes_sweep::config::{ArchitectureConfig, DataConfig};
use attention_probes_sweep::{
    FitConfig, NoTracker, RunOptions, SweepConfig, SweepError, SweepReport, run_sweep,
};
use burn::tensor::Device;

use crate::find_best_fit::full_batch::{group, lbfgs};
use crate::find_best_fit::toy::{config, probes, toy};

/// Is given after so many questions.
fn stop_after(n: usize) -> Stop {
    let n_asked = AtomicUsize::new(0);
    Stop::when(move || n_asked.fetch_add(1, Ordering::Relaxed) >= n)
}

/// A sweep of an exact probe and one of `AdamW`, with controls and a bag of words.
fn run(folder: &Path, stop: Stop) -> Result<SweepReport, SweepError> {
    let path = folder.join("days.csv");
    let row = |i: usize| format!("{} day the {i}th,{}\n", ["a fine", "an awful"][i % 2], i % 2);
    let rows: String = (0..60).map(row).collect();
    fs::write(&path, format!("text,label\n{rows}")).unwrap();
    let architecture = |name: &str, config_name: &str| ArchitectureConfig {
        name: name.to_owned(),
        config_name: config_name.to_owned(),
        ..ArchitectureConfig::default()
    };
    let mut config = SweepConfig {
        output: folder.join("results"),
        data: vec![DataConfig { name: "days".to_owned(), path, ..DataConfig::default() }],
        architectures: vec![
            architecture("linear", "linear"),
            architecture("attention", "attention"),
        ],
        ..SweepConfig::default()
    };
    config.activations.layers = "2".parse().unwrap();
    config.sweep.epochs = Some(2);
    let device = Device::default();
    let options = RunOptions {
        device: &device,
        hub: None,
        earlier: EarlierRun::Resume,
        memory_bytes: None,
        stop,
    };
    run_sweep(&config.check().unwrap(), &options, &mut NoTracker)
}

/// Every file below a folder but the configurations, which name it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("config.toml") && !path.ends_with(".lock") {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

#[test]
fn a_sweep_that_is_stopped_goes_on_to_the_same_files() {
    let [whole, stopped] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let expected = run(whole.path(), Stop::never()).unwrap();
    let (mut n_stops, mut n) = (0, 10);
    let found = loop {
        match run(stopped.path(), stop_after(n)) {
            Err(SweepError::Stopped(_)) => n_stops += 1,
            other => break other.unwrap(),
        }
        n *= 2;
    };
    assert!(n_stops > 2, "{n_stops}");
    assert_eq!(files(&found.folder), files(&expected.folder));
}

#[test]
fn every_way_of_training_asks() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    for probe in probes(2) {
        for method in [lbfgs(0.1, 1).0, attention_probes_sweep::Method::default()] {
            let group = group(&probe, method, vec![lbfgs(0.1, 1).1]);
            let config = FitConfig { stop: stop_after(4), ..config() };
            let found = toy.try_fit_with(&[group], &config, None, &mut |_| ());
            assert!(matches!(found, Err(SweepError::Stopped(_))), "{probe:?}");
        }
    }
}
