//! A sweep of activations that are in memory: without files, and without a folder.

use std::path::Path;

use attention_probes_activations::{ExampleSet, MemoryActivations, Place, Split};
use attention_probes_probes::{DataMetadata, ProbeError, ProbeMetadata, TrainedOn, TrainingData};

use crate::SweepError;
use crate::config::DataConfig;
use crate::config::plan::SweepPlan;
use crate::data::leaks::{Compared, contradicting_activations, doubtful_classes};
use crate::judge::findings::Subject;
use crate::material::Material;
use crate::results::folder::to_toml;
use crate::results::origin::Origin;
use crate::results::swept::SweptExperiment;
use crate::results::swept_targets::SweptTargets;
use crate::sweep_source::{SweepDataConfig, SweptSource, divide, experiments_of};
use crate::tracker::Tracker;
use crate::train::fit::GroupFit;
use crate::train::fit_config::FitConfig;
use crate::warning::Warning;

/// What [`sweep_data`] returns.
#[derive(Clone, Debug)]
pub struct SweptData {
    /// What was found, and what [`SweptExperiment::write`] makes files of.
    pub experiment: SweptExperiment,
    /// Of each architecture, in the order of the configuration, every trial with its weights.
    pub fits: Vec<GroupFit>,
}

/// What [`sweep_labels`] returns.
#[derive(Clone, Debug)]
pub struct SweptLabels {
    /// What was found, and what [`SweptTargets::write`] makes files of.
    pub experiment: SweptTargets,
    /// Of each architecture that is trained over the grid, in the order of the configuration, every
    /// trial with its weights.
    pub fits: Vec<GroupFit>,
}

/// Trains every architecture of a plan on labelled activations, a whole grid each, and evaluates
/// the chosen probes on test examples. Writes nothing.
///
/// Labels are classes; [`sweep_labels`] does the same for others.
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
/// use attention_probes::probes::{Kinds, Labels, TrainingData};
/// use attention_probes::sweep::config::ArchitectureConfig;
/// use attention_probes::sweep::{NoTracker, SweepConfig, SweepDataConfig, sweep_data};
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
    let kind = data.labels().kind();
    if !kind.is_class() {
        let error = ProbeError::ForClasses { what: "results of `sweep_data`", kind: kind.as_str() };
        return Err(error.into());
    }
    let SweptSource { mut experiments, fits, .. } = sweep(plan, data, config, tracker)?;
    let experiment = experiments.pop().ok_or(SweepError::Diverged)?;
    Ok(SweptData { experiment, fits })
}

/// As [`sweep_data`], of labels that are not classes: numbers, several labels, or distributions.
///
/// Linear probes with no key but `pool` are solved exactly, over `sweep.penalties`; those that learn
/// classes only are left out. Results have the metrics of their labels.
///
/// # Errors
///
/// - [`SweepError::Alike`] if a side has the same label everywhere
/// - as [`sweep_data`]
///
/// # Memory
///
/// As [`sweep_data`], and the pooled activations once more.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Kinds, Labels, TrainingData};
/// use attention_probes::sweep::config::ArchitectureConfig;
/// use attention_probes::sweep::{NoTracker, SweepConfig, SweepDataConfig, sweep_labels};
/// use burn::tensor::Device;
///
/// // 200 examples of one token each, two wide; the number is three times the first, and 40 more.
/// let rows: Vec<f32> = (0..400).map(|i| ((i * 37 + i / 7) % 101) as f32 / 50.0 - 1.0).collect();
/// let ages = rows.chunks(2).map(|row| 40.0 + 3.0 * f64::from(row[0])).collect();
/// let device = Device::default();
/// let labels = Labels::of_numbers(ages, "age");
/// let data = TrainingData::from_rows(&rows, &[1; 200], labels, &device)?;
///
/// let linear = ArchitectureConfig { name: "linear".to_owned(), ..ArchitectureConfig::default() };
/// let config = SweepConfig { architectures: vec![linear], ..SweepConfig::default() };
/// let plan = config.check_without_data(&Kinds::builtin())?;
/// let swept = sweep_labels(&plan, &data, &SweepDataConfig::new("ages", &device), &mut NoTracker)?;
/// let (metric, value, _) = swept.experiment.report.probes[0].test.headline();
/// assert_eq!(metric, "R²");
/// assert!(value > Some(0.99));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep_labels(
    plan: &SweepPlan,
    data: &TrainingData,
    config: &SweepDataConfig<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweptLabels, SweepError> {
    if data.labels().kind().is_class() {
        let reason = "are classes: `sweep_data` takes them";
        return Err(SweepError::Contradiction { key: "labels", reason });
    }
    let SweptSource { mut targets, fits, .. } = sweep(plan, data, config, tracker)?;
    let experiment = targets.pop().ok_or(SweepError::Diverged)?;
    Ok(SweptLabels { experiment, fits })
}

