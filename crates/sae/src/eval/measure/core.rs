//! Core: sparsity and reconstruction, and, where there is a model, what it loses.

use attention_probes_errors::Stop;
use attention_probes_models::{PaddingSide, TokenBatch};
use serde_json::{Map, Value, json};

use super::data::ActivationData;
use super::file_batches::batches;
use super::findings::{EvalFindings, EvalSae, settings};
use super::site::SaeSite;
use crate::SaeError;
use crate::eval::core_metrics::{CoreBatch, CoreEvaluator};
use crate::eval::output::{CoreResults, EvalOutput};
use crate::eval::recovered::{ModelHook, Recovered, RecoveryConfig, recovered_with};
use crate::eval::weights::feature_weights;
use crate::train::Contexts;

/// Contexts of one forward pass, as in `SAEBench`.
const CONTEXTS_PER_BATCH: usize = 16;

/// How the core evaluation is run on contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// Most contexts that are read. Default 200, as in `SAEBench`.
    pub max_contexts: usize,
    /// Where the texts are from, for the result.
    pub from: String,
    /// Asked before each block of a forward pass. Never by default.
    pub stop: Stop,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self { max_contexts: 200, from: String::new(), stop: Stop::never() }
    }
}

/// The core evaluation of activations, without a model: what needs one is left undefined.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if the activations are not as wide as the autoencoder reads.
/// - [`SaeError::NoTokens`] if there is none.
/// - [`SaeError::Stopped`] if the signal to stop, asked before each batch, is given.
///
/// # Memory
///
/// Codes and reconstructions of 4096 tokens.
pub fn core_of_activations(
    subject: &EvalSae<'_>,
    data: &ActivationData,
    stop: &Stop,
) -> Result<EvalFindings, SaeError> {
    let (x, offsets) = (&data.activations.x, &data.activations.offsets);
    let d_in = subject.sae.config.d_in;
    let mut core = CoreEvaluator::new(subject.sae);
    for examples in batches(offsets) {
        stop.check()?;
        let offsets = &offsets[examples.start..=examples.end];
        let lengths: Vec<usize> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let rows = &x[offsets[0] * d_in..offsets[lengths.len()] * d_in];
        core.add(CoreBatch { activations: rows, lengths: &lengths, counted: None })?;
    }
    let n = offsets.len() - 1;
    let output = finish(subject, core, &not_measured(), settings([("dataset", json!(data.from))]))?;
    Ok(EvalFindings {
        outputs: vec![output],
        on: format!("{n} examples without a model"),
        notes: vec!["what the model loses needs texts and a model".to_owned()],
    })
}

/// The core evaluation of contexts: sparsity, reconstruction, and what the model loses by it.
///
/// The model runs three times over each context: as it is, with the reconstructions, and with zeros.
///
/// # Errors
///
/// - [`SaeError::Site`] if the autoencoder reads another width.
/// - [`SaeError::Model`] if the model fails.
/// - [`SaeError::NoTokens`] if no token counts.
/// - [`SaeError::Stopped`] if [`CoreConfig::stop`] is given.
///
/// # Memory
///
/// The logits of 16 contexts, three times.
///
/// # Examples
///
/// ```
/// use attention_probes::models::open_model;
/// use attention_probes::sae::eval::{CoreConfig, EvalRun, EvalSae, SaeSite, core_of_contexts};
/// use attention_probes::sae::{Contexts, Sae, SaeActivation, SaeConfig};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let model = open_model("demo-gpt2", None, &device)?;
/// let hook = "blocks.1.hook_resid_post".parse()?;
/// let site = SaeSite { model: &model, device: &device, hook, context_size: 8, prepend_bos: false };
/// let sae = Sae { config: SaeConfig::new(160, 1),
///     activation: SaeActivation::Standard { b_enc: vec![0.0] },
///     encoder: vec![0.1; 160], decoder: vec![0.1; 160], b_dec: vec![0.0; 160] };
/// let ids: Vec<u32> = (300..332).collect();
/// let contexts = Contexts::pack([&ids[..]], 8, None, None);
/// let subject = EvalSae { sae: &sae, run: EvalRun::default() };
/// let found = core_of_contexts(&site, &subject, &contexts, &CoreConfig::default())?;
/// assert_eq!(found.on, "4 contexts of 8 tokens");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn core_of_contexts(
    site: &SaeSite<'_>,
    subject: &EvalSae<'_>,
    contexts: &Contexts,
    config: &CoreConfig,
) -> Result<EvalFindings, SaeError> {
    let sae = subject.sae;
    let n = contexts.len().min(config.max_contexts);
    let n_before = contexts.length() - contexts.n_text_tokens();
    let mut core = CoreEvaluator::new(sae);
    let mut batches = Vec::new();
    for first in (0..n).step_by(CONTEXTS_PER_BATCH) {
        let texts: Vec<&[u32]> =
            (first..(first + CONTEXTS_PER_BATCH).min(n)).map(|i| contexts.ids(i)).collect();
        batches.push(TokenBatch::new(&texts, PaddingSide::Right, site.device)?);
    }
    let special_tokens = contexts.ids(0)[..n_before].to_vec();
    let recovery =
        RecoveryConfig { special_tokens, stop: config.stop.clone(), ..RecoveryConfig::default() };
    let at = ModelHook { model: &*site.model.model, hook: site.hook };
    let recovered = recovered_with(at, &batches, &recovery, |_, x, width| {
        site.check_width(sae, width)?;
        let n_texts = x.len() / width / contexts.length();
        let lengths = vec![contexts.length(); n_texts];
        let counted: Vec<bool> =
            (0..n_texts * contexts.length()).map(|i| i % contexts.length() >= n_before).collect();
        core.add(CoreBatch { activations: &x, lengths: &lengths, counted: Some(&counted) })?;
        Ok(sae.decode(&sae.encode(&x)?))
    })?;
    let settings = settings([
        ("model_name", json!(site.model.name)),
        ("dataset", json!(config.from)),
        ("context_size", json!(contexts.length())),
        ("batch_size_prompts", json!(CONTEXTS_PER_BATCH)),
        ("n_eval_reconstruction_batches", json!(batches.len())),
        ("n_eval_sparsity_variance_batches", json!(batches.len())),
    ]);
    Ok(EvalFindings {
        outputs: vec![finish(subject, core, &recovered, settings)?],
        on: format!("{n} contexts of {} tokens", contexts.length()),
        notes: Vec::new(),
    })
}

fn finish(
    subject: &EvalSae<'_>,
    core: CoreEvaluator<'_>,
    recovered: &Recovered,
    settings: Map<String, Value>,
) -> Result<EvalOutput, SaeError> {
    let (metrics, activity) = core.finish()?;
    let weights = feature_weights(subject.sae);
    let results =
        CoreResults { metrics: &metrics, activity: &activity, weights: &weights, recovered };
    Ok(EvalOutput::core(subject.run_with(settings), subject.sae, results))
}

/// Losses and divergences where no model was run.
fn not_measured() -> Recovered {
    Recovered {
        ce_loss_without_sae: f64::NAN,
        ce_loss_with_sae: f64::NAN,
        ce_loss_with_ablation: f64::NAN,
        ce_loss_score: f64::NAN,
        kl_div_with_sae: f64::NAN,
        kl_div_with_ablation: f64::NAN,
        kl_div_score: f64::NAN,
        n_tokens: 0,
    }
}
