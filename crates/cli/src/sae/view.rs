//! `sae view`: a page of what the features of an autoencoder do.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_models::{HookPoint, LanguageModel, PaddingSide, TokenBatch, host_values};
use attention_probes_report::{
    ActivationBin, FeatureNeighbour, FeatureQuantile, FeatureText, FeatureToken, PageToken,
    SaeFeature, SaePage, SaeSummary, SaeTrainingPoint, SourceAttribution,
};
use attention_probes_sae::eval::{RecoveryConfig, SaeInModel, recovered};
use attention_probes_sae::{
    Activation, Contexts, FeatureActivity, FeaturePeak, HistoryPoint, Sae, attribute_to_sources,
    read_guidance, read_history,
};
use burn::tensor::Device;
use clap::Args;
use serde_json::Value;
use tracing::info;

use crate::output;
use crate::sae::guidance::page_of;
use crate::sae::subject::{SubjectArgs, open_with_texts};

/// Texts of a feature: the strongest, and of each sample from further down.
const N_TOP: usize = 12;
const N_SAMPLE: usize = 3;

/// Contexts on which the model runs with the reconstructions, and of one forward pass.
const N_RECOVERED: usize = 64;
const CONTEXTS_PER_BATCH: usize = 16;

/// Tokens before and after the strongest one that are shown.
const BEFORE: usize = 24;
const AFTER: usize = 8;

/// Bins of the histogram of a feature's activations.
const N_BINS: usize = 24;

/// Tokens whose logits a feature raises or lowers that are shown, and neighbours.
const N_LOGITS: usize = 8;
const N_NEIGHBOURS: usize = 5;

/// Write a page of what the features of a sparse autoencoder do.
#[derive(Args, Debug)]
pub struct ViewArgs {
    /// What is looked at, and with what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// The page to write.
    #[arg(long)]
    pub output: PathBuf,
    /// Most contexts that are read.
    #[arg(long, default_value_t = 1000)]
    pub max_contexts: usize,
    /// Most features that are shown, those with the strongest texts for how rare they are.
    #[arg(long, default_value_t = 200)]
    pub features: usize,
}

/// Runs `sae view`.
///
/// # Errors
///
/// If the autoencoder, the model, or the texts are at fault, or do not fit each other.
pub fn run(args: &ViewArgs) -> Result<()> {
    output::check_page(&args.output, [])?;
    let (SaeInModel { sae, model, device, hook, .. }, contexts) = &open_with_texts(&args.subject)?;
    let view = View { sae, model, device, contexts, hook: *hook };
    view.write(&args.output, &args.subject.sae, (args.max_contexts, args.features))
}

/// An autoencoder, and what it is looked at with.
pub(crate) struct View<'a> {
    pub(crate) sae: &'a Sae,
    pub(crate) model: &'a LanguageModel,
    pub(crate) device: &'a Device,
    pub(crate) contexts: &'a Contexts,
    pub(crate) hook: HookPoint,
}

