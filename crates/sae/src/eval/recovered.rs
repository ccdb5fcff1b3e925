//! What a model loses when an autoencoder's reconstructions replace its activations.

use std::str::FromStr;

use attention_probes_errors::Stop;
use attention_probes_kernels::SoftmaxSum;
use attention_probes_models::{
    Activation, ActivationCache, ForwardRequest, HookPoint, HookSet, HookedModel, Intervention,
    ModelError, Positions, TokenBatch, host_values,
};
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use serde::Serialize;

use super::texts::check_width;
use crate::{Sae, SaeError};

/// `(ablated - with_sae) / (ablated - without_sae)` of losses in nats: 1 if nothing is lost, 0 if
/// as much as by ablation.
pub fn ce_loss_score(without_sae: f64, with_sae: f64, with_ablation: f64) -> f64 {
    (with_ablation - with_sae) / (with_ablation - without_sae)
}

/// `(ablated - with_sae) / ablated` of divergences in nats: 1 if nothing is lost, 0 if as much as
/// by ablation.
pub fn kl_div_score(with_sae: f64, with_ablation: f64) -> f64 {
    (with_ablation - with_sae) / with_ablation
}

/// `-log p(target)` of each row of logits, in nats.
///
/// # Shapes
///
/// - `logits`: `[n, d_vocab]`
/// - `targets`: `[n]`, each below `d_vocab`
///
/// # Panics
///
/// If the shapes do not fit, or a target is out of range.
pub fn cross_entropies(logits: &[f32], targets: &[u32]) -> Vec<f64> {
    let d_vocab = row_width(logits, targets.len());
    let rows = logits.par_chunks_exact(d_vocab).zip(targets);
    rows.map(|(row, target)| SoftmaxSum::new(row).ln() - f64::from(row[*target as usize])).collect()
}

/// `KL(original ‖ new) = Σ_v p_v (log p_v - log q_v)` of each row of logits, in nats.
///
/// # Shapes
///
/// - `original`, `new`: `[n, d_vocab]`
///
/// # Panics
///
/// If the shapes do not fit.
pub fn kl_divergences(original: &[f32], new: &[f32], n: usize) -> Vec<f64> {
    assert_eq!(original.len(), new.len(), "logits of the same tokens");
    let d_vocab = row_width(original, n);
    let rows = original.par_chunks_exact(d_vocab).zip(new.par_chunks_exact(d_vocab));
    rows.map(|(original, new)| {
        let (p, q) = (SoftmaxSum::new(original).ln(), SoftmaxSum::new(new).ln());
        let terms = original.iter().zip(new).map(|(a, b)| {
            let log_p = f64::from(*a) - p;
            log_p.exp() * (log_p - (f64::from(*b) - q))
        });
        terms.sum()
    })
    .collect()
}

fn row_width(logits: &[f32], n: usize) -> usize {
    assert!(n > 0 && logits.len().is_multiple_of(n), "{} logits of {n} tokens", logits.len());
    logits.len() / n
}

/// How a model is run with an autoencoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveryConfig {
    /// Tokens that do not count, such as those that begin and end texts.
    pub special_tokens: Vec<u32>,
    /// Whether those keep their activation where the autoencoder replaces that of others; `false`
    /// by default, as in `SAEBench`.
    pub keep_special_activations: bool,
    /// Asked before each block of a forward pass. Never by default.
    pub stop: Stop,
}

/// Losses and divergences of a model with and without an autoencoder, means over tokens in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovered {
    /// Loss of the model as it is.
    pub ce_loss_without_sae: f64,
    /// Loss with the reconstructions.
    pub ce_loss_with_sae: f64,
    /// Loss with zeros.
    pub ce_loss_with_ablation: f64,
    /// [`ce_loss_score`] of those.
    pub ce_loss_score: f64,
    /// Divergence of the predictions with the reconstructions from those of the model.
    pub kl_div_with_sae: f64,
    /// Divergence with zeros.
    pub kl_div_with_ablation: f64,
    /// [`kl_div_score`] of those.
    pub kl_div_score: f64,
    /// Tokens that count in the divergences; in the losses each text has one fewer.
    pub n_tokens: usize,
}

