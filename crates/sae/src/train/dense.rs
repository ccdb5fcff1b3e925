//! The gradients of every architecture with dense products, a block of rows at a time.
//!
//! For the `TopK` kinds this is the oracle of the sparse way.

use attention_probes_kernels::{Matrix, Write, matmul};

use super::config::TrainArchitecture;
use super::entries::Entry;
use super::report::{Guide, StepReport};
use super::rows::{add, column_sums, each_row};
use super::scratch::{DenseBlock, Scratch};
use super::trainer::SaeTrainer;
use crate::top_k::TopK;

/// Pre-activations that are held at a time, once as such and once as gradients.
const BLOCK_VALUES: usize = 2 << 20;

/// Losses of a block: of the reconstruction, of sparsity, and the other one.
type Losses = [f64; 3];

impl SaeTrainer {
    /// Sets the gradients of everything, and the residual; the decoder's bias gets what is not of
    /// the residual.
    pub(super) fn differentiate_densely(
        &mut self,
        (x, variance): (&[f32], f64),
        scratch: &mut Scratch,
        guide: Option<Guide<'_>>,
    ) -> StepReport {
        let (d_in, d_sae) = (self.d_in, self.config.d_sae);
        let n = x.len() / d_in;
        scratch.sparse.rows.clear();
        let mut guidance = 0.0;
        if let Some(guide) = guide {
            // What guides looks at the whole batch before any of it is differentiated.
            self.active_densely(n, scratch);
            guidance = guide(&mut scratch.sparse.rows, &self.norms, variance);
        }
        self.weights.clear_gradients();
        scratch.residual.resize(x.len(), 0.0);
        // Of a batch, what counts as active is not known before all of it has been looked at.
        let n_block = match self.config.architecture {
            TrainArchitecture::BatchTopK { .. } => n,
            _ => (BLOCK_VALUES / d_sae).max(1),
        };
        let mut losses = [0.0; 3];
        for first in (0..n).step_by(n_block) {
            let rows = first * d_in..(first + n_block).min(n) * d_in;
            let of_block = self.differentiate_block(&x[rows.clone()], n, rows.start, scratch);
            for (sum, loss) in losses.iter_mut().zip(of_block) {
                *sum += loss;
            }
        }
        let [mse, sparsity, auxiliary] = losses.map(|sum| sum / n as f64);
        StepReport { mse, sparsity, auxiliary, guidance, ..StepReport::default() }
    }

    /// The active features of every row, with gradients of 0.
    fn active_densely(&mut self, n: usize, scratch: &mut Scratch) {
        let (d_enc, d_sae) = (self.d_enc(), self.config.d_sae);
        let Scratch { input, dense, sparse, .. } = scratch;
        let n_block = (BLOCK_VALUES / d_sae).max(1);
        for first in (0..n).step_by(n_block) {
            let rows = n_block.min(n - first);
            self.encode_densely(&input[first * d_enc..][..rows * d_enc], dense);
            sparse.rows.extend(dense.features.chunks_exact(d_sae).map(|row| {
                let active = row.iter().enumerate().filter(|(_, value)| **value > 0.0);
                let entry = |(feature, value): (usize, &f32)| Entry {
                    feature: feature as u32,
                    value: *value,
                    gradient: 0.0,
                };
                active.map(entry).collect()
            }));
        }
    }

    /// Pre-activations and features of some rows, `[n, d_enc]`.
    fn encode_densely(&mut self, input: &[f32], dense: &mut DenseBlock) {
        let (d_enc, d_sae) = (self.d_enc(), self.config.d_sae);
        let rows = input.len() / d_enc;
        for values in [&mut dense.pre, &mut dense.features] {
            values.resize(rows * d_sae, 0.0);
        }
        matmul(
            &mut dense.pre,
            Matrix::new(input, rows, d_enc),
            Matrix::new(&self.weights.encoder.values, d_sae, d_enc).transpose(),
            Write::Replace,
        );
        self.activate_densely(dense);
    }

