//! `probe eval`: how good a saved probe is on labelled data.

use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    ActivationSource, Capture, DatasetConfig, Example, ExampleConfig, ExampleSet,
    ExternalActivations, MemoryActivations, PairConfig, PlaceActivations, PlaceSites,
    StorageConfig, TOKENS_PER_FORWARD, Targets, Task, TokenizeConfig, examples, open_activations,
    text_key, tokenize,
};
use attention_probes_metrics::{
    Bootstrap, ClassScores, ClassificationReport, ConfusionMatrix, PairAccuracy, predicted_class,
};
use attention_probes_probes::{KnownTexts, Prefixes, apply_probe, n_out};
use attention_probes_report::fixed;
use attention_probes_sweep::Tracker;
use burn::tensor::Device;
use clap::Args;
use serde::Serialize;
use tracing::{info, warn};

use crate::classes::{class_indices, remove_unknown_tags};
use crate::data_args::DataArgs;
use crate::decisions::Decisions;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::input::{ModelArgs, ProbeFile, ignore_broken_pipe};
use crate::probe::eval_outputs::{self, OutputReport, label_kind};
use crate::progress::Progress;
use crate::word_args::WordArgs;
use crate::{device, table};

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
    /// Token tasks: draw as many negatives as positives.
    #[arg(long)]
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

/// What [`run`] prints.
#[derive(Debug, Serialize)]
struct EvalReport<'a> {
    /// File of the probe.
    probe: &'a Path,
    /// File of the data.
    data: &'a Path,
    /// How the probe was trained, where it says so; for a person, as its metadata has the numbers.
    #[serde(skip)]
    training: Option<String>,
    /// Names of the classes, in the order of the confusion matrix.
    classes: &'a [String],
    /// Number of sequences that were left out because of NaN or infinity.
    n_skipped: usize,
    /// Everything, deciding between two classes at probability 1/2.
    #[serde(flatten)]
    report: ClassificationReport,
    /// How often the good text of a minimal pair scores higher, where the data are pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair_accuracy: Option<PairAccuracy>,
    /// The decisions at the threshold of the probe, if that is another one than 1/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_threshold: Option<AtThreshold>,
    /// What was fitted for the probe, on these examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    decisions: Option<Decisions>,
}

/// The decisions of a binary probe at its own threshold.
#[derive(Debug, Serialize)]
struct AtThreshold {
    threshold: f64,
    accuracy: f64,
    balanced_accuracy: f64,
    f1: f64,
    confusion: ConfusionMatrix,
}

/// Examples with their activations.
struct Prepared<'a> {
    source: Box<dyn ActivationSource + 'a>,
    examples: ExampleSet,
    /// Labels that are no classes, a row for each example.
    targets: Option<Targets>,
    n_skipped: usize,
}

