//! `fra accumulate`: pairs of features over many texts, for several heads and layers.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::{ActivationError, FolderLock};
use attention_probes_pages::fra::{file_stem, write_fra_files, write_package};
use attention_probes_report::{FraCorpusPage, ReportError};
use attention_probes_sae::fra::{
    FraCheckpoints, FraCorpus, FraHeadReport, FraLayer, FraLookConfig, FraProgress,
    FraReportConfig, FraSettings, FraStatistics, FraStatisticsConfig, FraTextIds,
};
use clap::Args;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::files::{Found, files};
use super::subject::{FraArgs, Subject, at_least_one, rows};
use super::tables::{heads_table, missing, name_of, pairs_table};
use crate::data_args::TableArgs;
use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::output;
use crate::output::remove_file;
use crate::progress::Progress;

/// Heads whose pairs are printed.
const HEADS_SHOWN: usize = 3;

/// Largest memory that can be asked for.
const MAX_BUDGET_GIB: f64 = 1_048_576.0;

/// Collect the strongest pairs of features of some heads over many texts.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct AccumulateArgs {
    /// What is looked at.
    #[command(flatten)]
    pub subject: FraArgs,
    /// Texts: a `.csv`, `.tsv`, or `.jsonl` file.
    #[arg(long)]
    pub data: PathBuf,
    /// Its column of texts.
    #[arg(long, default_value = "text")]
    pub column: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
    /// Most texts that are read.
    #[arg(long, default_value_t = 20, value_parser = at_least_one())]
    pub samples: usize,
    /// Pairs of each ranking.
    #[arg(long, default_value_t = 200, value_parser = at_least_one())]
    pub top: usize,
    /// Memory for the pairs of all heads and layers, in GiB; what does not fit is dropped, the
    /// smallest first, and the results say what they may lack.
    #[arg(long, default_value_t = 1.0)]
    pub memory_budget_gib: f64,
    /// Also collect the null of permuted features where that takes as much memory again: for models
    /// that turn queries and keys by position.
    #[arg(long)]
    pub permuted: bool,
    /// Seed of that null.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Texts, evenly among all, in which it is looked once more where features are strongest and how
    /// pairs differ from text to text; pages of single texts are of these.
    #[arg(long, default_value_t = 200)]
    pub examples: usize,
    /// Pages of single texts for each layer, of those with most of the strongest pairs.
    #[arg(long, default_value_t = 3)]
    pub sample_pages: usize,
    /// Page of the autoencoder that `sae view` wrote, as an address relative to the output; once for
    /// each `--sae`.
    #[arg(long = "sae-page")]
    pub sae_pages: Vec<String>,
    /// Folder for `accumulated_fra_L{layer}H{head}_N{texts}` of each head, `.json` and `.html`.
    #[arg(long, default_value = "results")]
    pub output: PathBuf,
    /// Also put everything into one `.tar.gz`; a bare name goes into the output folder.
    #[arg(long)]
    pub package: Option<PathBuf>,
    /// Texts between two checkpoints.
    #[arg(long, default_value_t = 200, value_parser = at_least_one())]
    pub checkpoint_every: usize,
    /// Go on with a run that was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace the files of a run of the same heads and number of texts; others stay.
    #[arg(long)]
    pub overwrite: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Runs `fra accumulate`.
