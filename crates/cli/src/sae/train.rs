//! `sae train`: every autoencoder of a configuration file, from one stream of activations.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use attention_probes_activations::{FolderLock, write_atomically};
use attention_probes_models::{LanguageModel, Placement, open_model};
use attention_probes_sae::{
    ContextStream, Contexts, RunGuidance, RunProgress, RunTraining, SaeFormat, SaeRun,
    SaeRunConfig, SaeTask, StepReport, TrainingMemory, write_sae_lens,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing::{info, warn};

use crate::exit::InputError;
use crate::extract_report::shown_size;
use crate::hub::hub_access;
use crate::input::ignore_broken_pipe;
use crate::memory::{self, Need};
use crate::output::check_utf8;
use crate::sae::attention::{attention, hash_ids, held_out};
use crate::sae::guidance::GUIDANCE_FILE;
use crate::sae::outline::say_time;
use crate::sae::overwrite::remove_run;
use crate::sae::texts;
use crate::{device, table};

/// Train sparse autoencoders on the activations of a model.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct TrainArgs {
    /// The run, in TOML; `data.path` in it is relative to its folder.
    pub config: PathBuf,
    /// Folder that holds the runs, instead of the configuration's.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`, instead of the configuration's.
    #[arg(long)]
    pub device: Option<String>,
    /// Model, instead of the configuration's.
    #[arg(long)]
    pub model: Option<String>,
    /// Tokens that each autoencoder sees, instead of the configuration's.
    #[arg(long)]
    pub tokens: Option<u64>,
    /// Name of the run, instead of the configuration's.
    #[arg(long)]
    pub run_name: Option<String>,
    /// Seed, instead of the configuration's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Go on with a run that was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace a run that is there already; files that this program did not write stay.
    #[arg(long)]
    pub overwrite: bool,
    /// Check everything and print the plan, but train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs `sae train`.
///
/// # Errors
///
/// If the configuration, the model, the texts, or the output is at fault, or a training diverges.
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut config = SaeRunConfig::read(&args.config)?;
    if let Some(output) = &args.output {
        config.output.clone_from(output);
    }
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    if let Some(model) = &args.model {
        config.model.name.clone_from(model);
    }
    if let Some(name) = &args.run_name {
        config.run.clone_from(name);
    }
    config.train.tokens = args.tokens.unwrap_or(config.train.tokens);
    config.seed = args.seed.unwrap_or(config.seed);
    let flags =
        TrainFlags { resume: args.resume, overwrite: args.overwrite, dry_run: args.dry_run };
    let trained = train(&config, flags)?;
    if trained.is_empty() { Ok(()) } else { print(&trained, args.json) }
}

/// State of a run that is not complete, in its folder.
const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

/// What to do about a run that is there already.
const KEEP_OR_REPLACE: &str =
    "keep it with another `run` or `--output`, or replace it with `--overwrite`";

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrainFlags {
    /// Whether a run that was stopped goes on.
    pub(crate) resume: bool,
    /// Whether a run that is there already is replaced.
    pub(crate) overwrite: bool,
    /// Whether only the plan is made.
    pub(crate) dry_run: bool,
}

/// One line of a history.
#[derive(Serialize)]
struct HistoryLine {
    step: u64,
    tokens: u64,
    #[serde(flatten)]
    report: StepReport,
}

/// What is said of an autoencoder in the end.
#[derive(Debug, Serialize)]
pub(crate) struct TrainedSae {
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// The hook it reads.
    pub(crate) hook: String,
    /// Its seed.
    pub(crate) seed: u64,
    /// The last batch.
    pub(crate) report: StepReport,
}

