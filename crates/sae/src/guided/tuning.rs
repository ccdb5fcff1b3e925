//! What guides one autoencoder while it is trained, and what it learns of its layers.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::config::GuidanceConfig;
use super::context::{CONTEXT_LAYERS, beside, gathered};
use super::layer_weights::{LAYER_STEPS, LayerWeightHistory, LayerWeights};
use super::losses::{GuidanceLosses, Guided};
use super::patterns::{BatchPattern, PatternSource};
use crate::guided::attention_store::AttentionLayers;
use crate::train::{CheckpointArrays, CheckpointFile, Entry, SaeTrainer};
use crate::{Sae, SaeError};

/// Held-out contexts of such an update.
const LAYER_CONTEXTS: usize = 4;

/// What guided an autoencoder, as it is written beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuidanceRecord {
    /// As it was configured.
    pub config: GuidanceConfig,
    /// Layers of the model whose attention guided.
    pub layers: Vec<usize>,
    /// Weights of the layers in the end; none where a control has no layers.
    pub weights: Vec<f64>,
    /// Weights over the steps.
    pub history: LayerWeightHistory,
    /// Tokens of the window that stands for attention, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// What was measured on the last batch.
    pub losses: GuidanceLosses,
}

/// What guides one autoencoder.
#[derive(Clone, Debug)]
pub(crate) struct Guidance {
    config: GuidanceConfig,
    layers: Vec<usize>,
    sources: Vec<PatternSource>,
    weights: LayerWeights,
    seed: u64,
    losses: GuidanceLosses,
}

/// Patterns of one batch, each gathered once for all autoencoders.
pub(crate) struct GuidedBatch<'a> {
    attention: &'a AttentionLayers,
    contexts: Vec<usize>,
    /// Positions of a context that have rows.
    positions: Range<usize>,
    gathered: Vec<(PatternSource, BatchPattern)>,
}

/// Activations of contexts that no autoencoder is trained on.
#[derive(Clone, Debug)]
pub(crate) struct HeldOut {
    /// Numbers of the contexts in the store of attention.
    pub(crate) contexts: Range<usize>,
    /// Rows of all of them at each place, `[n, width]`.
    pub(crate) rows: Vec<Vec<f32>>,
}

#[cfg(test)]
impl GuidanceRecord {
    pub(super) fn of(config: GuidanceConfig, layers: Vec<usize>) -> Self {
        let (weights, history) = (Vec::new(), LayerWeightHistory::default());
        let losses = GuidanceLosses::default();
        Self { config, layers, weights, history, window: None, losses }
    }
}

impl<'a> GuidedBatch<'a> {
    pub(crate) fn new(
        attention: &'a AttentionLayers,
        contexts: Vec<usize>,
        positions: Range<usize>,
    ) -> Self {
        Self { attention, contexts, positions, gathered: Vec::new() }
    }

    fn gather(&mut self, source: &PatternSource) {
        if self.gathered.iter().all(|(known, _)| known != source) {
            let positions = self.positions.clone();
            let pattern = BatchPattern::gather(source, self.attention, &self.contexts, positions);
            self.gathered.push((source.clone(), pattern));
        }
    }

    /// Patterns of some sources.
    fn patterns(&mut self, sources: &[PatternSource]) -> Vec<&BatchPattern> {
        for source in sources {
            self.gather(source);
        }
        let known = |source: &PatternSource| {
            self.gathered.iter().find(|(known, _)| known == source).map(|(_, pattern)| pattern)
        };
        sources.iter().filter_map(known).collect()
    }
}

impl Guidance {
    /// Prepares the guidance of an autoencoder.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if there is no attention of a layer.
    pub(crate) fn new(
        config: &GuidanceConfig,
        layers: &[usize],
        (attention, n_contexts): (&AttentionLayers, usize),
        seed: u64,
    ) -> Result<Self, SaeError> {
        let sources = PatternSource::all(config.attention, layers, attention, n_contexts)?;
        let weights = LayerWeights::new(sources.len(), config.layer_weights, config.entropy_floor);
        let (config, layers) = (config.clone(), layers.to_vec());
        let losses = GuidanceLosses::default();
        Ok(Self { config, layers, sources, weights, seed, losses })
    }

