//! Several runs of sweeps, compared with the first.

use std::collections::BTreeMap;

use attention_probes_metrics::{
    Bootstrap, ComparedProbe, Comparison, Interval, MetricError, compare_balanced_accuracy,
};
use attention_probes_probes::SideReport;
use serde::Serialize;

use crate::SweepError;
use crate::results::chosen::{chosen, chosen_target};
use crate::results::report::ArchitectureReport;
use crate::results::saved_run::{SavedExperiment, SavedRun};
use crate::results::target_report::TargetReport;

/// Several runs, compared with the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunComparison {
    /// Names that tell the runs apart: that of the run, with its seed or folder if need be.
    pub runs: Vec<String>,
    /// What validation chose of every data set, run by run.
    pub chosen: Vec<ComparedProbe>,
    /// Every result, run by run.
    pub results: Vec<ComparedProbe>,
}

/// What results of different runs have in common if they belong together: data set, layer,
/// component, and architecture.
type ProbePlace = (String, Option<usize>, String, String);

/// One chosen probe of a run.
struct Found<'a> {
    place: ProbePlace,
    metric: &'static str,
    validation: f64,
    test: (f64, Option<Interval>),
    n_test: usize,
    /// Whether validation chose it among all probes of the data set.
    is_chosen: bool,
    probe: Probe<'a>,
}

/// A chosen probe, by the kind of its labels.
#[derive(Clone, Copy)]
enum Probe<'a> {
    Class(&'a SavedExperiment, &'a ArchitectureReport),
    /// What it does on validation.
    Target(&'a SideReport),
}

/// Compares runs with the first: what validation chose of every data set, and every result.
///
/// Where two runs were evaluated on the same test examples, a difference comes with a paired
/// bootstrap.
///
/// # Errors
///
/// - [`SweepError::Metric`] if the predictions of a run do not fit its labels
/// - [`SweepError::Duplicate`] if two runs are given one name
///
/// # Examples
///
/// ```
/// use attention_probes::activations::EarlierRun;
/// use attention_probes::errors::Stop;
/// use attention_probes::sweep::config::{ArchitectureConfig, DataConfig};
/// use attention_probes::sweep::{
///     NoTracker, RunOptions, SavedRun, SweepConfig, compare_runs, run_sweep,
/// };
/// use burn::tensor::Device;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("days.csv");
/// let row = |i: usize| format!("{} day the {i}th,{}\n", ["a fine", "an awful"][i % 2], i % 2);
/// let rows: String = (0..60).map(row).collect();
/// std::fs::write(&path, format!("text,label\n{rows}"))?;
/// let mut config = SweepConfig {
///     output: folder.path().join("results"),
///     data: vec![DataConfig { name: "days".to_owned(), path, ..DataConfig::default() }],
///     architectures: vec![ArchitectureConfig {
///         name: "linear".to_owned(),
///         config_name: "linear".to_owned(),
///         ..ArchitectureConfig::default()
///     }],
///     ..SweepConfig::default()
/// };
/// config.activations.layers = "2".parse()?;
/// let device = Device::default();
/// let options = RunOptions {
///     device: &device,
///     hub: None,
///     earlier: EarlierRun::Refuse,
///     memory_bytes: None,
///     stop: Stop::never(),
/// };
/// let report = run_sweep(&config.check()?, &options, &mut NoTracker)?;
/// let run = SavedRun::read(&report.folder)?;
///
/// let compared = compare_runs(&[run.clone(), run])?;
/// let [first, second] = &compared.chosen[..] else { panic!("one for each run") };
/// assert_eq!((first.over_first, first.value), (None, second.value));
/// assert_eq!(second.over_first.map(|over| over.difference), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare_runs(runs: &[SavedRun]) -> Result<RunComparison, SweepError> {
    let names = names(runs);
    if let Some((_, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(SweepError::Duplicate { key: "NAME=FOLDER", name: name.clone() });
    }
    let found: Vec<Vec<Found<'_>>> = runs.iter().map(results).collect();
    let empty = Vec::new();
    let of_first = found.first().unwrap_or(&empty);
    let first: BTreeMap<&ProbePlace, &Found<'_>> =
        of_first.iter().map(|result| (&result.place, result)).collect();
    let chosen_first: BTreeMap<&str, &Found<'_>> =
        chosen_of(of_first).map(|result| (result.place.0.as_str(), result)).collect();
    let (mut chosen, mut all) = (Vec::new(), Vec::new());
    for (run, results) in found.iter().enumerate() {
        for result in results {
            let base = first.get(&result.place).copied().filter(|_| run > 0);
            all.push(compared((run, &names[run]), result, base)?);
        }
        for result in chosen_of(results) {
            let base = chosen_first.get(result.place.0.as_str()).copied().filter(|_| run > 0);
            chosen.push(compared((run, &names[run]), result, base)?);
        }
    }
    Ok(RunComparison { runs: names, chosen, results: all })
}

/// A probe with its difference from one of the first run, if there is one of the same metric.
fn compared(
    (run_index, run): (usize, &str),
    result: &Found<'_>,
    base: Option<&Found<'_>>,
) -> Result<ComparedProbe, SweepError> {
    let base = base.filter(|base| base.metric == result.metric);
    let over_first = base.map(|base| paired(result, base)).transpose()?.flatten();
    let difference = base.map(|base| match over_first {
        Some(paired) => (paired.difference, Some(paired.interval)),
        None => (result.test.0 - base.test.0, None),
    });
    let (data, layer, component, config_name) = result.place.clone();
    Ok(ComparedProbe {
        run_index,
        run: run.to_owned(),
        data,
        layer,
        component,
        config_name,
        n_test: result.n_test,
        metric: result.metric.to_owned(),
        value: Some(result.test.0).filter(|value| value.is_finite()),
        interval: result.test.1,
        validation: Some(result.validation).filter(|value| value.is_finite()),
        is_chosen: result.is_chosen,
        difference,
        over_first,
    })
}

