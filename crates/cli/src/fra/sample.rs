//! `fra sample`: the scores of one text, by pairs of features.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::{DatasetConfig, LabelColumn, TextReader, write_atomically};
use attention_probes_models::HookPoint;
use attention_probes_report::FraSamplePage;
use attention_probes_sae::fra::{
    FraActivations, FraHead, FraLayer, FraOutput, FraPair, FraRank, FraSource, FraStatistics,
    FraStatisticsConfig, FraText, capture,
};
use clap::Args;
use serde::Serialize;

use super::page;
use super::report::pairs;
use super::subject::{FraArgs, Subject};
use crate::exit::InputError;
use crate::input::ignore_broken_pipe;

/// Resolve one text's attention scores into pairs of features.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// What is looked at.
    #[command(flatten)]
    pub subject: FraArgs,
    /// The text.
    #[arg(long, conflicts_with = "data", required_unless_present = "data")]
    pub text: Option<String>,
    /// A file of texts, of which one is taken: `.csv`, `.tsv`, or `.jsonl`.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Its column of texts.
    #[arg(long, default_value = "text")]
    pub column: String,
    /// Row of the text, counted from 0.
    #[arg(long, default_value_t = 0)]
    pub row: usize,
    /// Pairs and sources of each head.
    #[arg(long, default_value_t = 30)]
    pub top: usize,
    /// Write a page to this file, `.html`, or everything as `.json`.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// One text.
#[derive(Debug, Serialize)]
pub(super) struct SampleReport {
    /// `exact`, or `published` where the numbers are those of the first FRA code.
    mode: &'static str,
    pub(super) model: String,
    pub(super) sae: String,
    pub(super) hook: String,
    pub(super) layer: usize,
    pub(super) tokens: Vec<SampleToken>,
    pub(super) heads: Vec<SampleHead>,
    library_version: &'static str,
}

/// A token with its features.
#[derive(Debug, Serialize)]
pub(super) struct SampleToken {
    pub(super) text: String,
    pub(super) id: u32,
    /// Feature and what its direction is multiplied by.
    pub(super) features: Vec<(u32, f32)>,
}

/// One head of one text.
#[derive(Debug, Serialize)]
pub(super) struct SampleHead {
    pub(super) head: usize,
    /// Number of values: pairs of active features at a query and a key that it sees.
    n_values: u64,
    n_pairs: usize,
    /// How the scores add up; not for `published`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<Identity>,
    pub(super) induction_score: Option<f64>,
    pub(super) pairs: Vec<SamplePair>,
    /// Features by how much of the head's output they make; not for `published`.
    sources: Vec<FraSource>,
}

/// The four terms beside the model's own score.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    /// Largest difference between the sum of the terms and the score.
    pub(super) largest_difference: f64,
    /// Mean magnitude of the scores.
    score: f64,
    /// Mean magnitude of each term.
    terms: BTreeMap<&'static str, f64>,
}

/// A pair with every value.
#[derive(Debug, Serialize)]
pub(super) struct SamplePair {
    #[serde(flatten)]
    pub(super) pair: FraPair,
    /// Query, key, and value.
    pub(super) cells: Vec<(usize, usize, f32)>,
}

/// Runs `fra sample`.
///
/// # Errors
///
/// If the autoencoder, the model, or the text is at fault or they do not fit each other, or the
/// output cannot be written.
pub fn run(args: &SampleArgs) -> Result<()> {
    let subject = Subject::open(&args.subject)?;
    let layers = subject.layers()?;
    let [layer] = &layers[..] else {
        return Err(InputError("`fra sample` takes one autoencoder".to_owned()).into());
    };
    let ids = subject.ids(&text(args)?)?;
    if ids.len() < subject.n_before() + 1 {
        return Err(InputError("the text has no token".to_owned()).into());
    }
    let is_page = match args.output.as_deref().map(|path| (path, path.extension())) {
        None => false,
        Some((_, Some(end))) if end == "html" || end == "json" => end == "html",
        Some((path, _)) => {
            let error = format!("`{}` ends neither in .html nor in .json", path.display());
            return Err(InputError(error).into());
        }
    };
    let (report, page) = report(args, &subject, layer, &ids)?;
    let mut json = serde_json::to_vec_pretty(&report)?;
    json.push(b'\n');
    if let Some(path) = &args.output {
        let html = if is_page { page.to_html()?.into_bytes() } else { json.clone() };
        write_atomically(path, |file| file.write_all(&html))?;
    }
    let mut stdout = std::io::stdout().lock();
    let text = if args.json { String::from_utf8(json)? } else { tables(&report) };
    ignore_broken_pipe(stdout.write_all(text.as_bytes()).map_err(Into::into))
}

fn text(args: &SampleArgs) -> Result<String> {
    let Some(path) = &args.data else { return Ok(args.text.clone().unwrap_or_default()) };
    let columns = DatasetConfig { text: args.column.clone(), ..DatasetConfig::default() };
    let mut rows = TextReader::open(path, &columns, LabelColumn::Ignored)?;
    let missing = || InputError(format!("`{}` has no text in row {}", path.display(), args.row));
    Ok(rows.nth(args.row).ok_or_else(missing)??.text)
}