    /// Blocks of `d_in` that the encoder reads beside the activations.
    pub(crate) fn n_context(&self) -> usize {
        if self.config.context_encoder { self.sources.len() } else { 0 }
    }

    /// What the encoder reads beside the rows of a batch, `[n, n_context · d_in]`.
    pub(crate) fn context(
        &self,
        batch: &mut GuidedBatch<'_>,
        x: &[f32],
        d_in: usize,
        step: u64,
    ) -> Vec<f32> {
        if !self.config.context_encoder {
            return Vec::new();
        }
        let length = batch.positions.len();
        let patterns = batch.patterns(&self.sources);
        gathered(x, (d_in, length), &patterns, &self.weights.at(step))
    }

    /// Makes the weights of the layers part of an autoencoder with a context encoder.
    pub(crate) fn fold(&self, sae: &mut Sae, step: u64) {
        let blocks = 1 + self.n_context();
        if blocks == 1 {
            return;
        }
        let d_in = sae.config.d_in / blocks;
        let weights = self.weights.at(step);
        for row in sae.encoder.chunks_exact_mut(blocks * d_in) {
            for (block, weight) in row.chunks_exact_mut(d_in).skip(1).zip(&weights) {
                for w in block {
                    *w *= *weight as f32;
                }
            }
        }
        let layers = if blocks == 1 + self.layers.len() { &self.layers[..] } else { &[] };
        sae.config.metadata.set(CONTEXT_LAYERS, layers.to_vec());
    }

    /// Adds the gradients of a batch to its entries; returns the weighted loss. `variance` is that
    /// of a row.
    pub(crate) fn add_gradients(
        &mut self,
        batch: &mut GuidedBatch<'_>,
        (rows, decoder_norms): (&mut [Vec<Entry>], &[f32]),
        (step, variance): (u64, f64),
    ) -> f64 {
        let weights = self.weights.at(step);
        let length = batch.positions.len();
        let patterns = batch.patterns(&self.sources);
        let guided = Guided {
            length,
            patterns: &patterns,
            weights: &weights,
            config: &self.config,
            seed: self.seed.wrapping_add(step),
            scale: variance,
        };
        self.losses = guided.add_gradients(rows, decoder_norms);
        let GuidanceLosses { guide, consistency, contrast, .. } = &self.losses;
        let GuidanceConfig { alpha, beta, gamma, .. } = &self.config;
        variance * (alpha * guide + beta * consistency + gamma * contrast)
    }

    /// Learns the weights of the layers on held-out contexts, every so many steps.
    ///
    /// `x - b_dec` of a token is predicted by `s Σ_l w_l Σ_k A^l[q,k] (x̂_k - b_dec)` with the scale
    /// `s` that suits best; the loss is the squared error over the squared norms.
    ///
    /// # Errors
    ///
    /// The errors of [`crate::Sae::encode`].
    pub(crate) fn learn_layers(
        &mut self,
        trainer: &SaeTrainer,
        (held_out, place, scale): (&HeldOut, usize, f32),
        (attention, positions): (&AttentionLayers, Range<usize>),
    ) -> Result<(), SaeError> {
        let step = trainer.n_steps();
        if !step.is_multiple_of(LAYER_STEPS) {
            return Ok(());
        }
        if !self.weights.is_learned() {
            self.weights.write_down(step);
            return Ok(());
        }
        let (d_in, length) = (trainer.d_in(), positions.len());
        let n_held_out = held_out.contexts.len();
        let n = LAYER_CONTEXTS.min(n_held_out);
        let first = (step / LAYER_STEPS) as usize * n % n_held_out;
        let chosen: Vec<usize> = (0..n).map(|i| (first + i) % n_held_out).collect();
        let mut x = Vec::with_capacity(n * length * d_in);
        for context in &chosen {
            let rows = context * length * d_in..(context + 1) * length * d_in;
            x.extend(held_out.rows[place][rows].iter().map(|x| x * scale));
        }
        let contexts = chosen.iter().map(|context| held_out.contexts.start + context).collect();
        let mut batch = GuidedBatch::new(attention, contexts, positions);
        let sae = trainer.sae();
        let context = self.context(&mut batch, &x, d_in, step);
        let d_enc = sae.config.d_in;
        let wide = if context.is_empty() { x.clone() } else { beside(&x, d_in, &context) };
        let decoded = sae.decode(&sae.encode(&wide)?);
        let mut decoded: Vec<f32> =
            decoded.chunks_exact(d_enc).flat_map(|row| &row[..d_in]).copied().collect();
        for row in x.chunks_exact_mut(d_in).chain(decoded.chunks_exact_mut(d_in)) {
            for (x, b) in row.iter_mut().zip(&sae.b_dec) {
                *x -= b;
            }
        }
        let patterns = batch.patterns(&self.sources);
        let weights = self.weights.at(step);
        let by_weights = by_weights(&x, &decoded, (d_in, length), &patterns, &weights);
        self.weights.learn(step, &by_weights);
        Ok(())
    }

