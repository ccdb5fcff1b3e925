//! One step of training, for every architecture.

use attention_probes_kernels::{AdamStep, Matrix, Write, add_scaled, matmul, vectorize};
use rayon::prelude::*;

use super::adam::{Trained, squares};
use super::config::TrainArchitecture;
use super::report::{Aids, StepReport};
use super::trainer::{SaeTrainer, Weights};
use crate::SaeError;

/// Rows whose sum is a task.
const ROWS_PER_SUM: usize = 64;

impl SaeTrainer {
    /// Takes one step on a batch, `[n, d_in]`.
    ///
    /// # Errors
    ///
    /// - [`SaeError::SizeMismatch`] if the activations do not fill rows, or there are none.
    /// - [`SaeError::Diverged`] if a loss or a gradient is not finite; the weights stay as they were.
    pub fn step(&mut self, x: &[f32]) -> Result<StepReport, SaeError> {
        self.step_with(x, Aids::default())
    }

    /// As [`SaeTrainer::step`], with what else the encoder reads and what adds to the loss.
    ///
    /// # Errors
    ///
    /// As [`SaeTrainer::step`].
    ///
    /// # Panics
    ///
    /// If the context is not of as many rows, or there is a guide of a kind that cannot be guided.
    pub(crate) fn step_with(&mut self, x: &[f32], aids: Aids<'_>) -> Result<StepReport, SaeError> {
        self.step_as(x, false, aids)
    }

    /// As [`SaeTrainer::step`], with every product dense: the slow, obvious way of the `TopK` kinds.
    ///
    /// # Errors
    ///
    /// As [`SaeTrainer::step`].
    pub fn step_densely(&mut self, x: &[f32]) -> Result<StepReport, SaeError> {
        self.step_as(x, true, Aids::default())
    }

