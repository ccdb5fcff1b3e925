//! `fra sample`: the scores of one text, by pairs of features.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{LabelColumn, TextReader, write_atomically};
use attention_probes_models::HookPoint;
use attention_probes_sae::fra::{
    FraActivations, FraCodes, FraHead, FraLayer, FraOutput, FraPair, FraRank, FraSource,
    FraStatistics, FraStatisticsConfig, FraText, capture,
};
use clap::Args;
use serde::Serialize;
use tracing::{info, warn};

use super::examples::{self, Looked, ShownPairs, name_of};
use super::page::{self, Features};
use super::report::pairs;
use super::subject::{FraArgs, Reader, Subject, at_least_one};
use crate::data_args::TableArgs;
use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::output;

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
    pub(super) entries: Vec<(usize, usize, f32)>,
}

/// Runs `fra sample`.
///
/// # Errors
///
/// If the autoencoder, the model, or the text is at fault or they do not fit each other, or the
/// output cannot be written.
pub fn run(args: &SampleArgs) -> Result<()> {
    let is_page = match &args.output {
        Some(path) => is_page(path)?,
        None => false,
    };
    let subject = Subject::open(&args.subject)?;
    let layers = subject.layers()?;
    let [layer] = &layers[..] else {
        return Err(InputError("`fra sample` takes one autoencoder".to_owned()).into());
    };
    let name = args.data.as_ref().filter(|_| args.text.is_none());
    let name = name.map_or_else(String::new, |_| format!("row {}", args.row));
    let ids = subject.ids(&text(args)?)?;
    if ids.len() < subject.reader().n_before + 1 {
        let text = match &args.data {
            Some(path) if args.text.is_none() => format!("{name} of `{}`", path.display()),
            _ => "`--text`".to_owned(),
        };
        let error = format!(
            "{text} has no token, with `--max-tokens` {}; give a text of one word or more",
            subject.max_tokens
        );
        return Err(InputError(error).into());
    }
    if ids.len() == subject.max_tokens {
        info!("no more than {} tokens are read; `--max-tokens` says how many", ids.len());
    }
    let (heads, sae) = (subject.heads(layer), subject.paths[0].display().to_string());
    let also = ShownPairs::new();
    let asked = Asked { heads: &heads, n_top: args.top, also: &also, sae: &sae };
    let sample = resolve(subject.reader(), layer, &ids, &asked)?;
    let known = features(args, &subject, &sample)?;
    let report = &sample.report;
    let links = page::Links { text: &name, ..page::Links::default() };
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    if let Some(path) = &args.output {
        let page = || page::of_sample(&sample, &known, links).to_html();
        let html = if is_page { page()?.into_bytes() } else { json.clone() };
        write_atomically(path, |file| file.write_all(&html))?;
    }
    let mut stdout = std::io::stdout().lock();
    let text = if args.json { String::from_utf8(json)? } else { tables(report, &known) };
    ignore_broken_pipe(stdout.write_all(text.as_bytes()).map_err(Into::into))
}

/// Texts and names of the features that are shown, where there are other texts.
fn features(args: &SampleArgs, subject: &Subject, sample: &Sample<'_>) -> Result<Features> {
    let Some(path) = args.data.as_ref().filter(|_| args.examples > 0) else {
        return Ok(Features::new());
    };
    let texts = subject.texts(path, args.table.columns(&args.column)?)?.take(args.examples);
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let pairs = |head: &SampleHead| (head.head, head.pairs.iter().map(|of| of.pair).collect());
    let shown: ShownPairs = sample.report.heads.iter().map(pairs).collect();
    let looked = Looked { texts: &texts, n_pages: 0 };
    let layers = std::slice::from_ref(sample.layer);
    Ok(examples::collect(subject.reader(), layers, &[shown], looked)?.remove(0).features)
}

/// Whether a file is to be a page and not JSON.
fn is_page(path: &Path) -> Result<bool> {
    output::check_file(path)?;
    match path.extension() {
        Some(end) if end == "html" || end == "json" => Ok(end == "html"),
        _ => {
            let error = format!("`{}` ends neither in .html nor in .json", path.display());
            Err(InputError(error).into())
        }
    }
}

fn text(args: &SampleArgs) -> Result<String> {
    let (Some(path), None) = (&args.data, &args.text) else {
        return Ok(args.text.clone().unwrap_or_default());
    };
    let columns = args.table.columns(&args.column)?;
    let mut rows = TextReader::open(path, &columns, LabelColumn::Ignored)?;
    let missing = || {
        let path = path.display();
        InputError(format!("`{path}` has no row {}; the first is row 0", args.row))
    };
    Ok(rows.nth(args.row).ok_or_else(missing)??.text)
}

/// What is asked of a text.
pub(super) struct Asked<'a> {
    pub(super) heads: &'a [usize],
    /// Pairs and sources of each head.
    pub(super) n_top: usize,
    /// Pairs that are shown too where they occur, by head.
    pub(super) also: &'a ShownPairs,
    /// What the autoencoder is called.
    pub(super) sae: &'a str,
}

/// A text that is resolved, with what its page is made of.
pub(super) struct Sample<'a> {
    pub(super) report: SampleReport,
    pub(super) layer: &'a FraLayer<'a>,
    pub(super) text: FraText,
    pub(super) activations: FraActivations,
}