/// What was found about a probe.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Evaluated<'a> {
    Classes(Box<EvalReport<'a>>),
    Outputs(Box<OutputReport<'a>>),
}

/// Runs `probe eval`.
///
/// # Errors
///
/// If the probe, the data, or the model is at fault, or they do not belong together.
pub fn run(args: &EvalArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let file = ProbeFile::open(&args.probe, &device)?;
    let report = match (&args.data.data, &args.data.activations) {
        (_, Some(path)) => {
            evaluate(args, &file, path, prepare_external(&file, path, args)?, &device)?
        }
        (Some(path), None) => evaluate_texts(args, &file, path, &device)?,
        (None, None) => {
            return Err(InputError("give `--data` or `--activations`".to_owned()).into());
        }
    };
    ignore_broken_pipe(print(&report, args.json))
}

/// Runs the model on labelled text, then the probe.
fn evaluate_texts<'a>(
    args: &'a EvalArgs,
    file: &'a ProbeFile,
    path: &'a Path,
    device: &Device,
) -> Result<Evaluated<'a>> {
    let task = file.task()?;
    let kind = label_kind(file);
    let is_sequence = task == Task::Sequence;
    let columns = DatasetConfig { label: args.label.clone(), ..args.data.texts.columns()? };
    let hub = hub_access();
    let texts = args.data.texts.source(path, hub.as_ref());
    let dataset = match (&task, args.pair.as_deref()) {
        (Task::Sequence, None) if !kind.is_class() => {
            texts.read_targets(&columns, kind, &args.label_separator)?
        }
        (_, Some(_)) if !kind.is_class() => {
            return Err(file.wrong("its outputs are no classes; leave out `--pair`").into());
        }
        (Task::Sequence, Some([good, bad])) => {
            let (pair, format) = ([good.clone(), bad.clone()], columns.format);
            texts.read_pairs(&PairConfig { columns: pair, format, ..PairConfig::default() })?
        }
        (task, Some(_)) => {
            return Err(file.wrong(&format!("its task is `{task}`; leave out `--pair`")).into());
        }
        (Task::Tokens, None) => {
            texts.read_tagged(&args.words.columns(&args.data.texts.text, true))?
        }
        (_, None) => texts.read(&columns, is_sequence)?,
    };
    if is_sequence && kind.is_class() {
        class_indices(file, path, &dataset.classes)?;
    }
    let keys: Vec<u64> = dataset.texts.iter().map(|text| text_key(text)).collect();
    warn_of_known(file, path, &dataset.hash, &keys);

    let probed = file.open_model(&args.model, device)?;
    let model = &probed.model;
    let otherwise = TokenizeConfig::default().max_tokens;
    let max_tokens = file.max_tokens(args.max_tokens, otherwise, model.model.shape().n_ctx);
    let tokenizing = TokenizeConfig { max_tokens, cache: None };
    let tokens = tokenize(&dataset, &model.tokenizer, &tokenizing)?;
    for (n, what) in [
        (dataset.skipped_empty, "empty texts skipped"),
        (tokens.empty_rows.len(), "texts without a token skipped"),
        (tokens.n_truncated, "texts cut to the longest length allowed"),
    ] {
        if n > 0 {
            info!("`{}`: {n} {what}", path.display());
        }
    }
    let drawing = ExampleConfig {
        task,
        balance: args.balance,
        examples_per_text: args.examples_per_text.get(),
        seed: args.seed,
    };
    let mut examples = examples(&dataset, &tokens, &model.tokenizer, &drawing)?;
    if kind.is_class() {
        remove_unknown_tags(&mut examples, file, path)?;
    }

    let sites = PlaceSites::new(std::slice::from_ref(&probed.place));
    let capture = Capture {
        model: &*model.model,
        tokens: &tokens,
        sites: sites.sites(),
        device,
        max_tokens_per_batch: TOKENS_PER_FORWARD,
    };
    let mut bar = Progress::default();
    let mut progress = |done, total| bar.extracted("eval", done, total);
    let source =
        open_activations(capture, &examples.sequences(), &StorageConfig::default(), &mut progress)?;
    bar.clear();
    let source: Box<dyn ActivationSource + '_> = Box::new(PlaceActivations::new(source, &sites));
    let n_skipped = source.skipped().len();
    examples.remove_sequences(source.skipped());
    let targets = dataset.targets.map(|targets| {
        let row = |example: &Example| tokens.text_rows[example.sequence];
        targets.rows(&examples.examples.iter().map(row).collect::<Vec<_>>())
    });
    evaluate(args, file, path, Prepared { source, examples, targets, n_skipped }, device)
}

/// Whether a probe was trained on a file with this hash.
fn is_trained_on(file: &ProbeFile, hash: &str) -> bool {
    file.saved.metadata.data.as_ref().is_some_and(|data| data.hash.as_deref() == Some(hash))
}

/// Warns of texts, or examples of activations, that the probe was trained or selected on.
fn warn_of_known(file: &ProbeFile, path: &Path, hash: &str, keys: &[u64]) {
    let Some(data) = &file.saved.metadata.data else { return };
    let path = path.display();
    if is_trained_on(file, hash) {
        warn!("`{path}` is the file that the probe was trained on, so the figures flatter it");
        return;
    }
    let KnownTexts { n, is_estimate } = data.trained_on.known(keys);
    if n > 0 {
        let about = if is_estimate { "about " } else { "" };
        warn!(
            "`{path}`: the probe was trained or selected on {about}{n} of the {} examples, so the \
             figures flatter it; remove them",
            keys.len()
        );
    }
}

/// Reads activations that bring their labels.
fn prepare_external(file: &ProbeFile, path: &Path, args: &EvalArgs) -> Result<Prepared<'static>> {
    let probes = std::slice::from_ref(file);
    let kind = Some(label_kind(file));
    let mut read = args.data.read_activations(path, kind, (probes, &args.model))?;
    // One probe reads one place.
    let mut external = read.places.swap_remove(0);
    let keys = external.keys();
    let examples = ExampleSet::from_external(&external, &keys)
        .ok_or_else(|| ExternalActivations::no_labels(path))?;
    let texts_hash = external.origin.data_hash.as_deref();
    if texts_hash.is_some_and(|hash| is_trained_on(file, hash)) {
        warn!(
            "`{}` has activations of the file that the probe was trained on, so the figures flatter \
             it; leave out those texts",
            path.display()
        );
    } else {
        warn_of_known(file, path, &external.hash, &keys);
    }
    let n_skipped = external.skipped.len();
    let targets = external.targets.take();
    let source = Box::new(MemoryActivations::from(external));
    Ok(Prepared { source, examples, targets, n_skipped })
}

