//! A sweep without files finds what a sweep of a file finds, and writes the same results.

use std::fs;

use attention_probes_activations::{
    ActivationError, ActivationSource, Component, ExternalActivations, ExternalConfig, NpzArray,
    Place, RowsSource, SiteRows, write_npz,
};
use attention_probes_models::Convention;
use attention_probes_probes::{Kinds, LabelKind, Labels, Loss, TrainingData};
use attention_probes_sweep::config::{ArchitectureConfig, DataConfig, GridConfig};
use attention_probes_sweep::{
    LabelledSource, NoTracker, RunOptions, SweepConfig, SweepDataConfig, SweepError, WarningKind,
    run_sweep, sweep_data, sweep_labels, sweep_source,
};
use burn::tensor::Device;
use half::bf16;

/// 240 texts of 1 to 4 tokens, 6 wide, that the first number of one token tells apart.
fn write_texts(path: &std::path::Path) {
    let classes = |n: usize| (0..n as i64).map(|i| i % 2).collect::<Vec<i64>>();
    write_labelled(path, |n| NpzArray::new(vec![n], classes(n)));
}

/// The same with labels `y` of so many texts.
fn write_labelled(path: &std::path::Path, y: impl Fn(usize) -> NpzArray) {
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
        ("y", y(n)),
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
    let best = &swept.fits[1].trials[swept.fits[1].best];
    assert_eq!(chosen.state, best.state);
    let kept_loss = best.history[best.kept].train_loss;
    assert_eq!(chosen.metadata.metrics.final_loss, Some(kept_loss));

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
fn a_sweep_in_memory_of_any_labels_finds_and_writes_what_one_of_a_file_does() {
    let device = Device::flex();
    let number = |n: usize| {
        let y = (0..n).map(|i| (i % 2) as f64 * 7.0 + (i % 5) as f64 / 10.0).collect::<Vec<f64>>();
        NpzArray::new(vec![n], y)
    };
    let labels = |n: usize| {
        let y = (0..2 * n).map(|i| i64::from((i / 2) % 2 == i % 2)).collect::<Vec<i64>>();
        NpzArray::new(vec![n, 2], y)
    };
    let shares = |n: usize| {
        let y = (0..n).map(|i| if i % 2 == 1 { 0.9 } else { 0.2 }).collect::<Vec<f64>>();
        NpzArray::new(vec![n], y)
    };
    let of_kind: [(LabelKind, &dyn Fn(usize) -> NpzArray); 3] = [
        (LabelKind::Number, &number),
        (LabelKind::Labels, &labels),
        (LabelKind::Distribution, &shares),
    ];
    for (label_kind, y) in of_kind {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.npz");
        write_labelled(&path, y);
        let data =
            DataConfig { path: path.clone(), label_kind: Some(label_kind), ..Default::default() };
        let of_file =
            SweepConfig { output: folder.path().to_owned(), data: vec![data], ..config() };
        let plan = of_file.check().unwrap();
        let expected = run_sweep(&plan, &RunOptions::new(&device), &mut NoTracker).unwrap();
        let of_file = expected.folder.join(&expected.targets[0].experiment);

        let how = ExternalConfig { label_kind, ..ExternalConfig::default() };
        let external = ExternalActivations::read_with(&path, &how).unwrap();
        let data = TrainingData::from_external(&external, &device).unwrap();
        assert_eq!(data.labels().kind(), label_kind);
        let plan = config().check_without_data(&Kinds::builtin()).unwrap();
        let options = SweepDataConfig::new("rows", &device);
        let error = sweep_data(&plan, &data, &options, &mut NoTracker).unwrap_err().to_string();
        assert!(error.contains("are for classes"), "{error}");
        let swept = sweep_labels(&plan, &data, &options, &mut NoTracker).unwrap();

        let (found, expected) = (&swept.experiment.report, &expected.targets[0]);
        assert_eq!(found.probes, expected.probes);
        assert_eq!((&found.counts, &found.names), (&expected.counts, &expected.names));
        assert_eq!((&found.baselines, &found.warnings), (&expected.baselines, &expected.warnings));
        let (metric, value, _) = found.probes[0].test.headline();
        let is_good = match label_kind {
            LabelKind::Distribution => value < Some(0.62),
            _ => value > Some(0.3),
        };
        assert!(is_good, "{label_kind:?}: {metric} {value:?}");
        let own = folder.path().join("own");
        swept.experiment.write(&own).unwrap();
        for file in ["metrics.json", "history.jsonl", "predictions.npz"] {
            let read = |folder: &std::path::Path| fs::read(folder.join(file)).unwrap();
            assert_eq!(read(&own), read(&of_file), "{file}");
        }
    }
}

/// Two sites that hold the same rows.
struct Twice<'a>(RowsSource<'a>);

