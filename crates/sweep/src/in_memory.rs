//! A sweep of activations that are in memory: without files, and without a folder.

use std::path::Path;

use attention_probes_activations::{
    ActivationOrigin, ExampleSet, ExternalActivations, MemoryActivations, Place, SplitConfig,
    stratified_split,
};
use attention_probes_errors::Stop;
use attention_probes_models::host_values;
use attention_probes_probes::{DataMetadata, ProbeError, ProbeMetadata, TrainedOn, TrainingData};
use burn::tensor::Device;

use crate::SweepError;
use crate::config::plan::SweepPlan;
use crate::config::{DataConfig, HeldOut};
use crate::data::held_out::unfit;
use crate::data::leaks::{Compared, contradicting_activations, doubtful_classes};
use crate::data::sides::check_classes;
use crate::experiment::Material;
use crate::judge::findings::{Findings, Subject};
use crate::results::folder::to_toml;
use crate::results::origin::Origin;
use crate::results::swept::SweptExperiment;
use crate::tracker::Tracker;
use crate::train::fit::GroupFit;
use crate::train::fit_config::FitConfig;
use crate::warning::Warning;

/// How [`sweep_data`] divides labelled activations, and where it runs.
#[derive(Clone, Debug)]
pub struct SweepDataConfig<'a> {
    /// What results call the data; a folder or file of it must be able to have this name.
    pub name: String,
    /// Share of the examples that trials are selected on. Default 0.1.
    pub validation: f64,
    /// Share of the examples that the selected trials are evaluated on. Default 0.2.
    pub test: f64,
    /// Where kinds of probes without a host kernel are differentiated.
    pub device: &'a Device,
    /// Asked once a batch, and once a pass of L-BFGS. Never by default.
    pub stop: Stop,
}

impl<'a> SweepDataConfig<'a> {
    /// The default shares of a sweep of files.
    pub fn new(name: impl Into<String>, device: &'a Device) -> Self {
        Self { name: name.into(), validation: 0.1, test: 0.2, device, stop: Stop::never() }
    }
}

/// What [`sweep_data`] returns.
#[derive(Clone, Debug)]
pub struct SweptData {
    /// What was found, and what [`SweptExperiment::write`] makes files of.
    pub experiment: SweptExperiment,
    /// Of each architecture, in the order of the configuration, every trial with its weights.
    pub fits: Vec<GroupFit>,
}

