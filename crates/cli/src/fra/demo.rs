//! `fra demo`: an induction head of an embedded model, the pairs of features behind it, and what
//! the model loses without them, offline.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attention_probes_activations::write_atomically;
use attention_probes_models::{Dtype, HookPoint, LanguageModel, Placement, open_model};
use attention_probes_sae::fra::{
    FraCodes, FraHeadPairs, FraLayer, FraPair, FraRank, FraStatistics, FraStatisticsConfig, capture,
};
use attention_probes_sae::{Contexts, FeatureActivity, SaeFormat, SaeRunConfig, read_sae};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::json;
use tracing::info;

use super::ablation::{AblatedText, Ablation, Effect, Removed};
use super::report::{HeadReport, LayerReport, heads_table, pairs};
use crate::device;
use crate::input::ignore_broken_pipe;
use crate::progress::Progress;
use crate::sae::texts;
use crate::sae::train::{TrainFlags, train};
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

/// Texts of random tokens that a segment is repeated in, and the length of that segment.
const N_REPEATED: usize = 24;
const SEGMENT: usize = 32;

/// Pairs that are removed at a time, and pairs that others are drawn from to compare.
const N_REMOVED: [usize; 2] = [50, 200];
const N_CANDIDATES: usize = 20_000;

/// Words that stand for a feature.
const N_WORDS: usize = 3;

/// Find an induction head of an embedded model and the pairs of features behind it; offline.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The model.
    #[arg(long, default_value = "demo-gpt2")]
    pub model: DemoModel,
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

/// One thing that was taken from the head's scores, and what became of it.
#[derive(Debug, Serialize)]
struct Arm {
    removed: String,
    n_pairs: Option<usize>,
    /// On held-out passages.
    passages: Effect,
    /// On random tokens of which a segment is repeated.
    repeated: Effect,
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
    args.model.name().clone_into(&mut config.model.name);
    config.run = format!("fra-{}", args.model.name());
    let folder = args.output.join(&config.run);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let (held_out, seen): (Vec<_>, Vec<_>) =
        PASSAGES.lines().enumerate().partition(|(i, _)| i % HELD_OUT == 0);
    config.data.path = write_lines(&folder.join("passages.jsonl"), &seen)?;
    let held_out = write_lines(&folder.join("held_out.jsonl"), &held_out)?;

    let device = device::parse(&config.device)?;
    let placement = Placement { device: device.clone(), dtype: Dtype::Auto };
    let model = open_model(&config.model.name, None, placement)?;
    let size = (config.data.context_size, config.data.prepend_bos);
    let contexts = |path: &Path| texts::contexts(path, &config.data.text, size, &model);
    let (seen, held_out) = (contexts(&config.data.path)?, contexts(&held_out)?);
    let n_before = held_out.length() - held_out.n_text_tokens();
    let held_out = texts_of(&held_out, N_ABLATED);
    let repeated = repeated(&model, n_before);
    let heads = induction_heads(&model, &device, &repeated)?;
    let (layer, head, score) = heads[0];
    info!(
        "head {head} of layer {layer} looks behind the earlier occurrence of a random token with \
         weight {score:.3}"
    );

    for entry in &mut config.saes {
        entry.hook = HookPoint::Ln1Normalized(layer).to_string();
    }
    train(&config, TrainFlags { resume: args.resume, dry_run: false })?;
    let sae_folder = folder.join("sae").join(&config.saes[0].name);
    SaeFormat::of(&sae_folder)?;
    let sae = read_sae(&sae_folder)?;
    let demo = Demo { model: &model, device: &device, n_before };
    let fra = FraLayer::new(&sae, &*model.model, layer)?;
    let statistics = demo.statistics(&fra, &texts_of(&seen, N_STATISTICS))?;
    let of_layer = LayerReport {
        layer: &fra,
        statistics: &statistics,
        model: &model.name,
        sae: sae_folder.display().to_string(),
    };
    let reports = of_layer.heads(200)?;
    for report in &reports {
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        let path = folder.join(format!("{}.json", report.file_stem()));
        write_atomically(&path, |file| file.write_all(&text))?;
    }
    let arms = demo.arms(&fra, &statistics, head, [&held_out, &repeated])?;
    let activity =
        FeatureActivity::collect(&sae, &*model.model, &device, (&seen, N_STATISTICS), fra.hook())?;
    let words = |feature: u32| demo.words(&activity, &seen, feature);
    let mut stdout = std::io::stdout().lock();
    let text = if args.json {
        let object = json!({
            "model": model.name,
            "layer": layer,
            "head": head,
            "induction_scores": heads,
            "fvu": activity.fvu(),
            "heads": reports,
            "ablation": arms,
        });
        format!("{object:#}\n")
    } else {
        let table = to_text(&reports, head, &arms, &words);
        format!(
            "{} of `{}`: {:.1} active features of {}, FVU {:.3}\n\n{table}\nwrote {}\n",
            model.name,
            fra.hook(),
            activity.l0(),
            sae.config.d_sae,
            activity.fvu(),
            folder.display()
        )
    };
    ignore_broken_pipe(stdout.write_all(text.as_bytes()).map_err(Into::into))
}

