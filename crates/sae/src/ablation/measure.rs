//! Measuring the autoencoders of an ablation, all of them on texts that are run once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use attention_probes_activations::{DatasetConfig, Watch, data_files, hash_file};
use attention_probes_errors::FileError;
use attention_probes_models::{
    ActivationCache, HookPoint, LanguageModel, PaddingSide, TokenBatch, host_values,
};

use super::config::{AblationConfig, AblationData};
use super::metrics::{self, Metric};
use super::opened::{Opened, of_activation};
use crate::SaeError;
use crate::eval::{
    EncodedJobs, EvalFindings, EvalRun, EvalSae, LabelledConfig, LabelledData, LabelledEvaluation,
    LabelledJob, OriginalBatch, RecoveryConfig, RecoveryPlace, SaeSite, ScrColumns, read_labelled,
    recovered_each,
};
use crate::follow::SaeEvent;
use crate::guided::{AttentionLayers, attended_cosine};
use crate::run::{RunError, SaeRunOptions, SaeRunPlan, hash_ids};
use crate::train::{Contexts, ModelContexts};

/// Contexts of one forward pass.
const CONTEXTS_PER_BATCH: usize = 16;

/// An autoencoder of an ablation.
pub(super) struct Measured<'a> {
    /// Where it lies.
    pub(super) folder: PathBuf,
    /// Its seed, which is also that of its evaluations.
    pub(super) seed: u64,
    /// Number and label of its arm.
    pub(super) arm: (usize, &'a str),
}

/// Everything that the autoencoders are measured with.
pub(super) struct Bench<'a> {
    config: &'a AblationConfig,
    model: &'a LanguageModel,
    options: &'a SaeRunOptions<'a>,
    hook: HookPoint,
    contexts: Contexts,
    /// Layers whose attention guides.
    layers: Vec<usize>,
    metrics: Vec<Metric>,
    /// Everything that the metrics depend on beside the autoencoder.
    digest: String,
}

/// What is measured on the test contexts.
struct Core {
    r2: f64,
    ce_loss_score: f64,
    alive: f64,
    l0: f64,
    attended_cosine: f64,
}

impl<'a> Bench<'a> {
    /// Takes the test contexts from the end of all of them.
    ///
    /// # Errors
    ///
    /// If there are none beside them, or a file of labelled texts cannot be read.
    pub(super) fn open(
        config: &'a AblationConfig,
        plan: &SaeRunPlan,
        model: &'a LanguageModel,
        mut contexts: Contexts,
        options: &'a SaeRunOptions<'a>,
    ) -> Result<Self, SaeError> {
        let data = &config.data;
        if contexts.len() <= data.test_contexts {
            let (n_test, n_contexts) = (data.test_contexts, contexts.len());
            let path = data.path.clone();
            return Err(RunError::TestContexts { n_test, n_contexts, path }.into());
        }
        let contexts = contexts.split_off(data.test_contexts);
        let labelled = &config.evaluation.labelled;
        let settings = serde_json::to_string(&(&config.evaluation, &config.attention))
            .map_err(|error| FileError::write(plan.folder())(error.into()))?;
        let mut digest = format!("{settings} {} {}", model.fingerprint(), hash_ids(&contexts));
        for data in labelled {
            digest = format!("{digest} {}", hash_file(&data.path)?);
        }
        Ok(Self {
            config,
            model,
            options,
            hook: config.sae.hook.parse()?,
            contexts,
            layers: plan.layers().to_vec(),
            metrics: metrics::metrics(labelled),
            digest: blake3::hash(digest.as_bytes()).to_hex().to_string(),
        })
    }

