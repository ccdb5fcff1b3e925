//! Chosen probes on the test examples of other data sets.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem::take;
use std::path::Path;
use std::rc::Rc;

use attention_probes_activations::{
    ActivationSource, ExampleSet, MemoryActivations, Place, PlaceActivations, PlaceSites, Side,
    StorageConfig, open_activations,
};
use attention_probes_errors::FileError;
use attention_probes_metrics::{Bootstrap, ClassScores, ClassificationReport};
use attention_probes_models::LanguageModel;
use attention_probes_probes::{Loss, ProbeState, SavedProbe};

use crate::SweepError;
use crate::config::trial::Trial;
use crate::data::data_run::DataRun;
use crate::data::input::{LabelledActivations, Texts};
use crate::results::files::write_json;
use crate::results::predictions::Predictions;
use crate::results::report::{ExperimentReport, TransferReport};
use crate::tracker::{NoTracker, Tracker};
use crate::train::group::TrialGroup;
use crate::train::method::Method;
use crate::train::passes::predict_logits;

/// Judges every chosen probe on the test examples of each other data set of the run that has the
/// same classes and the same task, and writes `transfer.json` if there is any.
///
/// A data set that is the same file is left out, and so are examples that the probe was trained or
/// selected on.
pub(crate) fn transfers(
    runs: &[DataRun<'_>],
    experiments: &[ExperimentReport],
    model: Option<&LanguageModel>,
    tracker: &mut dyn Tracker,
) -> Result<Vec<TransferReport>, SweepError> {
    let (mut reports, mut learned) = (Vec::new(), BTreeMap::new());
    let Some(first) = runs.first().filter(|run| run.plan.config().evaluation.transfer) else {
        return Ok(reports);
    };
    for judged_on in runs {
        judged_on.stop.check()?;
        let is_other = |run: &&DataRun<'_>| can_transfer(run, judged_on, experiments);
        let trained_on: Vec<&DataRun<'_>> = runs.iter().filter(is_other).collect();
        if !trained_on.is_empty() {
            let places = judged_on.places(model)?;
            let mut probes = Vec::new();
            for run in &trained_on {
                let known = match learned.entry(run.data) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert(Rc::new(learned_by(run, model)?)),
                };
                probes.extend(load(run, &places, experiments, known)?);
            }
            let found = judge(probes, judged_on, model, tracker)?;
            reports.extend(found);
            tracker.note(&format!(
                "`{}`: probes of {} other data sets evaluated on its test examples",
                judged_on.config().name,
                trained_on.len()
            ));
        }
    }
    if !reports.is_empty() {
        write_json(&first.folder.join(FILE), &reports)?;
    }
    Ok(reports)
}

/// Name of the file in the run's folder.
const FILE: &str = "transfer.json";

/// Reads `transfer.json` of a run; nothing if there is none.
pub(crate) fn read_transfers(folder: &Path) -> Result<Vec<TransferReport>, SweepError> {
    let path = folder.join(FILE);
    match std::fs::read(&path) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|source| SweepError::Results { path, source })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(FileError::read(path)(source).into()),
    }
}

/// Whether probes of one data set can say something about the examples of another.
fn can_transfer(
    trained_on: &DataRun<'_>,
    judged_on: &DataRun<'_>,
    experiments: &[ExperimentReport],
) -> bool {
    let report = |run: &DataRun<'_>| {
        experiments.iter().find(|experiment| experiment.data == run.config().name)
    };
    let (Some(own), Some(other)) = (report(trained_on), report(judged_on)) else { return false };
    let plan = trained_on.plan;
    let of_one_model = match (&trained_on.activations, &judged_on.activations) {
        (Some(one), Some(other)) => one.may_be_of_model(other),
        _ => true,
    };
    of_one_model
        && trained_on.data != judged_on.data
        && own.classes == other.classes
        && plan.task(trained_on.data) == plan.task(judged_on.data)
        && own.origin.data_hash != other.origin.data_hash
}

