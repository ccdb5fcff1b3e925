//! `fra demo`: an induction head of an embedded model, the pairs of features behind it, and what
//! the model loses without them, offline.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attention_probes_activations::write_atomically;
use attention_probes_errors::Stop;
use attention_probes_models::{Dtype, HookPoint, Placement, open_model};
use attention_probes_pages::fra::{FraFound, FraRunEvent, file_stem, fra_files, write_fra_files};
use attention_probes_sae::fra::{
    FraArm, FraArmsConfig, FraCorpus, FraHeadReport, FraLayer, FraLookConfig, FraReader,
    FraReaderConfig, FraReportConfig, FraSettings, FraStatistics, FraStatisticsConfig, FraTextIds,
    InductionHead, RepeatedTokensConfig, induction_arms,
};
use attention_probes_sae::{Contexts, FeatureActivity, SaeFormat, SaeRunConfig, read_sae};
use clap::{Args, ValueEnum};
use serde_json::json;
use tracing::info;

use super::tables::{heads_table, name_of, pairs};
use super::told::show;
use crate::device;
use crate::input::ignore_broken_pipe;
use crate::progress::Progress;
use crate::sae::texts;
use crate::sae::train::{TrainFlags, train};
use crate::sae::view::View;
use crate::table::aligned;

/// What is trained, by the form of any other run.
const CONFIG: &str = include_str!("../../data/fra_demo.toml");

/// Texts of children's books, as `probe demo` reads them.
const PASSAGES: &str = include_str!("../../data/passages.jsonl");

/// Every how many of these texts is kept from the training.
const HELD_OUT: usize = 6;

/// Contexts of the held-out texts that the model is run on without pairs, and of the statistics.
const N_ABLATED: usize = 48;
const N_STATISTICS: usize = 400;

/// Pairs of a ranking, texts that features and intervals are taken from, and pages of single texts.
const N_TOP: usize = 200;
const N_EXAMPLES: usize = 200;
const N_PAGES: usize = 3;

/// What the texts and the progress bar of their pairs are called.
const PASSAGES_NAME: &str = "passages.jsonl";
const ADDED: &str = "pairs of features";

/// The page of the autoencoder, beside those of the heads.
const SAE_PAGE: &str = "sae.html";

/// Find an induction head of an embedded model and the pairs of features behind it; offline.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The model.
    #[arg(long, default_value = "demo-gpt2")]
    pub model: DemoModel,
    /// Tokens that the autoencoder is trained on, instead of the demo's own number.
    #[arg(long)]
    pub tokens: Option<u64>,
    /// Folder that holds the runs.
    #[arg(long, default_value = "results")]
    pub output: PathBuf,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Go on with a demo that was stopped.
    #[arg(long)]
    pub resume: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// The embedded models.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DemoModel {
    /// Layer norms; positions are embedded.
    DemoGpt2,
    /// Root-mean-square norms, of queries and keys too; positions turn queries and keys.
    DemoGemma,
}

impl DemoModel {
    fn name(self) -> &'static str {
        match self {
            Self::DemoGpt2 => "demo-gpt2",
            Self::DemoGemma => "demo-gemma",
        }
    }
}

