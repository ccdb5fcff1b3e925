//! One step of training, for every architecture.

use attention_probes_probes::linalg::{Matrix, Write, matmul};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::Serialize;

use super::adam::{AdamStep, Trained};
use super::config::{SaeTrainConfig, TrainArchitecture};
use super::dense::DenseBlock;
use super::entries::Entry;
use super::kernels::{add_scaled, squares};
use super::sparse::SparseBatch;
use crate::SaeError;

/// Rows whose sum is a task.
const ROWS_PER_SUM: usize = 64;

/// Trains one autoencoder, a batch at a time.
///
/// Everything is computed in `f32` on the host, with the mathematics of `SAELens`: the sum of
/// losses, its gradient scaled down to a norm, one step of Adam. Of the `TopK` kinds only the
/// product of the activations with the encoder is dense; everything else touches the active
/// features alone.
///
/// # Memory
///
/// Four times the weights (they, their gradients, and two moments), two copies of a batch, and a
/// block of pre-activations.
#[derive(Clone, Debug)]
pub struct SaeTrainer {
    pub(super) config: SaeTrainConfig,
    pub(super) d_in: usize,
    pub(super) weights: Weights,
    /// Norms of the decoder's rows.
    pub(super) norms: Vec<f32>,
    /// Steps taken.
    pub(super) step: u64,
    /// Steps since each feature was active.
    pub(super) since_fired: Vec<u64>,
    /// Running mean of the smallest active value of each batch.
    pub(super) topk_threshold: f64,
    scratch: Scratch,
}

/// The weights of an autoencoder while it trains.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weights {
    /// `[d_sae, d_in]`
    pub(super) encoder: Trained,
    /// `[d_sae, d_in]`
    pub(super) decoder: Trained,
    /// `[d_in]`
    pub(super) b_dec: Trained,
    /// Each `[d_sae]`: `b_enc`; `b_enc` and `threshold`; or `b_gate`, `r_mag`, and `b_mag`.
    pub(super) vectors: Vec<Trained>,
}

/// Memory that is kept from step to step.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    /// What is encoded, `[n, d_in]`.
    pub(super) input: Vec<f32>,
    /// `2 (x̂ - x) / n`, `[n, d_in]`.
    pub(super) residual: Vec<f32>,
    pub(super) sparse: SparseBatch,
    pub(super) dense: DenseBlock,
    /// How many rows each feature is active in.
    pub(super) n_fired: Vec<u32>,
}

/// What a step measured, before it changed the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepReport {
    /// The sum of all losses.
    pub loss: f64,
    /// Mean over the rows of `‖x̂ - x‖²`.
    pub mse: f64,
    /// The loss that keeps the code sparse; 0 of the `TopK` kinds.
    pub sparsity: f64,
    /// The loss of dead features, or of the gates.
    pub auxiliary: f64,
    /// The losses of guidance; 0 without it.
    pub guidance: f64,
    /// Active features of a row on average.
    pub l0: f64,
    /// Share of the variance that is left: `Σ‖x̂ - x‖² / Σ‖x - mean‖²` over the batch.
    pub fvu: f64,
    /// Features that have not been active for [`SaeTrainConfig::dead_feature_window`] steps.
    pub n_dead: usize,
    /// Norm of the gradient before it was scaled down.
    pub gradient_norm: f64,
}

/// Adds derivatives by pre-activations to the entries of a batch, given the norms of the decoder's
/// rows and the variance of a row; returns the loss that they are of.
pub(crate) type Guide<'a> = &'a mut dyn FnMut(&mut [Vec<Entry>], &[f32], f64) -> f64;

