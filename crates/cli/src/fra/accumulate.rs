//! `fra accumulate`: pairs of features over many texts, for several heads and layers.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attention_probes_activations::{DatasetConfig, LabelColumn, TextReader, write_atomically};
use attention_probes_models::HookPoint;
use attention_probes_sae::Sae;
use attention_probes_sae::fra::{FraLayer, FraStatistics, FraStatisticsConfig, capture};
use clap::Args;
use serde_json::json;
use tracing::info;

use super::report::{HeadReport, LayerReport, heads_table, pairs_table};
use super::subject::{FraArgs, Subject};
use super::{package, page};
use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::progress::Progress;

/// Heads whose pairs are printed.
const HEADS_SHOWN: usize = 3;

/// Collect the strongest pairs of features of some heads over many texts.
#[derive(Args, Debug)]
pub struct AccumulateArgs {
    /// What is looked at.
    #[command(flatten)]
    pub subject: FraArgs,
    /// Texts: a `.csv`, `.tsv`, or `.jsonl` file.
    #[arg(long)]
    pub data: PathBuf,
    /// Its column of texts.
    #[arg(long, default_value = "text")]
    pub text: String,
    /// Most texts that are read.
    #[arg(long, default_value_t = 20)]
    pub samples: u64,
    /// Pairs of each ranking.
    #[arg(long, default_value_t = 200)]
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
    /// Folder for `accumulated_fra_L{layer}H{head}_N{texts}` of each head, `.json` and `.html`.
    #[arg(long, default_value = "results")]
    pub output: PathBuf,
    /// Also put everything into one `.tar.gz`.
    #[arg(long)]
    pub package: Option<PathBuf>,
    /// Texts between two checkpoints.
    #[arg(long, default_value_t = 200)]
    pub checkpoint_every: u64,
    /// Go on with a run that was stopped.
    #[arg(long)]
    pub resume: bool,
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
    let is_budget = args.memory_budget_gib > 0.0 && args.memory_budget_gib < f64::from(1 << 20);
    if !is_budget || args.samples == 0 {
        let error = format!(
            "`--memory-budget-gib` is {} and `--samples` {}, expected numbers above 0",
            args.memory_budget_gib, args.samples
        );
        return Err(InputError(error).into());
    }
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
    let budget = args.memory_budget_gib * f64::from(1 << 30) / layers.len() as f64;
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
    fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make `{}`", args.output.display()))?;
    let checkpoints: Vec<PathBuf> = layers
        .iter()
        .map(|layer| args.output.join(format!("accumulated_fra_L{}.checkpoint", layer.layer())))
        .collect();
    let digest = digest(&subject, &texts)?;
    for (statistics, path) in all.iter_mut().zip(&checkpoints).filter(|(_, path)| path.exists()) {
        if !args.resume {
            let error = format!(
                "`{}` is of a run that was stopped; go on with `--resume`, or remove it",
                path.display()
            );
            return Err(InputError(error).into());
        }
        statistics.load(path, &digest)?;
        info!("going on from text {} with `{}`", statistics.n_texts(), path.display());
    }
    add(args, &subject, (&layers, &texts), (&mut all, &checkpoints, &digest))?;
    let reports = reports(&subject, &layers, &all, args.top)?;
    write(args, &reports)?;
    for path in &checkpoints {
        let _ = fs::remove_file(path); // it may never have been written
    }
    let mut stdout = std::io::stdout().lock();
    let text = if args.json {
        format!("{:#}\n", json!({ "heads": reports }))
    } else {
        let shown = reports.iter().take(HEADS_SHOWN).map(pairs_table);
        let tables: Vec<String> = std::iter::once(heads_table(&reports)).chain(shown).collect();
        format!("{}wrote {} heads to {}\n", tables.join("\n"), reports.len(), args.output.display())
    };
    ignore_broken_pipe(write!(stdout, "{text}").map_err(Into::into))
}