/// Applies the probe to every example and compares with the labels.
fn evaluate<'a>(
    args: &EvalArgs,
    file: &'a ProbeFile,
    path: &'a Path,
    prepared: Prepared<'_>,
    device: &Device,
) -> Result<Evaluated<'a>> {
    let Prepared { mut source, examples, targets, n_skipped } = prepared;
    let prefixes: Vec<(usize, usize)> =
        examples.examples.iter().map(|example| (example.sequence, example.end)).collect();
    if let Some(targets) = targets {
        let source = &mut *source;
        let found = (&targets, args.seed, n_skipped);
        let report = eval_outputs::evaluate(file, path, (source, &prefixes), found, device)?;
        return Ok(Evaluated::Outputs(Box::new(report)));
    }
    let classes = file.class_names();
    let indices = class_indices(file, path, &examples.classes)?;
    let labels: Vec<usize> =
        examples.examples.iter().map(|example| indices[example.label]).collect();

    let n_classes = classes.len();
    let n_out = n_out(n_classes);
    let mut logits = vec![0.0; labels.len() * n_out];
    let prefixes = Prefixes { source: &mut *source, site: 0, ends: &prefixes };
    apply_probe(&file.probe, prefixes, device, |index, reading| {
        for (kept, logit) in logits[index * n_out..][..n_out].iter_mut().zip(reading.logits) {
            *kept = f64::from(*logit);
        }
    })?;
    let scores = ClassScores::from_logits(&logits, n_classes)?;
    let pairs = examples.pairs.as_ref().filter(|_| n_classes == 2);
    let pair_accuracy =
        pairs.map(|pairs| PairAccuracy::new(&logits, &labels, pairs)).transpose()?.flatten();
    let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let bootstrap = bootstrap.of_groups(examples.groups.as_deref());
    let report = ClassificationReport::new(&labels, &scores, &bootstrap)?;
    let at_threshold = at_threshold(file.saved.metadata.threshold, &labels, &scores)?;
    let decisions = Decisions::new(&file.saved.metadata, &logits, &labels)?;
    Ok(Evaluated::Classes(Box::new(EvalReport {
        probe: &file.path,
        data: path,
        training: table::training(&file.saved.metadata),
        classes,
        n_skipped,
        report,
        pair_accuracy,
        at_threshold,
        decisions,
    })))
}

/// The decisions at the threshold of a binary probe, if that is not 1/2.
fn at_threshold(
    threshold: f64,
    labels: &[usize],
    scores: &ClassScores,
) -> Result<Option<AtThreshold>> {
    if scores.n_classes() != 2 || (threshold - 0.5).abs() < f64::EPSILON {
        return Ok(None);
    }
    let rows = scores.probabilities().chunks_exact(2);
    let predictions: Vec<usize> = rows.map(|row| predicted_class(row, threshold)).collect();
    let confusion = ConfusionMatrix::new(labels, &predictions, 2)?;
    Ok(Some(AtThreshold {
        threshold,
        accuracy: confusion.accuracy(),
        balanced_accuracy: confusion.balanced_accuracy(),
        f1: confusion.f1(1),
        confusion,
    }))
}

fn print(report: &Evaluated<'_>, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?;
    } else {
        let text = match report {
            Evaluated::Classes(report) => to_table(report),
            Evaluated::Outputs(report) => eval_outputs::to_table(report),
        };
        write!(stdout, "{text}")?;
    }
    Ok(())
}

fn to_table(eval: &EvalReport<'_>) -> String {
    let report = &eval.report;
    let mut text = String::new();
    let skipped = match eval.n_skipped {
        0 => String::new(),
        n => format!(", {n} skipped for NaN or infinity"),
    };
    let (probe, data) = (eval.probe.display(), eval.data.display());
    let _ = writeln!(text, "{probe} on {data}: {} examples{skipped}", report.n_examples);
    if let Some(training) = &eval.training {
        let _ = writeln!(text, "trained by {training}");
    }
    let number = |value: f64| fixed(value, 3);
    let with_interval = table::with_interval;
    let rows = [
        ("accuracy", with_interval(report.accuracy, &report.accuracy_interval)),
        (
            "balanced accuracy",
            with_interval(report.balanced_accuracy, &report.balanced_accuracy_interval),
        ),
        (if report.n_classes == 2 { "F1" } else { "macro F1" }, number(report.f1)),
        ("AUROC", report.auroc.map_or("-".to_owned(), number)),
        ("log loss (nats)", number(report.log_loss)),
        ("ECE", number(report.ece)),
    ];
    table::aligned(&mut text, &rows.map(|(name, value)| [name.to_owned(), value]));
    if let Some(pairs) = &eval.pair_accuracy {
        let right = with_interval(pairs.accuracy, &pairs.interval);
        let _ = writeln!(text, "pairs: {right} of {} right", pairs.n_pairs);
    }
    table::confusion(&mut text, "confusion", &report.confusion, eval.classes);
    if let Some(at) = &eval.at_threshold {
        let _ = writeln!(
            text,
            "at the probe's threshold {}: accuracy {}, balanced accuracy {}, F1 {}",
            at.threshold,
            number(at.accuracy),
            number(at.balanced_accuracy),
            number(at.f1)
        );
        table::confusion(&mut text, "confusion", &at.confusion, eval.classes);
    }
    if let Some(decisions) = &eval.decisions {
        decisions.write(&mut text);
    }
    text
}
