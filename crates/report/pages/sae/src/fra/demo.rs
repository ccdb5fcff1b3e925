//! An induction head of an embedded model, and the pairs of features behind it, offline.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use attention_probes_activations::demo::PASSAGES;
use attention_probes_activations::{ActivationError, write_atomically};
use attention_probes_models::{HookPoint, LoadOptions, Placement, open_model};
use attention_probes_sae::eval::SaeSite;
use attention_probes_sae::fra::{
    FraArm, FraArmsConfig, FraCorpus, FraHeadReport, FraLayer, FraLookConfig, FraReader,
    FraReaderConfig, FraReportConfig, FraSettings, FraStatistics, FraStatisticsConfig, FraTextIds,
    InductionHead, RepeatedTokensConfig, induction_arms,
};
use attention_probes_sae::{
    ActivityConfig, Contexts, FeatureActivity, PublishedSae, RunData, SaeError, SaeRunConfig,
    SaeRunOptions, demo_fra_run, read_sae, run_sae_on,
};
use serde_json::{Value, json};

use super::error::FraRunError;
use super::event::FraRunEvent;
use super::feature::FraFeatures;
use super::files::{FraFiles, FraFilesConfig, FraFound, fra_files, write_fra_files};
use super::links::file_stem;
use crate::sae_page::{SaePageConfig, sae_page};

/// Every how many of the texts is kept from the training.
const HELD_OUT: usize = 6;

/// Contexts of the held-out texts that the model is run on without pairs, and of the statistics.
const N_ABLATED: usize = 48;
const N_STATISTICS: usize = 400;

/// Pairs of a ranking, texts that features and intervals are taken from, and pages of single texts.
const N_TOP: usize = 200;
const N_EXAMPLES: usize = 200;
const N_PAGES: usize = 3;

/// The page of the autoencoder, beside those of the heads.
const SAE_PAGE: &str = "sae.html";

/// Which demo of feature-resolved attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraDemoConfig {
    /// An embedded model, `demo-gpt2` or `demo-gemma`.
    pub model: String,
    /// Tokens that the autoencoder is trained on, instead of 1.5 million.
    pub tokens: Option<u64>,
    /// Folder that holds the run, `<output>/fra-<model>`.
    pub output: PathBuf,
    /// The device as the configuration of the training names it.
    pub device: String,
}

/// What a demo of feature-resolved attention found.
#[derive(Debug)]
pub struct FraDemo {
    /// Name of the model.
    pub model: String,
    /// Heads of the model, those first that look most behind an earlier occurrence of a token.
    pub heads: Vec<InductionHead>,
    /// Where the autoencoder reads: what the queries and keys of the first head's layer read.
    pub hook: HookPoint,
    /// Number of its features.
    pub d_sae: usize,
    /// What its features do on the texts.
    pub activity: FeatureActivity,
    /// Pairs of features of each head of the layer.
    pub reports: Vec<FraHeadReport>,
    /// What the features of these pairs stand for.
    pub features: FraFeatures,
    /// What the model loses without pairs of the first head.
    pub arms: Vec<FraArm>,
    /// Folder of the files.
    pub folder: PathBuf,
    /// Files of the heads and of single texts, which are beside the page of the autoencoder.
    pub files: FraFiles,
}

impl FraDemo {
    /// The report of the head that looks most behind earlier occurrences.
    pub fn report(&self) -> Option<&FraHeadReport> {
        self.reports.iter().find(|report| report.head == self.heads[0].head)
    }

    /// The page of that head.
    pub fn page(&self) -> PathBuf {
        let name = self.report().map_or_else(String::new, |page| {
            format!("{}.html", file_stem(page.layer, page.head, page.n_texts))
        });
        self.folder.join(name)
    }

    /// Scores of the heads, the reports, and the arms as one object.
    pub fn to_json(&self) -> Value {
        let scores: Vec<(usize, usize, f64)> =
            self.heads.iter().map(|of| (of.layer, of.head, of.score)).collect();
        json!({
            "model": self.model,
            "layer": self.heads[0].layer,
            "head": self.heads[0].head,
            "induction_scores": scores,
            "fvu": self.activity.fvu(),
            "heads": self.reports,
            "ablation": self.arms,
        })
    }
}

