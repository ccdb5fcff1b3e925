//! A sweep of activations that a source of yours hands out, at one site or several.

use std::path::Path;

use attention_probes_activations::{
    ActivationSource, Example, ExampleSet, Place, Split, SplitConfig, stratified_split,
};
use attention_probes_errors::Stop;
use attention_probes_probes::{Labels, ProbeError, check_labels};
use burn::tensor::Device;

use crate::SweepError;
use crate::config::plan::SweepPlan;
use crate::config::{DataConfig, HeldOut};
use crate::data::held_out::unfit;
use crate::data::leaks::doubtful_classes;
use crate::data::sides::{check_classes, check_sides};
use crate::judge::findings::Subject;
use crate::material::{Material, Swept};
use crate::results::folder::to_toml;
use crate::results::origin::Origin;
use crate::results::swept::SweptExperiment;
use crate::results::swept_targets::SweptTargets;
use crate::tracker::Tracker;
use crate::train::fit::GroupFit;
use crate::train::fit_config::FitConfig;

/// How [`sweep_data`](crate::sweep_data) and its siblings divide labelled activations, and where it runs.
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

/// Activations that a source hands out, with a label for each of its sequences.
pub struct LabelledSource<'a> {
    /// The activations, at one site or several: yours, or
    /// [`RowsSource`](attention_probes_activations::RowsSource) over rows that are there.
    pub source: &'a mut dyn ActivationSource,
    /// Number of tokens of each sequence.
    pub lengths: &'a [usize],
    /// Label of each sequence.
    pub labels: &'a Labels,
    /// Group of each sequence, if they have any: one group stays on one side.
    pub groups: Option<&'a [usize]>,
    /// Where in a model each site was read; empty if that is not known.
    pub places: &'a [Place],
}

/// What [`sweep_source`] returns.
#[derive(Clone, Debug)]
pub struct SweptSource {
    /// For each site what was found; empty where labels are not classes.
    pub experiments: Vec<SweptExperiment>,
    /// For each site what was found, where labels are not classes.
    pub targets: Vec<SweptTargets>,
    /// Of each architecture that is trained over a grid, those of a site side by side, every trial with
    /// its weights.
    pub fits: Vec<GroupFit>,
}

/// As [`sweep_data`](crate::sweep_data) and [`sweep_labels`](crate::sweep_labels), of activations that
/// a source hands out batch by batch, at all its sites together. Writes nothing.
///
/// Sequences that the source [skips](ActivationSource::skipped) are left out. Equal sequences are not
/// looked for: give them one group.
///
/// # Errors
///
/// - [`SweepError::Probe`] if there are not as many lengths, labels, groups, and places as there are
///   sequences and sites, a label is none of its kind, or a sequence that is not skipped has no token
/// - as [`sweep_data`](crate::sweep_data) and [`sweep_labels`](crate::sweep_labels)
///
/// # Memory
///
/// What [`find_best_fit`](crate::find_best_fit()) needs, and the source itself.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::RowsSource;
/// use attention_probes::errors::Stop;
/// use attention_probes::probes::{Kinds, Labels};
/// use attention_probes::sweep::config::ArchitectureConfig;
/// use attention_probes::sweep::{
///     LabelledSource, NoTracker, SweepConfig, SweepDataConfig, sweep_source,
/// };
/// use burn::tensor::Device;
///
/// // 200 examples of one token each, two wide; the class is the sign of the first number.
/// let rows: Vec<f32> = (0..400).map(|i| ((i * 37 + i / 7) % 101) as f32 / 50.0 - 1.0).collect();
/// let classes = rows.chunks(2).map(|row| usize::from(row[0] > 0.0)).collect();
/// let lengths = [1; 200];
/// let mut source = RowsSource::new(&rows[..], &lengths, 2)?;
/// let labels = Labels::numbered(classes, 2);
/// let data = LabelledSource {
///     source: &mut source,
///     lengths: &lengths,
///     labels: &labels,
///     groups: None,
///     places: &[],
/// };
///
/// let linear = ArchitectureConfig { name: "linear".to_owned(), ..ArchitectureConfig::default() };
/// let config = SweepConfig { architectures: vec![linear], ..SweepConfig::default() };
/// let plan = config.check_without_data(&Kinds::builtin())?;
/// let device = Device::default();
/// let swept = sweep_source(&plan, data, &SweepDataConfig::new("signs", &device), &mut NoTracker)?;
/// assert!(swept.experiments[0].report.architectures[0].test.accuracy > 0.9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep_source(
    plan: &SweepPlan,
    data: LabelledSource<'_>,
    config: &SweepDataConfig<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweptSource, SweepError> {
    data.check()?;
    let LabelledSource { source, lengths, labels, groups, places } = data;
    let n_skipped = source.skipped().len();
    let kept: Vec<usize> =
        (0..lengths.len()).filter(|it| source.skipped().binary_search(it).is_err()).collect();
    let labels = labels.select(&kept);
    let example =
        |(&sequence, label): (&usize, usize)| Example { sequence, end: lengths[sequence], label };
    let examples = ExampleSet {
        examples: kept.iter().zip(labels.strata()).map(example).collect(),
        classes: labels.names.clone(),
        groups: groups.map(|groups| kept.iter().map(|&sequence| groups[sequence]).collect()),
        pairs: None,
        n_skipped_words: 0,
    };
    let (described, split) = divide(plan, config, &labels, &examples)?;
    let rows: Vec<usize> = (0..lengths.len()).collect();
    let experiments = experiments_of(&config.name, places, source.n_sites());
    let fit_config = FitConfig { stop: config.stop.clone(), ..plan.fit_config(config.device) };
    let warnings = doubtful_classes(&described, &examples, &split);
    let seed = plan.config().seed;
    let subject = Subject {
        config: plan.config(),
        data: &described,
        origin: Origin {
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_hash: None,
            model_revision: None,
        },
        describe: &|probe| probe.split_seed = Some(seed),
        resolved: &|_| to_toml(plan.config(), Path::new("")),
        n_skipped,
        warnings: &warnings,
    };
    let material = Material {
        plan,
        data: &described,
        source,
        examples: &examples,
        labels,
        split: &split,
        rows: &rows,
        tokens: None,
        is_about_tokens: false,
        experiments: &experiments,
        fit_config,
        folder: None,
    };
    SweptSource::of(material, &subject, tracker)
}

