//! What the weights of each feature say without any activation.

use attention_probes_kernels::{Matrix, Write, matmul};
use rayon::prelude::*;
use serde::Serialize;

use crate::{Sae, SaeActivation};

/// Features whose cosines to all others are held at a time.
const BLOCK: usize = 256;

/// Norms below this are divided by as if they were this, as torch's `normalize` does.
const SMALLEST_NORM: f32 = 1e-12;

/// What the weights of each feature say, each `[d_sae]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureWeights {
    /// `b_enc`, or `b_mag` of a gated autoencoder.
    pub encoder_bias: Vec<f32>,
    /// Norm of the encoder's column.
    pub encoder_norm: Vec<f32>,
    /// Cosine of the encoder's column and the decoder's row.
    pub encoder_decoder_cosine_sim: Vec<f32>,
    /// Largest cosine of the encoder's column with that of another feature.
    pub max_encoder_cosine_sim: Vec<f32>,
    /// Largest cosine of the decoder's row with that of another feature.
    pub max_decoder_cosine_sim: Vec<f32>,
}

impl FeatureWeights {
    /// Mean of the largest cosines of the encoder's columns, and of the decoder's rows.
    pub fn average_max_cosines(&self) -> [f64; 2] {
        [&self.max_encoder_cosine_sim, &self.max_decoder_cosine_sim].map(|cosines| {
            cosines.iter().map(|cosine| f64::from(*cosine)).sum::<f64>() / cosines.len() as f64
        })
    }
}

/// Measures the weights of each feature: `SAEBench`'s `get_featurewise_weight_based_metrics`.
///
/// The largest cosine of the only feature of an autoencoder is `-∞`.
///
/// # Memory
///
/// Both matrices once more, and the cosines of some features with all others.
pub fn feature_weights(sae: &Sae) -> FeatureWeights {
    let d_in = sae.config.d_in;
    let encoder = unit_rows(&sae.encoder, d_in);
    let decoder = unit_rows(&sae.decoder, d_in);
    let norm = |row: &[f32]| row.iter().map(|w| w * w).sum::<f32>().sqrt();
    let pairs = encoder.chunks_exact(d_in).zip(decoder.chunks_exact(d_in));
    let cosine = |(e, d): (&[f32], &[f32])| e.iter().zip(d).map(|(e, d)| e * d).sum();
    let encoder_bias = match &sae.activation {
        SaeActivation::Standard { b_enc }
        | SaeActivation::TopK { b_enc, .. }
        | SaeActivation::JumpRelu { b_enc, .. } => b_enc,
        SaeActivation::Gated { b_mag, .. } => b_mag,
    };
    FeatureWeights {
        encoder_bias: encoder_bias.clone(),
        encoder_norm: sae.encoder.chunks_exact(d_in).map(norm).collect(),
        encoder_decoder_cosine_sim: pairs.map(cosine).collect(),
        max_encoder_cosine_sim: max_cosines(&encoder, d_in),
        max_decoder_cosine_sim: max_cosines(&decoder, d_in),
    }
}

/// Rows divided by their norms.
pub(crate) fn unit_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let mut unit = rows.to_vec();
    for row in unit.chunks_exact_mut(width) {
        let norm = row.iter().map(|w| w * w).sum::<f32>().sqrt().max(SMALLEST_NORM);
        for w in row {
            *w /= norm;
        }
    }
    unit
}

/// Largest product of each row with another.
fn max_cosines(unit: &[f32], width: usize) -> Vec<f32> {
    let n = unit.len() / width;
    let all = Matrix::new(unit, n, width).transpose();
    let mut cosines = Vec::new();
    let mut largest = Vec::with_capacity(n);
    for (block, rows) in unit.chunks(BLOCK * width).enumerate() {
        let n_rows = rows.len() / width;
        cosines.resize(n_rows * n, 0.0_f32);
        matmul(&mut cosines, Matrix::new(rows, n_rows, width), all, Write::Replace);
        largest.par_extend(cosines.par_chunks_exact(n).enumerate().map(|(row, cosines)| {
            let others = cosines.iter().enumerate().filter(|(i, _)| *i != block * BLOCK + row);
            others.map(|(_, cosine)| *cosine).fold(f32::NEG_INFINITY, f32::max)
        }));
    }
    largest
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::eval::testing::identity_sae;

    #[test]
    fn cosines_are_to_the_nearest_other_feature() {
        let mut sae = identity_sae(2, 0.5);
        sae.config.d_sae = 3;
        sae.activation = SaeActivation::Standard { b_enc: vec![0.5; 3] };
        sae.encoder = vec![3.0, 4.0, 3.0, 0.0, 0.0, -2.0];
        sae.decoder = vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let weights = feature_weights(&sae);
        assert_eq!(weights.encoder_norm, [5.0, 3.0, 2.0]);
        assert_eq!(weights.encoder_bias, [0.5; 3]);
        for (found, expected) in weights.encoder_decoder_cosine_sim.iter().zip([0.6, 0.0, -1.0]) {
            assert_relative_eq!(*found, expected);
        }
        for (found, expected) in weights.max_encoder_cosine_sim.iter().zip([0.6, 0.6, 0.0]) {
            assert_relative_eq!(*found, expected, epsilon = 1e-6);
        }
        assert_eq!(weights.max_decoder_cosine_sim, [0.0, 1.0, 1.0]);
        assert_relative_eq!(weights.average_max_cosines()[1], 2.0 / 3.0);
    }
}
