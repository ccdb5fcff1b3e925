//! How well an autoencoder finds features that are known.

use attention_probes_kernels::{Matrix, Write, matmul};
use serde::Serialize;

use super::assignment::best_assignment;
use super::truth::{SyntheticSample, SyntheticTruth};
use crate::eval::unit_rows;
use crate::{Sae, SaeError};

/// How well an autoencoder finds features that are known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyntheticScore {
    /// Mean over the true features of the largest cosine to a decoder row; one row may serve
    /// several.
    pub mean_max_cosine: f64,
    /// Mean over the true features of the cosine to a decoder row of their own, where rows are
    /// paired with features so that it is largest: the mean correlation coefficient of directions.
    /// 0 for a feature that is left without.
    pub mcc: f64,
    /// Mean over the true features of the F1 with which the row's feature fires when they do; 0 for
    /// one that is left without, or never right.
    pub f1: f64,
    /// The feature of the autoencoder that is paired with each true one.
    pub paired: Vec<Option<u32>>,
}

/// Compares an autoencoder with the truth.
///
/// Cosines have a sign, because features are never negative: a row that points the other way is
/// no match. Both means are over true features alike, however rarely they fire. Pairing by
/// assignment follows the synthetic suite of `SAELens` 6; F1 compares firing on a sample.
///
/// # Errors
///
/// [`SaeError::SizeMismatch`] if the autoencoder reads another width.
///
/// # Memory
///
/// A cosine for every pair of a true feature and a feature, twice; codes of the sample.
pub fn score_synthetic(
    sae: &Sae,
    truth: &SyntheticTruth,
    sample: &SyntheticSample,
) -> Result<SyntheticScore, SaeError> {
    let (d_in, n_true, d_sae) = (truth.config().d_in, truth.config().n_features, sae.config.d_sae);
    if sae.config.d_in != d_in {
        let what = "the width that the autoencoder reads";
        return Err(SaeError::SizeMismatch { what, found: sae.config.d_in, expected: d_in });
    }
    let decoder = unit_rows(&sae.decoder, d_in);
    let mut cosines = vec![0.0_f32; n_true * d_sae];
    matmul(
        &mut cosines,
        Matrix::new(truth.directions(), n_true, d_in),
        Matrix::new(&decoder, d_sae, d_in).transpose(),
        Write::Replace,
    );
    let mean_max_cosine = cosines
        .chunks_exact(d_sae)
        .map(|row| f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max)))
        .sum::<f64>()
        / n_true as f64;
    let paired = pair(&cosines, n_true, d_sae);
    let cosine = |(i, feature): (usize, &Option<u32>)| {
        feature.map_or(0.0, |feature| f64::from(cosines[i * d_sae + feature as usize]))
    };
    let mcc = paired.iter().enumerate().map(cosine).sum::<f64>() / n_true as f64;
    let f1 = mean_f1(sae, sample, &paired)?;
    Ok(SyntheticScore { mean_max_cosine, mcc, f1, paired })
}

/// The row of each true feature, none for those left over where there are fewer rows.
fn pair(cosines: &[f32], n_true: usize, d_sae: usize) -> Vec<Option<u32>> {
    let value = |i: usize, feature: usize| f64::from(cosines[i * d_sae + feature]);
    if n_true <= d_sae {
        let values: Vec<f64> = cosines.iter().map(|cosine| f64::from(*cosine)).collect();
        let columns = best_assignment(&values, n_true, d_sae);
        return columns.into_iter().map(|feature| Some(feature as u32)).collect();
    }
    let transposed: Vec<f64> =
        (0..d_sae).flat_map(|feature| (0..n_true).map(move |i| value(i, feature))).collect();
    let mut paired = vec![None; n_true];
    for (feature, i) in best_assignment(&transposed, d_sae, n_true).into_iter().enumerate() {
        paired[i] = Some(feature as u32);
    }
    paired
}