impl SaeTrainer {
    /// Draws initial weights: decoder rows in random directions, the encoder their transpose, every
    /// bias 0.
    ///
    /// One seed gives the same bits on every platform.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if a field of the config, or `d_in`, is out of range.
    pub fn new(config: SaeTrainConfig, d_in: usize, seed: u64) -> Result<Self, SaeError> {
        config.check()?;
        if d_in == 0 || d_in.checked_mul(config.d_sae).is_none() {
            let (name, value, expected) = ("d_in", d_in as f64, "at least 1, and not too large");
            return Err(SaeError::Hyperparameter { name, value, expected });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut decoder = vec![0.0_f32; config.d_sae * d_in];
        for row in decoder.chunks_exact_mut(d_in) {
            for w in row.iter_mut() {
                *w = StandardNormal.sample(&mut rng);
            }
            let norm = row.iter().map(|w| w * w).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            for w in row {
                *w *= config.decoder_init_norm as f32 / norm;
            }
        }
        Self::from_weights(config, d_in, decoder.clone(), decoder)
    }

    /// Begins with given matrices, each `[d_sae, d_in]`, and biases of 0.
    ///
    /// # Errors
    ///
    /// As [`SaeTrainer::new`], and [`SaeError::SizeMismatch`] if a matrix has another size.
    pub fn from_weights(
        config: SaeTrainConfig,
        d_in: usize,
        encoder: Vec<f32>,
        decoder: Vec<f32>,
    ) -> Result<Self, SaeError> {
        config.check()?;
        let d_sae = config.d_sae;
        for (what, found) in [("W_enc", encoder.len()), ("W_dec", decoder.len())] {
            let expected = d_sae.saturating_mul(d_in);
            if found != expected {
                return Err(SaeError::SizeMismatch { what, found, expected });
            }
        }
        let zeros = || Trained::new(vec![0.0; d_sae]);
        let vectors = match config.architecture {
            TrainArchitecture::Standard { .. }
            | TrainArchitecture::TopK { .. }
            | TrainArchitecture::BatchTopK { .. } => vec![zeros()],
            TrainArchitecture::JumpRelu { init_threshold, .. } => {
                vec![zeros(), Trained::new(vec![init_threshold as f32; d_sae])]
            }
            TrainArchitecture::Gated { .. } => vec![zeros(), zeros(), zeros()],
        };
        let weights = Weights {
            encoder: Trained::new(encoder),
            decoder: Trained::new(decoder),
            b_dec: Trained::new(vec![0.0; d_in]),
            vectors,
        };
        let mut norms = Vec::new();
        weights.decoder.row_norms(d_in, &mut norms);
        Ok(Self {
            config,
            d_in,
            weights,
            norms,
            step: 0,
            since_fired: vec![0; d_sae],
            topk_threshold: 0.0,
            scratch: Scratch::default(),
        })
    }

    /// Returns the config.
    pub fn config(&self) -> &SaeTrainConfig {
        &self.config
    }

    /// Returns the width of the activations.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Returns the number of steps taken.
    pub fn n_steps(&self) -> u64 {
        self.step
    }

    /// Whether each feature has been inactive for longer than the window.
    pub fn dead_features(&self) -> impl Iterator<Item = bool> + '_ {
        self.since_fired.iter().map(|n| *n > self.config.dead_feature_window)
    }

    /// Takes one step on a batch, `[n, d_in]`.
    ///
    /// # Errors
    ///
    /// - [`SaeError::SizeMismatch`] if the activations do not fill rows, or there are none.
    /// - [`SaeError::Diverged`] if a loss or a gradient is not finite; the weights stay as they were.
    pub fn step(&mut self, x: &[f32]) -> Result<StepReport, SaeError> {
        self.step_as(x, false, None)
    }

    /// As [`SaeTrainer::step`] of the `TopK` kinds, with what a guide adds to the loss.
    ///
    /// # Errors
    ///
    /// As [`SaeTrainer::step`].
    pub(crate) fn step_guided(
        &mut self,
        x: &[f32],
        guide: Guide<'_>,
    ) -> Result<StepReport, SaeError> {
        self.step_as(x, false, Some(guide))
    }

    /// As [`SaeTrainer::step`], with every product dense: the slow, obvious way of the `TopK` kinds.
    ///
    /// # Errors
    ///
    /// As [`SaeTrainer::step`].
    pub fn step_densely(&mut self, x: &[f32]) -> Result<StepReport, SaeError> {
        self.step_as(x, true, None)
    }