///
/// # Errors
///
/// If an autoencoder, the model, or the texts are at fault or do not fit each other, or the output
/// cannot be written.
pub fn run(args: &AccumulateArgs) -> Result<()> {
    let budget = args.memory_budget_gib;
    if !(budget > 0.0 && budget <= MAX_BUDGET_GIB) {
        let error = format!(
            "`--memory-budget-gib` is {budget}, expected a number above 0 and up to {MAX_BUDGET_GIB}"
        );
        return Err(InputError(error).into());
    }
    let package = package_path(args)?;
    let sae_pages = sae_pages(args)?;
    let subject = Subject::open(&args.subject)?;
    let layers = subject.layers()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = layers.iter().find(|layer| !seen.insert(layer.layer())) {
        let error = format!(
            "two autoencoders are read by the scores of layer {}; give each a run and an `--output` \
             of its own",
            twice.layer()
        );
        return Err(InputError(error).into());
    }
    let budget = budget * f64::from(1 << 30) / layers.len() as f64;
    let mut all = Vec::new();
    for layer in &layers {
        let config = FraStatisticsConfig {
            heads: subject.heads(layer),
            budget_bytes: budget as usize,
            seed: args.seed,
            permuted: args.permuted,
        };
        all.push(FraStatistics::new(layer, config)?);
    }
    let texts = texts(args, &subject)?;
    let corpus = FraCorpus { reader: subject.reader(), layers: &layers, texts: &texts };
    let digest = corpus.digest()?;
    let _lock = FolderLock::claim(&args.output)?;
    let checkpoints: Vec<PathBuf> = layers
        .iter()
        .map(|layer| args.output.join(format!("accumulated_fra_L{}.checkpoint", layer.layer())))
        .collect();
    let settings = settings(args, &corpus, &digest);
    if args.overwrite {
        // Pages and tables get their names when they are written.
        checkpoints.iter().try_for_each(|path| remove_file(path))?;
    } else if !checkpoints.iter().any(|path| path.exists())
        && let Some(heads) = finished(args, &subject, &corpus, &settings)?
    {
        info!("`{}` is complete already", args.output.display());
        let text = format!("{:#}\n", json!({ "heads": heads }));
        let text = if args.json { &text } else { "" };
        return ignore_broken_pipe(write!(std::io::stdout(), "{text}").map_err(Into::into));
    }
    for (statistics, path) in all.iter_mut().zip(&checkpoints).filter(|(_, path)| path.exists()) {
        if !args.resume {
            let error = format!(
                "`{}` is of a run that was stopped; go on with `--resume`, or begin again with \
                 `--overwrite`",
                path.display()
            );
            return Err(InputError(error).into());
        }
        statistics.load(path, &digest)?;
        info!("going on from text {} with `{}`", statistics.n_texts(), path.display());
    }
    let kept =
        FraCheckpoints { paths: &checkpoints, every: args.checkpoint_every, digest: &digest };
    let mut bar = Progress::default();
    corpus.accumulate(&mut all, Some(kept), &mut |told| show(&mut bar, told, args))?;
    bar.clear();
    if all.iter().all(|statistics| statistics.n_texts() == 0) {
        let error = format!("the model's activations on `{}` are not finite", args.data.display());
        return Err(InputError(error).into());
    }
    let mut reports = reports(&settings, &subject, &layers, &all)?;
    let look = FraLookConfig { n_examples: args.examples, n_texts: args.sample_pages };
    let found = files(&corpus, &mut reports, look, &sae_pages);
    let Found { files, features } = found.map_err(|error| too_large(args, error))?;
    write_fra_files(&args.output, &files)?;
    if let Some(path) = package {
        write_package(&path, &files)?;
    }
    for path in &checkpoints {
        let _ = fs::remove_file(path); // it may never have been written
    }
    let mut stdout = std::io::stdout().lock();
    let heads: Vec<&FraHeadReport> = reports.iter().flatten().collect();
    let text = if args.json {
        format!("{:#}\n", json!({ "heads": heads }))
    } else {
        let all = || heads.iter().copied();
        let mut tables = vec![heads_table(all()) + &missing(all())];
        let of_layers = reports.iter().zip(&features);
        let all = of_layers.flat_map(|(heads, features)| heads.iter().map(move |h| (h, features)));
        for (head, features) in all.take(HEADS_SHOWN) {
            tables.push(pairs_table(head, &|feature| name_of(features, feature)));
        }
        if heads.len() > HEADS_SHOWN {
            let n = heads.len() - HEADS_SHOWN;
            tables.push(format!("pairs of {n} more heads are on their pages\n"));
        }
        let (tables, folder) = (tables.join("\n"), args.output.display());
        format!("{tables}wrote {} heads in {} files to {folder}\n", heads.len(), files.len())
    };
    ignore_broken_pipe(write!(stdout, "{text}").map_err(Into::into))
}

/// The texts, each read and turned into tokens once.
fn texts(args: &AccumulateArgs, subject: &Subject) -> Result<Vec<FraTextIds>> {
    let rows = rows(&args.data, args.table.columns(&args.column)?)?;
    let texts = subject.reader().texts(rows, args.samples)?;
    let Some(last) = texts.last() else {
        let (data, most) = (args.data.display(), subject.reader().max_tokens());
        let error = format!("`{data}` has no text of two tokens, with `--max-tokens` {most}");
        return Err(InputError(error).into());
    };
    let n_short = last.row + 1 - texts.len() as u64;
    if n_short > 0 {
        info!("{n_short} texts of one token or none left out");
    }
    Ok(texts)
}

/// Moves the progress bar, and names the texts that are left out.
fn show(bar: &mut Progress, told: FraProgress, args: &AccumulateArgs) {
    match told {
        FraProgress::Added { done, total } => bar.advance("texts".to_owned(), done, total),
        FraProgress::LeftOut { row, index, value } => {
            let data = args.data.display();
            warn!("row {row} of `{data}` left out: value {index} of its activations is {value}");
        }
        _ => {}
    }
}