fn mean_f1(sae: &Sae, sample: &SyntheticSample, paired: &[Option<u32>]) -> Result<f64, SaeError> {
    let mut true_of = vec![None; sae.config.d_sae];
    for (i, feature) in paired.iter().enumerate() {
        if let Some(feature) = feature {
            true_of[*feature as usize] = Some(i);
        }
    }
    let encoded = sae.encode(&sample.activations)?;
    // Where both fire, and how often either does.
    let (mut n_right, mut n_fired) = (vec![0_u64; paired.len()], vec![0_u64; paired.len()]);
    for ((features, _), (expected, _)) in encoded.codes.rows().zip(sample.codes.rows()) {
        for i in expected {
            n_fired[*i as usize] += 1;
        }
        for i in features.iter().filter_map(|feature| true_of[*feature as usize]) {
            n_fired[i] += 1;
            n_right[i] += u64::from(expected.binary_search(&(i as u32)).is_ok());
        }
    }
    let f1 = |(right, fired): (u64, u64)| match right {
        0 => 0.0,
        _ => 2.0 * right as f64 / fired as f64,
    };
    Ok(n_right.into_iter().zip(n_fired).map(f1).sum::<f64>() / paired.len() as f64)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::synthetic::SyntheticConfig;
    use crate::{SaeActivation, SaeConfig};

    fn truth() -> (SyntheticTruth, SyntheticSample) {
        let config = SyntheticConfig {
            n_features: 6,
            d_in: 40,
            mean_l0: 1.0,
            n_children: 0,
            ..SyntheticConfig::default()
        };
        let truth = SyntheticTruth::new(config, 7).unwrap();
        let sample = truth.sample(500, 8);
        (truth, sample)
    }

    /// An autoencoder of these rows.
    fn sae_of(rows: &[f32], d_in: usize) -> Sae {
        let d_sae = rows.len() / d_in;
        Sae {
            config: SaeConfig::new(d_in, d_sae),
            activation: SaeActivation::JumpRelu {
                b_enc: vec![0.0; d_sae],
                threshold: vec![0.5; d_sae],
            },
            encoder: rows.to_vec(),
            decoder: rows.iter().map(|w| 3.0 * w).collect(),
            b_dec: vec![0.0; d_in],
        }
    }

    #[test]
    fn the_truth_itself_is_found_in_any_order() {
        let (truth, sample) = truth();
        let mut rows: Vec<f32> =
            truth.directions().chunks_exact(40).rev().flatten().copied().collect();
        rows.extend([0.1; 40]);
        let found = score_synthetic(&sae_of(&rows, 40), &truth, &sample).unwrap();
        assert_eq!(found.paired, [5, 4, 3, 2, 1, 0].map(Some));
        assert_relative_eq!(found.mcc, 1.0, epsilon = 1e-6);
        assert_relative_eq!(found.mean_max_cosine, 1.0, epsilon = 1e-6);
        assert!(found.f1 > 0.9, "{found:?}");
    }

    #[test]
    fn features_without_a_row_count_as_0() {
        let (truth, sample) = truth();
        let rows = &truth.directions()[40..120];
        let found = score_synthetic(&sae_of(rows, 40), &truth, &sample).unwrap();
        assert_eq!(found.paired, [None, Some(0), Some(1), None, None, None]);
        assert_relative_eq!(found.mcc, 2.0 / 6.0, epsilon = 1e-6);
        assert!(found.f1 < 0.34 && found.f1 > 0.25, "{found:?}");
        let opposite: Vec<f32> = truth.directions().iter().map(|w| -w).collect();
        let found = score_synthetic(&sae_of(&opposite, 40), &truth, &sample).unwrap();
        assert!(found.mcc < 0.3, "{found:?}");
    }

    #[test]
    fn another_width_is_refused() {
        let (truth, sample) = truth();
        let error = score_synthetic(&sae_of(&[1.0; 6], 3), &truth, &sample).unwrap_err();
        assert!(matches!(error, SaeError::SizeMismatch { found: 3, expected: 40, .. }));
    }
}