impl View<'_> {
    /// Writes the page of an autoencoder that lies at `path`.
    pub(crate) fn write(
        &self,
        output: &Path,
        path: &Path,
        (max_contexts, n_features): (usize, usize),
    ) -> Result<()> {
        let of_contexts = (self.contexts, max_contexts);
        let activity = FeatureActivity::collect(
            self.sae,
            &*self.model.model,
            self.device,
            of_contexts,
            self.hook,
        )?;
        let densities = activity.densities();
        let features = shown(&activity, &densities, n_features);
        let directions = self.logit_directions()?;
        let features: Vec<SaeFeature> = features
            .iter()
            .map(|feature| self.feature(&activity, *feature, densities[*feature], &directions))
            .collect::<Result<_>>()?;
        let page = SaePage {
            title: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sae: self.summary(&activity, &densities)?,
            config: config_beside(path),
            file: path.display().to_string(),
            training: history(path, self.sae.config.d_sae),
            densities,
            features,
            guidance: read_guidance(path)?.as_ref().and_then(page_of),
        };
        let html = page.to_html()?;
        write_atomically(output, |file| file.write_all(html.as_bytes()))?;
        let size = html.len() as f64 / f64::from(1 << 20);
        info!("wrote `{}` ({size:.2} MiB): {} features", output.display(), page.features.len());
        Ok(())
    }

    fn summary(&self, activity: &FeatureActivity, densities: &[f64]) -> Result<SaeSummary> {
        let config = &self.sae.config;
        let number = |key: &str| config.metadata.get(key).and_then(Value::as_u64);
        Ok(SaeSummary {
            architecture: self.sae.activation.architecture().to_string(),
            model: self.model.name.clone(),
            hook: self.hook.to_string(),
            d_in: config.d_in,
            d_sae: config.d_sae,
            k: match self.sae.activation {
                Activation::TopK { k, .. } => Some(k),
                _ => None,
            },
            l0: activity.l0().into(),
            fvu: activity.fvu().into(),
            ce_loss_score: self.ce_loss_score()?.into(),
            n_dead: Some(densities.iter().filter(|density| **density <= 0.0).count()),
            n_training_tokens: number("training_tokens").unwrap_or_default(),
            n_evaluation_tokens: activity.n_tokens() as u64,
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Share of the cross-entropy that the model keeps with the reconstructions.
    fn ce_loss_score(&self) -> Result<f64> {
        let n = self.contexts.len().min(N_RECOVERED);
        let texts: Vec<&[u32]> = (0..n).map(|i| self.contexts.ids(i)).collect();
        let batches = texts
            .chunks(CONTEXTS_PER_BATCH)
            .map(|texts| TokenBatch::new(texts, PaddingSide::Right, self.device))
            .collect::<Result<Vec<_>, _>>()?;
        let n_before = self.contexts.length() - self.contexts.n_text_tokens();
        let special_tokens = self.contexts.ids(0)[..n_before].to_vec();
        let config = RecoveryConfig { special_tokens, ..RecoveryConfig::default() };
        let model = &*self.model.model;
        Ok(recovered(model, self.sae, self.hook, &batches, &config)?.ce_loss_score)
    }

    fn feature(
        &self,
        activity: &FeatureActivity,
        feature: usize,
        density: f64,
        directions: &[f32],
    ) -> Result<SaeFeature> {
        let peaks = activity.peaks(feature);
        let text = |peak: &FeaturePeak| self.text(activity, feature, peak);
        let texts: Vec<FeatureText> = peaks.iter().take(N_TOP).map(text).collect::<Result<_>>()?;
        let max = peaks.first().map_or(0.0, |peak| f64::from(peak.activation));
        let mut quantiles = Vec::new();
        for (name, low, high) in [
            ("half to three quarters of the maximum", 0.5, 0.75),
            ("a quarter to half of the maximum", 0.25, 0.5),
            ("below a quarter of the maximum", 0.0, 0.25),
        ] {
            let is_in = |peak: &&FeaturePeak| {
                let share = f64::from(peak.activation) / max;
                (low..high).contains(&share)
            };
            let within: Vec<&FeaturePeak> = peaks.iter().filter(is_in).collect();
            let step = (within.len() / N_SAMPLE).max(1);
            let chosen = within.into_iter().step_by(step).take(N_SAMPLE);
            let texts: Vec<FeatureText> = chosen.map(text).collect::<Result<_>>()?;
            if !texts.is_empty() {
                quantiles.push(FeatureQuantile { name: name.to_owned(), texts });
            }
        }
        let (raised, lowered) = self.logits(feature, directions)?;
        let is_heads = matches!(self.hook, HookPoint::Z(_));
        let neighbours = self.sae.neighbours(feature, N_NEIGHBOURS);
        Ok(SaeFeature {
            feature,
            label: String::new(),
            density,
            max_activation: max,
            top_tokens: Vec::new(),
            attribution: match peaks.first().filter(|_| is_heads) {
                Some(peak) => Some(self.attribution(feature, peak)?),
                None => None,
            },
            texts,
            quantiles,
            activations: bins(activity.values(feature), max),
            raised,
            lowered,
            head_shares: if is_heads {
                self.sae.head_shares(feature, self.model.model.shape().n_heads)
            } else {
                Vec::new()
            },
            neighbours: neighbours
                .into_iter()
                .map(|(feature, cosine)| FeatureNeighbour { feature, cosine: cosine.into() })
                .collect(),
        })
    }

    /// The tokens around a peak.
    fn window(&self, peak: &FeaturePeak) -> std::ops::Range<usize> {
        let from = peak.position.saturating_sub(BEFORE);
        from..(peak.position + AFTER + 1).min(self.contexts.length())
    }

    fn text(
        &self,
        activity: &FeatureActivity,
        feature: usize,
        peak: &FeaturePeak,
    ) -> Result<FeatureText> {
        let (window, ids) = (self.window(peak), self.contexts.ids(peak.context));
        let token = |position: usize| {
            Ok::<_, anyhow::Error>(PageToken {
                text: self.model.tokenizer.decode(&ids[position..=position])?,
                id: Some(i64::from(ids[position])),
                position,
            })
        };
        let activations = activity.over_context(feature, peak.context);
        Ok(FeatureText {
            row: peak.context as u64,
            tokens: window.clone().map(token).collect::<Result<_>>()?,
            activations: activations[window].iter().map(|value| f64::from(*value)).collect(),
        })
    }

    fn attribution(&self, feature: usize, peak: &FeaturePeak) -> Result<SourceAttribution> {
        let ids = self.contexts.ids(peak.context);
        let at = (self.hook, feature, peak.position);
        let sources = attribute_to_sources(self.sae, &*self.model.model, self.device, ids, at)?;
        let window = self.window(peak);
        Ok(SourceAttribution {
            token: peak.position - window.start,
            values: sources[window].to_vec(),
        })
    }

    /// The directions of logits where those of features lie in the residual stream, else nothing.
    fn logit_directions(&self) -> Result<Vec<f32>> {
        let is_residual = matches!(
            self.hook,
            HookPoint::ResidPre(_)
                | HookPoint::ResidMid(_)
                | HookPoint::ResidPost(_)
                | HookPoint::AttnOut(_)
                | HookPoint::MlpOut(_)
        );
        if is_residual { logit_directions(self.model) } else { Ok(Vec::new()) }
    }

    /// Tokens whose logits the direction of a feature raises and lowers most.
    fn logits(
        &self,
        feature: usize,
        directions: &[f32],
    ) -> Result<(Vec<FeatureToken>, Vec<FeatureToken>)> {
        let d_in = self.sae.config.d_in;
        let direction = &self.sae.decoder[feature * d_in..][..d_in];
        let dot = |token: &[f32]| token.iter().zip(direction).map(|(a, b)| a * b).sum::<f32>();
        let added: Vec<f32> = directions.chunks_exact(d_in).map(dot).collect();
        let mut order: Vec<usize> = (0..added.len()).collect();
        order.sort_by(|a, b| added[*b].total_cmp(&added[*a]));
        let token = |id: &usize| {
            Ok::<_, anyhow::Error>(FeatureToken {
                text: self.model.tokenizer.token_text(*id as u32)?,
                id: Some(*id as i64),
                value: added[*id].into(),
            })
        };
        let raised = order.iter().take(N_LOGITS).map(token).collect::<Result<_>>()?;
        let lowered = order.iter().rev().take(N_LOGITS).map(token).collect::<Result<_>>()?;
        Ok((raised, lowered))
    }
}

/// The features to show: of those that fire on several texts, and on few tokens, the strongest.
fn shown(activity: &FeatureActivity, densities: &[f64], n: usize) -> Vec<usize> {
    let mut found: Vec<(usize, f64)> = (0..densities.len())
        .filter(|feature| densities[*feature] > 0.0)
        .map(|feature| {
            let peaks = activity.peaks(feature);
            let top = peaks.iter().take(N_TOP).map(|peak| f64::from(peak.activation)).sum::<f64>();
            // Of two features that are as strong, the one that fires more rarely says more.
            (feature, top * (1.0 - densities[feature]).powi(8))
        })
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(n);
    found.into_iter().map(|(feature, _)| feature).collect()
}

/// A histogram of activations from 0 to the largest.
fn bins(values: impl Iterator<Item = f32>, max: f64) -> Vec<ActivationBin> {
    let edge = |bin: usize| max * bin as f64 / N_BINS as f64;
    let mut bins: Vec<ActivationBin> = (0..N_BINS)
        .map(|bin| ActivationBin { lower: edge(bin), upper: edge(bin + 1), n: 0 })
        .collect();
    for value in values {
        let bin = (f64::from(value) / max * N_BINS as f64) as usize;
        bins[bin.min(N_BINS - 1)].n += 1;
    }
    bins
}

/// The configuration of the run that an autoencoder's folder lies in, if it does.
fn config_beside(path: &Path) -> String {
    let file = path.parent().map(|folder| folder.join("config.toml"));
    file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default()
}

/// The history in an autoencoder's folder, if there is one.
fn history(path: &Path, d_sae: usize) -> Vec<SaeTrainingPoint> {
    let point = |point: HistoryPoint| SaeTrainingPoint {
        step: point.step,
        loss: point.report.loss,
        l0: point.report.l0,
        fvu: point.report.fvu,
        dead_share: point.report.n_dead as f64 / d_sae as f64,
    };
    read_history(path).into_iter().map(point).collect()
}

/// The direction of every token's logit in the residual stream, but for the scale of the final
/// norm: `[d_vocab, d_model]`.
fn logit_directions(model: &LanguageModel) -> Result<Vec<f32>> {
    let n_tokens = model.model.shape().d_vocab as u32;
    let mut directions = Vec::with_capacity(n_tokens as usize * model.model.shape().d_model);
    for token in 0..n_tokens {
        directions.extend(host_values(model.model.unembed_direction(token))?);
    }
    Ok(directions)
}
