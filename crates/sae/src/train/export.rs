//! What a trainer has learned, as an autoencoder.

use super::config::TrainArchitecture;
use super::trainer::SaeTrainer;
use crate::config::SaeConfig;
use crate::{Activation, Sae};

impl SaeTrainer {
    /// The running mean of the smallest active value of a batch, without its beginning at 0.
    ///
    /// `SAELens` saves the mean with it, so that too many features are active after a short run.
    fn threshold(&self) -> f64 {
        match self.config.architecture {
            TrainArchitecture::BatchTopK { topk_threshold_lr, .. } if self.step > 0 => {
                let exponent = i32::try_from(self.step).unwrap_or(i32::MAX);
                self.topk_threshold / (1.0 - (1.0 - topk_threshold_lr).powi(exponent))
            }
            _ => self.topk_threshold,
        }
    }

    /// The autoencoder as it is now, with unit decoder rows where the architecture compares features
    /// by their norms.
    pub fn sae(&self) -> Sae {
        self.sae_of_scaled(1.0)
    }

    /// The autoencoder as it is now, for activations as they come, where it was trained on them
    /// times `scale`.
    ///
    /// Unit decoder rows stay so; of the other architectures features keep the values that they had
    /// in training.
    pub fn sae_of_scaled(&self, scale: f32) -> Sae {
        let mut config = SaeConfig::new(self.d_in, self.config.d_sae);
        config.apply_b_dec_to_input = self.config.apply_b_dec_to_input;
        config.metadata.set("training_architecture", self.config.architecture.as_str());
        let mut encoder = self.weights.encoder.values.clone();
        let mut decoder = self.weights.decoder.values.clone();
        let mut vectors = self.weights.vectors.iter().map(|one| one.values.clone());
        let mut next = || vectors.next().unwrap_or_default();
        let activation = match self.config.architecture {
            TrainArchitecture::Standard { .. } => Activation::Standard { b_enc: next() },
            TrainArchitecture::JumpRelu { .. } => {
                Activation::JumpRelu { b_enc: next(), threshold: next() }
            }
            TrainArchitecture::Gated { .. } => {
                Activation::Gated { b_gate: next(), r_mag: next(), b_mag: next() }
            }
            TrainArchitecture::TopK { .. } | TrainArchitecture::BatchTopK { .. } => {
                let mut b_enc = next();
                let rows =
                    encoder.chunks_exact_mut(self.d_in).zip(decoder.chunks_exact_mut(self.d_in));
                for ((encoder, decoder), (b, norm)) in rows.zip(b_enc.iter_mut().zip(&self.norms)) {
                    *b *= norm;
                    for (e, d) in encoder.iter_mut().zip(decoder) {
                        *e *= norm;
                        *d /= norm;
                    }
                }
                divide(&mut b_enc, scale);
                if let TrainArchitecture::TopK { k, .. } = self.config.architecture {
                    Activation::TopK { b_enc, k, rescale_acts_by_decoder_norm: true }
                } else {
                    let threshold = vec![self.threshold() as f32 / scale; b_enc.len()];
                    Activation::JumpRelu { b_enc, threshold }
                }
            }
        };
        let mut b_dec = self.weights.b_dec.values.clone();
        divide(&mut b_dec, scale);
        if !self.config.architecture.is_top_k() {
            divide(&mut decoder, scale);
            for w in &mut encoder {
                *w *= scale;
            }
        }
        Sae { config, activation, encoder, decoder, b_dec }
    }
}

fn divide(values: &mut [f32], by: f32) {
    for value in values {
        *value /= by;
    }
}