/// Sums of losses and divergences; what [`recovered`] uses, and whoever has logits of his own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecoveredSums {
    losses: [f64; 3],
    n_losses: usize,
    divergences: [f64; 2],
    n_divergences: usize,
}

impl RecoveredSums {
    /// Adds losses of tokens that count: as the model is, with the autoencoder, with zeros.
    ///
    /// # Panics
    ///
    /// If there are not equally many.
    pub fn add_losses(&mut self, losses: [&[f64]; 3]) {
        assert!(losses.iter().all(|one| one.len() == losses[0].len()), "losses of the same tokens");
        self.n_losses += losses[0].len();
        self.losses.iter_mut().zip(losses).for_each(|(sum, one)| *sum += one.iter().sum::<f64>());
    }

    /// Adds divergences of tokens that count: with the autoencoder, with zeros.
    ///
    /// # Panics
    ///
    /// If there are not equally many.
    pub fn add_divergences(&mut self, divergences: [&[f64]; 2]) {
        assert_eq!(divergences[0].len(), divergences[1].len(), "divergences of the same tokens");
        self.n_divergences += divergences[0].len();
        let sums = self.divergences.iter_mut().zip(divergences);
        sums.for_each(|(sum, one)| *sum += one.iter().sum::<f64>());
    }

    /// Means and scores.
    ///
    /// # Errors
    ///
    /// [`SaeError::NoTokens`] if none were added.
    pub fn finish(self) -> Result<Recovered, SaeError> {
        if self.n_losses == 0 || self.n_divergences == 0 {
            return Err(SaeError::NoTokens);
        }
        let [without, with_sae, with_ablation] = self.losses.map(|sum| sum / self.n_losses as f64);
        let [kl_sae, kl_ablation] = self.divergences.map(|sum| sum / self.n_divergences as f64);
        Ok(Recovered {
            ce_loss_without_sae: without,
            ce_loss_with_sae: with_sae,
            ce_loss_with_ablation: with_ablation,
            ce_loss_score: ce_loss_score(without, with_sae, with_ablation),
            kl_div_with_sae: kl_sae,
            kl_div_with_ablation: kl_ablation,
            kl_div_score: kl_div_score(kl_sae, kl_ablation),
            n_tokens: self.n_divergences,
        })
    }
}

/// The place in the model whose activations an autoencoder reads, as its file names it.
///
/// # Errors
///
/// - [`SaeError::Site`] if its file names none.
/// - [`SaeError::Model`] if there is no such hook.
pub fn hook_of_sae(sae: &Sae) -> Result<HookPoint, SaeError> {
    let Some(name) = sae.config.metadata.hook_name() else {
        let (reads, asked) = ("a hook that its file does not name".to_owned(), "a hook".to_owned());
        return Err(SaeError::Site { reads, asked });
    };
    Ok(HookPoint::from_str(name)?)
}

/// A model, and the place in it whose activations are replaced.
#[derive(Clone, Copy)]
pub struct ModelHook<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// The hook.
    pub hook: HookPoint,
}

/// Runs a model as it is, with the reconstructions in place of the activations at a hook, and with
/// zeros there, and compares its predictions.
///
/// `SAEBench` 0.6.0, `core/main.py`: losses of all tokens but the last of each text, divergences of
/// all. *Quirk* that is kept: a loss counts where the token that it is predicted *from* is not
/// special. Heads are laid side by side for the autoencoder, so `hook_z` works as any other hook;
/// the zeros are everywhere. Padding never counts.
///
/// # Errors
///
/// - [`SaeError::Model`] if the model has no such hook, or does not run.
/// - [`SaeError::SizeMismatch`] if the activations there are of another width.
/// - [`SaeError::NoTokens`] if no token counts.
///
/// # Memory
///
/// The logits of a batch, three times.
pub fn recovered<'a>(
    at: ModelHook<'_>,
    sae: &Sae,
    batches: impl IntoIterator<Item = &'a TokenBatch>,
    config: &RecoveryConfig,
) -> Result<Recovered, SaeError> {
    recovered_with(at, batches, config, |_, x, width| {
        check_width(sae, width)?;
        Ok(sae.decode(&sae.encode(&x)?))
    })
}

