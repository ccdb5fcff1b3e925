//! The losses of guidance over sparse features, and their gradients.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::codes::{Spread, UnitCodes};
use super::config::GuidanceConfig;
use super::patterns::BatchPattern;
use crate::train::Entry;

/// What guidance measured on a batch; each loss as it is before its weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuidanceLosses {
    /// `L_guide`: how unlike a token's features are those of the tokens that it attends to.
    pub guide: f64,
    /// `L_cons`: how unlike each other are the features that the layers gather.
    pub consistency: f64,
    /// `L_con`: how badly a token is told from those of other texts by what it attends to.
    pub contrast: f64,
    /// Mean cosine of the features of a token and of those that it attends to, for each pattern.
    pub cosines: Vec<f64>,
}

/// A batch of whole contexts and what guides it.
pub(super) struct Guided<'a> {
    /// Tokens of a context that have rows.
    pub(super) length: usize,
    /// One for each layer.
    pub(super) patterns: &'a [&'a BatchPattern],
    /// Weight of each pattern; they sum to 1.
    pub(super) weights: &'a [f64],
    pub(super) config: &'a GuidanceConfig,
    /// What the tokens of other texts are drawn by.
    pub(super) seed: u64,
    /// What the sum of the losses is multiplied by.
    pub(super) scale: f64,
}

/// Sums of one context.
#[derive(Clone, Debug, Default)]
struct Sums {
    guide: f64,
    consistency: f64,
    contrast: f64,
    /// Weighted cosines of each pattern, and the weights.
    cosines: Vec<(f64, f64)>,
}