/// Runs `fra demo`.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &DemoArgs) -> Result<()> {
    let mut config: SaeRunConfig = toml::from_str(CONFIG).context("the demo's configuration")?;
    config.output.clone_from(&args.output);
    config.device.clone_from(&args.device);
    config.train.tokens = args.tokens.unwrap_or(config.train.tokens);
    args.model.name().clone_into(&mut config.model.name);
    config.run = format!("fra-{}", args.model.name());
    let folder = args.output.join(&config.run);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let (held_out, seen): (Vec<_>, Vec<_>) =
        PASSAGES.lines().enumerate().partition(|(i, _)| i % HELD_OUT == 0);
    config.data.path = write_lines(&folder.join(PASSAGES_NAME), &seen)?;
    let held_out = write_lines(&folder.join("held_out.jsonl"), &held_out)?;

    let device = device::parse(&config.device)?;
    let placement = Placement { device: device.clone(), dtype: Dtype::Auto };
    let model = open_model(&config.model.name, None, placement)?;
    let size = (config.data.context_size, config.data.prepend_bos);
    let columns = texts::columns_of_run(&config.data)?;
    let contexts = |path: &Path| texts::contexts(path, &columns, size, &model);
    let (seen, held_out) = (contexts(&config.data.path)?, contexts(&held_out)?);
    let (max_tokens, prepend_bos) = size;
    let of_texts = FraReaderConfig { max_tokens, prepend_bos, published: false };
    let reader = FraReader::new(&model, &device, of_texts);
    let held_out: Vec<Vec<u32>> =
        texts_of(&held_out, N_ABLATED).into_iter().map(|text| text.ids).collect();
    let repeated = reader.repeated_tokens(RepeatedTokensConfig::default());
    let heads = reader.induction_heads(&repeated)?;
    let InductionHead { layer, head, score } = heads[0];
    info!(
        "head {head} of layer {layer} looks behind the earlier occurrence of a random token with \
         weight {score:.3}"
    );

    for entry in &mut config.saes {
        entry.hook = HookPoint::Ln1Normalized(layer).to_string();
    }
    train(&config, TrainFlags { resume: args.resume, overwrite: false, dry_run: false })?;
    let sae_folder = folder.join("sae").join(&config.saes[0].name);
    SaeFormat::of(&sae_folder)?;
    let sae = read_sae(&sae_folder)?;
    let hook = HookPoint::Ln1Normalized(layer);
    let view = View { sae: &sae, model: &model, device: &device, contexts: &seen, hook };
    view.write(&folder.join(SAE_PAGE), &sae_folder, (N_STATISTICS, sae.config.d_sae))?;
    let layers = [FraLayer::new(&sae, &*model.model, layer)?];
    let texts = texts_of(&seen, N_STATISTICS);
    let corpus = FraCorpus { reader, layers: &layers, texts: &texts };
    let statistics = statistics(&corpus)?;
    let settings = settings(&config, &statistics, model.fingerprint());
    let sae_name = sae_folder.display().to_string();
    let of_layer = FraReportConfig { model: &model.name, sae: &sae_name, settings: &settings };
    let mut reports = [statistics.reports(&layers[0], &of_layer)?];
    let look = FraLookConfig { n_examples: N_EXAMPLES, n_texts: N_PAGES };
    let (mut bar, told) = (Progress::default(), (PASSAGES_NAME, ADDED));
    let FraFound { files, features } =
        fra_files(&corpus, &mut reports, (look, &[SAE_PAGE.to_owned()]), &mut |event| {
            show(&mut bar, event, told);
        })?;
    bar.clear();
    write_fra_files(&folder, &files)?;
    let ([reports], features) = (&reports, &features[0]);
    let arms = induction_arms(&FraArmsConfig {
        reader,
        layer: &layers[0],
        head,
        statistics: &statistics,
        passages: &held_out,
        repeated: &repeated,
    })?;
    let of_contexts = (&seen, N_STATISTICS);
    let activity = FeatureActivity::collect(
        &sae,
        &*model.model,
        &device,
        of_contexts,
        (hook, &Stop::never()),
    )?;
    let mut stdout = std::io::stdout().lock();
    let text = if args.json {
        let scores: Vec<(usize, usize, f64)> =
            heads.iter().map(|of| (of.layer, of.head, of.score)).collect();
        let object = json!({
            "model": model.name,
            "layer": layer,
            "head": head,
            "induction_scores": scores,
            "fvu": activity.fvu(),
            "heads": reports,
            "ablation": arms,
        });
        format!("{object:#}\n")
    } else {
        let table = to_text(reports, head, &arms, &|feature| name_of(features, feature));
        let page = reports.iter().find(|report| report.head == head);
        let page = page.map_or_else(String::new, |page| {
            format!("{}.html", file_stem(page.layer, page.head, page.n_texts))
        });
        format!(
            "{} of `{hook}`: {:.1} active features of {}, FVU {:.3}\n\n{table}\nwrote {} files; \
             begin with {}\n",
            model.name,
            activity.l0(),
            sae.config.d_sae,
            activity.fvu(),
            files.len() + 1,
            folder.join(page).display()
        )
    };
    ignore_broken_pipe(stdout.write_all(text.as_bytes()).map_err(Into::into))
}