/// Trains every architecture of a plan on labelled activations, a whole grid each, and evaluates
/// the chosen probes on test examples. Writes nothing.
///
/// The examples are divided as those of a file: by class, equal ones on one side. There are the same
/// controls and warnings; tokens are not known here, so there is no bag of words among the baselines.
///
/// # Errors
///
/// - [`SweepError::Activation`] if a share is out of range, or a class has too few examples for it
/// - [`SweepError::SideWithoutClass`] if a side would be without a class
/// - [`SweepError::Probe`] if an architecture does not fit the data
/// - [`SweepError::Diverged`] if no trial at all ended with numbers
/// - [`SweepError::Stopped`] if [`SweepDataConfig::stop`] is given
///
/// # Memory
///
/// The activations twice, once as they are in `data`, and what
/// [`find_best_fit`](crate::find_best_fit()) needs.
///
/// # Examples
///
/// ```
/// use attention_probes_probes::{Kinds, Labels, TrainingData};
/// use attention_probes_sweep::config::ArchitectureConfig;
/// use attention_probes_sweep::{NoTracker, SweepConfig, SweepDataConfig, sweep_data};
/// use burn::tensor::Device;
///
/// // 200 examples of one token each, two wide; the class is the sign of the first number.
/// let rows: Vec<f32> = (0..400).map(|i| ((i * 37 + i / 7) % 101) as f32 / 50.0 - 1.0).collect();
/// let classes = rows.chunks(2).map(|row| usize::from(row[0] > 0.0)).collect();
/// let device = Device::default();
/// let data = TrainingData::from_rows(&rows, &[1; 200], Labels::numbered(classes, 2), &device)?;
///
/// let linear = ArchitectureConfig { name: "linear".to_owned(), ..ArchitectureConfig::default() };
/// let config = SweepConfig { architectures: vec![linear], ..SweepConfig::default() };
/// let plan = config.check_without_data(&Kinds::builtin())?;
/// let swept = sweep_data(&plan, &data, &SweepDataConfig::new("signs", &device), &mut NoTracker)?;
/// let found = &swept.experiment.report.architectures[0];
/// assert!(found.test.accuracy > 0.9);
/// assert_eq!(swept.fits[0].trials.len(), 15); // penalties of the exact solver
///
/// let folder = tempfile::tempdir()?;
/// swept.experiment.write(folder.path())?; // best.json, metrics.json, trained/, …
/// assert!(folder.path().join("trained").join(&found.file).exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep_data(
    plan: &SweepPlan,
    data: &TrainingData,
    config: &SweepDataConfig<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweptData, SweepError> {
    let (name, seed) = (&config.name, plan.config().seed);
    let SweepDataConfig { validation, test, .. } = *config;
    let described = DataConfig {
        name: name.clone(),
        path: name.into(),
        validation: HeldOut::Share(validation),
        test: HeldOut::Share(test),
        ..DataConfig::default()
    };
    let external = rows_of(data)?;
    let keys = external.keys();
    let examples = ExampleSet::from_external(&external, &keys)
        .ok_or(ProbeError::NoExamples { n_skipped: data.n_skipped() })?;
    let shares = SplitConfig { validation, test, seed };
    let split = stratified_split(&examples.labels(), examples.groups.as_deref(), &shares);
    let split = split.map_err(unfit(Path::new(name)))?;
    check_classes(&described, &examples, &split)?;
    let compared = Compared { keys: &keys, sides: vec![None; keys.len()], things: "examples" };
    let mut warnings: Vec<Warning> =
        contradicting_activations(&external, &compared).into_iter().collect();
    warnings.extend(doubtful_classes(&described, &examples, &split));

    let (rows, hash) = (data.kept().to_vec(), external.hash.clone());
    let mut source = MemoryActivations::from(external);
    let experiments = [experiment_of(name, data.place())];
    let material = Material {
        plan,
        data: &described,
        source: &mut source,
        examples: &examples,
        split: &split,
        rows: &rows,
        tokens: None,
        is_about_tokens: false,
        experiments: &experiments,
        fit_config: FitConfig { stop: config.stop.clone(), ..plan.fit_config(config.device) },
        folder: None,
    };
    let trained = material.train(tracker)?;
    let learned = split.train.iter().chain(&split.validation).map(|&example| keys[example]);
    let metadata = DataMetadata {
        name: name.clone(),
        hash: Some(hash.clone()),
        n_train: split.train.len(),
        n_validation: split.validation.len(),
        n_test: split.test.len(),
        trained_on: TrainedOn::new(learned),
    };
    let template = data.metadata(&trained.groups[0].probe);
    let subject = Subject {
        config: plan.config(),
        data: &described,
        origin: Origin {
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_hash: Some(hash),
            model_revision: template.model.as_ref().and_then(|model| model.revision.clone()),
        },
        describe: &|probe: &mut ProbeMetadata| {
            probe.model.clone_from(&template.model);
            probe.max_tokens = template.max_tokens;
            probe.convention.clone_from(&template.convention);
            probe.task.clone_from(&template.task);
            probe.split_seed = Some(seed);
            probe.data = Some(metadata.clone());
        },
        resolved: &|_| to_toml(plan.config(), Path::new("")),
    };
    let findings = Findings {
        subject: &subject,
        classes: &examples.classes,
        split: &split,
        n_skipped: data.n_skipped(),
        warnings: &warnings,
        trained: &trained,
    };
    let [(place, experiment)] = experiments;
    let experiment = findings.at(0, place.as_ref(), experiment)?;
    if experiment.report.architectures.is_empty() {
        return Err(SweepError::Diverged);
    }
    tracker.finished(&experiment.report.experiment);
    Ok(SweptData { experiment, fits: trained.fits })
}

/// Place and name of the experiment.
fn experiment_of(data: &str, place: Option<&Place>) -> (Option<Place>, String) {
    match place {
        Some(place) => (Some(place.clone()), format!("{data}-{place}")),
        None => (None, data.to_owned()),
    }
}

/// The examples on the host, without padding.
fn rows_of(data: &TrainingData) -> Result<ExternalActivations, SweepError> {
    let padded = host_values(data.x().clone()).map_err(ProbeError::from)?;
    let (d_model, lengths) = (data.d_model(), data.lengths());
    let per_example = padded.len() / lengths.len();
    let (mut x, mut offsets) = (Vec::with_capacity(padded.len()), vec![0]);
    for (example, &length) in padded.chunks_exact(per_example).zip(lengths) {
        x.extend_from_slice(&example[..length * d_model]);
        offsets.push(x.len() / d_model);
    }
    let mut hasher = blake3::Hasher::new();
    for values in x.chunks(1 << 14) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    for label in data.labels() {
        hasher.update(&(*label as u64).to_le_bytes());
    }
    Ok(ExternalActivations {
        x,
        offsets,
        labels: Some(data.labels().to_vec()),
        targets: None,
        classes: data.class_names().to_vec(),
        d_model,
        position: None,
        input_ids: None,
        texts: None,
        groups: None,
        source_rows: data.kept().to_vec(),
        skipped: Vec::new(),
        sites: Vec::new(),
        origin: ActivationOrigin::default(),
        hash: hasher.finalize().to_hex().to_string(),
    })
}