impl ActivationSource for Twice<'_> {
    fn n_sites(&self) -> usize {
        2
    }

    fn d_model(&self) -> usize {
        self.0.d_model()
    }

    fn n_sequences(&self) -> usize {
        self.0.n_sequences()
    }

    fn skipped(&self) -> &[usize] {
        self.0.skipped()
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        self.0.with_rows(examples, &mut |sites| use_rows(&[sites[0].clone(), sites[0].clone()]))
    }
}

#[test]
fn a_source_of_ones_own_is_swept_at_all_its_sites() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.npz");
    write_texts(&path);
    let device = Device::flex();
    let external = ExternalActivations::read(&path).unwrap();
    let data = TrainingData::from_external(&external, &device).unwrap();
    let plan = config().check_without_data(&Kinds::builtin()).unwrap();
    let options = SweepDataConfig::new("rows", &device);
    let expected = sweep_data(&plan, &data, &options, &mut NoTracker).unwrap();
    let expected = &expected.experiment.report;

    let on_host = data.to_external().unwrap();
    let (lengths, labels) = (data.lengths(), data.labels());
    let sweep = |source: &mut dyn ActivationSource, places: &[Place]| {
        let data = LabelledSource { source, lengths, labels, groups: None, places };
        sweep_source(&plan, data, &options, &mut NoTracker).unwrap()
    };
    let rows = RowsSource::new(&on_host.x[..], lengths, 6).unwrap();
    let places = [0, 3].map(|layer| Place::new([layer], Component::ResidPost, Convention::Raw));
    let swept = sweep(&mut Twice(rows.clone()), &places);
    assert_eq!((swept.experiments.len(), swept.fits.len(), swept.targets.len()), (2, 4, 0));
    for (found, layer) in swept.experiments.iter().zip([0, 3]) {
        let found = &found.report;
        assert_eq!(found.architectures, expected.architectures);
        assert_eq!(found.baselines, expected.baselines);
        assert_eq!((found.layer, found.counts.n_test), (Some(layer), expected.counts.n_test));
        assert_eq!(found.experiment, format!("rows-L{layer:02}-resid_post"));
    }
    // Rows of 16 bits are widened as they are read.
    let halves: Vec<bf16> = on_host.x.iter().map(|x| bf16::from_f32(*x)).collect();
    let widened: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
    let of_halves = sweep(&mut RowsSource::new(&halves[..], lengths, 6).unwrap(), &[]);
    let of_widened = sweep(&mut RowsSource::new(&widened[..], lengths, 6).unwrap(), &[]);
    assert_eq!(of_halves.experiments[0].report, of_widened.experiments[0].report);

    let mut source = rows;
    let mut empty = lengths.to_vec();
    empty[7] = 0;
    for (lengths, what) in [
        (&lengths[1..], "the number of lengths is 239, expected 240"),
        (&empty, "example 7 has no real token"),
    ] {
        let data =
            LabelledSource { source: &mut source, lengths, labels, groups: None, places: &[] };
        let error = sweep_source(&plan, data, &options, &mut NoTracker).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
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

#[test]
fn a_probe_that_is_right_about_one_class_alone_is_named() {
    // One example in twenty is of class 1, and nothing tells it apart.
    let rows: Vec<f32> = (0..2400).map(|i| ((i * 37 + i / 7) % 101) as f32 / 50.0 - 1.0).collect();
    let classes = (0..800).map(|i| usize::from(i * 7919 % 20 == 3)).collect();
    let device = Device::flex();
    let labels = Labels::numbered(classes, 2);
    let data = TrainingData::from_rows(&rows, &[1; 800], labels, &device).unwrap();
    let mut config = config();
    config.architectures.truncate(1);
    let plan = config.check_without_data(&Kinds::builtin()).unwrap();
    let options = SweepDataConfig::new("rare", &device);
    let swept = sweep_data(&plan, &data, &options, &mut NoTracker).unwrap();
    let report = &swept.experiment.report;
    let mut warnings = report.warnings.iter();
    let found = warnings.find(|it| it.kind == WarningKind::Unbalanced).expect("a warning");
    let expected = "`linear`: its accuracy on test is 0.950 and its balanced accuracy 0.500: 95.0 % of \
                    the examples are of one class, and always naming that one is right as often; set \
                    `data.class_weights = \"balanced\"`, or give more examples of the rare classes";
    assert_eq!(found.message, expected);
}