impl Guided<'_> {
    /// Adds the gradients of the weighted losses to entries.
    pub(super) fn add_gradients(
        &self,
        rows: &mut [Vec<Entry>],
        decoder_norms: &[f32],
    ) -> GuidanceLosses {
        let codes = UnitCodes::new(rows, decoder_norms);
        let n_contexts = rows.len() / self.length;
        let has_keys = |row: &usize| self.patterns.iter().any(|one| !one.row(*row).is_empty());
        let n = (0..rows.len()).filter(has_keys).count().max(1) as f64;
        let mut gradients = vec![0.0_f32; codes.entries(0..rows.len()).len()];
        let mut tasks = Vec::with_capacity(n_contexts);
        let mut rest = &mut gradients[..];
        for context in 0..n_contexts {
            let of_context = context * self.length..(context + 1) * self.length;
            let (gradients, after) = rest.split_at_mut(codes.entries(of_context).len());
            tasks.push((context, gradients));
            rest = after;
        }
        let scale = (self.scale / n) as f32;
        let d_sae = decoder_norms.len();
        let of_context = |(context, gradients): (usize, &mut [f32])| {
            let mut work = Work::new(d_sae, self.length, self.patterns.len());
            self.differentiate(context, &codes, gradients, (scale, &mut work))
        };
        let sums: Vec<Sums> = tasks.into_par_iter().map(of_context).collect();
        for (entry, gradient) in rows.iter_mut().flatten().zip(gradients) {
            entry.gradient += gradient * decoder_norms[entry.feature as usize];
        }
        let mean = |of: fn(&Sums) -> f64| sums.iter().map(of).sum::<f64>() / n;
        let cosine = |pattern: usize| {
            let of_pattern = sums.iter().map(|sums| sums.cosines[pattern]);
            let (sum, weight) = of_pattern.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            if weight > 0.0 { sum / weight } else { 0.0 }
        };
        GuidanceLosses {
            guide: mean(|sums| sums.guide),
            consistency: mean(|sums| sums.consistency),
            contrast: mean(|sums| sums.contrast),
            cosines: (0..self.patterns.len()).map(cosine).collect(),
        }
    }

    /// The part of one context.
    fn differentiate(
        &self,
        context: usize,
        codes: &UnitCodes,
        gradients: &mut [f32],
        (scale, work): (f32, &mut Work),
    ) -> Sums {
        let first = context * self.length;
        let before = codes.entries(0..first).len();
        let mut sums = Sums { cosines: vec![(0.0, 0.0); self.patterns.len()], ..Sums::default() };
        let negatives = self.negatives(context, codes);
        for row in first..first + self.length {
            if codes.norm(row) > 0.0 {
                let entries = codes.entries(row..row + 1);
                let gradients = &mut gradients[entries.start - before..entries.end - before];
                work.spread.set(codes, row);
                self.pull((row, first), codes, &negatives, (gradients, scale), work, &mut sums);
                work.spread.clear(codes, row);
            }
            if self.config.beta > 0.0 && self.patterns.len() > 1 {
                let scale = scale * self.config.beta as f32;
                sums.consistency += self.agree((row, first), codes, (gradients, scale), work);
            }
        }
        sums
    }

    /// Tokens of other contexts that those of this one are told from.
    fn negatives(&self, context: usize, codes: &UnitCodes) -> Vec<usize> {
        let n_rows = self.patterns.first().map_or(0, |pattern| pattern.n_rows());
        let others = n_rows.saturating_sub(self.length);
        if self.config.gamma <= 0.0 || others == 0 {
            return Vec::new();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(context as u64);
        let draw = |_| {
            let other = rng.random_range(0..others);
            if other < context * self.length { other } else { other + self.length }
        };
        (0..self.config.n_negatives).map(draw).filter(|row| codes.norm(*row) > 0.0).collect()
    }

    /// `L_guide` and `L_con` of one row, whose features alone they change.
    fn pull(
        &self,
        (row, first): (usize, usize),
        codes: &UnitCodes,
        negatives: &[usize],
        (gradients, scale): (&mut [f32], f32),
        work: &mut Work,
        sums: &mut Sums,
    ) {
        let Work { spread, others, seen, .. } = work;
        others.clear();
        for ((pattern, weight), sum) in
            self.patterns.iter().zip(self.weights).zip(&mut sums.cosines)
        {
            for &(key, attention) in pattern.row(row) {
                let (seen, row) = (&mut seen[key as usize], first + key as usize);
                if *seen == 0 {
                    let cosine = spread.cosine(codes, row);
                    others.push(Other { row, attention: 0.0, cosine, coefficient: 0.0 });
                    *seen = others.len();
                }
                let other = &mut others[*seen - 1];
                other.attention += attention * *weight as f32;
                sum.0 += f64::from(attention * other.cosine);
                sum.1 += f64::from(attention);
            }
        }
        for other in others.iter() {
            seen[other.row - first] = 0;
        }
        let (alpha, gamma) = (self.config.alpha as f32, self.config.gamma as f32);
        for other in others.iter_mut() {
            sums.guide += f64::from(other.attention * (1.0 - other.cosine));
            other.coefficient = -alpha * other.attention;
        }
        if gamma > 0.0 && !negatives.is_empty() {
            sums.contrast += self.contrast(codes, negatives, spread, others);
        }
        let factor = scale / codes.norm(row);
        let mut along = 0.0;
        for other in others.iter() {
            along += other.coefficient * other.cosine;
            spread.add_shared(codes, other.row, other.coefficient * factor, gradients);
        }
        // The cosine does not change along the row itself.
        for (gradient, (_, value)) in gradients.iter_mut().zip(codes.row(row)) {
            *gradient -= factor * along * value;
        }
    }

    /// `L_con` of one row; adds the derivatives by cosines.
    fn contrast(
        &self,
        codes: &UnitCodes,
        negatives: &[usize],
        spread: &Spread,
        others: &mut Vec<Other>,
    ) -> f64 {
        let (gamma, tau) = (self.config.gamma as f32, self.config.tau as f32);
        let n_keys = others.len();
        others.extend(negatives.iter().map(|&row| {
            let cosine = spread.cosine(codes, row);
            Other { row, attention: 0.0, cosine, coefficient: 0.0 }
        }));
        let (keys, negatives) = others.split_at_mut(n_keys);
        // Cosines are at most 1, so no exponential is above 1.
        let exponential = |other: &Other| ((other.cosine - 1.0) / tau).exp();
        let sum: f32 = negatives.iter().map(exponential).sum();
        let (mut loss, mut by_negatives) = (0.0, 0.0);
        for key in keys {
            let own = exponential(key);
            loss -= f64::from(key.attention) * f64::from(own / (own + sum)).ln();
            let share = key.attention * sum / (own + sum) / tau;
            key.coefficient -= gamma * share;
            by_negatives += share;
        }
        for other in negatives {
            other.coefficient = gamma * by_negatives * exponential(other) / sum;
        }
        loss
    }

    /// `L_cons` of one row, which changes the features of the tokens that it attends to.
    fn agree(
        &self,
        (row, first): (usize, usize),
        codes: &UnitCodes,
        (gradients, scale): (&mut [f32], f32),
        work: &mut Work,
    ) -> f64 {
        let before = codes.entries(0..first).len();
        let pools = &mut work.pools;
        for (pool, pattern) in pools.iter_mut().zip(self.patterns) {
            pool.fill(codes, pattern.row(row), first);
        }
        let n = self.patterns.len();
        let n_pairs = (n * (n - 1) / 2) as f32;
        let mut loss = 0.0;
        for a in 0..n {
            for b in a + 1..n {
                let (norm_a, norm_b) = (pools[a].norm, pools[b].norm);
                if norm_a <= 0.0 || norm_b <= 0.0 {
                    continue;
                }
                let cosine = pools[a].dot(&pools[b]) / (norm_a * norm_b);
                loss += f64::from((1.0 - cosine) / n_pairs);
                for (own, other, norm, other_norm) in
                    [(a, b, norm_a, norm_b), (b, a, norm_b, norm_a)]
                {
                    for &(key, attention) in self.patterns[own].row(row) {
                        let key = first + key as usize;
                        let by = -scale * attention / (n_pairs * norm);
                        let start = codes.entries(key..key + 1).start - before;
                        for (place, (feature, _)) in codes.row(key).enumerate() {
                            let toward = pools[other].sums[feature] / other_norm
                                - cosine * pools[own].sums[feature] / norm;
                            gradients[start + place] += by * toward;
                        }
                    }
                }
            }
        }
        for pool in pools {
            pool.clear();
        }
        loss
    }
}