    fn step_as(
        &mut self,
        x: &[f32],
        densely: bool,
        Aids { guide, context }: Aids<'_>,
    ) -> Result<StepReport, SaeError> {
        let d_in = self.d_in;
        if x.is_empty() || !x.len().is_multiple_of(d_in) {
            let what = "the number of values in rows of activations";
            let (found, expected) = (x.len(), (x.len() + 1).next_multiple_of(d_in));
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        let is_sparse = self.config.architecture.is_top_k() && !densely;
        let is_guided = self.config.architecture.can_be_guided();
        assert!(guide.is_none() || (is_guided && !densely), "a kind that cannot be guided");
        let mut scratch = std::mem::take(&mut self.scratch);
        self.fill_input(x, context, &mut scratch.input);
        scratch.n_fired.clear();
        scratch.n_fired.resize(self.config.d_sae, 0);
        let threshold = self.topk_threshold;
        let n = (x.len() / d_in) as f64;
        let variance = total_variance(x, d_in) / n;
        let mut report = if is_sparse {
            self.differentiate_sparsely((x, variance), &mut scratch, guide)
        } else {
            self.differentiate_densely((x, variance), &mut scratch, guide)
        };
        self.differentiate_b_dec(&scratch.residual);
        let n_fired: u64 = scratch.n_fired.iter().map(|n| u64::from(*n)).sum();
        report.l0 = n_fired as f64 / n;
        report.loss = report.mse + report.sparsity + report.auxiliary + report.guidance;
        report.fvu = report.mse / variance;
        report.n_dead = self.dead_features().filter(|is_dead| *is_dead).count();
        let arrays = self.weights.arrays();
        report.gradient_norm = arrays.map(Trained::gradient_squares).sum::<f64>().sqrt();
        if report.loss.is_finite() && report.gradient_norm.is_finite() {
            self.update(report.gradient_norm);
            for (since, n_fired) in self.since_fired.iter_mut().zip(&scratch.n_fired) {
                *since = if *n_fired > 0 { 0 } else { *since + 1 };
            }
        }
        self.scratch = scratch;
        if report.loss.is_finite() && report.gradient_norm.is_finite() {
            Ok(report)
        } else {
            self.topk_threshold = threshold;
            Err(SaeError::Diverged { step: self.step, loss: report.loss })
        }
    }

    /// What is encoded: the activations without the decoder's bias, and beside them the context.
    fn fill_input(&self, x: &[f32], context: &[f32], input: &mut Vec<f32>) {
        let (d_in, d_enc) = (self.d_in, self.d_enc());
        let width = d_enc - d_in;
        assert_eq!(context.len(), x.len() / d_in * width, "a row of context for each row");
        input.resize(x.len() / d_in * d_enc, 0.0);
        let zeros = vec![0.0; d_in];
        let taken =
            if self.config.apply_b_dec_to_input { &self.weights.b_dec.values } else { &zeros };
        let rows = input.par_chunks_exact_mut(d_enc).zip(x.par_chunks_exact(d_in)).enumerate();
        rows.for_each(|(row, (input, x))| {
            let (own, rest) = input.split_at_mut(d_in);
            for ((own, x), b) in own.iter_mut().zip(x).zip(taken) {
                *own = x - b;
            }
            rest.copy_from_slice(&context[row * width..][..width]);
        });
    }

    /// Gradient of the decoder's bias: where it is added, and where it is taken from the input.
    fn differentiate_b_dec(&mut self, residual: &[f32]) {
        let d_enc = self.d_enc();
        let Weights { encoder, b_dec, vectors, .. } = &mut self.weights;
        let gradient = &mut b_dec.gradient;
        for sums in column_sums(residual, self.d_in) {
            for (g, sum) in gradient.iter_mut().zip(sums) {
                *g += sum;
            }
        }
        if !self.config.apply_b_dec_to_input {
            return;
        }
        // d pre / d b_dec is minus the encoder's row.
        let mut of_pre = vectors[0].gradient.clone();
        if let [_, r_mag, b_mag] = &vectors[..] {
            for ((g, r), b) in of_pre.iter_mut().zip(&r_mag.values).zip(&b_mag.gradient) {
                *g += r.exp() * b;
            }
        }
        let mut through = vec![0.0; d_enc];
        matmul(
            &mut through,
            Matrix::new(&of_pre, 1, of_pre.len()),
            Matrix::new(&encoder.values, of_pre.len(), d_enc),
            Write::Replace,
        );
        for (g, through) in gradient.iter_mut().zip(through) {
            *g -= through;
        }
    }

    fn update(&mut self, gradient_norm: f64) {
        // As `torch.nn.utils.clip_grad_norm_`.
        let clip = (self.config.max_gradient_norm / (gradient_norm + 1e-6)).min(1.0);
        let learning_rate = self.config.learning_rate.at(self.step);
        self.step += 1;
        let by = AdamStep {
            learning_rate,
            weight_decay: 0.0,
            betas: [self.config.adam_beta1, self.config.adam_beta2],
            step: self.step,
            gradient_scale: clip,
        };
        for array in self.weights.arrays_mut() {
            array.update(&by);
        }
        if let (TrainArchitecture::JumpRelu { .. }, [_, threshold]) =
            (self.config.architecture, &mut self.weights.vectors[..])
        {
            // Below 0 negative pre-activations would pass.
            for threshold in &mut threshold.values {
                *threshold = threshold.max(0.0);
            }
        }
        self.weights.decoder.row_norms(self.d_in, &mut self.norms);
    }
}

/// `Σ‖x - mean‖²` over the rows.
fn total_variance(x: &[f32], d_in: usize) -> f64 {
    let n = (x.len() / d_in) as f64;
    let mut sums = vec![0.0_f64; d_in];
    for of_rows in column_sums(x, d_in) {
        for (sum, of_rows) in sums.iter_mut().zip(of_rows) {
            *sum += f64::from(of_rows);
        }
    }
    let of_row = |row: &[f32]| {
        vectorize(
            #[inline(always)]
            || squares(row),
        )
    };
    let squares: Vec<f64> = x.par_chunks_exact(d_in).map(of_row).collect();
    let squares: f64 = squares.iter().sum();
    (squares - sums.iter().map(|sum| sum * sum / n).sum::<f64>()).max(f64::MIN_POSITIVE)
}

/// Sums of the columns of some rows at a time, `[width]` each.
fn column_sums(values: &[f32], width: usize) -> Vec<Vec<f32>> {
    let of_rows = |rows: &[f32]| {
        let mut sums = vec![0.0; width];
        vectorize(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(width) {
                    add_scaled(&mut sums, 1.0, row);
                }
            },
        );
        sums
    };
    values.par_chunks(ROWS_PER_SUM * width).map(of_rows).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::config::SaeTrainConfig;
    use super::super::entries::Entry;
    use super::*;