/// As [`recovered`], with any reconstruction: of the number of the batch, its activations
/// `[batch · pos, width]`, and their width.
///
/// # Errors
///
/// As [`recovered`], and those of `reconstruct`.
pub fn recovered_with<'a>(
    ModelHook { model, hook }: ModelHook<'_>,
    batches: impl IntoIterator<Item = &'a TokenBatch>,
    config: &RecoveryConfig,
    mut reconstruct: impl FnMut(usize, Vec<f32>, usize) -> Result<Vec<f32>, SaeError>,
) -> Result<Recovered, SaeError> {
    let place = RecoveryPlace { hook, others: &[], n_saes: 1 };
    let reconstruct = |_, batch: &OriginalBatch| {
        reconstruct(batch.number, batch.activations.clone(), batch.width)
    };
    let found = recovered_each(model, place, batches, config, |_, _| Ok(()), reconstruct)?;
    found.into_iter().next().ok_or(SaeError::NoTokens)
}

/// What is read and replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecoveryPlace<'a> {
    /// The hook whose activations are replaced.
    pub(crate) hook: HookPoint,
    /// Other hooks that are read in the same pass.
    pub(crate) others: &'a [HookPoint],
    /// Reconstructions that there are.
    pub(crate) n_saes: usize,
}

/// What a batch has at the hook before anything is replaced.
#[derive(Clone, Debug)]
pub(crate) struct OriginalBatch {
    /// Number of the batch.
    pub(crate) number: usize,
    /// `[batch · pos, width]`
    pub(crate) activations: Vec<f32>,
    /// Width of a row.
    pub(crate) width: usize,
}

/// As [`recovered_with`], with several reconstructions: the model runs once over each batch as it
/// is, once with zeros, and once with each reconstruction. `observe` sees what the first of these
/// passes has at the other hooks, before anything is reconstructed.
///
/// # Errors
///
/// As [`recovered`], and those of `observe` and `reconstruct`.
pub(crate) fn recovered_each<'a>(
    model: &dyn HookedModel,
    place: RecoveryPlace<'_>,
    batches: impl IntoIterator<Item = &'a TokenBatch>,
    config: &RecoveryConfig,
    mut observe: impl FnMut(&OriginalBatch, &mut ActivationCache) -> Result<(), SaeError>,
    mut reconstruct: impl FnMut(usize, &OriginalBatch) -> Result<Vec<f32>, SaeError>,
) -> Result<Vec<Recovered>, SaeError> {
    let RecoveryPlace { hook, others, n_saes } = place;
    let mut sums = vec![RecoveredSums::default(); n_saes];
    let missing = |output: &str| ModelError::NotReturned { output: output.to_owned() };
    let hooks = HookSet::new([hook].into_iter().chain(others.iter().copied()));
    for (number, batch) in batches.into_iter().enumerate() {
        let counted = CountedTokens::new(batch, config);
        let request = ForwardRequest {
            logits: true,
            stop: config.stop.clone(),
            ..ForwardRequest::hooks(&hooks)
        };
        let mut output = model.execute(batch, &request)?;
        let original = host_values(output.logits.ok_or_else(|| missing("logits"))?)?;
        let captured = output.cache.remove(hook).ok_or_else(|| missing(&hook.to_string()))?;
        let flat = captured.clone().flatten_heads();
        let [_, _, width] = flat.dims();
        let before = OriginalBatch { number, activations: host_values(flat)?, width };
        observe(&before, &mut output.cache)?;
        let run = |change: Intervention| -> Result<Vec<f32>, SaeError> {
            let changes = [change];
            let request = ForwardRequest {
                interventions: &changes,
                stop: config.stop.clone(),
                ..ForwardRequest::logits()
            };
            let logits = model.execute(batch, &request)?.logits;
            Ok(host_values(logits.ok_or_else(|| missing("logits"))?)?)
        };
        let zeros = run(Intervention::zero(hook))?;
        let [as_it_is, with_zeros] = [&original, &zeros].map(|logits| counted.losses(logits));
        let to_zeros = counted.divergences(&original, &zeros);
        for (sae, sums) in sums.iter_mut().enumerate() {
            let reconstructed = like(&captured, reconstruct(sae, &before)?);
            let mut replacement = Intervention::replace(hook, reconstructed);
            if config.keep_special_activations {
                replacement.positions = Positions::Where(counted.counts.clone());
            }
            let logits = run(replacement)?;
            sums.add_losses([&as_it_is, &counted.losses(&logits), &with_zeros]);
            sums.add_divergences([&counted.divergences(&original, &logits), &to_zeros]);
        }
    }
    sums.into_iter().map(RecoveredSums::finish).collect()
}