/// Finds the head of an embedded model that looks most behind earlier occurrences of a token, trains
/// an autoencoder on what its layer reads, and finds the pairs of features behind it and what the
/// model loses without them; with pages of the heads, of texts, and of the autoencoder.
///
/// A run that is there already is made again from its autoencoder where `options` resumes it.
///
/// # Errors
///
/// - [`FraRunError::Sae`] if the model is not embedded, or the training is refused, as by
///   [`run_sae_on`].
/// - [`FraRunError::Stopped`] if the signal of `options` is given; the training goes on from its last
///   checkpoint where `options` resumes it.
/// - [`FraRunError::Activation`] if a file cannot be written.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::fra::{FraDemoConfig, run_fra_demo};
/// use attention_probes::pages::sae::text::fra_demo_text;
/// use attention_probes::sae::SaeRunOptions;
/// use burn::tensor::Device;
///
/// let config = FraDemoConfig {
///     model: "demo-gpt2".to_owned(),
///     tokens: None,
///     output: "results".into(),
///     device: "auto".to_owned(),
/// };
/// let demo = run_fra_demo(&config, &SaeRunOptions::new(&Device::default()), &mut |_| {})?;
/// println!("{}\nbegin with {}", fra_demo_text(&demo), demo.page().display());
/// # Ok::<(), attention_probes::pages::sae::fra::FraRunError>(())
/// ```
pub fn run_fra_demo(
    config: &FraDemoConfig,
    options: &SaeRunOptions<'_>,
    tell: &mut dyn FnMut(FraRunEvent<'_>),
) -> Result<FraDemo, FraRunError> {
    let mut run = demo_fra_run(&config.output, &config.model)?;
    run.device.clone_from(&config.device);
    run.train.tokens = config.tokens.unwrap_or(run.train.tokens);
    let folder = run.output.join(&run.run);
    // Makes the folder.
    write_fra_files(&folder, &FraFiles::new())?;
    let (held_out, seen): (Vec<_>, Vec<_>) =
        PASSAGES.lines().enumerate().partition(|(i, _)| i % HELD_OUT == 0);
    write_lines(&run.data.path, &seen)?;
    let held_out_path = folder.join("held_out.jsonl");
    write_lines(&held_out_path, &held_out)?;

    let device = options.device;
    let placement = Placement { device: device.clone(), dtype: run.model.dtype };
    let load = LoadOptions::from(placement).with_stop(options.follow.stop.clone());
    let model = open_model(&run.model.name, None, load).map_err(SaeError::from)?;
    let seen = run.data.read_contexts(&model, None)?;
    let held_out = RunData { path: held_out_path, ..run.data.clone() };
    let held_out = held_out.read_contexts(&model, None)?;
    let of_texts = FraReaderConfig {
        max_tokens: run.data.context_size,
        prepend_bos: run.data.prepend_bos,
        published: false,
    };
    let reader = FraReader::new(&model, device, of_texts).with_stop(&options.follow.stop);
    let passages: Vec<Vec<u32>> =
        texts_of(&held_out, N_ABLATED).into_iter().map(|text| text.ids).collect();
    let repeated = reader.repeated_tokens(RepeatedTokensConfig::default());
    let heads = reader.induction_heads(&repeated)?;
    let InductionHead { layer, head, .. } = heads[0];
    tell(FraRunEvent::Head(heads[0]));

    let hook = HookPoint::Ln1Normalized(layer);
    for entry in &mut run.saes {
        entry.hook = hook.to_string();
    }
    run_sae_on(&run.check()?, &model, options)?;
    let path = folder.join("sae").join(&run.saes[0].name);
    let sae = read_sae(&path)?;
    let site = SaeSite {
        model: &model,
        device,
        hook,
        context_size: seen.length(),
        prepend_bos: seen.has_bos(),
    };
    let stop = &options.follow.stop;
    let of_page = SaePageConfig {
        max_contexts: N_STATISTICS,
        n_features: sae.config.d_sae,
        stop: stop.clone(),
    };
    let subject = PublishedSae { path: &path, sae: &sae };
    let page = sae_page(&site, subject, &seen, &of_page)?;
    let html = page.to_html()?;
    let output = folder.join(SAE_PAGE);
    write_atomically(&output, |file| file.write_all(html.as_bytes()))?;
    let (size_bytes, n_features) = (html.len(), page.features.len());
    tell(FraRunEvent::SaePage { path: &output, size_bytes, n_features });

    let layers = [FraLayer::new(&sae, &*model.model, layer)?];
    let texts = texts_of(&seen, N_STATISTICS);
    let corpus = FraCorpus { reader, layers: &layers, texts: &texts };
    let statistics = statistics(&corpus, tell)?;
    let settings = settings(&run, &statistics, model.fingerprint());
    let sae_name = path.display().to_string();
    let of_layer = FraReportConfig { model: &model.name, sae: &sae_name, settings: &settings };
    let mut reports = [statistics.reports(&layers[0], &of_layer)?];
    let look = FraLookConfig { n_examples: N_EXAMPLES, n_texts: N_PAGES };
    let shown = FraFilesConfig { look, sae_pages: vec![SAE_PAGE] };
    let FraFound { files, mut features } = fra_files(&corpus, &mut reports, &shown, tell)?;
    write_fra_files(&folder, &files)?;
    let arms = induction_arms(&FraArmsConfig {
        reader,
        layer: &layers[0],
        head,
        statistics: &statistics,
        passages: &passages,
        repeated: &repeated,
    })?;
    let of_features = ActivityConfig { max_contexts: N_STATISTICS, stop: stop.clone() };
    let activity = FeatureActivity::collect(&site, &sae, &seen, &of_features)?;
    let ([reports], features) = (reports, features.swap_remove(0));
    let (model, d_sae) = (model.name, sae.config.d_sae);
    Ok(FraDemo { model, heads, hook, d_sae, activity, reports, features, arms, folder, files })
}

fn write_lines(path: &Path, lines: &[(usize, &str)]) -> Result<(), ActivationError> {
    let text: String = lines.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
    write_atomically(path, |file| file.write_all(text.as_bytes()))
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
fn statistics(
    corpus: &FraCorpus<'_>,
    tell: &mut dyn FnMut(FraRunEvent<'_>),
) -> Result<FraStatistics, SaeError> {
    let layer = &corpus.layers[0];
    let heads = (0..layer.n_heads()).collect();
    let config = FraStatisticsConfig { heads, permuted: true, ..Default::default() };
    let mut statistics = [FraStatistics::new(layer, config)?];
    corpus.accumulate(&mut statistics, None, &mut |told| tell(FraRunEvent::Progress(told)))?;
    let [statistics] = statistics;
    Ok(statistics)
}