    /// What is measured.
    pub(super) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Measures autoencoders, or reads what was measured of them before: one number for each metric,
    /// NaN where it is not defined.
    ///
    /// # Errors
    ///
    /// If an autoencoder cannot be read, or does not fit the model.
    pub(super) fn measure(&self, all: &[Measured<'_>]) -> Result<Vec<Vec<f64>>, SaeError> {
        let mut values = Vec::with_capacity(all.len());
        let mut opened = Vec::new();
        for (number, one) in all.iter().enumerate() {
            let weights = hash_file(&one.folder.join("sae_weights.safetensors"))?;
            let digest = format!("{} {weights}", self.digest);
            let kept = metrics::read_kept(&one.folder, &digest, &self.metrics);
            if kept.is_none() {
                opened.push(Opened::read(number, &one.folder, digest)?);
            }
            values.push(kept.unwrap_or_default());
        }
        if opened.is_empty() {
            return Ok(values);
        }
        let core = self.core(&opened)?;
        let data = self.labelled_data(&opened)?;
        let jobs: Vec<Vec<LabelledJob<'_>>> =
            data.iter().map(|(of, _)| Self::jobs(of, all, &opened)).collect();
        let encoded = data
            .iter()
            .zip(&jobs)
            .map(|((_, texts), jobs)| {
                EncodedJobs::encode(&self.site(), texts, jobs, &self.options.follow)
            })
            .collect::<Result<Vec<_>, _>>()?;
        // Of each file of texts, the jobs that are done.
        let mut done = vec![0; data.len()];
        let n_arms = all.last().map_or(0, |one| one.arm.0);
        let mut last_arm = 0;
        for (opened, core) in opened.iter().zip(core) {
            self.options.follow.check()?;
            let (number, label) = all[opened.number].arm;
            if number != last_arm {
                self.options.follow.tell(SaeEvent::Arm { number, n_arms, label });
                last_arm = number;
            }
            let mut found = vec![core.r2, core.ce_loss_score, core.alive];
            for (i, of) in self.config.evaluation.labelled.iter().enumerate() {
                if opened.context.is_some() {
                    found.extend(metrics::of_labelled(of).map(|_| f64::NAN));
                    continue;
                }
                let n = evaluations(of).len();
                let findings = (done[i]..done[i] + n)
                    .map(|job| encoded[i].measure(job, &self.options.follow.stop))
                    .collect::<Result<Vec<_>, _>>()?;
                done[i] += n;
                found.extend(metrics::of_labelled(of).map(|(name, ..)| value(&findings, name)));
            }
            found.extend([core.l0, core.attended_cosine]);
            let folder = &all[opened.number].folder;
            metrics::keep(folder, opened.digest.clone(), &self.metrics, &found)?;
            values[opened.number] = found;
        }
        Ok(values)
    }

    /// Where all autoencoders read.
    fn site(&self) -> SaeSite<'_> {
        let data = &self.config.data;
        SaeSite {
            model: self.model,
            device: self.options.device,
            hook: self.hook,
            context_size: data.context_size,
            prepend_bos: data.prepend_bos,
        }
    }

