//! An autoencoder while it is trained.

use attention_probes_errors::ValueError;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::adam::Trained;
use super::config::{SaeTrainConfig, TrainArchitecture};
use super::scratch::Scratch;
use crate::SaeError;

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
    /// Blocks of `d_in` that the encoder reads beside the activations.
    n_context: usize,
    pub(super) weights: Weights,
    /// Norms of the decoder's rows.
    pub(super) norms: Vec<f32>,
    /// Steps taken.
    pub(super) step: u64,
    /// Steps since each feature was active.
    pub(super) since_fired: Vec<u64>,
    /// Running mean of the smallest active value of each batch.
    pub(super) topk_threshold: f64,
    pub(super) scratch: Scratch,
}

/// The weights of an autoencoder while it trains.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weights {
    /// `[d_sae, d_enc]`
    pub(super) encoder: Trained,
    /// `[d_sae, d_in]`
    pub(super) decoder: Trained,
    /// `[d_in]`
    pub(super) b_dec: Trained,
    /// Each `[d_sae]`: `b_enc`; `b_enc` and `threshold`; or `b_gate`, `r_mag`, and `b_mag`.
    pub(super) vectors: Vec<Trained>,
}

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
            return Err(ValueError::new(name, value, expected).into());
        }
        // Both matrices, each with its gradient and two moments, so that what the machine does not
        // have is an error and not the end of the process.
        let n_values = config.d_sae.saturating_mul(d_in).saturating_mul(8);
        if Vec::<f32>::new().try_reserve_exact(n_values).is_err() {
            let (name, value) = ("d_sae", config.d_sae as f64);
            let expected = "fewer features, there is no memory for their weights";
            return Err(ValueError::new(name, value, expected).into());
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

    /// As [`SaeTrainer::new`], with an encoder that also reads `n_context` blocks of `d_in`, what
    /// the token's context gathers; their weights begin at 0.
    ///
    /// # Errors
    ///
    /// As [`SaeTrainer::new`].
    pub(crate) fn with_context(
        config: SaeTrainConfig,
        d_in: usize,
        n_context: usize,
        seed: u64,
    ) -> Result<Self, SaeError> {
        let mut trainer = Self::new(config, d_in, seed)?;
        trainer.n_context = n_context;
        let d_enc = trainer.d_enc();
        let mut encoder = vec![0.0; trainer.config.d_sae * d_enc];
        let rows = trainer.weights.encoder.values.chunks_exact(d_in);
        for (wide, row) in encoder.chunks_exact_mut(d_enc).zip(rows) {
            wide[..d_in].copy_from_slice(row);
        }
        trainer.weights.encoder = Trained::new(encoder);
        Ok(trainer)
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
            n_context: 0,
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

    /// Width of what the encoder reads.
    pub(super) fn d_enc(&self) -> usize {
        self.d_in * (1 + self.n_context)
    }

    /// Returns the number of steps taken.
    pub fn n_steps(&self) -> u64 {
        self.step
    }

    /// Whether each feature has been inactive for longer than the window.
    pub fn dead_features(&self) -> impl Iterator<Item = bool> + '_ {
        self.since_fired.iter().map(|n| *n > self.config.dead_feature_window)
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
