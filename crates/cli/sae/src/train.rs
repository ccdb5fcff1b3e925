//! `sae train`: every autoencoder of a configuration file, from one stream of activations.

use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::EarlierRun;
use attention_probes_cli::device;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::output::check_utf8;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::{Follower, in_flags};
use attention_probes_errors::{Stop, shown_time};
use attention_probes_models::memory_limit_bytes;
use attention_probes_pages_sae::text::trained_saes_text;
use attention_probes_sae::{
    Follow, SaeRunConfig, SaeRunOptions, SaeRunTime, TrainedSae, check_sae_run, run_sae,
};
use clap::Args;
use tracing::info;

use super::run_args::RunArgs;

/// Train sparse autoencoders on the activations of a model.
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// The run, in TOML; `data.path` in it is relative to its folder.
    pub config: PathBuf,
    /// Model, instead of the configuration's.
    #[arg(long)]
    pub model: Option<String>,
    /// Name of the run, instead of the configuration's.
    #[arg(long)]
    pub run_name: Option<String>,
    /// Seed, instead of the configuration's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How the runs are made.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Runs `sae train`.
///
/// # Errors
///
/// If the configuration, the model, the texts, or the output is at fault, or a training diverges.
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut config = SaeRunConfig::read(&args.config)?;
    args.run.put(&mut config.output, &mut config.device, &mut config.train.tokens);
    if let Some(model) = &args.model {
        config.model.name.clone_from(model);
    }
    if let Some(name) = &args.run_name {
        config.run.clone_from(name);
    }
    config.seed = args.seed.unwrap_or(config.seed);
    let flags = TrainFlags { earlier: args.run.earlier.earlier(), dry_run: args.run.dry_run };
    let trained = train(&config, flags)?;
    if trained.is_empty() { Ok(()) } else { print_trained(&trained, args.run.json) }
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrainFlags {
    /// What becomes of a run that is there already.
    pub(crate) earlier: EarlierRun,
    /// Whether only the plan is made.
    pub(crate) dry_run: bool,
}

/// Trains everything and writes it; nothing if it is complete already, or only planned.
pub(crate) fn train(config: &SaeRunConfig, flags: TrainFlags) -> Result<Vec<TrainedSae>> {
    check_utf8(&config.output)?;
    check_utf8(&config.data.path)?;
    let plan = config.check()?;
    let (device, hub, follower) =
        (device::parse(&config.device)?, hub_access(), Follower::default());
    let options = SaeRunOptions {
        hub: hub.as_ref(),
        earlier: flags.earlier,
        memory_bytes: memory_limit_bytes(),
        follow: Follow { progress: &|event| follower.show(event), stop: Stop::never() },
        ..SaeRunOptions::new(&device)
    };
    if flags.dry_run {
        say_time(check_sae_run(&plan, &options)?.time);
        return Ok(Vec::new());
    }
    run_sae(&plan, &options).map_err(in_flags)
}

/// Says how long a run takes.
pub(super) fn say_time(time: Option<SaeRunTime>) {
    let Some(SaeRunTime { model_s, training_s }) = time else { return };
    info!(
        "time: {}, of which {} for the model and {} for training; an estimate from a few steps",
        shown_time(model_s + training_s),
        shown_time(model_s),
        shown_time(training_s)
    );
}

/// Prints what was trained.
pub(super) fn print_trained(trained: &[TrainedSae], json: bool) -> Result<()> {
    if json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "saes": trained }))?;
        return print(&(text + "\n"));
    }
    let folders: Vec<String> =
        trained.iter().map(|sae| format!("wrote {}", sae.folder.display())).collect();
    print(&format!("{}{}\n", trained_saes_text(trained), folders.join("\n")))
}
