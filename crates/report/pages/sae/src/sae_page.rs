//! A page of what the features of an autoencoder do.

use std::fs;
use std::ops::Range;
use std::path::Path;

use attention_probes_errors::Stop;
use attention_probes_models::{
    HookPoint, LanguageModel, ModelError, PaddingSide, TokenBatch, host_values,
};
use attention_probes_report::{
    ActivationBin, FeatureNeighbour, FeatureQuantile, FeatureText, FeatureToken, PageToken,
    SaeFeature, SaePage, SaeSummary, SaeTrainingPoint, SourceAttribution,
};
use attention_probes_sae::eval::{ModelHook, RecoveryConfig, SaeSite, recovered};
use attention_probes_sae::{
    ActivityConfig, Contexts, FeatureActivity, FeatureAt, FeaturePeak, HistoryPoint, PublishedSae,
    SaeActivation, SaeError, attribute_to_sources, read_guidance, read_history,
};
use serde_json::Value;

use crate::guidance::guidance;

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

/// What a page of features shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaePageConfig {
    /// Most contexts that are read. Default 1000.
    pub max_contexts: usize,
    /// Most features that are shown, those with the strongest texts for how rare they are. Default
    /// 200.
    pub n_features: usize,
    /// Asked before each block of a forward pass and each feature. Never by default.
    pub stop: Stop,
}

impl Default for SaePageConfig {
    fn default() -> Self {
        Self { max_contexts: 1000, n_features: 200, stop: Stop::never() }
    }
}

/// The page of an autoencoder: what its features do on some contexts, how it was trained, and what
/// the model loses by it.
///
/// History, configuration, and record of guidance are read from its folder and the one that holds
/// it, where they are.
///
/// # Errors
///
/// - [`SaeError::Site`] if the autoencoder reads rows of another width.
/// - [`SaeError::NonFinite`] if an activation is not finite.
/// - [`SaeError::Model`] if the model fails.
/// - [`SaeError::Stopped`] if [`SaePageConfig::stop`] is given.
///
/// # Panics
///
/// If there is no context.
///
/// # Memory
///
/// 16 bytes for each active feature of a token, the logits of 16 contexts three times, and of
/// autoencoders in the residual stream a row of the width of the stream for each token of the
/// vocabulary.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use attention_probes::models::open_model;
/// use attention_probes::pages::sae::{SaePageConfig, sae_page};
/// use attention_probes::sae::eval::{SaeModelOptions, open_sae_in_model};
/// use attention_probes::sae::{
///     Contexts, PublishedSae, Sae, SaeActivation, SaeConfig, write_sae_lens,
/// };
/// use burn::tensor::Device;
///
/// # let folder = tempfile::tempdir()?;
/// # let mut sae = Sae { config: SaeConfig::new(160, 2),
/// #     activation: SaeActivation::Standard { b_enc: vec![0.1; 2] },
/// #     encoder: vec![0.1; 320], decoder: vec![0.1; 320], b_dec: vec![0.0; 160] };
/// # sae.config.metadata.set("hook_name", "blocks.1.hook_resid_post");
/// # sae.config.metadata.set("model_name", "demo-gpt2");
/// # write_sae_lens(&sae, folder.path())?;
/// let path = folder.path();
/// let device = Device::default();
/// let opened = open_sae_in_model(path, &SaeModelOptions::new(&device))?;
/// let ids: Vec<u32> = (300..364).collect();
/// let contexts = Contexts::pack([&ids[..]], 32, None, None);
/// let subject = PublishedSae { path, sae: &opened.sae };
/// let page = sae_page(&opened.site(), subject, &contexts, &SaePageConfig::default())?;
/// assert_eq!((page.densities.len(), page.sae.n_evaluation_tokens), (2, 64));
/// assert!(page.to_html()?.contains("blocks.1.hook_resid_post"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sae_page(
    site: &SaeSite<'_>,
    subject: PublishedSae<'_>,
    contexts: &Contexts,
    config: &SaePageConfig,
) -> Result<SaePage, SaeError> {
    let SaePageConfig { max_contexts, n_features, stop } = config;
    let view = View { site: *site, subject, contexts, stop };
    let path = subject.path;
    let of_features = ActivityConfig { max_contexts: *max_contexts, stop: stop.clone() };
    let activity = FeatureActivity::collect(site, subject.sae, contexts, &of_features)?;
    let densities = activity.densities();
    let features = shown(&activity, &densities, *n_features);
    let directions = view.logit_directions()?;
    let features: Vec<SaeFeature> = features
        .iter()
        .map(|feature| {
            stop.check()?;
            view.feature(&activity, *feature, densities[*feature], &directions)
        })
        .collect::<Result<_, _>>()?;
    Ok(SaePage {
        title: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sae: view.summary(&activity, &densities)?,
        config: config_beside(path),
        file: path.display().to_string(),
        training: history(path, subject.sae.config.d_sae),
        densities,
        features,
        guidance: read_guidance(path)?.as_ref().and_then(guidance),
    })
}