    /// One block; `n` is the number of rows of the whole batch, `at` where the block begins in it.
    fn differentiate_block(
        &mut self,
        x: &[f32],
        n: usize,
        at: usize,
        scratch: &mut Scratch,
    ) -> Losses {
        let Scratch { input, residual, dense, sparse, n_fired } = scratch;
        let (d_in, d_sae, rows) = (self.d_in, self.config.d_sae, x.len() / self.d_in);
        let d_enc = self.d_enc();
        let input = &input[at / d_in * d_enc..][..rows * d_enc];
        let residual = &mut residual[at..at + x.len()];
        dense.gradients.resize(rows * d_sae, 0.0);
        self.encode_densely(input, dense);
        for row in dense.features.chunks_exact(d_sae) {
            for (n_fired, f) in n_fired.iter_mut().zip(row) {
                *n_fired += u32::from(*f > 0.0);
            }
        }
        let scale = 2.0 / n as f32;
        let mut losses = [self.residual_of(&dense.features, x, residual, scale), 0.0, 0.0];
        self.through_decoder(&dense.features, residual, &mut dense.gradients);
        // Of active features, what guides knows the derivatives.
        let guided = sparse.rows.iter().skip(at / d_in).take(rows);
        for (row, entries) in dense.gradients.chunks_exact_mut(d_sae).zip(guided) {
            for entry in entries {
                row[entry.feature as usize] += entry.gradient;
            }
        }
        match self.config.architecture {
            TrainArchitecture::Standard { l1 } => {
                losses[1] = self.standard(dense, l1.at(self.step), n);
            }
            TrainArchitecture::JumpRelu { l0, bandwidth, .. } => {
                losses[1] = self.jump_relu(dense, l0.at(self.step), bandwidth as f32, n);
            }
            TrainArchitecture::Gated { l1 } => {
                let (sparsity, gates) = self.gated(dense, (x, l1.at(self.step)), n);
                (losses[1], losses[2]) = (sparsity, gates);
            }
            TrainArchitecture::TopK { .. } | TrainArchitecture::BatchTopK { .. } => {
                losses[2] = self.top_k(dense, (input, residual), n);
            }
        }
        matmul(
            &mut self.weights.encoder.gradient,
            Matrix::new(&dense.pre, rows, d_sae).transpose(),
            Matrix::new(input, rows, d_enc),
            Write::Add,
        );
        losses
    }

    /// Features from pre-activations, and the gates where there are some.
    fn activate_densely(&mut self, dense: &mut DenseBlock) {
        let d_sae = self.config.d_sae;
        let vectors = &self.weights.vectors;
        let DenseBlock { pre, features, gates, .. } = dense;
        let norms = &self.norms;
        match self.config.architecture {
            TrainArchitecture::TopK { k, .. } => {
                each_row(d_sae, [pre, features], |[pre, features]| {
                    add(pre, &vectors[0].values);
                    let compared: Vec<f32> = pre.iter().zip(norms).map(|(p, n)| p * n).collect();
                    features.fill(0.0);
                    for (i, value) in TopK::default().largest(&compared, k) {
                        features[i] = if value > 0.0 { pre[i] } else { 0.0 };
                    }
                });
            }
            TrainArchitecture::BatchTopK { k, topk_threshold_lr, .. } => {
                each_row(d_sae, [pre, features], |[pre, _]| add(pre, &vectors[0].values));
                let n_active = (k * (pre.len() / d_sae) as f64) as usize;
                let compared: Vec<f32> = pre
                    .chunks_exact(d_sae)
                    .flat_map(|row| row.iter().zip(norms))
                    .map(|(p, n)| (p * n).max(0.0))
                    .collect();
                features.fill(0.0);
                let mut smallest = f32::INFINITY;
                for (i, value) in TopK::default().largest(&compared, n_active) {
                    if value > 0.0 {
                        features[i] = pre[i];
                        smallest = smallest.min(value);
                    }
                }
                if smallest.is_finite() {
                    self.topk_threshold +=
                        topk_threshold_lr * (f64::from(smallest) - self.topk_threshold);
                }
            }
            TrainArchitecture::Standard { .. } => {
                each_row(d_sae, [pre, features], |[pre, features]| {
                    add(pre, &vectors[0].values);
                    for (f, pre) in features.iter_mut().zip(pre.iter()) {
                        *f = pre.max(0.0);
                    }
                });
            }
            TrainArchitecture::JumpRelu { .. } => {
                each_row(d_sae, [pre, features], |[pre, features]| {
                    add(pre, &vectors[0].values);
                    let rows = features.iter_mut().zip(pre.iter()).zip(&vectors[1].values);
                    for ((f, pre), threshold) in rows {
                        *f = if pre > threshold { *pre } else { 0.0 };
                    }
                });
            }
            TrainArchitecture::Gated { .. } => {
                gates.resize(pre.len(), 0.0);
                let [b_gate, r_mag, b_mag] = &vectors[..] else {
                    unreachable!("a gated autoencoder has three vectors");
                };
                each_row(d_sae, [pre, features, gates], |[pre, features, gates]| {
                    for (i, e) in pre.iter().enumerate() {
                        gates[i] = (e + b_gate.values[i]).max(0.0);
                        let magnitude = r_mag.values[i].exp() * e + b_mag.values[i];
                        features[i] = if gates[i] > 0.0 { magnitude.max(0.0) } else { 0.0 };
                    }
                });
            }
        }
    }