impl SweptSource {
    /// Trains on what is ready, and keeps what was found at every site.
    pub(crate) fn of(
        material: Material<'_>,
        subject: &Subject<'_>,
        tracker: &mut dyn Tracker,
    ) -> Result<Self, SweepError> {
        let (mut experiments, mut targets) = (Vec::new(), Vec::new());
        let mut keep = |swept| {
            match swept {
                Swept::Classes(swept) => experiments.push(*swept),
                Swept::Targets(swept) => targets.push(*swept),
            }
            Ok(())
        };
        let fits = material.sweep(subject, tracker, &mut keep)?;
        let has_classes = experiments.iter().any(|it| !it.report.architectures.is_empty());
        if !has_classes && targets.iter().all(|it| it.report.probes.is_empty()) {
            return Err(SweepError::Diverged);
        }
        Ok(Self { experiments, targets, fits })
    }
}

impl LabelledSource<'_> {
    /// Refuses lists that do not fit together, sequences of no token, and labels that are none of
    /// their kind.
    fn check(&self) -> Result<(), ProbeError> {
        let n = self.source.n_sequences();
        let n_places =
            if self.places.is_empty() { self.source.n_sites() } else { self.places.len() };
        for (what, found, expected) in [
            ("the number of lengths", self.lengths.len(), n),
            ("the number of labels", self.labels.len(), n),
            ("the number of groups", self.groups.map_or(n, <[usize]>::len), n),
            ("the number of places", n_places, self.source.n_sites()),
        ] {
            if found != expected {
                return Err(ProbeError::SizeMismatch { what, found, expected });
            }
        }
        let mut kept = (0..n).filter(|it| self.source.skipped().binary_search(it).is_err());
        if let Some(example) = kept.find(|&example| self.lengths[example] == 0) {
            return Err(ProbeError::NoRealToken { example });
        }
        check_labels(self.labels)
    }
}

/// The data as they are described, and their sides.
pub(crate) fn divide(
    plan: &SweepPlan,
    config: &SweepDataConfig<'_>,
    labels: &Labels,
    examples: &ExampleSet,
) -> Result<(DataConfig, Split), SweepError> {
    let SweepDataConfig { ref name, validation, test, .. } = *config;
    let described = DataConfig {
        name: name.clone(),
        path: name.into(),
        label_kind: Some(labels.kind()).filter(|kind| !kind.is_class()),
        validation: HeldOut::Share(validation),
        test: HeldOut::Share(test),
        ..DataConfig::default()
    };
    let shares = SplitConfig { validation, test, seed: plan.config().seed };
    let split = stratified_split(&examples.labels(), examples.groups.as_deref(), &shares);
    let split = split.map_err(unfit(Path::new(name)))?;
    if labels.kind().is_class() {
        check_classes(&described, examples, &split)?;
    } else {
        check_sides(&described, labels, &split)?;
    }
    Ok((described, split))
}

/// Place and name of the experiment of each site.
pub(crate) fn experiments_of(
    data: &str,
    places: &[Place],
    n_sites: usize,
) -> Vec<(Option<Place>, String)> {
    match (places, n_sites) {
        ([], 1) => vec![(None, data.to_owned())],
        ([], _) => (0..n_sites).map(|site| (None, format!("{data}-site{site}"))).collect(),
        (places, _) => {
            places.iter().map(|place| (Some(place.clone()), format!("{data}-{place}"))).collect()
        }
    }
}