    /// What is written beside the autoencoder; `step` is the last.
    pub(crate) fn record(&self, step: u64) -> GuidanceRecord {
        let is_of_layers = self.sources.len() == self.layers.len()
            && !matches!(self.sources[..], [PatternSource::Local(_) | PatternSource::Uniform]);
        GuidanceRecord {
            config: self.config.clone(),
            layers: self.layers.clone(),
            weights: if is_of_layers { self.weights.at(step) } else { Vec::new() },
            history: if is_of_layers {
                self.weights.history.clone()
            } else {
                LayerWeightHistory::default()
            },
            window: match self.sources[..] {
                [PatternSource::Local(window)] => Some(window),
                _ => None,
            },
            losses: self.losses.clone(),
        }
    }

    /// Writes everything that a step changes, under names that begin with `prefix`.
    pub(crate) fn save(&self, arrays: &mut CheckpointArrays, prefix: &str) {
        let LayerWeights { theta, first, second, n_updates, history, .. } = &self.weights;
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        for (name, values) in [("theta", theta), ("first", first), ("second", second)] {
            arrays.put_u64(format!("{prefix}.{name}"), &bits(values));
        }
        arrays.put_u64(format!("{prefix}.n_updates"), &[*n_updates]);
        arrays.put_u64(format!("{prefix}.steps"), &history.steps);
        arrays.put_u64(format!("{prefix}.history"), &bits(&history.weights.concat()));
    }

    /// Goes back to what was saved; `None` if an array is missing or of another size.
    pub(crate) fn load(&mut self, file: &CheckpointFile<'_>, prefix: &str) -> Option<()> {
        let n = self.sources.len();
        let floats = |name: &str, n: Option<usize>| {
            let bits = file.u64(&format!("{prefix}.{name}"), n)?;
            Some(bits.into_iter().map(f64::from_bits).collect::<Vec<_>>())
        };
        let steps = file.u64(&format!("{prefix}.steps"), None)?;
        let history = floats("history", Some(steps.len() * n))?;
        let weights = history.chunks_exact(n).map(<[f64]>::to_vec).collect();
        self.weights.theta = floats("theta", Some(n))?;
        self.weights.first = floats("first", Some(n))?;
        self.weights.second = floats("second", Some(n))?;
        self.weights.n_updates = file.u64(&format!("{prefix}.n_updates"), Some(1))?[0];
        self.weights.history = LayerWeightHistory { steps, weights };
        Some(())
    }
}

