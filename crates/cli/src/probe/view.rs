//! `probe view`: a page of texts, coloured by what probes say about each token.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, ActivationSource, Capture, Dataset, DatasetConfig, Place, PlaceActivations,
    PlaceSites, StorageConfig, TOKENS_PER_FORWARD, TableError, Task, TokenizeConfig,
    TokenizedDataset, open_activations, tokenize, write_atomically,
};
use attention_probes_metrics::predicted_class;
use attention_probes_probes::{
    Prefixes, Probe as _, ProbeConfig, Reading, TokenReader, apply_probe,
};
use attention_probes_report::{PageToken, TokenPage, TokenProbe, TokenReading, TokenText};
use attention_probes_sweep::Tracker as _;
use burn::tensor::Device;
use clap::Args;
use tracing::{info, warn};

use crate::data_args::TextArgs;
use crate::extract_report::shown_size;
use crate::hub::hub_access;
use crate::input::{ModelArgs, ProbeFile, ProbedModel, ignore_broken_pipe};
use crate::progress::Progress;
use crate::{device, output};

/// Write a page that shows what probes say about every token of some texts.
///
/// One HTML file for any number of probes: probes that differ in their layer alone share a slider.
#[derive(Args, Debug)]
pub struct ViewArgs {
    /// The probes, files that end in `_state.npz` or folders of experiments, all for one model.
    #[arg(long, required = true, num_args = 1..)]
    pub probe: Vec<PathBuf>,
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long)]
    pub data: PathBuf,
    /// The page to write.
    #[arg(long)]
    pub output: PathBuf,
    /// Where texts stand in their file.
    #[command(flatten)]
    pub texts: TextArgs,
    /// Column of words, a list, that are joined to a text with spaces, instead of the text.
    #[arg(long, conflicts_with_all = ["text", "label"])]
    pub tokens: Option<String>,
    /// Column of the label; `label`, if there is one, if not given.
    #[arg(long)]
    pub label: Option<String>,
    /// Most texts on the page, from the beginning of the file.
    #[arg(long, default_value = "200")]
    pub max_texts: NonZeroUsize,
    /// Most tokens of a text, at most the model's context; by default as many as in training.
    #[arg(long)]
    pub max_tokens: Option<NonZeroUsize>,
    /// Heading of the page; the name of the data if not given.
    #[arg(long)]
    pub title: Option<String>,
    /// Which model to run.
    #[command(flatten)]
    pub model: ModelArgs,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Runs `probe view`.
///
/// # Errors
///
/// If a probe, the data, the model, or the output is at fault, or they do not belong together.
pub fn run(args: &ViewArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let inputs = args.probe.iter().chain([&args.data]).map(PathBuf::as_path);
    output::check_page(&args.output, inputs)?;
    let files: Vec<ProbeFile> =
        args.probe.iter().map(|path| ProbeFile::open(path, &device)).collect::<Result<_>>()?;
    for file in &files {
        file.check_classes()?;
    }
    let dataset = read_texts(args, &files[0])?;
    let probed = files[0].open_model(&args.model, &device)?;
    let places = places(args, &files, &probed)?;

    let model = &probed.model;
    let otherwise = TokenizeConfig::default().max_tokens;
    let max_tokens = files[0].max_tokens(args.max_tokens, otherwise, model.model.shape().n_ctx);
    let tokens = tokenize(&dataset, &model.tokenizer, &TokenizeConfig { max_tokens, cache: None })?;
    let sites = PlaceSites::new(&places);
    let capture = Capture {
        model: &*model.model,
        tokens: &tokens,
        sites: sites.sites(),
        device: &device,
        max_tokens_per_batch: TOKENS_PER_FORWARD,
    };
    let sequences: Vec<usize> = (0..tokens.len()).collect();
    let mut bar = Progress::default();
    let mut progress = |done, total| bar.extracted("view", done, total);
    let mut source =
        open_activations(capture, &sequences, &StorageConfig::default(), &mut progress)?;
    bar.clear();
    if !source.skipped().is_empty() {
        let n = source.skipped().len();
        warn!("{n} texts are left out: their activations have NaN or infinity");
    }

    let mut page = TokenPage {
        title: args.title.clone().unwrap_or_else(|| title(&args.data)),
        model: model.name.clone(),
        probes: describe(&files, &places),
        texts: texts(&dataset, &tokens, &probed, source.skipped()),
    };
    for (index, file) in files.iter().enumerate() {
        let mut source = PlaceActivations::new(Box::new(&mut *source), &sites.only(index));
        let readings = read(file, &mut source, &tokens, &device)?;
        for (text, reading) in page.texts.iter_mut().zip(readings) {
            text.readings.push(reading);
        }
    }
    let html = page.to_html()?;
    write_atomically(&args.output, |file| file.write_all(html.as_bytes()))?;
    ignore_broken_pipe(print(args, &page, html.len()))
}

