//! What `sae ablate` measures of each autoencoder.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use attention_probes_activations::write_atomically;
use attention_probes_models::{
    HookPoint, LanguageModel, PaddingSide, Placement, TokenBatch, open_model,
};
use attention_probes_sae::ablation::AblationConfig;
use attention_probes_sae::eval::{RecoveryConfig, core_metrics, recovered};
use attention_probes_sae::{
    AttentionLayers, ContextStream, Contexts, SaeRun, attended_cosine, read_sae,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::device;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::sae::texts;

/// Contexts of one forward pass.
const CONTEXTS_PER_BATCH: usize = 16;

/// Where the metrics of an autoencoder are kept.
const METRICS_FILE: &str = "ablation_metrics.json";

/// One number for each metric.
pub(super) type Measured = Vec<f64>;

/// Everything that an autoencoder is measured with.
pub(super) struct Evaluator {
    model: LanguageModel,
    device: Device,
    hook: HookPoint,
    contexts: Contexts,
    attention: AttentionLayers,
    /// Rows of the text tokens of all contexts, `[n, d_in]`.
    rows: Vec<f32>,
}

/// Metrics as they are kept, with what they were measured with.
#[derive(Serialize, Deserialize)]
struct Kept {
    names: Vec<String>,
    values: Measured,
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
        let mut contexts = texts::contexts(&data.path, &data.text, size, &model)?;
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
        let tasks = config.run_config()?.tasks()?;
        let hook: HookPoint = config.sae.hook.parse()?;
        let layers = SaeRun::layers(&tasks)?;
        let settings = (config.attention.keep, config.attention.pool, CONTEXTS_PER_BATCH);
        let attention =
            AttentionLayers::extract(&*model.model, &device, &contexts, &layers, settings, |_| ())?;
        let settings = (CONTEXTS_PER_BATCH, 0);
        let stream = ContextStream::new(&*model.model, &device, &contexts, vec![hook], settings)?;
        let rows = stream.rows_of(&contexts)?.swap_remove(0);
        Ok(Self { model, device, hook, contexts, attention, rows })
    }

    /// Name of each metric, what it says, and whether more is better.
    pub(super) fn metrics(&self) -> Vec<(String, &'static str, Option<bool>)> {
        let metric = |name: &str, note, better| (name.to_owned(), note, better);
        vec![
            metric("R²", "Share of the variance that is explained, on test texts.", Some(true)),
            metric(
                "CE recovered",
                "Share of the loss that the reconstructions give back, of what zeros there cost.",
                Some(true),
            ),
            metric("alive", "Share of features that are active on a test text.", Some(true)),
            metric("L0", "Active features of a token.", None),
            metric(
                "attended cosine",
                "How alike the features of tokens are that attend to each other: what guidance \
                 raises.",
                None,
            ),
        ]
    }

    /// Measures the autoencoder of a folder, or reads what was measured before.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or does not fit the model.
    pub(super) fn measure(&self, folder: &Path) -> Result<Measured> {
        let path = folder.join(METRICS_FILE);
        let names: Vec<String> = self.metrics().into_iter().map(|(name, ..)| name).collect();
        if let Ok(text) = fs::read_to_string(&path)
            && let Ok(kept) = serde_json::from_str::<Kept>(&text)
            && kept.names == names
            && kept.values.len() == names.len()
        {
            return Ok(kept.values);
        }
        let sae = read_sae(folder)?;
        let core = core_metrics(&sae, &self.rows)?;
        let n_before = self.contexts.length() - self.contexts.n_text_tokens();
        let config = RecoveryConfig {
            special_tokens: self.contexts.ids(0)[..n_before].to_vec(),
            ..RecoveryConfig::default()
        };
        let batches = self.batches()?;
        let recovered = recovered(&*self.model.model, &sae, self.hook, &batches, &config)?;
        let positions = n_before..self.contexts.length();
        let cosine = attended_cosine(&sae, &self.rows, &self.attention, positions)?;
        let values = vec![
            core.explained_variance_r2,
            recovered.ce_loss_score,
            core.frac_alive,
            core.l0,
            cosine,
        ];
        let kept = Kept { names, values };
        let text = serde_json::to_string_pretty(&kept).context("metrics cannot be written")?;
        write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        Ok(kept.values)
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