fn report(
    args: &SampleArgs,
    subject: &Subject,
    layer: &FraLayer<'_>,
    ids: &[u32],
) -> Result<(SampleReport, FraSamplePage)> {
    let heads = subject.heads(layer);
    let mut hooks = [layer.hooks(), FraOutput::hooks(layer)].concat();
    hooks.push(HookPoint::AttnScores(layer.layer()));
    let activations = capture(&*subject.model.model, &subject.device, ids, &hooks)?;
    let text = FraText::new(layer, &heads, ids, &activations, subject.n_before())?;
    let config = FraStatisticsConfig { heads: heads.clone(), ..FraStatisticsConfig::default() };
    let mut statistics = FraStatistics::new(layer, config)?;
    statistics.add(layer, ids, &activations, subject.n_before())?;
    let mut found = Vec::new();
    for (place, strongest) in
        statistics.top(layer, &[FraRank::Sum], args.top)?.into_iter().enumerate()
    {
        let Some(head) = text.head(strongest.head) else { continue };
        let exact = !layer.is_published();
        let sources = if exact {
            let output = FraOutput::new(layer, text.codes(), strongest.head, &activations)?;
            output.sources().into_iter().take(args.top).collect()
        } else {
            Vec::new()
        };
        found.push(SampleHead {
            head: strongest.head,
            n_values: n_values(&head, &text),
            n_pairs: strongest.n_pairs,
            identity: exact.then(|| identity(layer, &head, strongest.head, &activations)),
            induction_score: statistics.induction_score(place),
            pairs: strongest.top[0].iter().map(|pair| with_cells(*pair, &head)).collect(),
            sources,
        });
    }
    let mut tokens = Vec::new();
    for (position, id) in ids.iter().enumerate() {
        let (slots, values) = text.codes().position(position);
        let features = slots.iter().map(|slot| text.codes().features()[*slot as usize]);
        tokens.push(SampleToken {
            text: subject.model.tokenizer.decode(&[*id])?,
            id: *id,
            features: features.zip(values.iter().copied()).collect(),
        });
    }
    let report = SampleReport {
        mode: if layer.is_published() { "published" } else { "exact" },
        model: subject.model.name.clone(),
        sae: subject.paths[0].display().to_string(),
        hook: layer.hook().to_string(),
        layer: layer.layer(),
        tokens,
        heads: found,
        library_version: env!("CARGO_PKG_VERSION"),
    };
    let page = page::of_sample(&report, layer, &text, &activations);
    Ok((report, page))
}

/// Pairs of active features at queries and the keys that they see.
fn n_values(head: &FraHead<'_>, text: &FraText) -> u64 {
    let n_active = |position: usize| text.codes().position(position).0.len() as u64;
    let of_query = |query: usize| {
        let keys = (0..=query).filter(|key| head.sees(query, *key));
        n_active(query) * keys.map(n_active).sum::<u64>()
    };
    (0..head.n_positions()).map(of_query).sum()
}

fn with_cells(pair: FraPair, head: &FraHead<'_>) -> SamplePair {
    let (n, map) = (head.n_positions(), head.pair_map(pair.query_feature, pair.key_feature));
    let cells = map.iter().enumerate().filter(|(_, value)| value.abs() > 0.0);
    SamplePair { pair, cells: cells.map(|(i, value)| (i / n, i % n, *value)).collect() }
}

/// The four terms beside the score that the model has.
fn identity(
    layer: &FraLayer<'_>,
    head: &FraHead<'_>,
    number: usize,
    activations: &FraActivations,
) -> Identity {
    let n = head.n_positions();
    let terms = head.terms();
    let scores = &activations[&HookPoint::AttnScores(layer.layer())][number * n * n..][..n * n];
    let cap = |sum: f32| match layer.weights().softcap {
        Some(cap) => cap as f32 * (sum / cap as f32).tanh(),
        None => sum,
    };
    let sums = terms.scores();
    let seen: Vec<usize> = (0..n * n).filter(|i| head.sees(i / n, i % n)).collect();
    let difference = |i: &usize| f64::from((cap(sums[*i]) - scores[*i]).abs());
    let mean = |values: &[f32]| {
        seen.iter().map(|i| f64::from(values[*i].abs())).sum::<f64>() / seen.len() as f64
    };
    Identity {
        largest_difference: seen.iter().map(difference).fold(0.0, f64::max),
        score: mean(scores),
        terms: BTreeMap::from([
            ("pairs", mean(&terms.pairs)),
            ("query_features_with_rest", mean(&terms.query_features)),
            ("rest_with_key_features", mean(&terms.key_features)),
            ("rest", mean(&terms.rest)),
        ]),
    }
}

fn tables(report: &SampleReport) -> String {
    let mut text = String::new();
    let n_active: usize = report.tokens.iter().map(|token| token.features.len()).sum();
    let _ = writeln!(
        text,
        "{} tokens, {n_active} active features of `{}`, layer {}",
        report.tokens.len(),
        report.hook,
        report.layer
    );
    for head in &report.heads {
        let _ = writeln!(
            text,
            "\nhead {}: {} values of {} pairs",
            head.head, head.n_values, head.n_pairs
        );
        if let Some(identity) = &head.identity {
            let terms: Vec<String> = identity
                .terms
                .iter()
                .map(|(name, mean)| format!("{} {mean:.3}", name.replace('_', " ")))
                .collect();
            let _ = writeln!(
                text,
                "  mean magnitude of the scores {:.3}; of their terms: {}\n  the terms add up to \
                 the model's scores within {:.1e}",
                identity.score,
                terms.join(", "),
                identity.largest_difference
            );
        }
        let strongest: Vec<FraPair> = head.pairs.iter().map(|pair| pair.pair).collect();
        text += &pairs(&strongest, &|_| String::new());
    }
    text
}