fn write_lines(path: &Path, lines: &[(usize, &str)]) -> Result<PathBuf> {
    let text: String = lines.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
    write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    Ok(path.to_owned())
}

fn texts_of(contexts: &Contexts, n: usize) -> Vec<Vec<u32>> {
    (0..contexts.len().min(n)).map(|i| contexts.ids(i).to_vec()).collect()
}

/// Random tokens of which a segment is repeated, after what begins every text.
fn repeated(model: &LanguageModel, n_before: usize) -> Vec<Vec<u32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let bos = texts::beginning(model).filter(|_| n_before > 0);
    let d_vocab = model.model.shape().d_vocab as u32;
    let text = |_| {
        let segment: Vec<u32> = (0..SEGMENT).map(|_| rng.random_range(1..d_vocab)).collect();
        bos.into_iter().chain(segment.repeat(2)).collect()
    };
    (0..N_REPEATED).map(text).collect()
}

/// Layer, head, and mean attention to where an induction head looks, the highest first.
fn induction_heads(
    model: &LanguageModel,
    device: &Device,
    texts: &[Vec<u32>],
) -> Result<Vec<(usize, usize, f64)>> {
    let shape = model.model.shape();
    let hooks: Vec<HookPoint> = (0..shape.n_layers).map(HookPoint::Pattern).collect();
    let mut sums = vec![(0.0, 0_u64); shape.n_layers * shape.n_heads];
    for ids in texts {
        let n = ids.len();
        let kept = capture(&*model.model, device, ids, &hooks)?;
        let patterns = hooks.iter().flat_map(|hook| kept[hook].chunks_exact(n * n));
        let codes = FraCodes::without_features(ids);
        for (sum, pattern) in sums.iter_mut().zip(patterns) {
            let (attention, n) = codes.induction_attention(pattern);
            *sum = (sum.0 + attention, sum.1 + n);
        }
    }
    let score = |(i, (sum, n)): (usize, &(f64, u64))| {
        (i / shape.n_heads, i % shape.n_heads, sum / (*n).max(1) as f64)
    };
    let mut scores: Vec<(usize, usize, f64)> = sums.iter().enumerate().map(score).collect();
    scores.sort_by(|a, b| b.2.total_cmp(&a.2));
    Ok(scores)
}

/// What everything is made with.
struct Demo<'a> {
    model: &'a LanguageModel,
    device: &'a Device,
    n_before: usize,
}

