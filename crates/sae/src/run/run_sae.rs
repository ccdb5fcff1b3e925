//! A whole run: texts to activations to autoencoders to files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attention_probes_activations::{EarlierRun, Watch, write_atomically};
use attention_probes_errors::FileError;
use attention_probes_models::LanguageModel;
use serde::Serialize;

use super::attention::{attention, hash_ids, n_held_out};
use super::config::SaeTask;
use super::folder::{RunFolder, is_complete};
use super::history::History;
use super::memory::TrainingMemory;
use super::options::{SaeRunOptions, open_run_model};
use super::outline::{SaeRunOutline, SaeRunTime};
use super::plan::SaeRunPlan;
use super::sae_run::SaeRun;
use crate::follow::SaeEvent;
use crate::formats::write_sae_lens;
use crate::guided::{AttentionLayers, GUIDANCE_FILE, RunGuidance};
use crate::train::{ContextStream, Contexts, ModelContexts, StepReport};
use crate::{RunError, SaeError};

/// Steps that a guided run is timed by, with the first.
const TIMED_STEPS: usize = 4;

/// Contexts held out that it is timed with.
const TIMED_HELD_OUT: usize = 8;

/// An autoencoder that was trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainedSae {
    /// Its name.
    pub name: String,
    /// Its folder, in the layout of `SAELens`.
    pub folder: PathBuf,
    /// The hook it reads.
    pub hook: String,
    /// Its seed.
    pub seed: u64,
    /// What its last step measured.
    pub report: StepReport,
}

/// Trains every autoencoder of a configuration and writes them, from one stream of a model's
/// activations.
///
/// The folder of the run, `<output>/<run>/sae`, holds `config.toml`, a checkpoint while it goes on,
/// and a folder for each autoencoder with its weights, its [history](crate::read_history), and what
/// guided it. Only one process at a time writes to it. A run that is resumed goes on from its last
/// checkpoint and ends with the same bits; one that is complete already gives an empty list, and no
/// model is opened.
///
/// # Errors
///
/// - [`RunError::Exists`] if there is such a run, and it is neither resumed nor overwritten.
/// - [`RunError::OtherSettings`] or [`SaeError::Checkpoint`] if the run to be resumed has other
///   settings, texts, or another model.
/// - [`RunError::Memory`] if it needs more than `memory_bytes`.
/// - [`SaeError::Diverged`] if a loss is not finite.
/// - [`SaeError::Stopped`] if it was stopped; a checkpoint of the last whole step was
///   written, if there was one.
/// - any other [`SaeError`] if the model, the texts, or the disk is at fault.
///
/// # Memory
///
/// The model, the tokens of all texts, and [`TrainingMemory`].
///
/// # Examples
///
/// ```
/// use attention_probes::sae::{SaeRunConfig, SaeRunOptions, read_history, read_sae, run_sae};
/// use burn::tensor::Device;
///
/// let folder = tempfile::tempdir()?;
/// let texts = "text\n".to_owned() + &"Once upon a time there was a little bird.\n".repeat(80);
/// std::fs::write(folder.path().join("texts.csv"), texts)?;
/// std::fs::write(folder.path().join("run.toml"), r#"
///     run = "small"
///     model = { name = "demo-gpt2" }
///     data = { path = "texts.csv", context_size = 32 }
///     train = { tokens = 400, batch_size = 100, buffer_batches = 2 }
///     [[saes]]
///     name = "resid"
///     hook = "blocks.1.hook_resid_post"
///     d_sae = 64
///     architecture = { name = "topk", k = 8 }
/// "#)?;
/// let mut config = SaeRunConfig::read(folder.path().join("run.toml"))?;
/// config.output = folder.path().to_owned();
/// let trained = run_sae(&config.check()?, &SaeRunOptions::new(&Device::default()))?;
/// assert_eq!(read_sae(&trained[0].folder)?.config.d_sae, 64);
/// assert_eq!(read_history(&trained[0].folder).len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run_sae(
    plan: &SaeRunPlan,
    options: &SaeRunOptions<'_>,
) -> Result<Vec<TrainedSae>, SaeError> {
    if is_complete_already(plan, options)? {
        return Ok(Vec::new());
    }
    run_sae_on(plan, &open_run_model(&plan.config().model, options)?, options)
}