fn write_lines(path: &Path, lines: &[(usize, &str)]) -> Result<PathBuf> {
    let text: String = lines.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
    write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    Ok(path.to_owned())
}

/// Contexts as texts; their rows are counted in contexts, which passages are cut into.
fn texts_of(contexts: &Contexts, n: usize) -> Vec<FraTextIds> {
    let text = |i: usize| FraTextIds { row: i as u64, ids: contexts.ids(i).to_vec() };
    (0..contexts.len().min(n)).map(text).collect()
}

/// What the statistics were asked for.
fn settings(
    config: &SaeRunConfig,
    statistics: &FraStatistics,
    model_fingerprint: String,
) -> FraSettings {
    let of_pairs = statistics.config();
    FraSettings {
        data: format!("contexts of `{}`", config.data.path.display()),
        column: config.data.text.clone(),
        samples: statistics.n_texts(),
        max_tokens: config.data.context_size,
        prepend_bos: config.data.prepend_bos,
        top: N_TOP,
        memory_budget_gib: of_pairs.budget_bytes as f64 / f64::from(1 << 30),
        permuted: of_pairs.permuted,
        seed: of_pairs.seed,
        examples: N_EXAMPLES,
        model_fingerprint,
        inputs_hash: None,
    }
}

/// Pairs of every head of the layer.
fn statistics(corpus: &FraCorpus<'_>) -> Result<FraStatistics> {
    let layer = &corpus.layers[0];
    let heads = (0..layer.n_heads()).collect();
    let config = FraStatisticsConfig { heads, permuted: true, ..Default::default() };
    let mut statistics = [FraStatistics::new(layer, config)?];
    let mut bar = Progress::default();
    corpus.accumulate(&mut statistics, None, &mut |told| {
        show(&mut bar, FraRunEvent::Progress(told), (PASSAGES_NAME, ADDED));
    })?;
    bar.clear();
    let [statistics] = statistics;
    Ok(statistics)
}

fn to_text(
    reports: &[FraHeadReport],
    head: usize,
    arms: &[FraArm],
    words: &dyn Fn(u32) -> String,
) -> String {
    let mut text = heads_table(reports.iter());
    if let Some(report) = reports.iter().find(|report| report.head == head) {
        let top = report.top.get("induction").map_or(&[][..], |pairs| pairs);
        let title = "the pairs with most induction, and where their features are strongest";
        let _ = writeln!(text, "\nhead {head}, {title}:");
        text += &pairs(top.iter().map(|of| &of.pair), words);
    }
    let header = [
        "removed from the head's scores",
        "of all magnitudes",
        "attention",
        "loss",
        "other loss",
        "attention, repeated",
        "loss, repeated",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for arm in arms {
        let number = |value: f64| format!("{value:.3}");
        rows.push([
            arm.removed.clone(),
            arm.share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
            number(arm.passages.attention),
            number(arm.passages.loss_nats),
            number(arm.passages.other_loss_nats),
            number(arm.repeated.attention),
            number(arm.repeated.loss_nats),
        ]);
    }
    let n = arms.first().map_or((0, 0), |arm| (arm.passages.n, arm.repeated.n));
    let _ = writeln!(
        text,
        "\nwhere a text goes on as it did after the last occurrence of the token: {} places of \
         held-out passages, {} of repeated random tokens",
        n.0, n.1
    );
    aligned(&mut text, &rows);
    text
}
