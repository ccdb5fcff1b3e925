//! What a trainer has learned, as an autoencoder.

use super::config::TrainArchitecture;
use super::trainer::SaeTrainer;
use crate::config::SaeConfig;
use crate::{Sae, SaeActivation};

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
    /// in training. Where the encoder reads a context too, the autoencoder reads rows with the
    /// context beside the activation, and decodes that part to 0.
    pub fn sae_of_scaled(&self, scale: f32) -> Sae {
        let (d_in, d_enc) = (self.d_in, self.d_enc());
        let mut config = SaeConfig::new(d_enc, self.config.d_sae);
        config.apply_b_dec_to_input = self.config.apply_b_dec_to_input;
        config.metadata.set("training_architecture", self.config.architecture.as_str());
        let mut encoder = self.weights.encoder.values.clone();
        let mut decoder = self.weights.decoder.values.clone();
        let mut vectors = self.weights.vectors.iter().map(|one| one.values.clone());
        let mut next = || vectors.next().unwrap_or_default();
        let activation = match self.config.architecture {
            TrainArchitecture::Standard { .. } => SaeActivation::Standard { b_enc: next() },
            TrainArchitecture::JumpRelu { .. } => {
                SaeActivation::JumpRelu { b_enc: next(), threshold: next() }
            }
            TrainArchitecture::Gated { .. } => {
                SaeActivation::Gated { b_gate: next(), r_mag: next(), b_mag: next() }
            }
            TrainArchitecture::TopK { .. } | TrainArchitecture::BatchTopK { .. } => {
                let mut b_enc = next();
                let rows = encoder.chunks_exact_mut(d_enc).zip(decoder.chunks_exact_mut(d_in));
                for ((encoder, decoder), (b, norm)) in rows.zip(b_enc.iter_mut().zip(&self.norms)) {
                    *b *= norm;
                    for e in encoder {
                        *e *= norm;
                    }
                    for d in decoder {
                        *d /= norm;
                    }
                }
                divide(&mut b_enc, scale);
                if let TrainArchitecture::TopK { k, .. } = self.config.architecture {
                    SaeActivation::TopK { b_enc, k, rescale_acts_by_decoder_norm: true }
                } else {
                    let threshold = vec![self.threshold() as f32 / scale; b_enc.len()];
                    SaeActivation::JumpRelu { b_enc, threshold }
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
        b_dec.resize(d_enc, 0.0);
        let decoder = widened(decoder, d_in, d_enc);
        Sae { config, activation, encoder, decoder, b_dec }
    }
}

/// Rows with zeros after them.
fn widened(rows: Vec<f32>, from: usize, to: usize) -> Vec<f32> {
    if from == to {
        return rows;
    }
    let mut wide = vec![0.0; rows.len() / from * to];
    for (wide, row) in wide.chunks_exact_mut(to).zip(rows.chunks_exact(from)) {
        wide[..from].copy_from_slice(row);
    }
    wide
}

fn divide(values: &mut [f32], by: f32) {
    for value in values {
        *value /= by;
    }
}