/// As [`run_sae`], with a model that is open, which must be that of the configuration.
///
/// # Errors
///
/// As [`run_sae`].
///
/// # Memory
///
/// As [`run_sae`].
pub fn run_sae_on(
    plan: &SaeRunPlan,
    model: &LanguageModel,
    options: &SaeRunOptions<'_>,
) -> Result<Vec<TrainedSae>, SaeError> {
    if is_complete_already(plan, options)? {
        return Ok(Vec::new());
    }
    run_sae_on_contexts(plan, model, plan.config().data.read_contexts(model, options.hub)?, options)
}

/// As [`run_sae_on`], with the contexts of the configuration's texts.
pub(crate) fn run_sae_on_contexts(
    plan: &SaeRunPlan,
    model: &LanguageModel,
    contexts: Contexts,
    options: &SaeRunOptions<'_>,
) -> Result<Vec<TrainedSae>, SaeError> {
    if is_complete_already(plan, options)? {
        return Ok(Vec::new());
    }
    let texts = RunTexts::new(plan, model, contexts)?;
    let stream = texts.stream(plan, model, options)?;
    let outline = outline(plan, &texts, &stream);
    options.follow.tell(SaeEvent::Checked { outline: &outline });
    check_memory(&outline.memory, options)?;
    let Some(folder) = RunFolder::claim(plan, options)? else {
        options.follow.tell(SaeEvent::AlreadyComplete { folder: &plan.folder() });
        return Ok(Vec::new());
    };
    let (tasks, train, length) = (plan.tasks().to_vec(), &plan.config().train, plan.length());
    let mut run = SaeRun::new(stream, tasks, train, length)?;
    if !plan.layers().is_empty() {
        let attention = attention(plan, model, options, &texts.all, &folder.attention())?;
        let guidance = RunGuidance { attention, held_out: texts.held_out.clone() };
        run = run.with_guidance(train, guidance)?;
    }
    let checkpoint = folder.checkpoint();
    if checkpoint.exists() && options.earlier == EarlierRun::Resume {
        run.load(&checkpoint, &texts.digest)?;
        let step = run.trainers()[0].n_steps();
        options.follow.tell(SaeEvent::Resumed { step });
    }
    folder.write_config(plan)?;
    let reports = steps(plan, &mut run, options, (&folder, &texts.digest))?;
    let n_contexts = run.position().n_skipped;
    if n_contexts > 0 {
        options.follow.tell(SaeEvent::ContextsSkipped { n_contexts });
    }
    let trained = write(plan, &run, &folder.path, &reports)?;
    let _ = fs::remove_file(&checkpoint);
    Ok(trained)
}

/// Checks everything that [`run_sae`] would check before it trains: model, layers, texts, and
/// memory; says what it would do, and estimates from a few steps how long that takes. Writes
/// nothing.
///
/// # Errors
///
/// As [`run_sae`], but for what is wrong with the folder.
///
/// # Memory
///
/// As [`run_sae`].
pub fn check_sae_run(
    plan: &SaeRunPlan,
    options: &SaeRunOptions<'_>,
) -> Result<SaeRunOutline, SaeError> {
    let model = open_run_model(&plan.config().model, options)?;
    let texts =
        RunTexts::new(plan, &model, plan.config().data.read_contexts(&model, options.hub)?)?;
    let stream = texts.stream(plan, &model, options)?;
    let mut outline = outline(plan, &texts, &stream);
    options.follow.tell(SaeEvent::Checked { outline: &outline });
    check_memory(&outline.memory, options)?;
    outline.time = Some(if plan.layers().is_empty() {
        time(plan, stream)?
    } else {
        guided_time(plan, &model, &texts, options)?
    });
    Ok(outline)
}

fn is_complete_already(plan: &SaeRunPlan, options: &SaeRunOptions<'_>) -> Result<bool, SaeError> {
    let is_complete = is_complete(plan, options)?;
    if is_complete {
        options.follow.tell(SaeEvent::AlreadyComplete { folder: &plan.folder() });
    }
    Ok(is_complete)
}