/// Tokens of the texts that are long enough to attend to something.
fn texts(args: &AccumulateArgs, subject: &Subject) -> Result<Vec<Vec<u32>>> {
    let columns = DatasetConfig { text: args.text.clone(), ..DatasetConfig::default() };
    let (mut texts, mut n_short) = (Vec::new(), 0);
    for row in TextReader::open(&args.data, &columns, LabelColumn::Ignored)? {
        if texts.len() as u64 == args.samples {
            break;
        }
        let ids = subject.ids(&row?.text)?;
        if ids.len() > subject.n_before() + 1 {
            texts.push(ids);
        } else {
            n_short += 1;
        }
    }
    if n_short > 0 {
        info!("{n_short} texts of one token or none left out");
    }
    if texts.is_empty() {
        let error = format!("`{}` has no text of two tokens", args.data.display());
        return Err(InputError(error).into());
    }
    Ok(texts)
}

/// Everything that statistics depend on beside their settings.
fn digest(subject: &Subject, texts: &[Vec<u32>]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for sae in &subject.saes {
        hash_sae(&mut hasher, sae)?;
    }
    for ids in texts {
        hasher.update(&(ids.len() as u64).to_le_bytes());
        for id in ids {
            hasher.update(&id.to_le_bytes());
        }
    }
    let settings = format!("{} {}", subject.model.fingerprint(), subject.is_published());
    hasher.update(settings.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

fn hash_sae(hasher: &mut blake3::Hasher, sae: &Sae) -> Result<()> {
    let config = &sae.config;
    let settings = (&config.metadata, config.normalize_activations, config.apply_b_dec_to_input);
    hasher.update(&serde_json::to_vec(&settings)?);
    hasher.update(format!("{:?}", sae.activation).as_bytes());
    for weights in [&sae.encoder, &sae.decoder, &sae.b_dec] {
        for chunk in weights.chunks(1 << 16) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    Ok(())
}

/// Runs the model over every text once, for all layers.
fn add(
    args: &AccumulateArgs,
    subject: &Subject,
    (layers, texts): (&[FraLayer<'_>], &[Vec<u32>]),
    (all, checkpoints, digest): (&mut [FraStatistics], &[PathBuf], &str),
) -> Result<()> {
    let mut hooks: Vec<HookPoint> = layers.iter().flat_map(FraLayer::hooks).collect();
    hooks.extend(layers.iter().map(|layer| HookPoint::Pattern(layer.layer())));
    let mut progress = Progress::default();
    for (i, ids) in texts.iter().enumerate() {
        if all.iter().all(|statistics| statistics.n_texts() > i as u64) {
            continue;
        }
        let activations = capture(&*subject.model.model, &subject.device, ids, &hooks)
            .with_context(|| format!("text {}", i + 1))?;
        for (statistics, layer) in all.iter_mut().zip(layers) {
            // A run may have been stopped between the checkpoints of two layers.
            if statistics.n_texts() == i as u64 {
                statistics.add(layer, ids, &activations, subject.n_before())?;
            }
        }
        let done = i as u64 + 1;
        progress.advance("texts".to_owned(), i + 1, texts.len());
        if done.is_multiple_of(args.checkpoint_every.max(1)) && done < texts.len() as u64 {
            for (statistics, path) in all.iter().zip(checkpoints) {
                statistics.save(path, digest)?;
            }
        }
    }
    progress.clear();
    Ok(())
}

fn reports(
    subject: &Subject,
    layers: &[FraLayer<'_>],
    all: &[FraStatistics],
    n_top: usize,
) -> Result<Vec<HeadReport>> {
    let mut reports = Vec::new();
    for ((layer, statistics), path) in layers.iter().zip(all).zip(&subject.paths) {
        let model = &subject.model.name;
        let of_layer = LayerReport { layer, statistics, model, sae: path.display().to_string() };
        reports.extend(of_layer.heads(n_top)?);
    }
    Ok(reports)
}

/// The figures and the page of each head, and all of them in a package where one is asked for.
fn write(args: &AccumulateArgs, reports: &[HeadReport]) -> Result<()> {
    let mut files = Vec::new();
    for report in reports {
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        files.push((format!("{}.json", report.file_stem()), text));
        let page = page::of_head(report).to_html()?;
        files.push((format!("{}.html", report.file_stem()), page.into_bytes()));
    }
    for (name, text) in &files {
        write_atomically(&args.output.join(name), |file| file.write_all(text))?;
    }
    match &args.package {
        Some(path) => package::write(&package_path(path, args), &files),
        None => Ok(()),
    }
}

/// A package without a folder lies beside the files.
fn package_path(path: &Path, args: &AccumulateArgs) -> PathBuf {
    let is_bare = path.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    if is_bare { args.output.join(path) } else { path.to_owned() }
}