/// Derivatives of the error of the best scaled prediction by the weights of the layers.
///
/// `E = Σ ‖x - s p‖² / Σ ‖x‖²` with `p = Σ_l w_l p^l`; at the best `s = Σ x·p / Σ p·p` it does not
/// change with `s`, so `∂E/∂w_l = -2 s Σ (x - s p)·p^l / Σ ‖x‖²`.
fn by_weights(
    x: &[f32],
    decoded: &[f32],
    (d_in, length): (usize, usize),
    patterns: &[&BatchPattern],
    weights: &[f64],
) -> Vec<f64> {
    let n = patterns.len();
    // Products of x, and of each layer's part, with each layer's part; all that is needed.
    let (mut with_x, mut among) = (vec![0.0_f64; n], vec![vec![0.0_f64; n]; n]);
    let mut squares = 0.0_f64;
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let mut parts = vec![vec![0.0_f32; d_in]; n];
    for (row, x) in x.chunks_exact(d_in).enumerate() {
        let first = row / length * length;
        let mut attends = false;
        for (part, pattern) in parts.iter_mut().zip(patterns) {
            part.fill(0.0);
            for &(key, attention) in pattern.row(row) {
                attends = true;
                let key = (first + key as usize) * d_in;
                for (sum, decoded) in part.iter_mut().zip(&decoded[key..key + d_in]) {
                    *sum += attention * decoded;
                }
            }
        }
        if !attends {
            continue;
        }
        squares += dot(x, x);
        for (l, part) in parts.iter().enumerate() {
            with_x[l] += dot(x, part);
            for (sum, other) in among[l].iter_mut().zip(&parts) {
                *sum += dot(part, other);
            }
        }
    }
    let of = |row: &[f64]| row.iter().zip(weights).map(|(sum, w)| sum * w).sum::<f64>();
    let with_prediction: Vec<f64> = among.iter().map(|row| of(row)).collect();
    let prediction_squares = of(&with_prediction).max(f64::MIN_POSITIVE);
    let scale = of(&with_x) / prediction_squares;
    let parts = with_x.iter().zip(&with_prediction);
    parts.map(|(x, p)| -2.0 * scale * (x - scale * p) / squares.max(f64::MIN_POSITIVE)).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{AttentionStore, KeepAttention, PoolHeads};

    #[test]
    fn derivatives_by_weights_are_those_of_the_error() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (length, d_in) = (9, 4);
        let mut stores = Vec::new();
        for layer in 0..3 {
            let mut store = AttentionStore::new(length).unwrap();
            let pattern: Vec<f32> =
                (0..length * length).map(|_| rng.random_range(0.0..1.0)).collect();
            store.push(&pattern, 1, PoolHeads::Mean, KeepAttention::default()).unwrap();
            stores.push((layer, store));
        }
        let layers = AttentionLayers::of(stores);
        let gather =
            |layer| BatchPattern::gather(&PatternSource::Layer(layer), &layers, &[0], 0..length);
        let patterns: Vec<BatchPattern> = (0..3).map(gather).collect();
        let patterns: Vec<&BatchPattern> = patterns.iter().collect();
        let mut random = || (0..length * d_in).map(|_| rng.random_range(-1.0_f32..1.0)).collect();
        let (x, decoded): (Vec<f32>, Vec<f32>) = (random(), random());
        let error = |weights: &[f64]| -> f64 {
            let (mut xx, mut xp, mut pp) = (0.0, 0.0, 0.0);
            for row in (0..length).filter(|row| !patterns[0].row(*row).is_empty()) {
                for column in 0..d_in {
                    let p: f64 = patterns
                        .iter()
                        .zip(weights)
                        .flat_map(|(pattern, w)| pattern.row(row).iter().map(move |key| (key, w)))
                        .map(|((key, a), w)| {
                            w * f64::from(*a) * f64::from(decoded[*key as usize * d_in + column])
                        })
                        .sum();
                    let x = f64::from(x[row * d_in + column]);
                    (xx, xp, pp) = (xx + x * x, xp + x * p, pp + p * p);
                }
            }
            (xx - xp * xp / pp) / xx
        };
        let weights = [0.5, 0.2, 0.3];
        let found = by_weights(&x, &decoded, (d_in, length), &patterns, &weights);
        for l in 0..3 {
            let (mut more, mut less) = (weights, weights);
            more[l] += 1e-5;
            less[l] -= 1e-5;
            let expected = (error(&more) - error(&less)) / 2e-5;
            approx::assert_abs_diff_eq!(found[l], expected, epsilon = 1e-5);
        }
    }
}