/// The contexts of a run.
struct RunTexts {
    /// Those that are trained on.
    training: Contexts,
    /// Those from which the weights of layers are learned.
    held_out: Contexts,
    /// Both.
    all: Contexts,
    /// Everything that a checkpoint depends on.
    digest: String,
}

impl RunTexts {
    fn new(
        plan: &SaeRunPlan,
        model: &LanguageModel,
        mut contexts: Contexts,
    ) -> Result<Self, SaeError> {
        let (config, data) = (plan.config(), &plan.config().data);
        let n_held_out = n_held_out(plan, &contexts)?;
        let sizes = (contexts.n_text_tokens(), model.model.shape().n_layers);
        SaeRun::check_guidance(plan.tasks(), &config.train, sizes)?;
        let _ = contexts.split_off(data.test_contexts);
        let (settings, ids) = (plan.digest_text()?, hash_ids(&contexts));
        let digest = format!("{settings}\n{}\n{ids}", model.fingerprint());
        let all = contexts.clone();
        let held_out = contexts.split_off(n_held_out);
        Ok(Self { training: contexts, held_out, all, digest })
    }

    fn stream<'a>(
        &'a self,
        plan: &SaeRunPlan,
        model: &'a LanguageModel,
        options: &SaeRunOptions<'a>,
    ) -> Result<ContextStream<'a>, SaeError> {
        let config = plan.config();
        let read = ModelContexts {
            model: &*model.model,
            device: options.device,
            contexts: &self.training,
            contexts_per_forward: config.train.contexts_per_forward,
        };
        let stream = ContextStream::new(read, plan.hooks(), config.seed)?;
        Ok(stream.with_stop(options.follow.stop.clone()))
    }
}

fn outline(plan: &SaeRunPlan, texts: &RunTexts, stream: &ContextStream<'_>) -> SaeRunOutline {
    let (config, tasks, hooks) = (plan.config(), plan.tasks(), plan.hooks());
    let place = |task: &SaeTask| hooks.iter().position(|hook| *hook == task.hook);
    let widths: Vec<usize> =
        tasks.iter().filter_map(|task| stream.widths().get(place(task)?).copied()).collect();
    let contexts = &texts.training;
    let n_tokens = contexts.len() * contexts.n_text_tokens();
    SaeRunOutline {
        n_contexts: contexts.len(),
        context_size: contexts.length(),
        epochs: config.train.tokens as f64 / n_tokens as f64,
        n_steps: plan.length().0,
        n_saes: tasks.len(),
        memory: TrainingMemory::new(tasks, &config.train, &widths),
        time: None,
    }
}

/// Refuses more memory than there is.
fn check_memory(memory: &TrainingMemory, options: &SaeRunOptions<'_>) -> Result<(), SaeError> {
    let needed = memory.total_bytes();
    match options.memory_bytes {
        Some(there) if needed > there => {
            Err(RunError::Memory { needed, there, key: memory.largest() }.into())
        }
        _ => Ok(()),
    }
}

/// An estimate from a few steps.
fn time(plan: &SaeRunPlan, stream: ContextStream<'_>) -> Result<SaeRunTime, SaeError> {
    let (train, length) = (&plan.config().train, plan.length());
    let n_steps = length.0 as f64;
    let started = Instant::now();
    let mut run = SaeRun::new(stream, plan.tasks().to_vec(), train, length)?;
    // The first step waits for the buffer to be filled.
    run.step()?;
    let filled = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut n_timed = 0.0;
    while n_timed < 3.0 && run.step()?.is_some() {
        n_timed += 1.0;
    }
    let step = started.elapsed().as_secs_f64() / f64::max(n_timed, 1.0);
    let model_s = filled / train.buffer_batches as f64 * n_steps;
    Ok(SaeRunTime { model_s, training_s: step * n_steps })
}