/// Divides labelled activations, and trains every architecture on them.
fn sweep(
    plan: &SweepPlan,
    data: &TrainingData,
    config: &SweepDataConfig<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweptSource, SweepError> {
    let mut divided = Divided::new(plan, data, config)?;
    let described = divided.describe(plan, data);
    let subject = Subject {
        config: plan.config(),
        data: &divided.described,
        origin: described.origin(),
        describe: &|probe| described.fill(probe),
        resolved: &|_| to_toml(plan.config(), Path::new("")),
        n_skipped: data.n_skipped(),
        warnings: &divided.warnings,
    };
    let material = Material {
        plan,
        data: &divided.described,
        source: &mut divided.source,
        examples: &divided.examples,
        labels: data.labels().clone(),
        split: &divided.split,
        rows: data.kept(),
        tokens: None,
        is_about_tokens: false,
        experiments: &divided.experiments,
        fit_config: FitConfig { stop: config.stop.clone(), ..plan.fit_config(config.device) },
        folder: None,
    };
    SweptSource::of(material, &subject, tracker)
}

/// Labelled activations, divided into sides.
struct Divided {
    described: DataConfig,
    source: MemoryActivations,
    examples: ExampleSet,
    split: Split,
    keys: Vec<u64>,
    hash: String,
    warnings: Vec<Warning>,
    /// Place and name of the experiment, which is one.
    experiments: Vec<(Option<Place>, String)>,
}

impl Divided {
    fn new(
        plan: &SweepPlan,
        data: &TrainingData,
        config: &SweepDataConfig<'_>,
    ) -> Result<Self, SweepError> {
        let name = &config.name;
        let external = data.to_external()?;
        let keys = external.keys();
        let examples = ExampleSet::from_external(&external, &keys)
            .ok_or(ProbeError::NoExamples { n_skipped: data.n_skipped() })?;
        let (described, split) = divide(plan, config, data.labels(), &examples)?;
        let compared = Compared { keys: &keys, sides: vec![None; keys.len()], things: "examples" };
        let mut warnings: Vec<Warning> =
            contradicting_activations(&external, &compared).into_iter().collect();
        warnings.extend(doubtful_classes(&described, &examples, &split));
        let hash = external.hash.clone();
        let experiments = experiments_of(name, data.place().map_or(&[], std::slice::from_ref), 1);
        let source = MemoryActivations::from(external);
        Ok(Self { described, source, examples, split, keys, hash, warnings, experiments })
    }

    /// What metadata of probes say of the data.
    fn describe(&self, plan: &SweepPlan, data: &TrainingData) -> Described {
        let Split { train, validation, test } = &self.split;
        let learned = train.iter().chain(validation).map(|&example| self.keys[example]);
        Described {
            template: data.metadata(&plan.probe(0, data.d_model(), 2)),
            seed: plan.config().seed,
            data: DataMetadata {
                name: self.described.name.clone(),
                hash: Some(self.hash.clone()),
                n_train: train.len(),
                n_validation: validation.len(),
                n_test: test.len(),
                trained_on: TrainedOn::new(learned),
            },
        }
    }
}

/// What metadata of probes say of model and data.
struct Described {
    template: ProbeMetadata,
    seed: u64,
    data: DataMetadata,
}

impl Described {
    fn fill(&self, probe: &mut ProbeMetadata) {
        probe.model.clone_from(&self.template.model);
        probe.max_tokens = self.template.max_tokens;
        probe.convention.clone_from(&self.template.convention);
        probe.task.clone_from(&self.template.task);
        probe.split_seed = Some(self.seed);
        probe.data = Some(self.data.clone());
    }

    fn origin(&self) -> Origin {
        Origin {
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_hash: self.data.hash.clone(),
            model_revision: self.template.model.as_ref().and_then(|it| it.revision.clone()),
        }
    }
}
