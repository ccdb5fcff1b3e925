//! `probe sweep`: every trial of a configuration file, into a folder of results.

use std::path::PathBuf;

use anyhow::{Context, Result};
use attention_probes_activations::{EarlierRun, Storage};
use attention_probes_cli::device;
use attention_probes_cli::earlier_args::EarlierArgs;
use attention_probes_cli::exit::InputError;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::stdout::print;
use attention_probes_errors::Stop;
use attention_probes_models::{Dtype, NoDownload, memory_limit_bytes};
use attention_probes_pages_probes::text::{plan_text, sweep_text};
use attention_probes_pages_probes::{sweep_page_path, write_sweep_page};
use attention_probes_sweep::{
    RunOptions, SweepConfig, SweepError, SweepOutline, SweepPlan, SweepReport, check_sweep,
    run_sweep,
};
use clap::Args;
use tracing::{info, warn};

use crate::libraries::LIBRARIES;
use crate::tracking::{self, RunTracker, Track};

/// Train all trials of a configuration file together and write a folder of results.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// The sweep, in TOML; `data.path` in it is relative to its folder.
    pub config: PathBuf,
    /// How to run it.
    #[command(flatten)]
    pub run: RunArgs,
    /// Name of the run, instead of the configuration's.
    #[arg(long)]
    pub run_name: Option<String>,
    /// Seed, instead of the configuration's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Model, instead of the configuration's.
    #[arg(long)]
    pub model: Option<String>,
    /// Layers, instead of the configuration's: `all`, `auto`, or numbers separated by commas, of
    /// which `-1` is the last layer.
    #[arg(long, allow_hyphen_values = true)]
    pub layers: Option<String>,
    /// Passes over the training examples, instead of the configuration's.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Examples per step, instead of the configuration's.
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Where activations are kept, instead of the configuration's: auto, recompute, memory, disk.
    #[arg(long)]
    pub storage: Option<Storage>,
    /// Most tokens of one forward pass, padding included, instead of the configuration's.
    #[arg(long)]
    pub batch_tokens: Option<usize>,
    /// Number format that the model computes in: `f32`, `bf16`, `f16`, or `auto`, instead of
    /// the configuration's.
    #[arg(long)]
    pub dtype: Option<Dtype>,
    /// Go on with a run that was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Check everything and print the plan, but train nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Flags that `sweep` and `demo` share.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Folder that holds the runs, instead of the configuration's.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`, instead of the configuration's.
    #[arg(long)]
    pub device: Option<String>,
    /// Also write the curves of the chosen trials for another program.
    #[arg(long, value_enum)]
    pub track: Vec<Track>,
    /// Replace a run that is there already; files that this program did not write stay.
    #[arg(long)]
    pub overwrite: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Runs `probe sweep`.
///
/// # Errors
///
/// If the configuration, the data, the model, or the disk is at fault.
pub fn run(args: &SweepArgs) -> Result<()> {
    let mut config = SweepConfig::read(&args.config)?;
    override_config(&mut config, args)?;
    let plan =
        config.check().with_context(|| format!("`{}` cannot be run", args.config.display()))?;
    let earlier = EarlierArgs { resume: args.resume, overwrite: args.run.overwrite }.earlier();
    if args.dry_run {
        let device = device::parse(&plan.config().device)?;
        let hub = hub_access().map(|hub| hub.without_downloads(NoDownload::CacheOnly));
        let options = RunOptions {
            device: &device,
            hub: hub.as_ref(),
            earlier,
            memory_bytes: memory_limit_bytes(),
            stop: Stop::never(),
        };
        let outline = match check_sweep(&plan, &options) {
            // A plan can be looked at before the weights are there.
            Err(error) if error.is_not_cached() => {
                warn!("{}", LIBRARIES.to_text(&error.into()));
                None
            }
            checked => Some(checked?),
        };
        let (outline, as_json) = (outline.as_ref(), args.run.json);
        let text = if as_json { plan_json(&plan, outline)? } else { plan_text(&plan, outline) };
        return print(&text);
    }
    let report = run_plan(&plan, earlier, &args.run.track)?;
    print_report(&report, args.run.json)
}

/// Trains what a plan says, with progress on stderr.
///
/// # Errors
///
/// As [`run_sweep`].
pub fn run_plan(plan: &SweepPlan, earlier: EarlierRun, track: &[Track]) -> Result<SweepReport> {
    let device = device::parse(&plan.config().device)?;
    let mut tracker = RunTracker::new(plan, track);
    let hub = hub_access();
    let memory_bytes = memory_limit_bytes();
    let options = RunOptions {
        device: &device,
        hub: hub.as_ref(),
        earlier,
        memory_bytes,
        stop: Stop::never(),
    };
    let report = run_sweep(plan, &options, &mut tracker);
    tracker.clear();
    let report = report?;
    for error in write_sweep_page(&report.folder)?.left_out {
        info!("not on the page: {}", LIBRARIES.to_text(&error.into()));
    }
    tracking::track(&report.folder, track)?;
    Ok(report)
}

/// Prints the tables, or one JSON object.
///
/// # Errors
///
/// If stdout cannot be written to.
pub fn print_report(report: &SweepReport, json: bool) -> Result<()> {
    if json {
        return print(&(serde_json::to_string_pretty(report)? + "\n"));
    }
    let (folder, page) = (&report.folder, sweep_page_path(&report.folder));
    let text = sweep_text(report);
    print(&format!("{text}results: {}\npage: {}\n", folder.display(), page.display()))
}

fn override_config(config: &mut SweepConfig, args: &SweepArgs) -> Result<()> {
    replace(&mut config.run, args.run_name.as_ref());
    replace(&mut config.output, args.run.output.as_ref());
    replace(&mut config.model.dtype, args.dtype.as_ref());
    replace(&mut config.device, args.run.device.as_ref());
    replace(&mut config.model.name, args.model.as_ref());
    config.seed = args.seed.unwrap_or(config.seed);
    config.sweep.epochs = args.epochs.or(config.sweep.epochs);
    replace(&mut config.sweep.batch_size, args.batch_size.as_ref());
    if let Some(layers) = &args.layers {
        config.activations.layers = layers.parse().map_err(|error: SweepError| {
            InputError(format!("`--layers {layers}` cannot be read: {error}"))
        })?;
    }
    replace(&mut config.activations.storage, args.storage.as_ref());
    replace(&mut config.activations.batch_tokens, args.batch_tokens.as_ref());
    Ok(())
}

fn replace<T: Clone>(value: &mut T, by: Option<&T>) {
    if let Some(by) = by {
        value.clone_from(by);
    }
}

/// What would be trained.
fn plan_json(plan: &SweepPlan, outline: Option<&SweepOutline>) -> Result<String> {
    let plan = serde_json::json!({
        "config": plan.config(),
        "n_trials": plan.trials().len(),
        "data": outline.map(|outline| &outline.data),
        "layers": outline.map(|outline| &outline.layers),
        "estimated_seconds": outline.map(SweepOutline::seconds),
    });
    Ok(serde_json::to_string_pretty(&plan)? + "\n")
}
