//! The gradients of the `TopK` kinds: one dense product, everything else with active features only.

use attention_probes_kernels::{Matrix, Write, matmul, vectorize};
use rayon::prelude::*;

use super::adam::Trained;
use super::config::TrainArchitecture;
use super::entries::{ByFeature, Entry, Rows, decode, differentiate};
use super::report::{Guide, StepReport};
use super::scratch::{Scratch, SparseBatch};
use super::trainer::SaeTrainer;
use crate::top_k::TopK;

/// Pre-activations that are held at a time.
const BLOCK_VALUES: usize = 3 << 20;

/// Share of the value that just suffices in one block, from which on values are candidates.
const MARGIN: f32 = 0.9;

/// What is selected in each row.
#[derive(Clone, Copy, Debug)]
enum Select {
    /// The largest so many.
    Largest(usize),
    /// Everything above a value.
    Above(f32),
}

impl SaeTrainer {
    /// Sets the gradients of everything but the decoder's bias, which are set to 0.
    pub(super) fn differentiate_sparsely(
        &mut self,
        (x, variance): (&[f32], f64),
        scratch: &mut Scratch,
        guide: Option<Guide<'_>>,
    ) -> StepReport {
        let (d_in, d_sae, n) = (self.d_in, self.config.d_sae, x.len() / self.d_in);
        let Scratch { input, residual, sparse, n_fired, .. } = scratch;
        let (k_aux, aux_weight) = self.auxiliary();
        match self.config.architecture {
            TrainArchitecture::BatchTopK { k, topk_threshold_lr, .. } => {
                self.select_of_batch(input, sparse, (k * n as f64) as usize, k_aux);
                let smallest = sparse
                    .rows
                    .iter()
                    .flatten()
                    .map(|entry| entry.value * self.norms[entry.feature as usize]);
                if let Some(smallest) = smallest.min_by(f32::total_cmp) {
                    self.topk_threshold +=
                        topk_threshold_lr * (f64::from(smallest) - self.topk_threshold);
                }
            }
            TrainArchitecture::TopK { k, .. } => {
                self.select(input, sparse, Select::Largest(k), k_aux);
            }
            _ => unreachable!("only the TopK kinds are sparse"),
        }
        for entry in sparse.rows.iter().flatten() {
            n_fired[entry.feature as usize] += 1;
        }

        let (decoder, b_dec) = (&self.weights.decoder.values, &self.weights.b_dec.values);
        let scale = 2.0 / n as f32;
        residual.resize(x.len(), 0.0);
        let of_row = |((residual, x), entries): ((&mut [f32], &[f32]), &mut Vec<Entry>)| {
            vectorize(
                #[inline(always)]
                || {
                    residual.copy_from_slice(b_dec);
                    decode(entries, decoder, residual);
                    let mut loss = 0.0;
                    for (r, x) in residual.iter_mut().zip(x) {
                        *r -= x;
                        loss += *r * *r;
                        *r *= scale;
                    }
                    differentiate(entries, decoder, residual);
                    f64::from(loss)
                },
            )
        };
        let losses: Vec<f64> = residual
            .par_chunks_exact_mut(d_in)
            .zip(x.par_chunks_exact(d_in))
            .zip(sparse.rows.par_iter_mut())
            .map(of_row)
            .collect();
        let mse = losses.iter().sum::<f64>() / n as f64;
        self.weights.b_dec.gradient.fill(0.0);
        let guidance = guide.map_or(0.0, |guide| guide(&mut sparse.rows, &self.norms, variance));

        sparse.by_feature.fill(&sparse.rows, d_sae);
        self.differentiate_matrices(&sparse.by_feature, input, residual, Write::Replace);
        let mut auxiliary = 0.0;
        if k_aux > 0 {
            auxiliary = self.reconstruct_with_dead(sparse, residual, aux_weight);
            sparse.by_feature.fill(&sparse.dead_rows, d_sae);
            let residual = &sparse.dead_residual;
            self.differentiate_matrices(&sparse.by_feature, input, residual, Write::Add);
        }
        StepReport { mse, auxiliary, guidance, ..StepReport::default() }
    }