/// A token that another is compared with.
#[derive(Clone, Copy, Debug)]
struct Other {
    row: usize,
    /// Weight of the token's attention.
    attention: f32,
    cosine: f32,
    /// Derivative of the losses by the cosine.
    coefficient: f32,
}

/// Memory of one task.
struct Work {
    spread: Spread,
    others: Vec<Other>,
    /// Number of the token among the others, counted from 1; 0 where it is not among them.
    seen: Vec<usize>,
    pools: Vec<Pool>,
}

impl Work {
    fn new(d_sae: usize, length: usize, n_patterns: usize) -> Self {
        let pool = || Pool { sums: vec![0.0; d_sae], touched: Vec::new(), norm: 0.0 };
        let pools = (0..n_patterns).map(|_| pool()).collect();
        Self { spread: Spread::new(d_sae), others: Vec::new(), seen: vec![0; length], pools }
    }
}

/// What a row gathers: `Σ_k A[q,k] f_k`.
struct Pool {
    sums: Vec<f32>,
    touched: Vec<usize>,
    norm: f32,
}

impl Pool {
    fn fill(&mut self, codes: &UnitCodes, keys: &[(u32, f32)], first: usize) {
        for &(key, attention) in keys {
            let key = first + key as usize;
            for (feature, value) in codes.row(key) {
                if self.sums[feature] == 0.0 {
                    self.touched.push(feature);
                }
                self.sums[feature] += attention * value * codes.norm(key);
            }
        }
        let squares = self.touched.iter().map(|feature| self.sums[*feature].powi(2));
        self.norm = squares.sum::<f32>().sqrt();
    }

    fn dot(&self, other: &Self) -> f32 {
        self.touched.iter().map(|feature| self.sums[*feature] * other.sums[*feature]).sum()
    }

