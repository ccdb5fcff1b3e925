//! `probe eval`: how good a saved probe is on labelled data.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{Dataset, DatasetConfig, Task};
use attention_probes_cli::device;
use attention_probes_cli::exit::InputError;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::progress::Progress;
use attention_probes_cli::stdout::print;
use attention_probes_pages_probes::text::evaluation_text;
use attention_probes_probes::{
    EvaluateConfig, LabelledColumns, LabelledRows, LabelledTexts, ProbeFile, SavedEvaluation,
};
use burn::tensor::Device;
use clap::{ArgAction, Args};
use serde::Serialize;
use tracing::warn;

use crate::data_args::DataArgs;
use crate::input::{ModelArgs, open_probe, with_flags, wrong};
use crate::word_args::WordArgs;

const DATA_HELP: &str = "Labelled text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or \
    `hf://datasets/org/name[@revision][/path]`";

const ACTIVATIONS_HELP: &str = "Activations with labels instead: an `.npz` with `x` and `y`, what \
    `probe extract` writes of texts with labels, or a MOSAIC folder";

/// Measure a saved probe on labelled data.
#[derive(Args, Debug)]
#[command(mut_arg("data", |arg| arg.required_unless_present("activations").help(DATA_HELP)))]
#[command(mut_arg("activations", |arg| arg.help(ACTIVATIONS_HELP)))]
pub struct EvalArgs {
    /// The probe: a file that ends in `_state.npz`, or the folder of an experiment, whose chosen probe
    /// it is.
    #[arg(long)]
    pub probe: PathBuf,
    /// What it is measured on.
    #[command(flatten)]
    pub data: DataArgs,
    /// Column of the label.
    #[arg(long, default_value = "label")]
    pub label: String,
    /// What stands between labels in CSV and TSV files, where the probe has several.
    #[arg(long, default_value = ";", requires = "data")]
    pub label_separator: String,
    /// Columns of the good and the bad text of minimal pairs, instead of text and label.
    #[arg(long, num_args = 2, value_names = ["GOOD", "BAD"], conflicts_with_all = ["text", "label"], requires = "data")]
    pub pair: Option<Vec<String>>,
    /// Columns of words and tags, for a probe of the task `tokens`.
    #[command(flatten)]
    pub words: WordArgs,
    /// Most tokens of a text, at most the model's context; by default as many as in training,
    /// or 256 where the probe does not say.
    #[arg(long)]
    pub max_tokens: Option<NonZeroUsize>,
    /// Token tasks: draw as many negatives as positives; `--balance=false` keeps the natural rate.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true")]
    pub balance: bool,
    /// Token tasks: most positions that are taken from a text.
    #[arg(long, default_value = "8")]
    pub examples_per_text: NonZeroUsize,
    /// Seed of the positions that are drawn and of the bootstrap.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Which model to run.
    #[command(flatten)]
    pub model: ModelArgs,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct EvalReport<'a> {
    /// File of the probe.
    probe: &'a Path,
    /// File of the data.
    data: &'a Path,
    #[serde(flatten)]
    found: &'a SavedEvaluation<'a>,
}

/// Runs `probe eval`.
///
/// # Errors
///
/// If the probe, the data, or the model is at fault, or they do not belong together.
pub fn run(args: &EvalArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let file = open_probe(&args.probe, &device)?;
    let (data, found) = match (&args.data.data, &args.data.activations) {
        (_, Some(path)) => (path, evaluate_activations(args, &file, path, &device)?),
        (Some(path), None) => (path, evaluate_texts(args, &file, path, &device)?),
        (None, None) => {
            return Err(InputError("give `--data` or `--activations`".to_owned()).into());
        }
    };
    if args.json {
        let report = EvalReport { probe: &file.path, data, found: &found };
        return print(&(serde_json::to_string_pretty(&report)? + "\n"));
    }
    print(&evaluation_text(&file, data, &found))
}

impl EvalArgs {
    fn config(&self) -> EvaluateConfig {
        EvaluateConfig {
            max_tokens: self.max_tokens.map(NonZeroUsize::get),
            balance: self.balance,
            examples_per_text: self.examples_per_text.get(),
            seed: self.seed,
            ..EvaluateConfig::default()
        }
    }
}

/// Runs the model on labelled text, then the probe.
fn evaluate_texts<'a>(
    args: &EvalArgs,
    file: &'a ProbeFile,
    path: &Path,
    device: &Device,
) -> Result<SavedEvaluation<'a>> {
    let dataset = read_texts(args, file, path)?;
    if let Some(known) = file.saved.known_texts(&dataset) {
        warn!("{}", known.sentence(&path.display().to_string(), dataset.texts.len()));
    }
    let opened = file.saved.open_model(&args.model.choice(), hub_access().as_ref(), device);
    let probed = opened.map_err(|error| with_flags(file.in_file(error)))?;
    let texts = LabelledTexts { dataset: &dataset, probed: &probed };
    let mut bar = Progress::default();
    let mut progress = |done, total| bar.extracted("eval", done, total);
    let found = file.evaluate_texts(texts, &args.config(), &mut progress);
    bar.clear();
    found.map_err(with_flags)
}

/// Reads the texts with the labels that the probe is evaluated on.
fn read_texts(args: &EvalArgs, file: &ProbeFile, path: &Path) -> Result<Dataset> {
    let task = file.saved.task().map_err(|error| with_flags(file.in_file(error)))?;
    if args.pair.is_some() {
        if !file.saved.label_kind().is_class() {
            return Err(wrong(file, "it predicts no classes; leave out `--pair`").into());
        }
        if task != Task::Sequence {
            let message = format!("its task is `{task}`; leave out `--pair`");
            return Err(wrong(file, &message).into());
        }
    }
    let columns = LabelledColumns {
        texts: DatasetConfig { label: args.label.clone(), ..args.data.texts.columns()? },
        words: args.words.columns(&args.data.texts.text, true),
        pair: args.pair.clone().and_then(|pair| pair.try_into().ok()),
        label_separator: args.label_separator.clone(),
    };
    let hub = hub_access();
    let source = args.data.texts.source(path, hub.as_ref());
    file.saved.read_labelled(source, &columns).map_err(with_flags)
}

/// Applies the probe to activations that bring their labels.
fn evaluate_activations<'a>(
    args: &EvalArgs,
    file: &'a ProbeFile,
    path: &Path,
    device: &Device,
) -> Result<SavedEvaluation<'a>> {
    let probes = std::slice::from_ref(file);
    let kind = Some(file.saved.label_kind());
    let mut read = args.data.read_activations(path, kind, (probes, &args.model))?;
    // One probe reads one place.
    let activations = read.places.swap_remove(0);
    let data = path.display().to_string();
    if let Some(known) = file.saved.known_activations(&activations) {
        warn!("{}", known.sentence(&data, activations.n_examples()));
    }
    let rows = LabelledRows { activations, data: &data, device };
    file.evaluate_activations(rows, &args.config()).map_err(with_flags)
}
