//! `fra accumulate`: pairs of features over many texts, for several heads and layers.

use std::path::PathBuf;

use anyhow::{Error, Result};
use attention_probes_cli::earlier_args::EarlierArgs;
use attention_probes_cli::exit::InputError;
use attention_probes_cli::output;
use attention_probes_cli::progress::Progress;
use attention_probes_cli::stdout::print;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_pages_sae::fra::{
    FraFound, FraRun, FraRunConfig, FraRunError, FraRunLayer, run_fra,
};
use attention_probes_pages_sae::text::{fra_heads_text, fra_pairs_text};
use attention_probes_report::{FraCorpusPage, ReportError};
use attention_probes_sae::fra::{FraCorpus, FraHeadReport, FraSettings, FraSubject, FraTextIds};
use clap::Args;
use serde_json::json;
use tracing::{info, warn};

use super::subject::{FraArgs, at_least_one, open, rows};
use super::told::show;

/// Heads whose pairs are printed.
const HEADS_SHOWN: usize = 3;

/// What `--overwrite` does.
const OVERWRITE: &str =
    "Replace the files of a run of the same heads and number of texts; others stay";

/// Largest memory that can be asked for.
const MAX_BUDGET_GIB: f64 = 1_048_576.0;

/// Collect the strongest pairs of features of some heads over many texts.
#[derive(Args, Debug)]
#[command(mut_arg("overwrite", |arg| arg.help(OVERWRITE)))]
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
    /// What becomes of a run that is there already.
    #[command(flatten)]
    pub earlier: EarlierArgs,
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
    let subject = open(&args.subject)?;
    let layers = subject.layers()?;
    // A head that is not there is refused before the texts are read.
    for layer in &layers {
        args.subject.heads_of(layer).into_iter().try_for_each(|head| layer.check_head(head))?;
    }
    let texts = texts(args, &subject)?;
    let corpus = FraCorpus { reader: subject.reader(), layers: &layers, texts: &texts };
    let named = layers.iter().zip(&args.subject.saes).zip(sae_pages);
    let of_layers = named.map(|((layer, sae), sae_page)| FraRunLayer {
        heads: args.subject.heads_of(layer),
        sae: sae.display().to_string(),
        sae_page,
    });
    let config = FraRunConfig {
        folder: args.output.clone(),
        earlier: args.earlier.earlier(),
        layers: of_layers.collect(),
        settings: settings(args, &corpus),
        sample_pages: args.sample_pages,
        checkpoint_every: args.checkpoint_every,
        package,
    };
    let (mut bar, data) = (Progress::default(), args.data.display().to_string());
    let found = run_fra(&corpus, &config, &mut |told| show(&mut bar, told, (&data, "texts")));
    bar.clear();
    let (reports, FraFound { files, features }) = match found {
        Ok(FraRun::Done { reports, found }) => (reports, found),
        Ok(FraRun::Complete(heads)) => {
            info!("`{}` is complete already", args.output.display());
            let text = format!("{:#}\n", json!({ "heads": heads }));
            return if args.json { print(&text) } else { Ok(()) };
        }
        Err(error) => return Err(refused(args, error)),
    };
    let heads: Vec<&FraHeadReport> = reports.iter().flatten().collect();
    let text = if args.json {
        format!("{:#}\n", json!({ "heads": heads }))
    } else {
        let all = || heads.iter().copied();
        let mut tables = vec![fra_heads_text(all()) + &missing(all())];
        let of_layers = reports.iter().zip(&features);
        let all = of_layers.flat_map(|(heads, features)| heads.iter().map(move |h| (h, features)));
        for (head, features) in all.take(HEADS_SHOWN) {
            tables.push(fra_pairs_text(head, features));
        }
        if heads.len() > HEADS_SHOWN {
            let n = heads.len() - HEADS_SHOWN;
            tables.push(format!("pairs of {n} more heads are on their pages\n"));
        }
        let (tables, folder) = (tables.join("\n"), args.output.display());
        format!("{tables}wrote {} heads in {} files to {folder}\n", heads.len(), files.len())
    };
    print(&text)
}

/// What is missing of the heads whose pairs did not fit, a line for each.
fn missing<'a>(reports: impl Iterator<Item = &'a FraHeadReport>) -> String {
    let line = |report: &FraHeadReport| {
        let FraHeadReport { layer, head, n_dropped, largest_missing, .. } = report;
        format!(
            "layer {layer}, head {head}: pairs were dropped {n_dropped} times because memory was full, \
             none with a sum of magnitudes above {largest_missing:.3}; raise `--memory-budget-gib`\n"
        )
    };
    reports.filter(|report| !report.is_exact).map(line).collect()
}

/// The texts, each read and turned into tokens once.
fn texts(args: &AccumulateArgs, subject: &FraSubject) -> Result<Vec<FraTextIds>> {
    let rows = rows(&args.data, &args.table.columns(&args.column)?)?;
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

/// Says which flags help where a run is refused.
fn refused(args: &AccumulateArgs, error: FraRunError) -> Error {
    let text = match error {
        FraRunError::Finished { .. } | FraRunError::OtherSettings { .. } => {
            format!("{error}; give another `--output`, or replace it with `--overwrite`")
        }
        FraRunError::Unfinished { .. } => {
            format!("{error}; go on with `--resume`, or begin again with `--overwrite`")
        }
        FraRunError::SameLayer { layer } => format!(
            "two autoencoders are read by the scores of layer {layer}; give each a run and an \
             `--output` of its own"
        ),
        FraRunError::NotFinite => {
            format!("the model's activations on `{}` are not finite", args.data.display())
        }
        FraRunError::Report(error @ ReportError::NonFinite { .. }) => too_large(args, &error),
        FraRunError::Sae(error) => return error.into(),
        FraRunError::Report(error) => return error.into(),
        FraRunError::Activation(error) => return Error::from(*error),
        error => return error.into(),
    };
    InputError(text).into()
}

/// Names the autoencoders where what they add up to is no number that a page can show.
fn too_large(args: &AccumulateArgs, error: &ReportError) -> String {
    let saes: Vec<String> =
        args.subject.saes.iter().map(|path| format!("`{}`", path.display())).collect();
    let saes = saes.join(", ");
    format!("{saes}: weights or activations are too large to be added up: {error}")
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

/// What the reports say was asked for.
fn settings(args: &AccumulateArgs, corpus: &FraCorpus<'_>) -> FraSettings {
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
        inputs_hash: None,
    }
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