    /// How many dead features of a row learn from what is left, and the weight of their loss.
    pub(super) fn auxiliary(&self) -> (usize, f64) {
        let coefficient = match self.config.architecture {
            TrainArchitecture::TopK { aux_loss_coefficient, .. }
            | TrainArchitecture::BatchTopK { aux_loss_coefficient, .. } => aux_loss_coefficient,
            _ => 0.0,
        };
        let n_dead = self.dead_features().filter(|is_dead| *is_dead).count();
        let wanted = self.d_in / 2;
        if n_dead == 0 || coefficient <= 0.0 || wanted == 0 {
            return (0, 0.0);
        }
        (wanted.min(n_dead), coefficient * (n_dead as f64 / wanted as f64).min(1.0))
    }

    /// Selects the features of every row, and `k_aux` dead ones.
    fn select(&self, input: &[f32], sparse: &mut SparseBatch, select: Select, k_aux: usize) {
        let (d_enc, d_sae) = (self.d_enc(), self.config.d_sae);
        let n = input.len() / d_enc;
        sparse.rows.resize_with(n, Vec::new);
        sparse.dead_rows.resize_with(if k_aux > 0 { n } else { 0 }, Vec::new);
        let dead: Vec<bool> = if k_aux > 0 { self.dead_features().collect() } else { Vec::new() };
        let n_block = (BLOCK_VALUES / d_sae).max(1);
        let mut unused: Rows = vec![Vec::new(); n_block];
        for (block, input) in input.chunks(n_block * d_enc).enumerate() {
            self.multiply(input, &mut sparse.pre);
            let first = block * n_block;
            let rows = &mut sparse.rows[first..first + input.len() / d_enc];
            let dead_rows = match k_aux {
                0 => &mut unused[..rows.len()],
                _ => &mut sparse.dead_rows[first..first + rows.len()],
            };
            sparse.pre.par_chunks_exact_mut(d_sae).zip(rows).zip(dead_rows).for_each_init(
                TopK::default,
                |top_k, ((pre, row), dead_row)| {
                    self.activate(pre, row, select, top_k);
                    if k_aux > 0 {
                        self.activate_dead(pre, dead_row, (&dead, k_aux), top_k);
                    }
                },
            );
        }
    }

    /// Products of some rows with the encoder, `[n, d_sae]`.
    fn multiply(&self, input: &[f32], pre: &mut Vec<f32>) {
        let (d_enc, d_sae) = (self.d_enc(), self.config.d_sae);
        let n = input.len() / d_enc;
        pre.resize(n * d_sae, 0.0);
        matmul(
            pre,
            Matrix::new(input, n, d_enc),
            Matrix::new(&self.weights.encoder.values, d_sae, d_enc).transpose(),
            Write::Replace,
        );
    }

    /// Turns products into what is compared, `pre_i n_i`, and keeps what is selected and above 0.
    fn activate(&self, pre: &mut [f32], row: &mut Vec<Entry>, select: Select, top_k: &mut TopK) {
        let b_enc = &self.weights.vectors[0].values;
        vectorize(
            #[inline(always)]
            || {
                for ((pre, b), norm) in pre.iter_mut().zip(b_enc).zip(&self.norms) {
                    *pre = (*pre + b) * norm;
                }
            },
        );
        row.clear();
        let entry = |(feature, compared): (usize, f32)| Entry {
            feature: feature as u32,
            value: compared / self.norms[feature],
            gradient: 0.0,
        };
        match select {
            Select::Largest(k) => {
                let positive = top_k.largest(pre, k).filter(|(_, value)| *value > 0.0);
                row.extend(positive.map(entry));
            }
            Select::Above(least) => {
                let above = pre.iter().copied().enumerate().filter(|(_, value)| *value > least);
                row.extend(above.map(entry));
            }
        }
    }

    /// Keeps the largest of the dead features, whether above 0 or not.
    fn activate_dead(
        &self,
        pre: &[f32],
        row: &mut Vec<Entry>,
        (dead, k): (&[bool], usize),
        top_k: &mut TopK,
    ) {
        let features: Vec<usize> = (0..pre.len()).filter(|i| dead[*i]).collect();
        let compared: Vec<f32> = features.iter().map(|i| pre[*i]).collect();
        row.clear();
        row.extend(top_k.largest(&compared, k).map(|(at, value)| Entry {
            feature: features[at] as u32,
            value: value / self.norms[features[at]],
            gradient: 0.0,
        }));
    }

