//! Chosen probes on the test examples of other data sets.

use std::path::Path;

use attention_probes_activations::{
    ActivationSource, Capture, ExampleSet, MemoryActivations, Place, PlaceActivations, PlaceSites,
    StorageConfig, TOKENS_PER_FORWARD, open_activations,
};
use attention_probes_metrics::ClassificationReport;
use attention_probes_models::LanguageModel;
use attention_probes_probes::{Loss, ProbeState, SavedProbe, probabilities_from_logits};
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::data_run::DataRun;
use crate::fit::TrialGroup;
use crate::input::{LabelledActivations, Texts};
use crate::method::Method;
use crate::passes::predict_logits;
use crate::plan::Trial;
use crate::report::ExperimentReport;
use crate::results::write_json;
use crate::tracker::{NoTracker, Tracker};

/// A chosen probe on the test examples of another data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferReport {
    /// Experiment that the probe was trained in.
    pub experiment: String,
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// Name of the data set that it is judged on.
    pub judged_on: String,
    /// On the test examples of that data set.
    pub test: ClassificationReport,
}

/// Judges every chosen probe on the test examples of each other data set of the run that has the
/// same classes and the same task, and writes `transfer.json` if there is any.
///
/// A data set that is the same file is left out, since its examples may have been trained on.
pub(crate) fn transfers(
    runs: &[DataRun<'_>],
    experiments: &[ExperimentReport],
    model: Option<&LanguageModel>,
    tracker: &mut dyn Tracker,
) -> Result<Vec<TransferReport>, SweepError> {
    let mut reports = Vec::new();
    let Some(first) = runs.first().filter(|run| run.plan.config().evaluation.transfer) else {
        return Ok(reports);
    };
    for judged_on in runs {
        let is_other = |run: &&DataRun<'_>| can_transfer(run, judged_on, experiments);
        let trained_on: Vec<&DataRun<'_>> = runs.iter().filter(is_other).collect();
        if !trained_on.is_empty() {
            let places = judged_on.places(model)?;
            let mut probes = Vec::new();
            for run in &trained_on {
                probes.extend(load(run, &places, experiments)?);
            }
            reports.extend(judge(probes, judged_on, model)?);
            tracker.note(&format!(
                "`{}`: probes of {} other data sets judged on its test examples",
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
        Err(source) => Err(SweepError::Read { path, source }),
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

/// A chosen probe.
struct Chosen {
    experiment: String,
    config_name: String,
    group: TrialGroup,
    state: ProbeState,
}

/// Loads the chosen probes of a data set that read the places of another.
fn load(
    trained_on: &DataRun<'_>,
    places: &[Place],
    experiments: &[ExperimentReport],
) -> Result<Vec<Chosen>, SweepError> {
    let mut probes = Vec::new();
    for (site, (_, experiment)) in trained_on.experiments(places).into_iter().enumerate() {
        let report = experiments.iter().find(|report| report.experiment == experiment);
        for architecture in report.iter().flat_map(|report| &report.architectures) {
            let folder = trained_on.folder.join(&experiment).join("trained");
            let SavedProbe { state, metadata } =
                SavedProbe::load(&folder.join(&architecture.file))?;
            let trial = Trial {
                learning_rate: architecture.learning_rate,
                weight_decay: architecture.weight_decay,
                seed: architecture.seed,
            };
            // Nothing is trained, so the loss does not matter.
            let (probe, loss, method) = (metadata.config, Loss::CrossEntropy, Method::default());
            probes.push(Chosen {
                experiment: experiment.clone(),
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
) -> Result<Vec<TransferReport>, SweepError> {
    let (config, seed) = (judged_on.config(), judged_on.plan.config().seed);
    if let Some(sites) = &judged_on.activations {
        let left_out = sites.left_out(config)?;
        let mut reports = Vec::new();
        for site in 0..sites.len() {
            let at_site = |probe: &mut Chosen| probe.group.site == site;
            let mut probes: Vec<Chosen> = probes.extract_if(.., at_site).collect();
            let LabelledActivations { external, examples, split } =
                LabelledActivations::read(config, (sites, site), &left_out, seed)?;
            // Each site is a source of its own.
            probes.iter_mut().for_each(|probe| probe.group.site = 0);
            let mut source = MemoryActivations::from(external);
            let test = (&examples, &split.test[..]);
            reports.extend(judge_examples(probes, judged_on, &mut source, test)?);
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
    let capture = Capture {
        model: &*model.model,
        tokens: &texts.tokens,
        sites: sites.sites(),
        device: judged_on.device,
        max_tokens_per_batch: TOKENS_PER_FORWARD,
    };
    // In memory if they fit, else recomputed: a part of a data set is not worth files of its own.
    let source = open_activations(capture, &sequences, &StorageConfig::default(), &mut |_, _| ())?;
    test.retain(|&i| !source.skipped().contains(&examples.examples[i].sequence));
    let mut source = PlaceActivations::new(source, &sites);
    judge_examples(probes, judged_on, &mut source, (examples, &test))
}

fn judge_examples(
    mut probes: Vec<Chosen>,
    judged_on: &DataRun<'_>,
    source: &mut dyn ActivationSource,
    (examples, test): (&ExampleSet, &[usize]),
) -> Result<Vec<TransferReport>, SweepError> {
    // Activations from elsewhere may be of another model.
    probes.retain(|probe| probe.group.probe.d_model() == source.d_model());
    let config = judged_on.plan.config();
    let example = |&i: &usize| examples.examples[i];
    let labels: Vec<usize> = test.iter().map(|i| example(i).label).collect();
    let prefixes: Vec<(usize, usize)> =
        test.iter().map(|i| (example(i).sequence, example(i).end)).collect();
    let (names, groups): (Vec<_>, Vec<_>) = probes
        .into_iter()
        .map(|probe| ((probe.experiment, probe.config_name), (probe.group, vec![probe.state])))
        .unzip();
    let logits = predict_logits(source, &prefixes, &groups, config.sweep.batch_size)?;
    let n_classes = examples.classes.len();
    let is_sound = |logits: &[f32]| logits.iter().all(|logit| logit.is_finite());
    let sound = names.into_iter().zip(logits).filter(|(_, logits)| is_sound(logits));
    sound
        .map(|((experiment, config_name), logits)| {
            let probabilities = probabilities_from_logits(&logits, n_classes);
            let test = ClassificationReport::new(&labels, &probabilities, n_classes, config.seed)?;
            let judged_on = judged_on.config().name.clone();
            Ok(TransferReport { experiment, config_name, judged_on, test })
        })
        .collect()
}