/// The tokens of a batch that count.
struct CountedTokens<'a> {
    batch: &'a TokenBatch,
    counts: Vec<bool>,
    /// The token after each.
    targets: Vec<u32>,
}

impl<'a> CountedTokens<'a> {
    fn new(batch: &'a TokenBatch, config: &RecoveryConfig) -> Self {
        let counts: Vec<bool> = batch
            .ids()
            .iter()
            .zip(batch.mask())
            .map(|(id, is_real)| *is_real && !config.special_tokens.contains(id))
            .collect();
        let next = |i: usize| batch.ids().get(i + 1).copied().unwrap_or(0);
        let targets = (0..counts.len()).map(next).collect();
        Self { batch, counts, targets }
    }

    /// Losses of the tokens that are predicted from one that counts.
    fn losses(&self, logits: &[f32]) -> Vec<f64> {
        let ([_, pos], mask) = (self.batch.dims(), self.batch.mask());
        let is_predicted = |i: usize| self.counts[i] && !(i + 1).is_multiple_of(pos) && mask[i + 1];
        let losses = cross_entropies(logits, &self.targets).into_iter().enumerate();
        losses.filter(|(i, _)| is_predicted(*i)).map(|(_, loss)| loss).collect()
    }

    /// Divergences of the tokens that count.
    fn divergences(&self, original: &[f32], new: &[f32]) -> Vec<f64> {
        let all = kl_divergences(original, new, self.counts.len()).into_iter().enumerate();
        all.filter(|(i, _)| self.counts[*i]).map(|(_, divergence)| divergence).collect()
    }
}