impl Demo<'_> {
    /// Pairs of every head of the layer.
    fn statistics(&self, layer: &FraLayer<'_>, texts: &[Vec<u32>]) -> Result<FraStatistics> {
        let heads = (0..layer.n_heads()).collect();
        let config = FraStatisticsConfig { heads, permuted: true, ..Default::default() };
        let mut statistics = FraStatistics::new(layer, config)?;
        let mut hooks = layer.hooks();
        hooks.push(HookPoint::Pattern(layer.layer()));
        let mut progress = Progress::default();
        for (i, ids) in texts.iter().enumerate() {
            let kept = capture(&*self.model.model, self.device, ids, &hooks)?;
            statistics.add(layer, ids, &kept, self.n_before)?;
            progress.advance("pairs of features".to_owned(), i + 1, texts.len());
        }
        progress.clear();
        Ok(statistics)
    }

    /// What the model loses without the pairs that carry induction, and without others.
    fn arms(
        &self,
        layer: &FraLayer<'_>,
        statistics: &FraStatistics,
        head: usize,
        [passages, repeated]: [&[Vec<u32>]; 2],
    ) -> Result<Vec<Arm>> {
        let ablation = Ablation { model: &*self.model.model, device: self.device, layer, head };
        let passages = ablation.texts(passages, self.n_before)?;
        let repeated = ablation.texts(repeated, self.n_before)?;
        let ranks = [FraRank::Induction, FraRank::Sum];
        let found = statistics.top(layer, &ranks, N_CANDIDATES)?;
        let found: Option<&FraHeadPairs> = found.iter().find(|found| found.head == head);
        let [induction, all] = found.map_or([&[][..], &[][..]], |f| [&f.top[0], &f.top[1]]);
        let both = |removed: Removed<'_>, label: String, n_pairs| {
            let effect = |texts: &[AblatedText]| ablation.effect(texts, removed);
            let (passages, repeated) = (effect(&passages)?, effect(&repeated)?);
            Ok::<Arm, anyhow::Error>(Arm { removed: label, n_pairs, passages, repeated })
        };
        let mut arms = vec![both(Removed::Nothing, "nothing".to_owned(), None)?];
        for n in N_REMOVED {
            let strongest = &induction[..n.min(induction.len())];
            let removed = features(strongest.iter());
            let label = format!("the {n} pairs with most induction");
            arms.push(both(Removed::Pairs(&removed), label, Some(removed.len()))?);
            let matched = matched(strongest, all);
            let label = format!("{n} others of as much magnitude");
            arms.push(both(Removed::Pairs(&matched), label, Some(matched.len()))?);
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let drawn = features(all.choose_multiple(&mut rng, n));
            let label = format!("{n} drawn from the {N_CANDIDATES} strongest");
            arms.push(both(Removed::Pairs(&drawn), label, Some(drawn.len()))?);
        }
        arms.push(both(Removed::AllPairs, "all pairs".to_owned(), None)?);
        arms.push(both(Removed::Everything, "the scores".to_owned(), None)?);
        Ok(arms)
    }

    /// The tokens where a feature is strongest.
    fn words(&self, activity: &FeatureActivity, contexts: &Contexts, feature: u32) -> String {
        let mut words: Vec<String> = Vec::new();
        for peak in activity.peaks(feature as usize) {
            let id = contexts.ids(peak.context)[peak.position];
            let word = self.model.tokenizer.decode(&[id]).unwrap_or_default();
            let word = word.trim().to_owned();
            if !words.contains(&word) && words.len() < N_WORDS {
                words.push(word);
            }
        }
        format!(" {}", words.join("|"))
    }
}

fn features<'a>(pairs: impl Iterator<Item = &'a FraPair>) -> Vec<(u32, u32)> {
    pairs.map(|pair| (pair.query_feature, pair.key_feature)).collect()
}

/// For each pair another one of about the same sum of magnitudes, of those that carry the least
/// induction for their size.
fn matched(pairs: &[FraPair], all: &[FraPair]) -> Vec<(u32, u32)> {
    let mut shares: Vec<f64> = all.iter().map(|pair| pair.induction).collect();
    shares.sort_by(f64::total_cmp);
    let low = shares.get(shares.len() / 2).copied().unwrap_or(0.0);
    let taken = features(pairs.iter());
    let is_free = |pair: &&FraPair| {
        pair.induction <= low && !taken.contains(&(pair.query_feature, pair.key_feature))
    };
    let mut free: Vec<&FraPair> = all.iter().filter(is_free).collect();
    let mut found = Vec::new();
    for pair in pairs {
        let distance = |other: &FraPair| (other.sum_abs - pair.sum_abs).abs();
        let nearest =
            (0..free.len()).min_by(|a, b| distance(free[*a]).total_cmp(&distance(free[*b])));
        if let Some(nearest) = nearest {
            found.push(free.remove(nearest));
        }
    }
    features(found.into_iter())
}

fn to_text(
    reports: &[HeadReport],
    head: usize,
    arms: &[Arm],
    words: &dyn Fn(u32) -> String,
) -> String {
    let mut text = heads_table(reports);
    if let Some(report) = reports.iter().find(|report| report.head == head) {
        let top = report.top.get("induction").map_or(&[][..], |pairs| pairs);
        let title = "the pairs with most induction, and where their features are strongest";
        let _ = writeln!(text, "\nhead {head}, {title}:");
        text += &pairs(top, words);
    }
    let header = [
        "removed from the head's scores",
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