/// An autoencoder, and what it is looked at with.
struct View<'a> {
    site: SaeSite<'a>,
    subject: PublishedSae<'a>,
    contexts: &'a Contexts,
    stop: &'a Stop,
}

impl View<'_> {
    fn summary(
        &self,
        activity: &FeatureActivity,
        densities: &[f64],
    ) -> Result<SaeSummary, SaeError> {
        let config = &self.subject.sae.config;
        let number = |key: &str| config.metadata.get(key).and_then(Value::as_u64);
        Ok(SaeSummary {
            architecture: self.subject.sae.activation.architecture().to_string(),
            model: self.site.model.name.clone(),
            hook: self.site.hook.to_string(),
            d_in: config.d_in,
            d_sae: config.d_sae,
            k: match self.subject.sae.activation {
                SaeActivation::TopK { k, .. } => Some(k),
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
    fn ce_loss_score(&self) -> Result<f64, SaeError> {
        let n = self.contexts.len().min(N_RECOVERED);
        let texts: Vec<&[u32]> = (0..n).map(|i| self.contexts.ids(i)).collect();
        let batches = texts
            .chunks(CONTEXTS_PER_BATCH)
            .map(|texts| TokenBatch::new(texts, PaddingSide::Right, self.site.device))
            .collect::<Result<Vec<_>, _>>()?;
        let n_before = self.contexts.length() - self.contexts.n_text_tokens();
        let special_tokens = self.contexts.ids(0)[..n_before].to_vec();
        let config =
            RecoveryConfig { special_tokens, stop: self.stop.clone(), ..RecoveryConfig::default() };
        let at = ModelHook { model: &*self.site.model.model, hook: self.site.hook };
        let found = recovered(at, self.subject.sae, &batches, &config)?;
        Ok(found.ce_loss_score)
    }

    fn feature(
        &self,
        activity: &FeatureActivity,
        feature: usize,
        density: f64,
        directions: &[f32],
    ) -> Result<SaeFeature, SaeError> {
        let peaks = activity.peaks(feature);
        let text = |peak: &FeaturePeak| self.text(activity, feature, peak);
        let texts: Vec<FeatureText> =
            peaks.iter().take(N_TOP).map(text).collect::<Result<_, _>>()?;
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
            let texts: Vec<FeatureText> = chosen.map(text).collect::<Result<_, _>>()?;
            if !texts.is_empty() {
                quantiles.push(FeatureQuantile { name: name.to_owned(), texts });
            }
        }
        let (raised, lowered) = self.logits(feature, directions)?;
        let is_heads = matches!(self.site.hook, HookPoint::Z(_));
        let neighbours = self.subject.sae.neighbours(feature, N_NEIGHBOURS);
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
                self.subject.sae.head_shares(feature, self.site.model.model.shape().n_heads)
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
    fn window(&self, peak: &FeaturePeak) -> Range<usize> {
        let from = peak.position.saturating_sub(BEFORE);
        from..(peak.position + AFTER + 1).min(self.contexts.length())
    }

    fn text(
        &self,
        activity: &FeatureActivity,
        feature: usize,
        peak: &FeaturePeak,
    ) -> Result<FeatureText, SaeError> {
        let (window, ids) = (self.window(peak), self.contexts.ids(peak.context));
        let token = |position: usize| {
            Ok::<_, ModelError>(PageToken {
                text: self.site.model.tokenizer.decode(&ids[position..=position])?,
                id: Some(i64::from(ids[position])),
                position,
            })
        };
        let activations = activity.over_context(feature, peak.context);
        Ok(FeatureText {
            row: peak.context as u64,
            tokens: window.clone().map(token).collect::<Result<_, _>>()?,
            activations: activations[window].iter().map(|value| f64::from(*value)).collect(),
        })
    }

    fn attribution(
        &self,
        feature: usize,
        peak: &FeaturePeak,
    ) -> Result<SourceAttribution, SaeError> {
        let ids = self.contexts.ids(peak.context);
        let at = FeatureAt { ids, feature, position: peak.position };
        let (site, sae) = (&self.site, self.subject.sae);
        let sources = attribute_to_sources(site, sae, at, self.stop)?;
        let window = self.window(peak);
        Ok(SourceAttribution {
            token: peak.position - window.start,
            values: sources[window].to_vec(),
        })
    }

    /// The directions of logits where those of features lie in the residual stream, else nothing.
    fn logit_directions(&self) -> Result<Vec<f32>, SaeError> {
        let is_residual = matches!(
            self.site.hook,
            HookPoint::ResidPre(_)
                | HookPoint::ResidMid(_)
                | HookPoint::ResidPost(_)
                | HookPoint::AttnOut(_)
                | HookPoint::MlpOut(_)
        );
        if is_residual { logit_directions(self.site.model) } else { Ok(Vec::new()) }
    }

    /// Tokens whose logits the direction of a feature raises and lowers most.
    fn logits(
        &self,
        feature: usize,
        directions: &[f32],
    ) -> Result<(Vec<FeatureToken>, Vec<FeatureToken>), SaeError> {
        let d_in = self.subject.sae.config.d_in;
        let direction = &self.subject.sae.decoder[feature * d_in..][..d_in];
        let dot = |token: &[f32]| token.iter().zip(direction).map(|(a, b)| a * b).sum::<f32>();
        let added: Vec<f32> = directions.chunks_exact(d_in).map(dot).collect();
        let mut order: Vec<usize> = (0..added.len()).collect();
        order.sort_by(|a, b| added[*b].total_cmp(&added[*a]));
        let token = |id: &usize| {
            Ok::<_, ModelError>(FeatureToken {
                text: self.site.model.tokenizer.token_text(*id as u32)?,
                id: Some(*id as i64),
                value: added[*id].into(),
            })
        };
        let raised = order.iter().take(N_LOGITS).map(token).collect::<Result<_, _>>()?;
        let lowered = order.iter().rev().take(N_LOGITS).map(token).collect::<Result<_, _>>()?;
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
fn logit_directions(model: &LanguageModel) -> Result<Vec<f32>, SaeError> {
    let n_tokens = model.model.shape().d_vocab as u32;
    let mut directions = Vec::with_capacity(n_tokens as usize * model.model.shape().d_model);
    for token in 0..n_tokens {
        directions.extend(host_values(model.model.unembed_direction(token)?)?);
    }
    Ok(directions)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use attention_probes_models::open_model;
    use attention_probes_sae::{Sae, SaeConfig};
    use burn::tensor::Device;

    use super::*;

    /// How often the page of an autoencoder at a hook asks whether to stop; it stops each time.
    fn n_questions(hook: &str) -> usize {
        let device = Device::default();
        let model = open_model("demo-gpt2", None, &device).unwrap();
        let hook = hook.parse().unwrap();
        let site =
            SaeSite { model: &model, device: &device, hook, context_size: 8, prepend_bos: false };
        let sae = Sae {
            config: SaeConfig::new(160, 2),
            activation: SaeActivation::Standard { b_enc: vec![100.0; 2] },
            encoder: vec![0.1; 320],
            decoder: vec![0.1; 320],
            b_dec: vec![0.0; 160],
        };
        let ids: Vec<u32> = (300..332).collect();
        let contexts = Contexts::pack([&ids[..]], 8, None, None);
        let subject = PublishedSae { path: Path::new("sae"), sae: &sae };
        let (mut n, mut is_stopped) = (0, true);
        while is_stopped {
            let asked = AtomicUsize::new(0);
            let stop = Stop::when(move || asked.fetch_add(1, Ordering::Relaxed) >= n);
            let config = SaePageConfig { stop, ..SaePageConfig::default() };
            is_stopped = match sae_page(&site, subject, &contexts, &config) {
                Err(SaeError::Stopped) => true,
                found => {
                    found.unwrap();
                    false
                }
            };
            n += 1;
        }
        n
    }

    #[test]
    fn a_page_is_given_up_at_any_time() {
        // Blocks of the first pass, of those that measure the loss, and two features.
        let of_stream = n_questions("blocks.1.hook_resid_post");
        assert!(of_stream > 8, "{of_stream}");
        // And a pass for each feature, which says where the heads read it.
        let of_heads = n_questions("blocks.1.attn.hook_z");
        assert!(of_heads >= of_stream + 4, "{of_heads} {of_stream}");
    }
}