/// Values in the shape of an activation, on the same device.
fn like(captured: &Activation, values: Vec<f32>) -> Activation {
    let flat = captured.clone().flatten_heads();
    let stream = Tensor::<3>::from_data(TensorData::new(values, flat.dims()), &flat.device());
    match captured {
        Activation::Stream(_) => Activation::Stream(stream),
        Activation::Heads(heads) => Activation::Heads(stream.reshape(heads.dims())),
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use attention_probes_models::{PaddingSide, open_model};
    use burn::tensor::Device;

    use super::*;
    use crate::{SaeActivation, SaeConfig};

    #[test]
    fn losses_and_divergences_are_those_by_hand() {
        let (original, new) = ([0.0, 3.0_f32.ln()], [0.0, 0.0]);
        let losses = cross_entropies(&original, &[1]);
        assert_relative_eq!(losses[0], (4.0_f64 / 3.0).ln(), max_relative = 1e-6);
        let expected = 0.25 * 0.5_f64.ln() + 0.75 * 1.5_f64.ln();
        assert_relative_eq!(kl_divergences(&original, &new, 1)[0], expected, max_relative = 1e-6);
        assert_relative_eq!(ce_loss_score(1.0, 2.0, 5.0), 0.75);
        assert_relative_eq!(kl_div_score(0.5, 2.0), 0.75);
    }

    /// `x̂ = scale x`, in two features for each place.
    fn scaling_sae(d: usize, scale: f32) -> Sae {
        let mut matrix = vec![0.0; 2 * d * d];
        for i in 0..d {
            matrix[i * d + i] = 1.0;
            matrix[(d + i) * d + i] = -1.0;
        }
        Sae {
            config: SaeConfig::new(d, 2 * d),
            activation: SaeActivation::Standard { b_enc: vec![0.0; 2 * d] },
            encoder: matrix.clone(),
            decoder: matrix.into_iter().map(|w| w * scale).collect(),
            b_dec: vec![0.0; d],
        }
    }

    #[test]
    fn a_perfect_autoencoder_recovers_all_and_one_of_zeros_nothing() {
        let device = Device::default();
        let model = open_model("demo-gpt2", None, &device).unwrap().model;
        let texts: [&[u32]; 2] = [&[5, 6, 7, 8, 9], &[40, 3, 77]];
        let batch = TokenBatch::new(&texts, PaddingSide::Right, &device).unwrap();
        let shape = model.shape();
        for (hook, d) in [
            (HookPoint::Z(1), shape.n_heads * shape.d_head),
            (HookPoint::ResidPost(1), shape.d_model),
        ] {
            let recover = |scale, config: &RecoveryConfig| {
                let at = ModelHook { model: &*model, hook };
                recovered(at, &scaling_sae(d, scale), [&batch], config).unwrap()
            };
            let all = RecoveryConfig::default();
            let perfect = recover(1.0, &all);
            assert_eq!(perfect.n_tokens, 8);
            assert!((perfect.ce_loss_score - 1.0).abs() < 1e-3, "{hook} {perfect:?}");
            assert!((perfect.kl_div_score - 1.0).abs() < 1e-3, "{hook} {perfect:?}");
            let nothing = recover(0.0, &all);
            assert!(nothing.ce_loss_score.abs() < 1e-6, "{hook} {nothing:?}");
            assert!(nothing.kl_div_score.abs() < 1e-6, "{hook} {nothing:?}");
            assert!(nothing.kl_div_with_ablation > 1e-3, "{hook} {nothing:?}");
            // Tokens that are special keep what they have, so the zeros are not everywhere.
            let special_tokens = vec![5, 7, 8, 9, 40, 3];
            let replaced = RecoveryConfig { special_tokens, ..RecoveryConfig::default() };
            let kept = RecoveryConfig { keep_special_activations: true, ..replaced.clone() };
            let (replaced, kept) = (recover(0.0, &replaced), recover(0.0, &kept));
            assert_eq!((replaced.n_tokens, kept.n_tokens), (2, 2));
            assert!(replaced.kl_div_score.abs() < 1e-6, "{hook} {replaced:?}");
            assert!(kept.kl_div_score.abs() > 1e-3, "{hook} {kept:?}");
        }
    }

    #[test]
    fn another_width_is_refused() {
        let device = Device::default();
        let model = open_model("demo-gpt2", None, &device).unwrap().model;
        let batch = TokenBatch::new(&[[1, 2]], PaddingSide::Right, &device).unwrap();
        let config = RecoveryConfig::default();
        let sae = scaling_sae(3, 1.0);
        let at = ModelHook { model: &*model, hook: HookPoint::Z(0) };
        let error = recovered(at, &sae, [&batch], &config).unwrap_err();
        assert!(matches!(error, SaeError::SizeMismatch { expected: 3, .. }), "{error}");
        assert!(matches!(hook_of_sae(&sae).unwrap_err(), SaeError::Site { .. }));
        let mut named = sae;
        named.config.metadata.set("hook_name", "blocks.1.attn.hook_z");
        assert_eq!(hook_of_sae(&named).unwrap(), HookPoint::Z(1));
    }
}