    fn clear(&mut self) {
        for feature in self.touched.drain(..) {
            self.sums[feature] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guided::attention_store::AttentionLayers;
    use crate::guided::patterns::PatternSource;
    use crate::{AttentionStore, KeepAttention, PoolHeads};

    const LENGTH: usize = 7;
    const N_CONTEXTS: usize = 3;
    const D_SAE: usize = 10;

    fn entries(rng: &mut ChaCha8Rng) -> Vec<Vec<Entry>> {
        (0..N_CONTEXTS * LENGTH)
            .map(|row| {
                // One row without any active feature.
                let n = if row == 9 { 0 } else { 4 };
                let mut features: Vec<u32> = (0..D_SAE as u32).collect();
                rand::seq::SliceRandom::shuffle(&mut features[..], rng);
                features.truncate(n);
                features.sort_unstable();
                let entry = |feature| {
                    let value = rng.random_range(0.2..2.0);
                    Entry { feature, value, gradient: 0.0 }
                };
                features.into_iter().map(entry).collect()
            })
            .collect()
    }

    fn patterns(rng: &mut ChaCha8Rng) -> Vec<BatchPattern> {
        let mut stores = Vec::new();
        for layer in 0..3 {
            let mut store = AttentionStore::new(LENGTH + 1).unwrap();
            for _ in 0..N_CONTEXTS {
                let mut pattern = vec![0.0; (LENGTH + 1) * (LENGTH + 1)];
                for query in 0..=LENGTH {
                    for key in 0..=query {
                        pattern[query * (LENGTH + 1) + key] = rng.random_range(0.0..1.0);
                    }
                }
                let keep = KeepAttention { top: 4, ..KeepAttention::default() };
                store.push(&pattern, 1, PoolHeads::Mean, keep).unwrap();
            }
            stores.push((layer, store));
        }
        let layers = AttentionLayers::of(stores);
        (0..3)
            .map(|layer| {
                let contexts: Vec<usize> = (0..N_CONTEXTS).collect();
                let source = PatternSource::Layer(layer);
                BatchPattern::gather(&source, &layers, &contexts, 1..LENGTH + 1)
            })
            .collect()
    }

    /// Codes of every row, spread out.
    fn dense(rows: &[Vec<Entry>], norms: &[f32]) -> Vec<Vec<f64>> {
        rows.iter()
            .map(|row| {
                let mut code = vec![0.0; D_SAE];
                for entry in row {
                    let feature = entry.feature as usize;
                    code[feature] = f64::from(entry.value * norms[feature]);
                }
                code
            })
            .collect()
    }

    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
    }

    /// The three losses as they are written down; `fixed` are the codes that do not learn.
    fn slow(
        guided: &Guided<'_>,
        own: &[Vec<f64>],
        fixed: &[Vec<f64>],
        codes: &UnitCodes,
    ) -> [f64; 3] {
        let mut sums = [0.0; 3];
        let mut n = 0.0;
        for row in 0..own.len() {
            let first = row / LENGTH * LENGTH;
            n += f64::from(u8::from(guided.patterns.iter().any(|one| !one.row(row).is_empty())));
            let keys: Vec<(usize, f64)> = guided
                .patterns
                .iter()
                .zip(guided.weights)
                .flat_map(|(pattern, w)| pattern.row(row).iter().map(move |key| (key, *w)))
                .map(|(key, w)| (first + key.0 as usize, f64::from(key.1) * w))
                .collect();
            if own[row].iter().any(|f| *f > 0.0) {
                let negatives = guided.negatives(row / LENGTH, codes);
                for (key, attention) in keys {
                    let exponential =
                        |other: usize| (cosine(&own[row], &fixed[other]) / guided.config.tau).exp();
                    let others: f64 = negatives.iter().map(|other| exponential(*other)).sum();
                    sums[0] += attention * (1.0 - cosine(&own[row], &fixed[key]));
                    sums[2] -= attention * (exponential(key) / (exponential(key) + others)).ln();
                }
            }
            let pooled: Vec<Vec<f64>> = guided
                .patterns
                .iter()
                .map(|pattern| {
                    let mut sum = vec![0.0; D_SAE];
                    for (key, attention) in pattern.row(row) {
                        for (sum, f) in sum.iter_mut().zip(&own[first + *key as usize]) {
                            *sum += f64::from(*attention) * f;
                        }
                    }
                    sum
                })
                .collect();
            for a in 0..pooled.len() {
                for b in a + 1..pooled.len() {
                    let is_something = |one: &[f64]| one.iter().any(|f| *f > 0.0);
                    if is_something(&pooled[a]) && is_something(&pooled[b]) {
                        sums[1] += (1.0 - cosine(&pooled[a], &pooled[b])) / 3.0;
                    }
                }
            }
        }
        sums.map(|sum| sum / n)
    }

    #[test]
    fn losses_and_gradients_are_those_of_the_formulas() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut rows = entries(&mut rng);
        let norms: Vec<f32> = (0..D_SAE).map(|_| rng.random_range(0.5..1.5)).collect();
        let patterns = patterns(&mut rng);
        let config = GuidanceConfig {
            alpha: 0.3,
            beta: 0.7,
            gamma: 0.2,
            tau: 0.5,
            n_negatives: 6,
            ..GuidanceConfig::default()
        };
        let patterns: Vec<&BatchPattern> = patterns.iter().collect();
        let guided = Guided {
            length: LENGTH,
            patterns: &patterns,
            weights: &[0.5, 0.2, 0.3],
            config: &config,
            seed: 3,
            scale: 2.5,
        };
        let codes = UnitCodes::new(&rows, &norms);
        let found = guided.add_gradients(&mut rows, &norms);
        let fixed = dense(&rows, &norms);
        let losses = slow(&guided, &fixed, &fixed, &codes);
        approx::assert_abs_diff_eq!(found.guide, losses[0], epsilon = 1e-5);
        approx::assert_abs_diff_eq!(found.consistency, losses[1], epsilon = 1e-5);
        approx::assert_abs_diff_eq!(found.contrast, losses[2], epsilon = 1e-5);
        assert!(found.cosines.iter().all(|cosine| (0.05..0.95).contains(cosine)), "{found:?}");

        let total = |own: &[Vec<f64>]| {
            let [guide, consistency, contrast] = slow(&guided, own, &fixed, &codes);
            2.5 * (0.3 * guide + 0.7 * consistency + 0.2 * contrast)
        };
        let mut largest = 0.0_f64;
        for (row, entries) in rows.iter().enumerate() {
            for entry in entries {
                let feature = entry.feature as usize;
                let at = |change: f64| {
                    let mut own = fixed.clone();
                    own[row][feature] += change * f64::from(norms[feature]);
                    total(&own)
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                largest = largest.max(expected.abs());
                approx::assert_abs_diff_eq!(f64::from(entry.gradient), expected, epsilon = 1e-5);
            }
        }
        assert!(largest > 0.01, "something is pulled: {largest}");
    }

    #[test]
    fn codes_that_agree_are_left_alone() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let patterns = patterns(&mut rng);
        let one = entries(&mut rng)[0].clone();
        let mut rows = vec![one; N_CONTEXTS * LENGTH];
        let config = GuidanceConfig { gamma: 0.0, ..GuidanceConfig::default() };
        let patterns: Vec<&BatchPattern> = patterns.iter().collect();
        let weights = [0.2, 0.3, 0.5];
        let (patterns, config) = (&patterns[..], &config);
        let guided =
            Guided { length: LENGTH, patterns, weights: &weights, config, seed: 0, scale: 1.0 };
        let losses = guided.add_gradients(&mut rows, &[1.0; D_SAE]);
        assert!(losses.guide.abs() < 1e-6 && losses.consistency.abs() < 1e-6, "{losses:?}");
        assert!(rows.iter().flatten().all(|entry| entry.gradient.abs() < 1e-6));
    }
}