/// Numbers of the texts, or examples of activations, that probes of a data set were trained or
/// selected on: all but the test examples of its results.
fn learned_by(
    run: &DataRun<'_>,
    model: Option<&LanguageModel>,
) -> Result<HashSet<u64>, SweepError> {
    let (config, seed) = (run.config(), run.plan.config().seed);
    let tested = |experiment: &str| -> Result<HashSet<usize>, SweepError> {
        let path = run.folder.join(experiment).join("predictions.npz");
        Ok(Predictions::read(&path)?.test.examples.rows.into_iter().collect())
    };
    let is_divided = config.test.file().is_none();
    let mut learned = HashSet::new();
    let mut add = |keys: Vec<u64>, rows: &[usize], sides: &[Option<Side>], tested: &HashSet<_>| {
        for ((key, row), side) in keys.into_iter().zip(rows).zip(sides) {
            let is_tested = match side {
                Some(side) => *side == Side::Test,
                None => is_divided && tested.contains(row),
            };
            if !is_tested {
                learned.insert(key);
            }
        }
    };
    let places = run.places(model)?;
    let experiments = run.experiments(&places);
    if let Some(sites) = &run.activations {
        let left_out = sites.left_out(config)?;
        for (site, (_, experiment)) in experiments.iter().enumerate() {
            let found = LabelledActivations::read(config, (sites, site), left_out, seed)?;
            let sides = found.sides();
            add(found.keys, &found.external.source_rows, &sides, &tested(experiment)?);
        }
    } else if let (Some(task), Some(model), Some((_, experiment))) =
        (run.plan.task(run.data), model, experiments.first())
    {
        let (sources, cache) = (&run.sources, Some(run.cache("tokens")));
        let texts = Texts::read(config, sources, task, seed, model, cache, &mut NoTracker)?;
        let sides = texts.sides();
        add(texts.keys, &texts.rows, &sides, &tested(experiment)?);
    }
    Ok(learned)
}

/// A chosen probe.
struct Chosen {
    experiment: String,
    /// Name of the data set that it was trained on.
    data: String,
    /// Numbers of what it was trained or selected on.
    learned: Rc<HashSet<u64>>,
    config_name: String,
    group: TrialGroup,
    state: ProbeState,
}

/// Loads the chosen probes of a data set that read the places of another.
fn load(
    trained_on: &DataRun<'_>,
    places: &[Place],
    experiments: &[ExperimentReport],
    learned: &Rc<HashSet<u64>>,
) -> Result<Vec<Chosen>, SweepError> {
    let mut probes = Vec::new();
    for (site, (_, experiment)) in trained_on.experiments(places).into_iter().enumerate() {
        let report = experiments.iter().find(|report| report.experiment == experiment);
        for architecture in report.iter().flat_map(|report| &report.architectures) {
            let folder = trained_on.folder.join(&experiment).join("trained");
            let SavedProbe { state, metadata } =
                SavedProbe::load_with(&folder.join(&architecture.file), trained_on.plan.kinds())?;
            let trial = Trial {
                learning_rate: architecture.learning_rate,
                weight_decay: architecture.weight_decay,
                seed: architecture.seed,
            };
            // Nothing is trained, so the loss does not matter.
            let (probe, loss, method) = (metadata.config, Loss::CrossEntropy, Method::default());
            probes.push(Chosen {
                experiment: experiment.clone(),
                data: trained_on.config().name.clone(),
                learned: Rc::clone(learned),
                config_name: architecture.config_name.clone(),
                group: TrialGroup { site, probe, loss, method, trials: vec![trial] },
                state,
            });
        }
    }
    Ok(probes)
}