/// Reads the first texts, with labels where there are any and the task is about whole texts.
fn read_texts(args: &ViewArgs, file: &ProbeFile) -> Result<Dataset> {
    let label = args.label.clone().unwrap_or(DatasetConfig::default().label);
    let columns = DatasetConfig { label, ..args.texts.columns()? };
    let hub = hub_access();
    let source = args.texts.source(&args.data, hub.as_ref());
    let with_labels = args.label.is_some() || file.task()? == Task::Sequence;
    let mut dataset = match &args.tokens {
        Some(tokens) => source.read_words(tokens)?,
        None => match source.read(&columns, with_labels) {
            Err(error) if args.label.is_none() && is_about_labels(&error) => {
                source.read(&columns, false)?
            }
            other => other?,
        },
    };
    let n = args.max_texts.get();
    if dataset.len() > n {
        info!("the first {n} of {} texts; `--max-texts` shows more", dataset.len());
        dataset.texts.truncate(n);
        dataset.labels.truncate(n);
        dataset.source_rows.truncate(n);
    }
    Ok(dataset)
}

/// Whether texts could be read, but for their labels.
fn is_about_labels(error: &ActivationError) -> bool {
    let default = DatasetConfig::default().label;
    match error {
        ActivationError::OneClass { .. } => true,
        ActivationError::Table {
            source: TableError::MissingColumn { column, .. } | TableError::NoColumn { column, .. },
        } => *column == default,
        _ => false,
    }
}

/// Where each probe reads the model.
fn places(args: &ViewArgs, files: &[ProbeFile], probed: &ProbedModel) -> Result<Vec<Place>> {
    let others = files.iter().skip(1).map(|file| file.place_in(&probed.model, &args.model));
    std::iter::once(Ok(probed.place.clone())).chain(others).collect()
}

/// What the page says of each probe. Probes that differ in their layer alone are one series.
fn describe(files: &[ProbeFile], places: &[Place]) -> Vec<TokenProbe> {
    let short = |file: &ProbeFile| {
        let stem = file.name();
        stem.split_once("_probe_").map_or(stem.clone(), |(name, _)| name.to_owned())
    };
    let named: Vec<(String, &Place)> =
        files.iter().zip(places).map(|(file, place)| (short(file), place)).collect();
    let is_alone = |one: &(String, &Place)| named.iter().filter(|other| *other == one).count() == 1;
    let all_alone = named.iter().all(is_alone);
    let describe = |(file, place): (&ProbeFile, &Place)| {
        let metadata = &file.saved.metadata;
        let series = if all_alone { short(file) } else { file.name() };
        TokenProbe {
            label: match place.layer() {
                Some(layer) => format!("{series}, layer {layer}"),
                None => format!("{series}, {place}"),
            },
            series: match place.layer() {
                Some(_) => format!("{series}, {}", place.component()),
                None => format!("{series}, {place}"),
            },
            kind: file.probe.kind().to_string(),
            layer: place.layer(),
            component: place.component().to_string(),
            task: match (&metadata.task, &metadata.target) {
                (Some(task), Some(target)) => format!("{task} {:?}", target.to_string()),
                (task, _) => task.clone().unwrap_or_default(),
            },
            classes: file.class_names().to_vec(),
            n_heads: match file.saved.config() {
                ProbeConfig::Attention(config) => config.n_heads,
                _ => 0,
            },
            threshold: metadata.threshold,
            file: file.path.display().to_string(),
        }
    };
    files.iter().zip(places).map(describe).collect()
}