/// An estimate of a run whose attention is extracted first, from a few contexts and steps.
fn guided_time(
    plan: &SaeRunPlan,
    model: &LanguageModel,
    texts: &RunTexts,
    options: &SaeRunOptions<'_>,
) -> Result<SaeRunTime, SaeError> {
    let (config, length) = (plan.config(), plan.length());
    let per_step = config.train.batch_size / texts.all.n_text_tokens().max(1);
    let n_training = (TIMED_STEPS * per_step).clamp(1, texts.training.len());
    let n_held_out = TIMED_HELD_OUT.min(texts.held_out.len());
    // What is held out stands behind what is trained on.
    let mut few = texts.all.clone();
    let _ = few.split_off(texts.held_out.len() - n_held_out);
    let few = few.split_off(n_training + n_held_out);
    let mut training = few.clone();
    let held_out = training.split_off(n_held_out);
    let read = |contexts| ModelContexts {
        model: &*model.model,
        device: options.device,
        contexts,
        contexts_per_forward: config.train.contexts_per_forward,
    };
    let watch = || Watch { progress: None, stop: options.follow.stop.clone() };
    let kept = (config.attention.keep, config.attention.pool);
    let started = Instant::now();
    let attention = AttentionLayers::extract(read(&few), plan.layers(), kept, watch())?;
    let per_context = started.elapsed().as_secs_f64() / few.len() as f64;
    let stream = ContextStream::new(read(&training), plan.hooks(), config.seed)?;
    let stream = stream.with_stop(options.follow.stop.clone());
    let run = SaeRun::new(stream, plan.tasks().to_vec(), &config.train, length)?;
    let mut run = run.with_guidance(&config.train, RunGuidance { attention, held_out })?;
    // The first step also reads what is held out.
    run.step()?;
    let started = Instant::now();
    let mut n_timed = 0.0;
    while n_timed < 3.0 && run.step()?.is_some() {
        n_timed += 1.0;
    }
    let step = started.elapsed().as_secs_f64() / f64::max(n_timed, 1.0);
    let model_s = per_context * texts.all.len() as f64;
    Ok(SaeRunTime { model_s, training_s: step * length.0 as f64 })
}

/// Takes every step; returns the last report of each autoencoder.
fn steps(
    plan: &SaeRunPlan,
    run: &mut SaeRun<'_>,
    options: &SaeRunOptions<'_>,
    (folder, digest): (&RunFolder, &str),
) -> Result<Vec<StepReport>, SaeError> {
    let (config, checkpoint) = (plan.config(), folder.checkpoint());
    let mut last = vec![StepReport::default(); run.tasks().len()];
    let mut history = History::new(last.len(), config.n_steps());
    loop {
        let progress = match run.step() {
            Ok(Some(progress)) => progress,
            Ok(None) => break,
            // Nothing of the step was taken: what there is goes on to the same bits.
            Err(SaeError::Stopped) => {
                if run.trainers()[0].n_steps() > 0 {
                    history.append(run.tasks(), &folder.path)?;
                    run.save(&checkpoint, digest)?;
                }
                return Err(SaeError::Stopped);
            }
            Err(error) => return Err(error),
        };
        let (step, n_steps) = (progress.step, progress.n_steps);
        let tokens_per_step = run.tokens_per_step();
        history.push((step, n_steps), step * tokens_per_step as u64, &progress.reports);
        let d_sae = config.saes[0].d_sae;
        options.follow.tell(SaeEvent::Step { progress: &progress, tokens_per_step, d_sae });
        last = progress.reports;
        let stopped = options.follow.check();
        let is_due = step % config.train.checkpoint_every.max(1) == 0;
        if step < n_steps && (is_due || stopped.is_err()) {
            history.append(run.tasks(), &folder.path)?;
            run.save(&checkpoint, digest)?;
        }
        if step < n_steps {
            stopped?;
        }
    }
    history.append(run.tasks(), &folder.path)?;
    Ok(last)
}

/// Writes the autoencoders.
fn write(
    plan: &SaeRunPlan,
    run: &SaeRun<'_>,
    folder: &Path,
    reports: &[StepReport],
) -> Result<Vec<TrainedSae>, SaeError> {
    let config = plan.config();
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
            let path = folder.join(GUIDANCE_FILE);
            let text = serde_json::to_string_pretty(&guidance)
                .map_err(|error| FileError::write(&path)(error.into()))?;
            write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
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