/// Judges probes on the test examples of a data set.
fn judge(
    mut probes: Vec<Chosen>,
    judged_on: &DataRun<'_>,
    model: Option<&LanguageModel>,
    tracker: &mut dyn Tracker,
) -> Result<Vec<TransferReport>, SweepError> {
    let (config, seed) = (judged_on.config(), judged_on.plan.config().seed);
    if let Some(sites) = &judged_on.activations {
        let left_out = sites.left_out(config)?;
        let mut reports = Vec::new();
        for site in 0..sites.len() {
            let at_site = |probe: &mut Chosen| probe.group.site == site;
            let mut probes: Vec<Chosen> = probes.extract_if(.., at_site).collect();
            let LabelledActivations { external, examples, split, keys, .. } =
                LabelledActivations::read(config, (sites, site), left_out, seed)?;
            // Each site is a source of its own.
            for probe in &mut probes {
                probe.group.site = 0;
            }
            let mut source = MemoryActivations::from(external);
            let test = TestSide { examples: &examples, test: &split.test, keys: &keys };
            reports.extend(judge_examples(probes, judged_on, &mut source, test, tracker)?);
        }
        return Ok(reports);
    }
    let (Some(task), Some(model)) = (judged_on.plan.task(judged_on.data), model) else {
        return Ok(Vec::new());
    };
    let (sources, cache) = (&judged_on.sources, Some(judged_on.cache("tokens")));
    let texts = Texts::read(config, sources, task, seed, model, cache, &mut NoTracker)?;
    let examples = &texts.examples;
    let mut test = texts.split(config, examples, seed)?.test;
    let mut sequences: Vec<usize> = test.iter().map(|&i| examples.examples[i].sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();

    let places = judged_on.places(Some(model))?;
    let sites = PlaceSites::new(&places);
    let capture = judged_on.capture(&texts, model, &sites);
    // In memory if they fit, else recomputed: a part of a data set is not worth files of its own.
    let source = open_activations(capture, &sequences, &StorageConfig::default(), &mut |_, _| ())?;
    test.retain(|&i| !source.skipped().contains(&examples.examples[i].sequence));
    let mut source = PlaceActivations::new(source, &sites);
    let test = TestSide { examples, test: &test, keys: &texts.keys };
    judge_examples(probes, judged_on, &mut source, test, tracker)
}

/// The test examples of a data set.
#[derive(Clone, Copy)]
struct TestSide<'a> {
    examples: &'a ExampleSet,
    test: &'a [usize],
    /// Number of each sequence that equal ones share.
    keys: &'a [u64],
}

fn judge_examples(
    mut probes: Vec<Chosen>,
    judged_on: &DataRun<'_>,
    source: &mut dyn ActivationSource,
    TestSide { examples, test, keys }: TestSide<'_>,
    tracker: &mut dyn Tracker,
) -> Result<Vec<TransferReport>, SweepError> {
    // Activations from elsewhere may be of another model.
    probes.retain(|probe| probe.group.probe.d_model() == source.d_model());
    let (config, name) = (judged_on.plan.fit_config(judged_on.device), &judged_on.config().name);
    let example = |&i: &usize| examples.examples[i];
    let labels: Vec<usize> = test.iter().map(|i| example(i).label).collect();
    let prefixes: Vec<(usize, usize)> =
        test.iter().map(|i| (example(i).sequence, example(i).end)).collect();
    let groups: Vec<(TrialGroup, Vec<ProbeState>)> = probes
        .iter_mut()
        .map(|probe| (probe.group.clone(), vec![take(&mut probe.state)]))
        .collect();
    let logits = predict_logits(source, &prefixes, &groups, &config.prediction())?;
    let n_classes = examples.classes.len();
    let mut reports = Vec::new();
    let mut told = BTreeSet::new();
    for (probe, logits) in probes.into_iter().zip(logits) {
        if !logits.iter().all(|logit| logit.is_finite()) {
            continue;
        }
        let is_new = |&i: &usize| !probe.learned.contains(&keys[prefixes[i].0]);
        let kept: Vec<usize> = (0..test.len()).filter(is_new).collect();
        let n_left_out = test.len() - kept.len();
        if n_left_out > 0 && told.insert(probe.data.clone()) {
            tracker.note(&format!(
                "`{name}`: {n_left_out} of {} test examples left out for probes of `{}`, which were \
                 trained or selected on equal ones",
                test.len(),
                probe.data
            ));
        }
        let kept_labels: Vec<usize> = kept.iter().map(|&i| labels[i]).collect();
        let kept_classes: BTreeSet<usize> = kept_labels.iter().copied().collect();
        if kept_classes.len() < 2 {
            continue; // no metric is defined
        }
        let width = logits.len() / test.len();
        let kept_logits: Vec<f32> =
            kept.iter().flat_map(|&i| &logits[i * width..(i + 1) * width]).copied().collect();
        let scores = ClassScores::from_logits(&kept_logits, n_classes)?;
        let kept_groups: Option<Vec<usize>> =
            examples.groups.as_ref().map(|groups| kept.iter().map(|&i| groups[test[i]]).collect());
        let bootstrap = Bootstrap { seed: config.seed, ..Bootstrap::default() };
        let bootstrap = bootstrap.of_groups(kept_groups.as_deref());
        let report = ClassificationReport::new(&kept_labels, &scores, &bootstrap)?;
        reports.push(TransferReport {
            experiment: probe.experiment,
            config_name: probe.config_name,
            judged_on: name.clone(),
            n_left_out,
            test: report,
        });
    }
    Ok(reports)
}