    fn step_as(
        &mut self,
        x: &[f32],
        densely: bool,
        guide: Option<Guide<'_>>,
    ) -> Result<StepReport, SaeError> {
        let d_in = self.d_in;
        if x.is_empty() || !x.len().is_multiple_of(d_in) {
            let what = "the number of values in rows of activations";
            let (found, expected) = (x.len(), (x.len() + 1).next_multiple_of(d_in));
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.input.resize(x.len(), 0.0);
        let zeros = vec![0.0; d_in];
        let taken =
            if self.config.apply_b_dec_to_input { &self.weights.b_dec.values } else { &zeros };
        let rows = scratch.input.par_chunks_exact_mut(d_in).zip(x.par_chunks_exact(d_in));
        rows.for_each(|(input, x)| {
            for ((input, x), b) in input.iter_mut().zip(x).zip(taken) {
                *input = x - b;
            }
        });
        scratch.n_fired.clear();
        scratch.n_fired.resize(self.config.d_sae, 0);
        let threshold = self.topk_threshold;
        let n = (x.len() / d_in) as f64;
        let variance = total_variance(x, d_in) / n;
        let mut report = match self.config.architecture {
            TrainArchitecture::TopK { .. } | TrainArchitecture::BatchTopK { .. } if !densely => {
                self.differentiate_sparsely((x, variance), &mut scratch, guide)
            }
            _ => self.differentiate_densely(x, &mut scratch),
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

    /// Gradient of the decoder's bias: where it is added, and where it is taken from the input.
    fn differentiate_b_dec(&mut self, residual: &[f32]) {
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
        let mut through = vec![0.0; self.d_in];
        matmul(
            &mut through,
            Matrix::new(&of_pre, 1, of_pre.len()),
            Matrix::new(&encoder.values, of_pre.len(), self.d_in),
            Write::Replace,
        );
        for (g, through) in gradient.iter_mut().zip(through) {
            *g -= through;
        }
    }

    fn update(&mut self, gradient_norm: f64) {
        // As `torch.nn.utils.clip_grad_norm_`.
        let clip = (self.config.max_gradient_norm / (gradient_norm + 1e-6)).min(1.0) as f32;
        let learning_rate = self.config.learning_rate.at(self.step);
        self.step += 1;
        let betas = [self.config.adam_beta1, self.config.adam_beta2];
        let by = AdamStep { learning_rate, betas, step: self.step, clip };
        for array in self.weights.arrays_mut() {
            array.update(by);
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

impl Weights {
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Trained> {
        [&self.encoder, &self.decoder, &self.b_dec].into_iter().chain(&self.vectors)
    }

    pub(super) fn arrays_mut(&mut self) -> impl Iterator<Item = &mut Trained> {
        [&mut self.encoder, &mut self.decoder, &mut self.b_dec].into_iter().chain(&mut self.vectors)
    }

    pub(super) fn clear_gradients(&mut self) {
        for array in self.arrays_mut() {
            array.gradient.fill(0.0);
        }
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
    let arch = pulp::Arch::new();
    let of_row = |row: &[f32]| arch.dispatch(|| squares(row));
    let squares: Vec<f64> = x.par_chunks_exact(d_in).map(of_row).collect();
    let squares: f64 = squares.iter().sum();
    (squares - sums.iter().map(|sum| sum * sum / n).sum::<f64>()).max(f64::MIN_POSITIVE)
}

/// Sums of the columns of some rows at a time, `[width]` each.
fn column_sums(values: &[f32], width: usize) -> Vec<Vec<f32>> {
    let arch = pulp::Arch::new();
    let of_rows = |rows: &[f32]| {
        let mut sums = vec![0.0; width];
        arch.dispatch(|| {
            for row in rows.chunks_exact(width) {
                add_scaled(&mut sums, 1.0, row);
            }
        });
        sums
    };
    values.par_chunks(ROWS_PER_SUM * width).map(of_rows).collect()
}
