//! `fra sample`: the scores of one text, by pairs of features.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::Result;
use attention_probes_activations::{write_atomically, write_npz};
use attention_probes_cli::exit::InputError;
use attention_probes_cli::output;
use attention_probes_cli::progress::Progress;
use attention_probes_cli::stdout::print;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_pages_sae::fra::{FraFeatures, FraLinks, FraRunEvent, fra_sample_page};
use attention_probes_pages_sae::text::fra_sample_text;
use attention_probes_sae::fra::{
    FraCorpus, FraLayer, FraReader, FraSample, FraSampleConfig, FraShownPairs,
};
use clap::Args;
use tracing::{info, warn};

use super::subject::{FraArgs, at_least_one, open, rows};
use super::told::show;

/// Resolve one text's attention scores into pairs of features.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// What is looked at.
    #[command(flatten)]
    pub subject: FraArgs,
    /// The text, instead of a row of `--data`.
    #[arg(long, required_unless_present = "data", conflicts_with = "row")]
    pub text: Option<String>,
    /// A file of texts, `.csv`, `.tsv`, or `.jsonl`: one is taken from it, and all say where the
    /// features are strongest.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Its column of texts.
    #[arg(long, default_value = "text")]
    pub column: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
    /// Row of the text, counted from 0.
    #[arg(long, default_value_t = 0)]
    pub row: usize,
    /// Texts of `--data` in which the features are looked for, from the first on.
    #[arg(long, default_value_t = 200)]
    pub examples: usize,
    /// Pairs and sources of each head.
    #[arg(long, default_value_t = 30, value_parser = at_least_one())]
    pub top: usize,
    /// Write a page to this file, `.html`, or everything as `.json`, or every value of every pair as
    /// the arrays of an `.npz`.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Runs `fra sample`.
///
/// # Errors
///
/// If the autoencoder, the model, or the text is at fault or they do not fit each other, or the
/// output cannot be written.
pub fn run(args: &SampleArgs) -> Result<()> {
    let end = args.output.as_deref().map(ending).transpose()?;
    let subject = open(&args.subject)?;
    let layers = subject.layers()?;
    let [layer] = &layers[..] else {
        return Err(InputError("`fra sample` takes one autoencoder".to_owned()).into());
    };
    let name = args.data.as_ref().filter(|_| args.text.is_none());
    let name = name.map_or_else(String::new, |_| format!("row {}", args.row));
    let reader = subject.reader();
    let ids = reader.ids(&text(args)?)?;
    if ids.len() < reader.n_before() + 1 {
        let text = match &args.data {
            Some(path) if args.text.is_none() => format!("{name} of `{}`", path.display()),
            _ => "`--text`".to_owned(),
        };
        let error = format!(
            "{text} has no token, with `--max-tokens` {}; give a text of one word or more",
            reader.max_tokens()
        );
        return Err(InputError(error).into());
    }
    if ids.len() == reader.max_tokens() {
        info!("no more than {} tokens are read; `--max-tokens` says how many", ids.len());
    }
    let config = FraSampleConfig {
        n_top: args.top,
        also: FraShownPairs::new(),
        sae: args.subject.saes[0].display().to_string(),
        maps: end == Some("html"),
    };
    let heads = args.subject.heads_of(layer);
    let reading = layer.text_of_ids(&reader, &ids, &heads)?;
    let sample = reading.sample(&config)?;
    if !sample.is_exact {
        warn!("the text has more pairs than fit 1 GiB: the smallest were dropped");
    }
    let known = features(args, &reader, layer, &sample)?;
    let mut json = serde_json::to_vec_pretty(&sample)?;
    json.push(b'\n');
    if let (Some(path), Some(end)) = (&args.output, end) {
        let links = FraLinks { text: &name, ..FraLinks::default() };
        match end {
            "html" => {
                let html = fra_sample_page(&sample, &known, links).to_html()?;
                write_atomically(path, |file| file.write_all(html.as_bytes()))?;
            }
            "npz" => write_npz(path, &reading.arrays(&heads)?)?,
            _ => write_atomically(path, |file| file.write_all(&json))?,
        }
    }
    let text = if args.json { String::from_utf8(json)? } else { fra_sample_text(&sample, &known) };
    print(&text)
}

/// Texts and names of the features that are shown, where there are other texts.
fn features(
    args: &SampleArgs,
    reader: &FraReader<'_>,
    layer: &FraLayer<'_>,
    sample: &FraSample,
) -> Result<FraFeatures> {
    let Some(path) = args.data.as_ref().filter(|_| args.examples > 0) else {
        return Ok(FraFeatures::new());
    };
    let rows = rows(path, &args.table.columns(&args.column)?)?;
    let texts = reader.texts(rows, args.examples)?;
    let corpus = FraCorpus { reader: *reader, layers: slice::from_ref(layer), texts: &texts };
    let mut bar = Progress::default();
    let mut tell = |told| show(&mut bar, FraRunEvent::Progress(told), ("", ""));
    let found = corpus.features_of(sample, &mut tell)?;
    bar.clear();
    Ok(found)
}

/// The ending of a file, which says what it is to hold.
fn ending(path: &Path) -> Result<&str> {
    output::check_file(path)?;
    let end = path.extension().and_then(|end| end.to_str());
    end.filter(|end| ["html", "json", "npz"].contains(end)).ok_or_else(|| {
        let path = path.display();
        InputError(format!("`{path}` ends in none of .html, .json, and .npz")).into()
    })
}

fn text(args: &SampleArgs) -> Result<String> {
    let (Some(path), None) = (&args.data, &args.text) else {
        return Ok(args.text.clone().unwrap_or_default());
    };
    let columns = args.table.columns(&args.column)?;
    let mut rows = rows(path, &columns)?;
    let missing = || {
        let path = path.display();
        InputError(format!("`{path}` has no row {}; the first is row 0", args.row))
    };
    Ok(rows.nth(args.row).ok_or_else(missing)??)
}
