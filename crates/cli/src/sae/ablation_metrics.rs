//! What `sae ablate` measures of each autoencoder.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result};
use attention_probes_activations::{hash_file, write_atomically};
use attention_probes_models::{
    Dtype, HookPoint, LanguageModel, PaddingSide, Placement, TokenBatch, open_model,
};
use attention_probes_sae::ablation::{AblationConfig, AblationData};
use attention_probes_sae::eval::{EvalOutput, RecoveryConfig, recovered_with};
use attention_probes_sae::{
    AttentionLayers, ContextStream, Contexts, GuidanceRecord, Sae, SaeError, SaeRun,
    attended_cosine, context_rows, read_sae,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::eval::{EvalArgs, Evaluation, evaluate};
use crate::device;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::sae::attention::hash_ids;
use crate::sae::guidance::guidance_of;
use crate::sae::texts;

/// Contexts of one forward pass.
const CONTEXTS_PER_BATCH: usize = 16;

/// Metrics of labelled texts by `SAEBench`'s names, what they are called in tables, and what they say.
const LABELLED: [(&str, &str, &str); 4] = [
    ("sae_top_1_test_accuracy", "1 probed", "Accuracy of probes of one feature of a class"),
    ("sae_top_5_test_accuracy", "5 probed", "Accuracy of probes of five features of a class"),
    ("tpp_threshold_10_total_metric", "TPP", "Targeted probe perturbation with ten features"),
    (SCR, "SCR", "Spurious correlation removed with ten features"),
];

/// The one of them that needs a second column.
const SCR: &str = "scr_metric_threshold_10";

/// Where the metrics of an autoencoder are kept.
const METRICS_FILE: &str = "ablation_metrics.json";

/// One number for each metric.
pub(super) type Measured = Vec<f64>;

/// One metric.
pub(super) struct Metric {
    /// What it is called in files.
    pub(super) name: String,
    /// What it is called in tables.
    pub(super) label: String,
    /// What it says, in a sentence.
    pub(super) note: String,
    /// Whether more is better; `None` where neither is.
    pub(super) higher_is_better: Option<bool>,
}

/// Everything that an autoencoder is measured with.
pub(super) struct Evaluator {
    model: LanguageModel,
    device: Device,
    hook: HookPoint,
    contexts: Contexts,
    attention: AttentionLayers,
    /// Rows of the text tokens of all contexts, `[n, d_in]`.
    rows: Vec<f32>,
    d_in: usize,
    labelled: Vec<AblationData>,
    /// As the configuration says them.
    device_name: String,
    dtype: Dtype,
    /// Everything that the metrics depend on beside the autoencoder.
    digest: String,
}

/// Metrics as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    digest: String,
    names: Vec<String>,
    values: Vec<Option<f64>>,
}

impl Evaluator {
    /// Reads the model and the test contexts.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or the texts are too short.
    pub(super) fn open(config: &AblationConfig) -> Result<Self> {
        let device = device::parse(&config.device)?;
        let placement = Placement { device: device.clone(), dtype: config.model.dtype };
        let model = open_model(&config.model.name, hub_access().as_ref(), placement)?;
        let data = &config.data;
        let size = (data.context_size, data.prepend_bos);
        let mut contexts =
            texts::contexts(&data.path, &texts::columns_of_run(data)?, size, &model)?;
        if contexts.len() <= data.test_contexts {
            let error = format!(
                "`data.test_contexts` is {}, but `{}` fills {} contexts only",
                data.test_contexts,
                data.path.display(),
                contexts.len()
            );
            return Err(InputError(error).into());
        }
        let contexts = contexts.split_off(data.test_contexts);
        let labelled = config.evaluation.labelled.clone();
        let tasks = config.run_config()?.tasks()?;
        let hook: HookPoint = config.sae.hook.parse()?;
        let layers = SaeRun::layers(&tasks)?;
        let settings = (config.attention.keep, config.attention.pool, CONTEXTS_PER_BATCH);
        let (hooked, quiet) = (&*model.model, |_| ());
        let attention =
            AttentionLayers::extract(hooked, &device, &contexts, &layers, settings, quiet)?;
        let settings = (CONTEXTS_PER_BATCH, 0);
        let stream = ContextStream::new(hooked, &device, &contexts, vec![hook], settings)?;
        let (d_in, rows) = (stream.widths()[0], stream.rows_of(&contexts)?.swap_remove(0));
        let (device_name, dtype) = (config.device.clone(), config.model.dtype);
        let evaluation = serde_json::to_string(&(&config.evaluation, &config.attention))?;
        let mut digest = format!("{evaluation} {} {}", model.fingerprint(), hash_ids(&contexts));
        for data in &labelled {
            digest = format!("{digest} {}", hash_file(&data.path)?);
        }
        let digest = blake3::hash(digest.as_bytes()).to_hex().to_string();
        Ok(Self {
            model,
            device,
            hook,
            contexts,
            attention,
            rows,
            d_in,
            labelled,
            device_name,
            dtype,
            digest,
        })
    }