    /// Selects the `n_active` largest values of a whole batch.
    fn select_of_batch(
        &self,
        input: &[f32],
        sparse: &mut SparseBatch,
        n_active: usize,
        k_aux: usize,
    ) {
        let n_values = input.len() / self.d_enc() * self.config.d_sae;
        let share = n_active as f64 / n_values as f64;
        let mut least =
            sparse.least.unwrap_or_else(|| self.least_of_first_block(input, sparse, share));
        loop {
            self.select(input, sparse, Select::Above(least), k_aux);
            let n_found: usize = sparse.rows.iter().map(Vec::len).sum();
            if n_found >= n_active || least <= 0.0 {
                break;
            }
            // Rare: the last batch, or the first block, was not like this one.
            least = if least < 1e-6 { 0.0 } else { least / 2.0 };
        }
        let compared = |entry: &Entry| entry.value * self.norms[entry.feature as usize];
        let values: Vec<f32> = sparse.rows.iter().flatten().map(compared).collect();
        let mut top_k = TopK::default();
        let mut kept = top_k.largest(&values, n_active).map(|(at, _)| at).peekable();
        let (mut at, mut smallest) = (0, f32::INFINITY);
        for row in &mut sparse.rows {
            row.retain(|entry| {
                let is_kept = kept.next_if_eq(&at).is_some();
                if is_kept {
                    smallest = smallest.min(compared(entry));
                }
                at += 1;
                is_kept
            });
        }
        sparse.least = smallest.is_finite().then_some(smallest * MARGIN);
    }

    /// A value that about the wanted share of the first rows is above, and a little more.
    fn least_of_first_block(&self, input: &[f32], sparse: &mut SparseBatch, share: f64) -> f32 {
        let n_rows = (BLOCK_VALUES / 8 / self.config.d_sae).clamp(1, input.len() / self.d_enc());
        self.multiply(&input[..n_rows * self.d_enc()], &mut sparse.pre);
        let b_enc = &self.weights.vectors[0].values;
        for row in sparse.pre.chunks_exact_mut(self.config.d_sae) {
            for ((pre, b), norm) in row.iter_mut().zip(b_enc).zip(&self.norms) {
                *pre = (*pre + b) * norm;
            }
        }
        let n = (share * sparse.pre.len() as f64) as usize;
        let n = n.min(sparse.pre.len() - 1);
        let (_, least, _) = sparse.pre.select_nth_unstable_by(n, |a, b| b.total_cmp(a));
        (*least * MARGIN).max(0.0)
    }

    /// Gradients of both matrices and the encoder's bias from entries and residuals.
    fn differentiate_matrices(
        &mut self,
        by_feature: &ByFeature,
        input: &[f32],
        residual: &[f32],
        write: Write,
    ) {
        let (d_in, d_enc) = (self.d_in, self.d_enc());
        let weights = &mut self.weights;
        let Trained { gradient, .. } = &mut weights.decoder;
        by_feature.multiply(gradient, (residual, d_in), write, |entry| entry.1);
        let Trained { gradient, .. } = &mut weights.encoder;
        by_feature.multiply(gradient, (input, d_enc), write, |entry| entry.2);
        for (feature, g) in weights.vectors[0].gradient.iter_mut().enumerate() {
            let sum = by_feature.of(feature).iter().map(|entry| entry.2).sum::<f32>();
            *g = if write == Write::Replace { sum } else { *g + sum };
        }
    }

    /// The loss `weight · mean ‖ê - (x - x̂)‖²` of dead features, `ê = Σ pre_i d_i`; the residual is
    /// taken as it is. Sets their gradients and residuals.
    fn reconstruct_with_dead(
        &self,
        sparse: &mut SparseBatch,
        residual: &[f32],
        weight: f64,
    ) -> f64 {
        let (d_in, n) = (self.d_in, residual.len() / self.d_in);
        let decoder = &self.weights.decoder.values;
        let scale = 2.0 / n as f32;
        sparse.dead_residual.clear();
        // `residual` is 2 (x̂ - x) / n, so what is left, x - x̂, is minus that over 2 / n.
        sparse.dead_residual.extend(residual.iter().map(|r| r / scale));
        let of_row = |(left, entries): (&mut [f32], &mut Vec<Entry>)| {
            vectorize(
                #[inline(always)]
                || {
                    decode(entries, decoder, left);
                    let mut loss = 0.0;
                    for r in left.iter_mut() {
                        loss += *r * *r;
                        *r *= scale * weight as f32;
                    }
                    differentiate(entries, decoder, left);
                    f64::from(loss)
                },
            )
        };
        let losses: Vec<f64> = sparse
            .dead_residual
            .par_chunks_exact_mut(d_in)
            .zip(sparse.dead_rows.par_iter_mut())
            .map(of_row)
            .collect();
        weight * losses.iter().sum::<f64>() / n as f64
    }
}