    /// Labelled texts; none where no autoencoder can be measured on them.
    fn labelled_data(
        &self,
        opened: &[Opened],
    ) -> Result<Vec<(&'a AblationData, LabelledData)>, SaeError> {
        if opened.iter().all(|one| one.context.is_some()) {
            return Ok(Vec::new());
        }
        let read = |of: &'a AblationData| {
            let columns = DatasetConfig {
                text: of.text.clone(),
                label: of.label.clone(),
                group: of.spurious.clone(),
                ..DatasetConfig::default()
            };
            let files = data_files(&of.path, "train", self.options.hub)?;
            Ok((of, read_labelled(&of.path, &files, &columns)?))
        };
        self.config.evaluation.labelled.iter().map(read).collect()
    }

    /// The evaluations of every autoencoder that reads the activation alone, on the same texts and
    /// draws of every arm, so that they are compared on the same.
    fn jobs<'b>(
        of: &AblationData,
        all: &[Measured<'_>],
        opened: &'b [Opened],
    ) -> Vec<LabelledJob<'b>> {
        let plain = opened.iter().filter(|one| one.context.is_none());
        let jobs = plain.flat_map(|one| {
            let seeds = vec![all[one.number].seed];
            evaluations(of).into_iter().map(move |evaluation| LabelledJob {
                subject: EvalSae { sae: &one.sae, run: EvalRun::default() },
                evaluation,
                config: LabelledConfig { seeds: seeds.clone(), ..LabelledConfig::default() },
            })
        });
        jobs.collect()
    }

    /// What each autoencoder does on the test contexts.
    ///
    /// The model runs once over them as it is, once with zeros at the hook, and once for each
    /// autoencoder with its reconstructions; where an encoder reads a context, attention is extracted
    /// before, in one more pass.
    fn core(&self, opened: &[Opened]) -> Result<Vec<Core>, SaeError> {
        let n_heads = self.model.model.shape().n_heads;
        let (keep, pool) = (self.config.attention.keep, self.config.attention.pool);
        let length = self.contexts.length();
        let positions = length - self.contexts.n_text_tokens()..length;
        let reads_context = opened.iter().any(|one| one.context.is_some());
        let before = reads_context.then(|| self.attention()).transpose()?;
        let patterns: Vec<HookPoint> = match before {
            Some(_) => Vec::new(),
            None => self.layers.iter().map(|layer| HookPoint::Pattern(*layer)).collect(),
        };
        let mut attention = AttentionLayers::new(&self.layers, length)?;
        let mut rows = Vec::new();
        let observe = |batch: &OriginalBatch, cache: &mut ActivationCache| {
            self.options.follow.check()?;
            let context = length * batch.width;
            for x in batch.activations.chunks_exact(context) {
                let x = &x[positions.start * batch.width..];
                if !x.iter().all(|x| x.is_finite()) {
                    return Err(SaeError::NotFinite { n_contexts: 1 });
                }
                rows.extend_from_slice(x);
            }
            if patterns.is_empty() {
                return Ok(());
            }
            let values = |hook: &HookPoint| {
                let missing = || SaeError::Hook { hook: hook.to_string() };
                Ok(host_values(cache.remove(*hook).ok_or_else(missing)?.flatten_heads())?)
            };
            let found = patterns.iter().map(values).collect::<Result<_, SaeError>>()?;
            attention.push(found, n_heads, (keep, pool))
        };
        let place = RecoveryPlace { hook: self.hook, others: &patterns, n_saes: opened.len() };
        let config = RecoveryConfig {
            special_tokens: self.contexts.ids(0)[..positions.start].to_vec(),
            stop: self.options.follow.stop.clone(),
            ..RecoveryConfig::default()
        };
        let (batches, model) = (self.batches()?, &*self.model.model);
        let recovered = recovered_each(model, place, &batches, &config, observe, |sae, batch| {
            self.reconstruct(&opened[sae], batch, before.as_ref())
        })?;
        let attention = before.unwrap_or(attention);
        let all: Vec<usize> = (0..self.contexts.len()).collect();
        let d_in = rows.len() / (all.len() * positions.len());
        let of_sae = |(one, recovered): (&Opened, f64)| {
            let wide = one.wide(&rows, d_in, Some(&attention), (&all, positions.clone()))?;
            let encoded = one.sae.encode(&wide)?;
            let decoded = of_activation(&one.sae, one.sae.decode(&encoded), d_in);
            let alive: BTreeSet<u32> =
                encoded.codes.rows().flat_map(|(features, _)| features.iter().copied()).collect();
            Ok(Core {
                r2: explained(&rows, &decoded, d_in),
                ce_loss_score: recovered,
                alive: alive.len() as f64 / one.sae.config.d_sae as f64,
                l0: encoded.codes.n_active() as f64 / encoded.codes.n_rows() as f64,
                attended_cosine: attended_cosine(&one.sae, &wide, &attention, positions.clone())?,
            })
        };
        let scores = recovered.iter().map(|recovered| recovered.ce_loss_score);
        opened.iter().zip(scores).map(of_sae).collect()
    }

    /// Attention over the test contexts, in a pass of its own.
    fn attention(&self) -> Result<AttentionLayers, SaeError> {
        let attention = &self.config.attention;
        let read = ModelContexts {
            model: &*self.model.model,
            device: self.options.device,
            contexts: &self.contexts,
            contexts_per_forward: CONTEXTS_PER_BATCH,
        };
        let settings = (attention.keep, attention.pool);
        let watch = Watch { progress: None, stop: self.options.follow.stop.clone() };
        AttentionLayers::extract(read, &self.layers, settings, watch)
    }

    /// What an autoencoder makes of a batch of contexts.
    fn reconstruct(
        &self,
        one: &Opened,
        batch: &OriginalBatch,
        attention: Option<&AttentionLayers>,
    ) -> Result<Vec<f32>, SaeError> {
        let length = self.contexts.length();
        let first = batch.number * CONTEXTS_PER_BATCH;
        let contexts: Vec<usize> =
            (first..(first + CONTEXTS_PER_BATCH).min(self.contexts.len())).collect();
        let x = &batch.activations;
        let wide = one.wide(x, batch.width, attention, (&contexts, 0..length))?;
        let encoded = one.sae.encode(&wide)?;
        Ok(of_activation(&one.sae, one.sae.decode(&encoded), batch.width))
    }

    fn batches(&self) -> Result<Vec<TokenBatch>, SaeError> {
        let all: Vec<usize> = (0..self.contexts.len()).collect();
        let batch = |chunk: &[usize]| {
            let texts: Vec<&[u32]> = chunk.iter().map(|i| self.contexts.ids(*i)).collect();
            Ok(TokenBatch::new(&texts, PaddingSide::Right, self.options.device)?)
        };
        all.chunks(CONTEXTS_PER_BATCH).map(batch).collect()
    }
}

/// What is measured on some labelled texts.
fn evaluations(of: &AblationData) -> Vec<LabelledEvaluation> {
    let mut evaluations = vec![LabelledEvaluation::SparseProbing, LabelledEvaluation::Tpp];
    if let Some(spurious) = &of.spurious {
        evaluations.push(LabelledEvaluation::Scr(ScrColumns {
            label: of.label.clone(),
            spurious: spurious.clone(),
            pair: of.pair.clone(),
            spurious_pair: of.spurious_pair.clone(),
        }));
    }
    evaluations
}

/// A metric among some findings of one seed each; NaN if none has it.
fn value(findings: &[EvalFindings], name: &str) -> f64 {
    let outputs = findings.iter().filter_map(|found| found.outputs.first());
    let mut metrics = outputs.flat_map(|output| &output.metrics).flat_map(|(_, metrics)| metrics);
    metrics.find(|(found, _)| found == name).map_or(f64::NAN, |(_, value)| *value)
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