/// What a run of the same settings left of every head, if it is to be resumed and is finished;
/// a run whose files would be written over is refused.
fn finished(
    args: &AccumulateArgs,
    subject: &Subject,
    corpus: &FraCorpus<'_>,
    settings: &FraSettings,
) -> Result<Option<Vec<Value>>> {
    let settings = serde_json::to_value(settings)?;
    let mut found = Vec::new();
    let mut n_missing = 0;
    for (layer, sae) in corpus.layers.iter().zip(&subject.paths) {
        for head in subject.heads(layer) {
            let stem = file_stem(layer.layer(), head, corpus.texts.len() as u64);
            let path = args.output.join(format!("{stem}.json"));
            if !path.exists() {
                n_missing += 1;
                continue;
            }
            let refuse = |what: &str| {
                let path = path.display();
                InputError(format!(
                    "`{path}` is of {what}; give another `--output`, or replace it with `--overwrite`"
                ))
            };
            if !args.resume {
                return Err(refuse("a run that is finished").into());
            }
            let text = fs::read(&path)
                .map_err(|source| ActivationError::Read { path: path.clone(), source })?;
            let report: Value = serde_json::from_slice(&text).unwrap_or_default();
            if report["settings"] != settings || report["sae"] != sae.display().to_string() {
                return Err(refuse("a run with other settings").into());
            }
            found.push(report);
        }
    }
    // One that was stopped while it wrote its last files has a checkpoint, or begins again.
    Ok((n_missing == 0).then_some(found))
}

/// The page of each autoencoder, as the pages of heads name it; an address that they would refuse is
/// refused before the long part.
fn sae_pages(args: &AccumulateArgs) -> Result<Vec<String>> {
    let (n, expected) = (args.sae_pages.len(), args.subject.saes.len());
    if n == 0 {
        return Ok(vec![String::new(); expected]);
    }
    if n != expected {
        let error = format!("`--sae-page` is given {n} times, but `--sae` {expected} times");
        return Err(InputError(error).into());
    }
    for sae_page in &args.sae_pages {
        let page = FraCorpusPage { sae_page: sae_page.clone(), ..FraCorpusPage::default() };
        page.to_html().map_err(|error| InputError(error.to_string()))?;
        if !args.output.join(sae_page).exists() {
            let (page, folder) = (sae_page, args.output.display());
            warn!("`--sae-page`: there is no `{page}` beside the files in `{folder}` yet");
        }
    }
    Ok(args.sae_pages.clone())
}

/// Names the autoencoders where what they add up to is no number that a page can show.
fn too_large(args: &AccumulateArgs, error: anyhow::Error) -> anyhow::Error {
    if !matches!(error.downcast_ref(), Some(ReportError::NonFinite { .. })) {
        return error;
    }
    let saes: Vec<String> =
        args.subject.saes.iter().map(|path| format!("`{}`", path.display())).collect();
    let saes = saes.join(", ");
    InputError(format!("{saes}: weights or activations are too large to be added up: {error:#}"))
        .into()
}

fn settings(args: &AccumulateArgs, corpus: &FraCorpus<'_>, digest: &str) -> FraSettings {
    let reader = corpus.reader;
    FraSettings {
        data: args.data.display().to_string(),
        column: args.column.clone(),
        samples: args.samples as u64,
        max_tokens: reader.max_tokens(),
        prepend_bos: reader.bos().is_some(),
        top: args.top,
        memory_budget_gib: args.memory_budget_gib,
        permuted: args.permuted,
        seed: args.seed,
        examples: args.examples,
        model_fingerprint: reader.model().fingerprint(),
        inputs_hash: Some(digest.to_owned()),
    }
}

fn reports(
    settings: &FraSettings,
    subject: &Subject,
    layers: &[FraLayer<'_>],
    all: &[FraStatistics],
) -> Result<Vec<Vec<FraHeadReport>>> {
    let layers = layers.iter().zip(all).zip(&subject.paths);
    let of_layer = |((layer, statistics), path): ((_, &FraStatistics), &PathBuf)| {
        let (model, sae) = (&subject.model.name, path.display().to_string());
        Ok(statistics.reports(layer, &FraReportConfig { model, sae: &sae, settings })?)
    };
    layers.map(of_layer).collect()
}

/// Where a package goes: beside the files if it names no folder.
fn package_path(args: &AccumulateArgs) -> Result<Option<PathBuf>> {
    let Some(path) = &args.package else { return Ok(None) };
    let name = path.to_string_lossy();
    if !name.ends_with(".tar.gz") && !name.ends_with(".tgz") {
        let error = format!("`{name}` ends neither in .tar.gz nor in .tgz");
        return Err(InputError(error).into());
    }
    output::check_file(path)?;
    let is_bare = path.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    Ok(Some(if is_bare { args.output.join(path) } else { path.clone() }))
}