/// Trains everything and writes it; nothing if it is complete already, or only planned.
pub(crate) fn train(config: &SaeRunConfig, flags: TrainFlags) -> Result<Vec<TrainedSae>> {
    let tasks = config.tasks()?;
    let device = device::parse(&config.device)?;
    let folder = config.output.join(&config.run).join("sae");
    let checkpoint = folder.join(CHECKPOINT_FILE);
    let kept_config = folder.join("config.toml");
    let text = config_text(config)?;
    let is_complete = || {
        if flags.dry_run || flags.overwrite {
            return Ok(false);
        }
        check_folder(&folder, (&text, &tasks), flags.resume)
    };
    if is_complete()? {
        return Ok(Vec::new());
    }
    let hub = hub_access();
    let placement = Placement { device: device.clone(), dtype: config.model.dtype };
    let model = open_model(&config.model.name, hub.as_ref(), placement)?;
    let data = &config.data;
    let size = (data.context_size, data.prepend_bos);
    let mut contexts = texts::contexts(&data.path, &texts::columns_of_run(data)?, size, &model)?;
    let layers = SaeRun::layers(&tasks)?;
    let n_held_out = held_out(config, &layers, &contexts)?;
    let sizes = (contexts.n_text_tokens(), model.model.shape().n_layers);
    SaeRun::check_guidance(&tasks, &config.train, sizes)?;
    let _ = contexts.split_off(data.test_contexts);
    let digest = digest(config, &model, &contexts)?;
    let all = contexts.clone();
    let held_out = contexts.split_off(n_held_out);
    let hooks = SaeRun::hooks(&tasks);
    let settings = (config.train.contexts_per_forward, config.seed);
    let stream = ContextStream::new(&*model.model, &device, &contexts, hooks, settings)?;
    let n_tokens = contexts.len() * contexts.n_text_tokens();
    info!(
        "{} contexts of {} tokens, {:.2} times over; {} autoencoders",
        contexts.len(),
        contexts.length(),
        config.train.tokens as f64 / n_tokens as f64,
        tasks.len()
    );
    check_memory(&tasks, &config.train, stream.widths())?;
    let length = (config.n_steps(), config.seed);
    if flags.dry_run {
        say_time(stream, (&tasks, &layers), &config.train, length)?;
        return Ok(Vec::new());
    }
    let _lock = FolderLock::claim(&folder)?;
    // Another process may have been here since it was last looked at.
    if is_complete()? {
        return Ok(Vec::new());
    }
    if flags.overwrite {
        remove_run(&folder)?;
    }
    let mut run = if layers.is_empty() {
        SaeRun::new(stream, tasks, &config.train, length)?
    } else {
        let path = folder.join("attention.safetensors");
        let attention = attention(config, &model, &device, (&all, &layers), &path)?;
        let guidance = RunGuidance { attention, held_out };
        SaeRun::guided(stream, tasks, &config.train, length, guidance)?
    };
    if checkpoint.exists() && flags.resume {
        run.load(&checkpoint, &digest)?;
        info!("going on from step {}", run.trainers()[0].n_steps());
    }
    write_atomically(&kept_config, |file| file.write_all(text.as_bytes()))?;
    let reports = steps(config, &mut run, (&checkpoint, &digest), &folder)?;
    let n_skipped = run.position().n_skipped;
    if n_skipped > 0 {
        warn!("{n_skipped} contexts left out, an activation is not finite");
    }
    let trained = write(&run, &folder, config, &reports)?;
    let _ = fs::remove_file(&checkpoint);
    Ok(trained)
}

/// Refuses a folder that holds a run already, or to be resumed, one of other settings; tells whether
/// the run is complete.
fn check_folder(folder: &Path, (config, tasks): (&str, &[SaeTask]), resume: bool) -> Result<bool> {
    let kept_config = folder.join("config.toml");
    let shown = folder.display();
    if kept_config.exists() && !resume {
        let error =
            format!("`{shown}` holds a run already; go on with `--resume`, {KEEP_OR_REPLACE}");
        return Err(InputError(error).into());
    }
    if !resume || folder.join(CHECKPOINT_FILE).exists() {
        return Ok(false);
    }
    if fs::read_to_string(&kept_config).is_ok_and(|old| old != config) {
        let error = format!("`{shown}` holds a run with other settings; {KEEP_OR_REPLACE}");
        return Err(InputError(error).into());
    }
    let is_complete = tasks.iter().all(|task| SaeFormat::of(folder.join(&task.name)).is_ok());
    if is_complete {
        info!("`{shown}` is complete already");
    }
    Ok(is_complete)
}

/// The configuration as it is kept beside the results.
fn config_text(config: &SaeRunConfig) -> Result<String> {
    check_utf8(&config.output)?;
    check_utf8(&config.data.path)?;
    toml::to_string(config).context("the configuration cannot be written")
}

/// Says how much memory a run needs at least, and refuses more than there is.
fn check_memory(tasks: &[SaeTask], train: &RunTraining, of_hooks: &[usize]) -> Result<()> {
    let hooks = SaeRun::hooks(tasks);
    let width = |task: &SaeTask| hooks.iter().position(|hook| *hook == task.hook);
    let widths: Vec<usize> =
        tasks.iter().filter_map(|task| of_hooks.get(width(task)?).copied()).collect();
    let memory = TrainingMemory::new(tasks, train, &widths);
    info!(
        "memory beside the model: {} for weights, gradients, and moments, {} for the buffer, {} for \
         a batch",
        shown_size(memory.weights_bytes),
        shown_size(memory.buffer_bytes),
        shown_size(memory.batch_bytes)
    );
    let remedy = format!("lower `{}`", memory.largest());
    memory::check(&Need { size_bytes: memory.total_bytes(), what: "the run", remedy })
}

/// Everything that a checkpoint depends on.
fn digest(config: &SaeRunConfig, model: &LanguageModel, contexts: &Contexts) -> Result<String> {
    let mut config = config.clone();
    // Neither where the run lies nor how it is computed changes what is computed.
    config.output = PathBuf::new();
    config.device = String::new();
    config.data.path = PathBuf::new();
    let config = toml::to_string(&config).context("the configuration cannot be written")?;
    Ok(format!("{config}\n{}\n{}", model.fingerprint(), hash_ids(contexts)))
}