    /// `2 (f W_dec + b_dec - x) / n` into `residual`; returns the sum of squares of `x̂ - x`.
    fn residual_of(&self, features: &[f32], x: &[f32], residual: &mut [f32], scale: f32) -> f64 {
        let (d_in, d_sae) = (self.d_in, self.config.d_sae);
        for row in residual.chunks_exact_mut(d_in) {
            row.copy_from_slice(&self.weights.b_dec.values);
        }
        matmul(
            residual,
            Matrix::new(features, x.len() / d_in, d_sae),
            Matrix::new(&self.weights.decoder.values, d_sae, d_in),
            Write::Add,
        );
        let mut sum = 0.0;
        for (row, x) in residual.chunks_exact_mut(d_in).zip(x.chunks_exact(d_in)) {
            let mut loss = 0.0;
            for (r, x) in row.iter_mut().zip(x) {
                *r -= x;
                loss += *r * *r;
                *r *= scale;
            }
            sum += f64::from(loss);
        }
        sum
    }

    /// Gradients of features from those of what they decode to; adds that of the decoder.
    fn through_decoder(&mut self, features: &[f32], residual: &[f32], gradients: &mut [f32]) {
        let (d_in, d_sae) = (self.d_in, self.config.d_sae);
        let rows = residual.len() / d_in;
        let decoder = &mut self.weights.decoder;
        matmul(
            gradients,
            Matrix::new(residual, rows, d_in),
            Matrix::new(&decoder.values, d_sae, d_in).transpose(),
            Write::Replace,
        );
        matmul(
            &mut decoder.gradient,
            Matrix::new(features, rows, d_sae).transpose(),
            Matrix::new(residual, rows, d_in),
            Write::Add,
        );
    }

    /// The L1 loss; gradients of features become those of pre-activations, in `pre`.
    fn standard(&mut self, dense: &mut DenseBlock, l1: f64, n: usize) -> f64 {
        let d_sae = self.config.d_sae;
        let DenseBlock { pre, features, gradients, .. } = dense;
        let (weight, norms) = ((l1 / n as f64) as f32, &self.norms);
        each_row(d_sae, [pre, gradients], |[pre, gradients]| {
            for ((pre, g), norm) in pre.iter_mut().zip(gradients.iter()).zip(norms) {
                *pre = if *pre > 0.0 { g + weight * norm } else { 0.0 };
            }
        });
        self.add_columns(0, pre);
        self.add_norm_loss(features, l1, n)
    }

    /// The loss `l1 Σ_t Σ_i f_ti ‖d_i‖`; adds the decoder's gradient of its mean.
    fn add_norm_loss(&mut self, features: &[f32], l1: f64, n: usize) -> f64 {
        let (d_in, d_sae) = (self.d_in, self.config.d_sae);
        let sums = column_sums(features, d_sae);
        let decoder = &mut self.weights.decoder;
        let rows = decoder.gradient.chunks_exact_mut(d_in).zip(decoder.values.chunks_exact(d_in));
        let mut loss = 0.0;
        for ((gradient, row), (sum, norm)) in rows.zip(sums.iter().zip(&self.norms)) {
            loss += sum * f64::from(*norm);
            if *norm > 0.0 {
                let scale = (l1 * sum / n as f64) as f32 / norm;
                for (g, w) in gradient.iter_mut().zip(row) {
                    *g += scale * w;
                }
            }
        }
        l1 * loss
    }

    /// The L0 loss with its rectangle; gradients of features become those of pre-activations.
    fn jump_relu(&mut self, dense: &mut DenseBlock, l0: f64, bandwidth: f32, n: usize) -> f64 {
        let d_sae = self.config.d_sae;
        let DenseBlock { pre, features, gradients, .. } = dense;
        let weight = (l0 / n as f64) as f32;
        let [_, threshold] = &mut self.weights.vectors[..] else {
            unreachable!("a JumpReLU autoencoder has two vectors");
        };
        let rows = pre.chunks_exact_mut(d_sae).zip(gradients.chunks_exact(d_sae));
        for (pre, gradients) in rows {
            let thresholds = threshold.values.iter().zip(&mut threshold.gradient);
            for ((pre, g), (threshold, of_threshold)) in
                pre.iter_mut().zip(gradients).zip(thresholds)
            {
                let distance = *pre - threshold;
                if (distance / bandwidth).abs() < 0.5 {
                    *of_threshold -= (threshold * g + weight) / bandwidth;
                }
                *pre = if distance > 0.0 { *g } else { 0.0 };
            }
        }
        self.add_columns(0, pre);
        l0 * features.iter().filter(|f| **f > 0.0).count() as f64
    }