/// The texts of the page, still without what the probes say.
fn texts(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
    probed: &ProbedModel,
    skipped: &[usize],
) -> Vec<TokenText> {
    let tokenizer = &probed.model.tokenizer;
    let token = |(position, &id): (usize, &u32)| PageToken {
        text: tokenizer.token_text(id).unwrap_or_default(),
        id: Some(i64::from(id)),
        position,
    };
    let text = |sequence: usize| {
        let row = tokens.text_rows[sequence];
        TokenText {
            row: dataset.source_rows[row] as u64,
            label: dataset.labels.get(row).map(|&label| dataset.classes[label].clone()),
            tokens: tokens.sequence(sequence).iter().enumerate().map(token).collect(),
            readings: Vec::new(),
        }
    };
    (0..tokens.len()).filter(|sequence| !skipped.contains(sequence)).map(text).collect()
}

/// What a probe says about every text that has activations, in order.
fn read(
    file: &ProbeFile,
    source: &mut dyn ActivationSource,
    tokens: &TokenizedDataset,
    device: &Device,
) -> Result<Vec<TokenReading>> {
    let prefixes: Vec<(usize, usize)> = (0..tokens.len())
        .filter(|sequence| !source.skipped().contains(sequence))
        .map(|sequence| (sequence, tokens.sequence(sequence).len()))
        .collect();
    let reader = TokenReader::new(&file.saved)?;
    let threshold = file.saved.metadata.threshold;
    let mut readings = vec![TokenReading::default(); prefixes.len()];
    let prefixes = Prefixes { source, site: 0, ends: &prefixes };
    apply_probe(&file.probe, prefixes, device, |index, reading| {
        readings[index] = token_reading(&reader, reading, threshold);
    })?;
    Ok(readings)
}

fn token_reading(reader: &TokenReader<'_>, reading: &Reading<'_>, threshold: f64) -> TokenReading {
    let is_finite = reading.probabilities.iter().all(|probability| probability.is_finite());
    let predicted = if is_finite { predicted_class(reading.probabilities, threshold) } else { 0 };
    // Of two classes everything is about class 1, of more about the predicted one.
    let is_binary = reading.logits.len() == 1;
    let (class, logit) = if is_binary { (1, 0) } else { (predicted, predicted) };
    let running = reader.running_probabilities(reading);
    let contributions = reader.contributions(reading);
    let doubles = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
    TokenReading {
        probabilities: reading.probabilities.to_vec(),
        logits: doubles(reading.logits),
        predicted,
        pattern: reading.pattern.iter().flatten().map(|head| doubles(head)).collect(),
        prefix_probabilities: Some(running.iter().map(|p| p[class]).collect()),
        contributions: contributions
            .map(|all| all.iter().map(|scores| f64::from(scores[logit])).collect()),
    }
}

fn title(data: &Path) -> String {
    data.file_stem().unwrap_or(data.as_os_str()).to_string_lossy().into_owned()
}

fn print(args: &ViewArgs, page: &TokenPage, n_bytes: usize) -> Result<()> {
    let n_tokens: usize = page.texts.iter().map(|text| text.tokens.len()).sum();
    writeln!(
        std::io::stdout().lock(),
        "wrote {} ({}): {} probes, {} texts, {n_tokens} tokens",
        args.output.display(),
        shown_size(n_bytes as u64),
        page.probes.len(),
        page.texts.len(),
    )?;
    Ok(())
}