/// Resolves the scores of a text.
pub(super) fn resolve<'a>(
    reader: Reader<'_>,
    layer: &'a FraLayer<'_>,
    ids: &[u32],
    asked: &Asked<'_>,
) -> Result<Sample<'a>> {
    let mut hooks = [layer.hooks(), FraOutput::hooks(layer)].concat();
    hooks.push(HookPoint::AttnScores(layer.layer()));
    let activations = capture(&*reader.model.model, reader.device, ids, &hooks)?;
    let text = FraText::new(layer, asked.heads, ids, &activations, reader.n_before)?;
    let config = FraStatisticsConfig { heads: asked.heads.to_vec(), ..Default::default() };
    let mut statistics = FraStatistics::new(layer, config)?;
    statistics.add(layer, ids, &activations, reader.n_before)?;
    if (0..asked.heads.len()).any(|place| !statistics.is_exact(place)) {
        warn!("the text has more pairs than fit 1 GiB: the smallest were dropped");
    }
    let strongest = statistics.top(layer, &[FraRank::Sum], asked.n_top)?;
    let mut found = Vec::new();
    for (place, mut strongest) in strongest.into_iter().enumerate() {
        let Some(head) = text.head(strongest.head) else { continue };
        let exact = !layer.is_published();
        let sources = if exact {
            let output = FraOutput::new(layer, text.codes(), strongest.head, &activations)?;
            output.sources().into_iter().take(asked.n_top).collect()
        } else {
            Vec::new()
        };
        let features = |pair: &FraPair| (pair.query_feature, pair.key_feature);
        let mut pairs = strongest.top.swap_remove(0);
        let known: HashSet<(u32, u32)> = pairs.iter().map(features).collect();
        let also = asked.also.get(&strongest.head).into_iter().flatten().map(features);
        let also = also.filter(|features| !known.contains(features));
        pairs.extend(also.filter_map(|features| of_text(features, &head, text.codes())));
        found.push(SampleHead {
            head: strongest.head,
            n_values: n_values(&head, &text),
            n_pairs: strongest.n_pairs,
            identity: exact
                .then(|| identity(layer, &head, strongest.head, &activations))
                .transpose()?,
            induction_score: statistics.induction_score(place),
            pairs: pairs.into_iter().map(|pair| with_entries(pair, &head)).collect(),
            sources,
        });
    }
    let mut tokens = Vec::new();
    for (position, id) in ids.iter().enumerate() {
        let (slots, values) = text.codes().position(position);
        let features = slots.iter().map(|slot| text.codes().features()[*slot as usize]);
        tokens.push(SampleToken {
            text: reader.token(*id)?,
            id: *id,
            features: features.zip(values.iter().copied()).collect(),
        });
    }
    let report = SampleReport {
        mode: if layer.is_published() { "published" } else { "exact" },
        model: reader.model.name.clone(),
        sae: asked.sae.to_owned(),
        hook: layer.hook().to_string(),
        layer: layer.layer(),
        tokens,
        heads: found,
        library_version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Sample { report, layer, text, activations })
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

/// What one text says of a pair; `None` if it does not occur.
fn of_text(
    (query_feature, key_feature): (u32, u32),
    head: &FraHead<'_>,
    codes: &FraCodes,
) -> Option<FraPair> {
    let values = head.pair_values(query_feature, key_feature);
    let sum_of = |of: &dyn Fn(usize, usize, f64) -> f64| -> f64 {
        values.iter().map(|(query, key, value)| of(*query, *key, f64::from(*value))).sum()
    };
    let sum_abs = sum_of(&|_, _, value| value.abs());
    let is_induction = |query, key| codes.induction_target(query) == Some(key);
    let share = |part: f64| if sum_abs > 0.0 { part / sum_abs } else { 0.0 };
    (!values.is_empty()).then(|| FraPair {
        query_feature,
        key_feature,
        score: sum_abs,
        sum: sum_of(&|_, _, value| value),
        sum_abs,
        count: values.len() as u32,
        max: values.iter().map(|(_, _, value)| f64::from(value.abs())).fold(0.0, f64::max),
        mean_distance: share(sum_of(&|query, key, value| value.abs() * (query - key) as f64)),
        induction: share(sum_of(&|query, key, value| {
            if is_induction(query, key) { value.abs() } else { 0.0 }
        })),
        missed: 0.0,
    })
}

fn with_entries(pair: FraPair, head: &FraHead<'_>) -> SamplePair {
    SamplePair { pair, entries: head.pair_values(pair.query_feature, pair.key_feature) }
}

/// The four terms beside the score that the model has.
fn identity(
    layer: &FraLayer<'_>,
    head: &FraHead<'_>,
    number: usize,
    activations: &FraActivations,
) -> Result<Identity> {
    let n = head.n_positions();
    let terms = head.terms()?;
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
    Ok(Identity {
        largest_difference: seen.iter().map(difference).fold(0.0, f64::max),
        score: mean(scores),
        terms: BTreeMap::from([
            ("pairs", mean(&terms.pairs)),
            ("query_features_with_rest", mean(&terms.query_features)),
            ("rest_with_key_features", mean(&terms.key_features)),
            ("rest", mean(&terms.rest)),
        ]),
    })
}

fn tables(report: &SampleReport, known: &Features) -> String {
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
        text += &pairs(strongest.iter(), &|feature| name_of(known, feature));
    }
    text
}