    /// What is measured.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let metric = |name: &str, label: &str, note: &str, higher_is_better| Metric {
            name: name.to_owned(),
            label: label.to_owned(),
            note: note.to_owned(),
            higher_is_better,
        };
        let note = "Share of the variance that is explained, on test texts.";
        let mut metrics = vec![metric("explained_variance_r2", "R²", note, Some(true))];
        let note = "Share of the loss that zeros would cost and the reconstructions do not.";
        metrics.push(metric("ce_loss_score", "CE recovered", note, Some(true)));
        let note = "Share of features that are active on a test text.";
        metrics.push(metric("frac_alive", "alive", note, Some(true)));
        for data in &self.labelled {
            let of = &data.name;
            for (name, label, does) in LABELLED {
                if name != SCR || data.spurious.is_some() {
                    let (name, label) = (format!("{of}/{name}"), format!("{of}, {label}"));
                    metrics.push(metric(&name, &label, &format!("{does}, on {of}."), Some(true)));
                }
            }
        }
        metrics.push(metric("l0", "L0", "Active features of a token.", None));
        let note = "How alike the features of tokens are that attend to each other: what guidance \
                    raises.";
        metrics.push(metric("attended_cosine", "attended cosine", note, None));
        metrics
    }

    /// Measures the autoencoder of a folder, or reads what was measured before; NaN where a metric
    /// is not defined.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or does not fit the model.
    pub(super) fn measure(&self, folder: &Path, seed: u64) -> Result<Measured> {
        let path = folder.join(METRICS_FILE);
        let names: Vec<String> = self.metrics().into_iter().map(|metric| metric.name).collect();
        let digest =
            format!("{} {}", self.digest, hash_file(&folder.join("sae_weights.safetensors"))?);
        if let Ok(text) = fs::read_to_string(&path)
            && let Ok(kept) = serde_json::from_str::<Kept>(&text)
            && (&kept.names, &kept.digest) == (&names, &digest)
            && kept.values.len() == names.len()
        {
            return Ok(kept.values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect());
        }
        let sae = read_sae(folder)?;
        let record = guidance_of(folder)?;
        let context = record.as_ref().filter(|record| record.config.context_encoder);
        let [r2, ce, alive, l0, cosine] = self.core(&sae, context)?;
        let mut values = vec![r2, ce, alive];
        for data in &self.labelled {
            values.extend(self.of_labelled(data, folder, seed, context.is_some())?);
        }
        values.extend([l0, cosine]);
        let finite = values.iter().map(|value| value.is_finite().then_some(*value)).collect();
        let kept = Kept { digest, names, values: finite };
        let text = serde_json::to_string_pretty(&kept).context("metrics cannot be written")?;
        write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        Ok(values)
    }

    /// `R²`, share of the loss recovered, share of features alive, `L0`, and attended cosine.
    fn core(&self, sae: &Sae, context: Option<&GuidanceRecord>) -> Result<[f64; 5]> {
        let length = self.contexts.length();
        let n_before = length - self.contexts.n_text_tokens();
        let all: Vec<usize> = (0..self.contexts.len()).collect();
        let rows = self.wide(context, &self.rows, (&all, n_before..length))?;
        let encoded = sae.encode(&rows)?;
        let decoded = self.of_activation(sae, sae.decode(&encoded));
        let r2 = explained(&self.rows, &decoded, self.d_in);
        let alive: BTreeSet<u32> =
            encoded.codes.rows().flat_map(|(features, _)| features.iter().copied()).collect();
        let l0 = encoded.codes.n_active() as f64 / encoded.codes.n_rows() as f64;
        let cosine = attended_cosine(sae, &rows, &self.attention, n_before..length)?;
        let config = RecoveryConfig {
            special_tokens: self.contexts.ids(0)[..n_before].to_vec(),
            ..RecoveryConfig::default()
        };
        let batches = self.batches()?;
        let model = &*self.model.model;
        let recovered = recovered_with(model, self.hook, &batches, &config, |batch, x, _| {
            self.reconstruct((sae, context), batch, &x)
        })?;
        let alive = alive.len() as f64 / sae.config.d_sae as f64;
        Ok([r2, recovered.ce_loss_score, alive, l0, cosine])
    }

    /// Rows as the autoencoder reads them.
    fn wide(
        &self,
        context: Option<&GuidanceRecord>,
        x: &[f32],
        (contexts, positions): (&[usize], Range<usize>),
    ) -> Result<Vec<f32>, SaeError> {
        let Some(record) = context else { return Ok(x.to_vec()) };
        context_rows(x, self.d_in, record, &self.attention, (contexts, positions))
    }

    /// What the autoencoder makes of a batch of contexts.
    fn reconstruct(
        &self,
        (sae, context): (&Sae, Option<&GuidanceRecord>),
        batch: usize,
        x: &[f32],
    ) -> Result<Vec<f32>, SaeError> {
        let first = batch * CONTEXTS_PER_BATCH;
        let last = (first + CONTEXTS_PER_BATCH).min(self.contexts.len());
        let contexts: Vec<usize> = (first..last).collect();
        let encoded =
            sae.encode(&self.wide(context, x, (&contexts, 0..self.contexts.length()))?)?;
        Ok(self.of_activation(sae, sae.decode(&encoded)))
    }

    /// What the autoencoder of a folder reaches on labelled texts, in the order of the metrics; NaN
    /// of one that reads a context, which these evaluations cannot give it.
    fn of_labelled(
        &self,
        data: &AblationData,
        folder: &Path,
        seed: u64,
        reads_context: bool,
    ) -> Result<Vec<f64>> {
        let mut values = Vec::new();
        let mut last: Option<(Evaluation, EvalOutput)> = None;
        for (name, ..) in LABELLED {
            let eval = match name {
                SCR if data.spurious.is_none() => continue,
                SCR => Evaluation::Scr,
                _ if name.starts_with("tpp") => Evaluation::Tpp,
                _ => Evaluation::SparseProbing,
            };
            if reads_context {
                values.push(f64::NAN);
                continue;
            }
            let output = match last.take() {
                Some((known, output)) if known == eval => output,
                _ => evaluate(&self.eval_args(data, eval, folder, seed))?.swap_remove(0),
            };
            let mut metrics = output.metrics.iter().flat_map(|(_, metrics)| metrics);
            values.push(metrics.find(|(found, _)| found == name).map_or(f64::NAN, |(_, v)| *v));
            last = Some((eval, output));
        }
        Ok(values)
    }

    /// The same texts and draws of every arm, so that they are compared on the same.
    fn eval_args(
        &self,
        data: &AblationData,
        eval: Evaluation,
        folder: &Path,
        seed: u64,
    ) -> EvalArgs {
        let args = EvalArgs {
            text: Some(data.text.clone()),
            label: Some(data.label.clone()),
            seeds: NonZeroUsize::new(1),
            seed: Some(seed),
            device: self.device_name.clone(),
            dtype: self.dtype,
            ..EvalArgs::new(folder.to_owned(), eval, data.path.clone())
        };
        if eval == Evaluation::Scr { of_spurious(args, data) } else { args }
    }

    /// The part of decoded rows that stands for the activation.
    fn of_activation(&self, sae: &Sae, decoded: Vec<f32>) -> Vec<f32> {
        if sae.config.d_in == self.d_in {
            return decoded;
        }
        decoded.chunks_exact(sae.config.d_in).flat_map(|row| &row[..self.d_in]).copied().collect()
    }

    fn batches(&self) -> Result<Vec<TokenBatch>> {
        let all: Vec<usize> = (0..self.contexts.len()).collect();
        let batch = |chunk: &[usize]| {
            let texts: Vec<&[u32]> = chunk.iter().map(|i| self.contexts.ids(*i)).collect();
            Ok(TokenBatch::new(&texts, PaddingSide::Right, &self.device)?)
        };
        all.chunks(CONTEXTS_PER_BATCH).map(batch).collect()
    }
}

/// `1 - Σ ‖x - x̂‖² / Σ ‖x - mean x‖²`
fn explained(x: &[f32], decoded: &[f32], d_in: usize) -> f64 {
    let n = (x.len() / d_in) as f64;
    let mut sums = vec![0.0_f64; d_in];
    let (mut left, mut squares) = (0.0_f64, 0.0_f64);
    for (x, decoded) in x.chunks_exact(d_in).zip(decoded.chunks_exact(d_in)) {
        for ((x, decoded), sum) in x.iter().zip(decoded).zip(&mut sums) {
            left += f64::from(x - decoded).powi(2);
            squares += f64::from(*x).powi(2);
            *sum += f64::from(*x);
        }
    }
    1.0 - left / (squares - sums.iter().map(|sum| sum * sum / n).sum::<f64>())
}

fn of_spurious(args: EvalArgs, data: &AblationData) -> EvalArgs {
    let pair = |pair: &Option<[String; 2]>| pair.as_ref().map(|pair| pair.to_vec());
    EvalArgs {
        spurious: data.spurious.clone(),
        pair: pair(&data.pair),
        spurious_pair: pair(&data.spurious_pair),
        ..args
    }
}