fn chosen_of<'a, 'b>(results: &'b [Found<'a>]) -> impl Iterator<Item = &'b Found<'a>> {
    results.iter().filter(|result| result.is_chosen)
}

/// Names that tell the runs apart: that of the run, with its seed or folder if need be.
fn names(runs: &[SavedRun]) -> Vec<String> {
    let short = |run: &SavedRun| run.config.run.clone();
    let seeded = |run: &SavedRun| format!("{}, seed {}", run.config.run, run.config.seed);
    let folder = |run: &SavedRun| run.folder.display().to_string();
    let ways: [&dyn Fn(&SavedRun) -> String; 3] = [&short, &seeded, &folder];
    let distinct =
        |names: &Vec<String>| names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
    let mut candidates = ways.iter().map(|name| runs.iter().map(name).collect::<Vec<_>>());
    let own = candidates.find(distinct).unwrap_or_else(|| {
        runs.iter().enumerate().map(|(i, run)| format!("{} ({})", short(run), i + 1)).collect()
    });
    let given = |(run, own): (&SavedRun, String)| run.name.clone().unwrap_or(own);
    runs.iter().zip(own).map(given).collect()
}

/// Every chosen probe of a run, of classes and of other labels.
fn results(run: &SavedRun) -> Vec<Found<'_>> {
    let classes = run.experiments.iter().flat_map(|experiment| {
        let (report, component) = (&experiment.report, experiment.component());
        report.architectures.iter().map(move |architecture| Found {
            place: (
                report.data.clone(),
                report.layer,
                component.clone(),
                architecture.config_name.clone(),
            ),
            metric: "balanced accuracy",
            validation: architecture.validation.balanced_accuracy,
            test: (
                architecture.test.balanced_accuracy,
                Some(architecture.test.balanced_accuracy_interval),
            ),
            n_test: architecture.test.n_examples,
            is_chosen: false,
            probe: Probe::Class(experiment, architecture),
        })
    });
    let mut found: Vec<Found<'_>> =
        classes.chain(run.targets.iter().flat_map(|saved| targets(&saved.report))).collect();
    let mut of_data: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, result) in found.iter().enumerate() {
        of_data.entry(result.place.0.clone()).or_default().push(index);
    }
    for places in of_data.into_values() {
        let classes = places.iter().filter_map(|&index| match found[index].probe {
            Probe::Class(_, probe) => Some(probe),
            Probe::Target(_) => None,
        });
        let targets = places.iter().filter_map(|&index| match found[index].probe {
            Probe::Target(report) => Some(report),
            Probe::Class(..) => None,
        });
        if let Some(best) = chosen(classes).or_else(|| chosen_target(targets)) {
            found[places[best]].is_chosen = true;
        }
    }
    found
}

/// The probes of numbers, labels, or distributions of an experiment.
fn targets(report: &TargetReport) -> impl Iterator<Item = Found<'_>> {
    report.probes.iter().map(|probe| {
        let (metric, value, interval) = probe.test.headline();
        Found {
            place: (
                report.data.clone(),
                report.layer,
                report.component.clone().unwrap_or_default(),
                probe.config_name.clone(),
            ),
            metric,
            validation: probe.validation.headline().1.unwrap_or(f64::NAN),
            test: (value.unwrap_or(f64::NAN), interval),
            n_test: report.counts.n_test,
            is_chosen: false,
            probe: Probe::Target(&probe.validation),
        }
    })
}

/// Compares two classifiers if they were evaluated on the same examples.
fn paired(result: &Found<'_>, base: &Found<'_>) -> Result<Option<Comparison>, SweepError> {
    match (result.probe, base.probe) {
        (Probe::Class(own, own_probe), Probe::Class(first, first_probe)) => {
            Ok(paired_probes((own, own_probe), (first, first_probe))?)
        }
        _ => Ok(None),
    }
}

/// Compares two probes of classes if they were evaluated on the same examples.
pub(crate) fn paired_probes(
    (own, own_probe): (&SavedExperiment, &ArchitectureReport),
    (first, first_probe): (&SavedExperiment, &ArchitectureReport),
) -> Result<Option<Comparison>, MetricError> {
    let (report, other) = (&own.report, &first.report);
    let (test, base_test) = (&own.predictions.test, &first.predictions.test);
    let same_data = report.origin.data_hash.is_some()
        && report.origin.data_hash == other.origin.data_hash
        && report.classes == other.classes
        && test.examples == base_test.examples;
    if !same_data {
        return Ok(None);
    }
    let n_classes = report.classes.len();
    let own = test.predicted(&own_probe.config_name, n_classes);
    let first = base_test.predicted(&first_probe.config_name, n_classes);
    let (Some(own), Some(first)) = (own, first) else { return Ok(None) };
    let bootstrap = Bootstrap { n_resamples: Bootstrap::PAIRED, ..Bootstrap::default() };
    let bootstrap = bootstrap.of_groups(test.examples.groups.as_deref());
    let labels = &test.examples.labels;
    Ok(Some(compare_balanced_accuracy(labels, [&own, &first], n_classes, &bootstrap)?))
}