    /// The losses of the gates; gradients of features and of gates become those of `e`, in `pre`.
    fn gated(&mut self, dense: &mut DenseBlock, (x, l1): (&[f32], f64), n: usize) -> (f64, f64) {
        let d_sae = self.config.d_sae;
        let mut gates = std::mem::take(&mut dense.gates);
        let mut gate_residual = std::mem::take(&mut dense.gate_residual);
        let mut gate_gradients = std::mem::take(&mut dense.gate_gradients);
        gate_residual.resize(x.len(), 0.0);
        gate_gradients.resize(gates.len(), 0.0);
        let auxiliary = self.residual_of(&gates, x, &mut gate_residual, 2.0 / n as f32);
        self.through_decoder(&gates, &gate_residual, &mut gate_gradients);
        for row in gate_residual.chunks_exact(self.d_in) {
            for (g, r) in self.weights.b_dec.gradient.iter_mut().zip(row) {
                *g += r;
            }
        }
        let sparsity = self.add_norm_loss(&gates, l1, n);
        let weight = (l1 / n as f64) as f32;
        let [b_gate, r_mag, b_mag] = &mut self.weights.vectors[..] else {
            unreachable!("a gated autoencoder has three vectors");
        };
        let rows = dense.pre.chunks_exact_mut(d_sae).zip(dense.gradients.chunks_exact(d_sae));
        let of_gates = gates.chunks_exact_mut(d_sae).zip(gate_gradients.chunks_exact(d_sae));
        for ((pre, gradients), (gates, gate_gradients)) in rows.zip(of_gates) {
            for i in 0..d_sae {
                let e = pre[i];
                pre[i] = 0.0;
                if gates[i] <= 0.0 {
                    continue;
                }
                let of_gate = gate_gradients[i] + weight * self.norms[i];
                b_gate.gradient[i] += of_gate;
                pre[i] += of_gate;
                let stretch = r_mag.values[i].exp();
                if stretch * e + b_mag.values[i] > 0.0 {
                    b_mag.gradient[i] += gradients[i];
                    r_mag.gradient[i] += gradients[i] * stretch * e;
                    pre[i] += gradients[i] * stretch;
                }
            }
        }
        gates.clear();
        (dense.gates, dense.gate_residual, dense.gate_gradients) =
            (gates, gate_residual, gate_gradients);
        (sparsity, auxiliary)
    }

    /// Gradients of active features, and the loss of dead ones.
    fn top_k(&mut self, dense: &mut DenseBlock, (_, residual): (&[f32], &[f32]), n: usize) -> f64 {
        let d_sae = self.config.d_sae;
        let (k_aux, weight) = self.auxiliary();
        let mut auxiliary = 0.0;
        let mut of_dead = Vec::new();
        if k_aux > 0 {
            let dead: Vec<bool> = self.dead_features().collect();
            let mut features = vec![0.0; dense.pre.len()];
            for (pre, features) in
                dense.pre.chunks_exact(d_sae).zip(features.chunks_exact_mut(d_sae))
            {
                let compared: Vec<f32> = (0..d_sae)
                    .map(|i| if dead[i] { pre[i] * self.norms[i] } else { f32::NEG_INFINITY })
                    .collect();
                for (i, _) in TopK::default().largest(&compared, k_aux) {
                    features[i] = pre[i];
                }
            }
            let scale = 2.0 / n as f32;
            // What is left, without the bias that `residual_of` adds.
            let b_dec = &self.weights.b_dec.values;
            let left: Vec<f32> = residual
                .chunks_exact(self.d_in)
                .flat_map(|row| row.iter().zip(b_dec).map(|(r, b)| b - r / scale))
                .collect();
            let mut gradient = vec![0.0; left.len()];
            auxiliary =
                weight * self.residual_of(&features, &left, &mut gradient, scale * weight as f32);
            of_dead.resize(features.len(), 0.0);
            self.through_decoder(&features, &gradient, &mut of_dead);
            for (g, f) in of_dead.iter_mut().zip(&features) {
                *g = if *f == 0.0 { 0.0 } else { *g };
            }
        }
        let DenseBlock { pre, features, gradients, .. } = dense;
        for ((pre, g), f) in pre.iter_mut().zip(gradients.iter()).zip(features.iter()) {
            *pre = if *f > 0.0 { *g } else { 0.0 };
        }
        for (pre, g) in pre.iter_mut().zip(&of_dead) {
            *pre += g;
        }
        self.add_columns(0, pre);
        auxiliary
    }

    /// Adds the sum over the rows to the gradient of a vector.
    fn add_columns(&mut self, vector: usize, pre: &[f32]) {
        let sums = column_sums(pre, self.config.d_sae);
        for (g, sum) in self.weights.vectors[vector].gradient.iter_mut().zip(sums) {
            *g += sum as f32;
        }
    }
}