    #[test]
    fn a_context_is_read_alike_in_the_sparse_way_and_in_the_dense_one() {
        let (d_in, n) = (6, 40);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut random =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let architecture = TrainArchitecture::TopK { k: 3, aux_loss_coefficient: 1.0 };
        let config = SaeTrainConfig {
            architecture,
            d_sae: 24,
            learning_rate: crate::LearningRateSchedule { value: 0.01, ..Default::default() },
            ..SaeTrainConfig::default()
        };
        let mut plain = SaeTrainer::new(config.clone(), d_in, 1).unwrap();
        let mut sparse = SaeTrainer::with_context(config, d_in, 2, 1).unwrap();
        let (x, context) = (random(n * d_in), random(n * 2 * d_in));
        let aids = || Aids { guide: None, context: &context };
        // The weights of the context begin at 0, so the first losses are those without it.
        let (found, expected) = (sparse.step_with(&x, aids()).unwrap(), plain.step(&x).unwrap());
        assert_eq!((found.mse, found.l0), (expected.mse, expected.l0));
        let mut dense = sparse.clone();
        for _ in 0..30 {
            let found = sparse.step_with(&x, aids()).unwrap();
            let expected = dense.step_as(&x, true, aids()).unwrap();
            approx::assert_relative_eq!(found.mse, expected.mse, max_relative = 1e-4);
            let norms = (found.gradient_norm, expected.gradient_norm);
            approx::assert_relative_eq!(norms.0, norms.1, max_relative = 1e-3);
            plain.step(&x).unwrap();
        }
        let last = sparse.step_with(&x, aids()).unwrap();
        assert!(last.mse < plain.step(&x).unwrap().mse, "the context tells something");

        // What is saved reads the context beside the activation, and decodes it to nothing.
        let sae = sparse.sae();
        sae.check().unwrap();
        let wide: Vec<f32> = x
            .chunks_exact(d_in)
            .zip(context.chunks_exact(2 * d_in))
            .flat_map(|(x, context)| x.iter().chain(context))
            .copied()
            .collect();
        let decoded = sae.decode(&sae.encode(&wide).unwrap());
        let rows = decoded.chunks_exact(3 * d_in).zip(x.chunks_exact(d_in));
        let left: f32 = rows
            .map(|(decoded, x)| {
                assert!(decoded[d_in..].iter().all(|x| *x == 0.0));
                decoded.iter().zip(x).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
            })
            .sum();
        let mse = sparse.step_with(&x, aids()).unwrap().mse;
        approx::assert_relative_eq!(f64::from(left) / n as f64, mse, max_relative = 1e-4);
    }

    #[test]
    fn a_guide_of_a_standard_autoencoder_is_that_of_one_that_selects_everything() {
        let (d_in, d_sae, n) = (6, 24, 40);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let x: Vec<f32> = (0..n * d_in).map(|_| rng.random_range(-1.0..1.0)).collect();
        let trainer = |architecture: TrainArchitecture| {
            let learning_rate = crate::LearningRateSchedule { value: 0.01, ..Default::default() };
            let config =
                SaeTrainConfig { architecture, d_sae, learning_rate, ..SaeTrainConfig::default() };
            SaeTrainer::new(config, d_in, 1).unwrap()
        };
        let l1 = crate::CoefficientSchedule::constant(0.0);
        let mut standard = trainer(TrainArchitecture::Standard { l1 });
        let mut top_k = trainer(TrainArchitecture::TopK { k: d_sae, aux_loss_coefficient: 0.0 });
        // Half the squares of the features that have even numbers, each weighed by its decoder row.
        let mut guide = |rows: &mut [Vec<Entry>], norms: &[f32], variance: f64| {
            let mut loss = 0.0;
            for entry in rows.iter_mut().flatten().filter(|entry| entry.feature % 2 == 0) {
                let weight = norms[entry.feature as usize] * variance as f32 / n as f32;
                loss += f64::from(weight * entry.value * entry.value / 2.0);
                entry.gradient += weight * entry.value;
            }
            loss
        };
        let mut unguided = standard.clone();
        for step in 0..20 {
            let found =
                standard.step_with(&x, Aids { guide: Some(&mut guide), context: &[] }).unwrap();
            let expected =
                top_k.step_with(&x, Aids { guide: Some(&mut guide), context: &[] }).unwrap();
            assert!(found.guidance > 0.0);
            for (found, expected) in [
                (found.mse, expected.mse),
                (found.guidance, expected.guidance),
                (found.gradient_norm, expected.gradient_norm),
            ] {
                approx::assert_relative_eq!(found, expected, max_relative = 1e-3);
            }
            // The first step is of the same weights; what it changes is not the same.
            let plain = unguided.step(&x).unwrap();
            assert_eq!(plain.mse.to_bits() == found.mse.to_bits(), step == 0);
        }
        let squares = |trainer: &mut SaeTrainer| {
            let mut none = |rows: &mut [Vec<Entry>], norms: &[f32], _: f64| {
                let even = rows.iter().flatten().filter(|entry| entry.feature % 2 == 0);
                even.map(|it| f64::from(norms[it.feature as usize] * it.value * it.value)).sum()
            };
            trainer.step_with(&x, Aids { guide: Some(&mut none), context: &[] }).unwrap().guidance
        };
        assert!(squares(&mut standard) < squares(&mut unguided), "the guide made them smaller");
    }
}
