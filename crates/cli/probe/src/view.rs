//! `probe view`: a page of texts, coloured by what probes say about each token.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{Dataset, DatasetConfig, Task, write_atomically};
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::progress::Progress;
use attention_probes_cli::stdout::print;
use attention_probes_cli::{device, output};
use attention_probes_errors::{Stop, shown_size};
use attention_probes_pages_probes::{PageError, TextsPage, TokenPageConfig, token_page};
use attention_probes_probes::ProbeFile;
use clap::Args;
use tracing::{info, warn};

use crate::data_args::TextArgs;
use crate::input::{ModelArgs, open_probe, with_flags};

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
    /// What separates labels in a field of a delimited file, for a probe of several labels.
    #[arg(long, default_value = ";")]
    pub label_separator: String,
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
        args.probe.iter().map(|path| open_probe(path, &device)).collect::<Result<_>>()?;
    let dataset = read_texts(args, &files[0])?;
    let given = args.model.choice();
    let opened = files[0].saved.open_model(&given, hub_access().as_ref(), &device);
    let probed = opened.map_err(|error| with_flags(files[0].in_file(error)))?;
    let title = args.title.clone().unwrap_or_else(|| title(&args.data));
    let config = TokenPageConfig {
        title: &title,
        dataset: &dataset,
        max_tokens: args.max_tokens.map(NonZeroUsize::get),
        given: &given,
        model: &probed.model,
        device: &device,
        stop: &Stop::never(),
    };
    let mut bar = Progress::default();
    let mut progress = |done, total| bar.extracted("view", done, total);
    let page = token_page(&files, &config, &mut progress);
    bar.clear();
    let TextsPage { page, n_skipped } = page.map_err(|error| match error {
        PageError::Probe { source } => with_flags(source),
        error => error.into(),
    })?;
    if n_skipped > 0 {
        warn!("{n_skipped} texts are left out: their activations have NaN or infinity");
    }
    let html = page.to_html()?;
    write_atomically(&args.output, |file| file.write_all(html.as_bytes()))?;
    let n_tokens: usize = page.texts.iter().map(|text| text.tokens.len()).sum();
    print(&format!(
        "wrote {} ({}): {} probes, {} texts, {n_tokens} tokens\n",
        args.output.display(),
        shown_size(html.len() as u64),
        page.probes.len(),
        page.texts.len(),
    ))
}

/// Reads the first texts, with labels where there are any and the task is about whole texts.
fn read_texts(args: &ViewArgs, file: &ProbeFile) -> Result<Dataset> {
    let label = args.label.clone().unwrap_or(DatasetConfig::default().label);
    let columns = DatasetConfig { label, ..args.texts.columns()? };
    let hub = hub_access();
    let source = args.texts.source(&args.data, hub.as_ref());
    let task = file.saved.task().map_err(|error| with_flags(file.in_file(error)))?;
    let kind = file.saved.label_kind();
    let mut dataset = match &args.tokens {
        Some(tokens) => source.read_words(tokens)?,
        None if args.label.is_some() && !kind.is_class() => {
            source.read_targets(&columns, kind, &args.label_separator)?
        }
        None if args.label.is_some() => source.read(&columns, true)?,
        None if task == Task::Sequence && kind.is_class() => source.read_if_labelled(&columns)?,
        None => source.read(&columns, false)?,
    };
    let n = args.max_texts.get();
    if dataset.len() > n {
        info!("the first {n} of {} texts; `--max-texts` shows more", dataset.len());
        dataset.texts.truncate(n);
        dataset.labels.truncate(n);
        dataset.targets = dataset.targets.map(|it| it.select(&(0..n).collect::<Vec<_>>()));
        dataset.source_rows.truncate(n);
    }
    Ok(dataset)
}

fn title(data: &Path) -> String {
    data.file_stem().unwrap_or(data.as_os_str()).to_string_lossy().into_owned()
}