/// Takes every step; returns the last report of each autoencoder.
fn steps(
    config: &SaeRunConfig,
    run: &mut SaeRun<'_>,
    (checkpoint, digest): (&Path, &str),
    folder: &Path,
) -> Result<Vec<StepReport>> {
    let template = "{msg} {wide_bar} {pos}/{len} {eta:>4}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(config.n_steps()).with_style(style);
    let started = (Instant::now(), run.trainers()[0].n_steps());
    let mut last = vec![StepReport::default(); run.tasks().len()];
    let every = (config.n_steps() / 200).max(1);
    let mut histories: Vec<Vec<HistoryLine>> = (0..last.len()).map(|_| Vec::new()).collect();
    while let Some(RunProgress { step, n_steps, reports }) = run.step()? {
        let tokens = step * run.tokens_per_step() as u64;
        if step % every == 0 || step == n_steps {
            for (history, report) in histories.iter_mut().zip(&reports) {
                history.push(HistoryLine { step, tokens, report: *report });
            }
        }
        bar.set_position(step);
        let seconds = started.0.elapsed().as_secs_f64();
        let rate = (step - started.1) as f64 * run.tokens_per_step() as f64 / seconds;
        let StepReport { loss, l0, fvu, n_dead, .. } = reports[0];
        let dead = n_dead as f64 / config.saes[0].d_sae as f64;
        let message = format!(
            "loss {loss:.3} L0 {l0:.1} FVU {fvu:.3} dead {:.1} % {rate:.0} tokens/s",
            100.0 * dead
        );
        if bar.is_hidden() && step % (n_steps / 10).max(1) == 0 {
            info!("step {step} of {n_steps}: {message}");
        }
        bar.set_message(message);
        last = reports;
        if step % config.train.checkpoint_every.max(1) == 0 && step < n_steps {
            append(run.tasks(), folder, &mut histories)?;
            run.save(checkpoint, digest)?;
        }
    }
    append(run.tasks(), folder, &mut histories)?;
    bar.finish_and_clear();
    Ok(last)
}

/// Appends what is new to each history, and drops what a checkpoint does not know of.
fn append(tasks: &[SaeTask], folder: &Path, histories: &mut [Vec<HistoryLine>]) -> Result<()> {
    for (task, history) in tasks.iter().zip(histories) {
        let folder = folder.join(&task.name);
        fs::create_dir_all(&folder)?;
        let path = folder.join("history.jsonl");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let first = history.first().map_or(u64::MAX, |line| line.step);
        let is_before = |line: &&str| {
            let step = serde_json::from_str::<serde_json::Value>(line);
            step.ok().and_then(|line| line["step"].as_u64()).is_some_and(|step| step < first)
        };
        let mut text: String =
            old.lines().filter(is_before).flat_map(|line| [line, "\n"]).collect();
        for line in history.drain(..) {
            text += &serde_json::to_string(&line)?;
            text.push('\n');
        }
        write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
    }
    Ok(())
}

/// Writes the autoencoders.
fn write(
    run: &SaeRun<'_>,
    folder: &Path,
    config: &SaeRunConfig,
    reports: &[StepReport],
) -> Result<Vec<TrainedSae>> {
    let mut trained = Vec::new();
    let saes = run.saes().into_iter().zip(run.guidance());
    for (((mut sae, guidance), task), report) in saes.zip(run.tasks()).zip(reports) {
        let folder = folder.join(&task.name);
        let metadata = &mut sae.config.metadata;
        metadata.set("model_name", config.model.name.clone());
        metadata.set("context_size", config.data.context_size);
        metadata.set("prepend_bos", config.data.prepend_bos);
        metadata.set("dataset_path", config.data.path.display().to_string());
        metadata.set("training_tokens", config.n_steps() * run.tokens_per_step() as u64);
        metadata.set("seed", task.seed);
        if let Some(guidance) = guidance {
            let text = serde_json::to_string_pretty(&guidance)?;
            write_atomically(&folder.join(GUIDANCE_FILE), |file| file.write_all(text.as_bytes()))?;
        }
        write_sae_lens(&sae, &folder)?;
        trained.push(TrainedSae {
            name: task.name.clone(),
            folder,
            hook: task.hook.to_string(),
            seed: task.seed,
            report: *report,
        });
    }
    Ok(trained)
}

/// Prints what was trained.
pub(super) fn print(trained: &[TrainedSae], json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "saes": trained }))?;
        return ignore_broken_pipe(writeln!(stdout, "{text}").map_err(Into::into));
    }
    let header = ["name", "hook", "seed", "FVU", "L0", "dead", "loss"].map(str::to_owned);
    let mut rows = vec![header];
    for sae in trained {
        let StepReport { loss, l0, fvu, n_dead, .. } = sae.report;
        rows.push([
            sae.name.clone(),
            sae.hook.clone(),
            sae.seed.to_string(),
            format!("{fvu:.4}"),
            format!("{l0:.1}"),
            n_dead.to_string(),
            format!("{loss:.3}"),
        ]);
    }
    let mut text = String::new();
    table::aligned(&mut text, &rows);
    let folders: Vec<String> =
        trained.iter().map(|sae| format!("wrote {}", sae.folder.display())).collect();
    let folders = folders.join("\n");
    ignore_broken_pipe(writeln!(stdout, "{text}{folders}").map_err(Into::into))
}
