//! A whole sweep: data to tokens to activations to trials to files.

use std::collections::BTreeSet;

use attention_probes_activations::{EarlierRun, Place};
use attention_probes_errors::Stop;
use attention_probes_models::{HubAccess, LanguageModel, LoadOptions, open_model};
use burn::tensor::Device;

use crate::SweepError;
use crate::config::plan::SweepPlan;
use crate::data::activation_sites::ActivationSites;
use crate::data::data_run::DataRun;
use crate::data::held_out::Sources;
use crate::data::outline::SweepOutline;
use crate::judge::transfer::transfers;
use crate::results::compared_layers::compare_layers;
use crate::results::folder::{self, RunFolder};
use crate::results::report::SweepReport;
use crate::results::saved_run::SavedRun;
use crate::tracker::Tracker;

/// How a plan is run on this machine.
#[derive(Clone, Debug)]
pub struct RunOptions<'a> {
    /// Where the model runs.
    pub device: &'a Device,
    /// Where models and data sets of the Hub are looked for; without it, a model is embedded or a
    /// directory, and data are files.
    pub hub: Option<&'a HubAccess>,
    /// What becomes of an earlier run. One that is overwritten is removed once everything is checked,
    /// and nothing else of its folder.
    pub earlier: EarlierRun,
    /// Memory that the process may have, in bytes: probes that need more for their parameters alone
    /// are refused. Without it, nothing is.
    pub memory_bytes: Option<u64>,
    /// Asked once a batch, a block of a forward pass, and a pass of L-BFGS; given, the run ends with
    /// [`SweepError::Stopped`], and goes on from its last epoch if it is resumed.
    pub stop: Stop,
}

impl<'a> RunOptions<'a> {
    /// A run on a device that refuses what is there already, without the Hub, a limit of memory, or a
    /// signal to stop.
    pub fn new(device: &'a Device) -> Self {
        let (earlier, stop) = (EarlierRun::Refuse, Stop::never());
        Self { device, hub: None, earlier, memory_bytes: None, stop }
    }
}

/// Runs a sweep and writes its results.
///
/// The model runs once over each data set (or, recomputing, once per batch), for all layers; every
/// architecture and all trials train on each batch together. At the end, chosen probes are judged
/// on the test examples of other data sets that have the same classes. A run that is resumed keeps
/// what is complete, and goes on from the last epoch of what is not.
///
/// # Errors
///
/// - [`SweepError::Exists`] if there is such a run already, and it is neither resumed nor overwritten
/// - [`SweepError::OtherConfig`] if it was made with another configuration
/// - [`SweepError::Activation`] if another process is at it
/// - [`SweepError::Diverged`] if no trial at all ended with numbers
/// - [`SweepError::Stopped`] if [`RunOptions::stop`] is given
/// - any other [`SweepError`] if the model, a data set, or the disk is at fault; what is wrong with
///   the model or the data shows before the folder is made
pub fn run_sweep(
    plan: &SweepPlan,
    options: &RunOptions<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweepReport, SweepError> {
    folder::check(plan.config(), options.earlier)?;
    let runs = data_runs(plan, options)?;
    let model = model_of(plan, options)?;
    run((plan, &runs), model.as_ref(), options, tracker)
}

/// As [`run_sweep`], with a model that is open: also one of your own, whatever the configuration calls
/// it.
///
/// # Errors
///
/// As [`run_sweep`].
pub fn run_sweep_on(
    plan: &SweepPlan,
    model: &LanguageModel,
    options: &RunOptions<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweepReport, SweepError> {
    folder::check(plan.config(), options.earlier)?;
    let runs = data_runs(plan, options)?;
    run((plan, &runs), Some(model), options, tracker)
}

fn run(
    (plan, runs): (&SweepPlan, &[DataRun<'_>]),
    model: Option<&LanguageModel>,
    options: &RunOptions<'_>,
    tracker: &mut dyn Tracker,
) -> Result<SweepReport, SweepError> {
    let config = plan.config();
    let mut inputs = Vec::new();
    for run in runs {
        options.stop.check()?;
        inputs.push(run.input(model, true, tracker)?);
    }
    let folder = RunFolder::claim(config, options.earlier)?;
    let (mut experiments, mut targets) = (Vec::new(), Vec::new());
    for (run, input) in runs.iter().zip(inputs) {
        options.stop.check()?;
        let reports = run.run(input, model, tracker)?;
        experiments.extend(reports.experiments);
        targets.extend(reports.targets);
    }
    folder.remove_checkpoints()?;
    let has_none = experiments.iter().all(|experiment| experiment.architectures.is_empty());
    if has_none && targets.is_empty() {
        return Err(SweepError::Diverged);
    }
    let transfers = transfers(runs, &experiments, model, tracker)?;
    let layers = compare_layers(&SavedRun::read(&folder.path)?.experiments)?;
    Ok(SweepReport { folder: folder.path, experiments, targets, transfers, layers })
}

/// Checks everything that [`run_sweep`] would check before it trains: model, layers, data, and
/// folder; says what it would do, and estimates how long that takes. Writes nothing.
///
/// # Errors
///
/// As [`run_sweep`].
pub fn check_sweep(plan: &SweepPlan, options: &RunOptions<'_>) -> Result<SweepOutline, SweepError> {
    folder::check(plan.config(), options.earlier)?;
    let runs = data_runs(plan, options)?;
    let model = model_of(plan, options)?;
    let data = runs.iter().map(|run| run.outline(model.as_ref())).collect::<Result<_, _>>()?;
    let places = match &model {
        Some(model) => plan.places(model.model.shape())?,
        None => Vec::new(),
    };
    let layers: BTreeSet<usize> = places.iter().flat_map(Place::layers).copied().collect();
    Ok(SweepOutline { layers: layers.into_iter().collect(), data })
}

fn model_of(
    plan: &SweepPlan,
    options: &RunOptions<'_>,
) -> Result<Option<LanguageModel>, SweepError> {
    if !plan.needs_model() {
        return Ok(None);
    }
    let config = &plan.config().model;
    let load = LoadOptions::from((options.device, config.dtype)).with_stop(options.stop.clone());
    let model = open_model(&config.name, options.hub, load)?;
    plan.places(model.model.shape())?;
    Ok(Some(model))
}

/// Finds the files of every data set.
fn data_runs<'a>(
    plan: &'a SweepPlan,
    options: &RunOptions<'a>,
) -> Result<Vec<DataRun<'a>>, SweepError> {
    let run = |(data, config)| {
        let sources = Sources::find(config, options.hub)?;
        let brings_activations = plan.task(data).is_none();
        let activations = brings_activations
            .then(|| ActivationSites::open(config, &plan.config().activations))
            .transpose()?;
        let folder = plan.config().folder();
        let keeps_complete = options.earlier != EarlierRun::Overwrite;
        Ok(DataRun {
            plan,
            data,
            sources,
            activations,
            folder,
            device: options.device,
            keeps_complete,
            memory_bytes: options.memory_bytes,
            stop: options.stop.clone(),
        })
    };
    plan.config().data.iter().enumerate().map(run).collect()
}
