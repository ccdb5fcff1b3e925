//! A sweep of a kind, on a model, and with a tracker of one's own; saved, loaded, and used again.

mod own_model;

use std::fs;

use attention_probes::prelude::*;
use attention_probes::sweep::config::{ArchitectureConfig, DataConfig, GridConfig};
use serde::{Deserialize, Serialize};

use own_model::open_own_model;

/// The mean of the highest and of all scores.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Blend {
    share: f32,
}

impl ProbeKind for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn layout(&self, size: ProbeSize) -> Layout {
        Layout::new().rows("weight", size.n_out).small("bias", [size.n_out])
    }

    fn forward(&self, batch: &Batch) -> Tensor<3> {
        let [n_trials, n_out, n] = batch.dims();
        let scores = batch.product("weight");
        let highest = (scores.clone() + batch.padding()).max_dim(3).reshape(batch.dims());
        let sum = (scores * batch.real()).sum_dim(3).reshape(batch.dims());
        let mean = sum / batch.n_tokens().reshape([1, 1, n]);
        highest * self.share + mean * (1.0 - self.share) + batch.array("bias", [n_trials, n_out, 1])
    }
}

#[derive(Default)]
struct Followed {
    epochs: usize,
    finished: Vec<String>,
}

impl Tracker for Followed {
    fn epoch(&mut self, _: &str, _: usize, _: usize) {
        self.epochs += 1;
    }

    fn finished(&mut self, experiment: &str) {
        self.finished.push(experiment.to_owned());
    }
}

#[test]
fn a_kind_of_ones_own_is_swept_saved_loaded_and_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts.csv");
    let row = |i: usize| match i % 2 {
        0 => format!("the {} dog is good,yes\n", ["red", "old", "big", "wet"][i / 2 % 4]),
        _ => format!("the {} cat is bad,no\n", ["new", "odd", "sad", "shy"][i / 2 % 4]),
    };
    fs::write(&path, format!("text,label\n{}", (0..160).map(row).collect::<String>())).unwrap();

    let mut own = ArchitectureConfig { name: "blend".to_owned(), ..ArchitectureConfig::default() };
    own.settings.insert("share".to_owned(), 0.25.into());
    let grid = GridConfig {
        learning_rates: Some(vec![1e-2, 5e-2]),
        weight_decays: vec![0.0, 1e-2],
        epochs: Some(6),
        ..GridConfig::default()
    };
    let config = SweepConfig {
        output: folder.path().to_owned(),
        data: vec![DataConfig { path, ..DataConfig::default() }],
        architectures: vec![own, ArchitectureConfig::default()],
        sweep: grid,
        ..SweepConfig::default()
    };
    let unknown = config.clone().check().unwrap_err().to_string();
    assert!(unknown.contains("unknown probe kind `blend`"), "{unknown}");
    let kinds = Kinds::builtin().with(Blend { share: 0.5 });
    let plan = config.check_with(&kinds).unwrap();

    let device = Device::flex();
    let model = open_own_model(&device);
    let mut tracker = Followed::default();
    let report =
        run_sweep_on(&plan, &model, &RunOptions::new(&device), &mut tracker).unwrap();
    assert!(tracker.epochs > 0 && tracker.finished.len() == report.experiments.len());
    let experiment = &report.experiments[0];
    let found = &experiment.architectures[0];
    assert_eq!(found.config_name, "blend");
    assert!(found.test.accuracy > 0.9, "{}", found.test.accuracy);

    let trained = report.folder.join(&experiment.experiment).join("trained");
    let file = trained.join(&found.file);
    let error = SavedProbe::load(&file).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("unknown probe kind `blend`"), "{source}");
    let saved = SavedProbe::load_with(&file, &kinds).unwrap();
    assert_eq!(saved.config().kind_as::<Blend>().map(|kind| kind.share), Some(0.25));

    let (d_model, probe) = (saved.config().d_model(), saved.to_probe(&device).unwrap());
    let rows: Vec<f32> = (0..3 * d_model).map(|i| (i as f32).sin()).collect();
    let x = Tensor::<1>::from_floats(&rows[..], &device).reshape([1, 3, d_model]);
    let whole = probe.forward(x, Tensor::<2>::zeros([1, 3], &device).bool()).logits;
    let whole: Vec<f32> = whole.into_data().try_into_vec().unwrap();
    let mut stream = StreamingProbe::on_device(saved.config(), &saved.state, &device).unwrap();
    let logits = rows.chunks(d_model).map(|x| stream.push(x)[0]).last().unwrap();
    assert!((logits - whole[0]).abs() < 1e-5, "{logits} and {}", whole[0]);
}
