//! What features do to a linear probe, and what is left when some are taken away: the common part
//! of SCR and TPP.

use super::binary_probe::BinaryProbe;
use super::encoded::Texts;
use super::examples::{Example, Rows, mean_difference};
use super::texts::TextActivations;
use crate::{Sae, SaeError, SparseCodes};

/// Which features count as doing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// `max(Δ_f, 0) (w · d_f)`, of TPP
    Positive,
    /// `|Δ_f (w · d_f)|`, of SCR
    Absolute,
}

/// Attribution of each feature to a probe, `[d_sae]`.
///
/// `Δ_f` is the difference of its means over positive and negative texts, `w` the weights of the
/// probe, and `d_f` the row of the decoder: `SAEBench`'s `get_effects_per_class_precomputed_acts`.
pub(super) fn effects(
    sae: &Sae,
    features: &[Rows],
    examples: &[Example],
    probe: &BinaryProbe,
    effect: Effect,
) -> Vec<f64> {
    let differences = mean_difference(features, examples);
    let rows = sae.decoder.chunks_exact(sae.config.d_in);
    let dot = |row: &[f32]| -> f64 {
        row.iter().zip(&probe.weight).map(|(d, w)| f64::from(*d) * f64::from(*w)).sum()
    };
    let pairs = differences.into_iter().zip(rows);
    pairs
        .map(|(difference, row)| match effect {
            Effect::Positive => difference.max(0.0) * dot(row),
            Effect::Absolute => (difference * dot(row)).abs(),
        })
        .collect()
}

/// Features of the `n` largest effects, or of as many as are not 0, in rising order.
///
/// `SAEBench`'s `select_top_n_features`. *Quirk*: effects of TPP have a sign, and those that are
/// not 0 are only counted, so where fewer than that are positive, features of effect 0 are chosen
/// too. torch leaves open which of them; here it is the first.
pub(super) fn largest_effects(effects: &[f64], n: usize) -> Vec<usize> {
    // In the precision of SAEBench, in which a product can be 0.
    let rounded = effects.iter().map(|effect| *effect as f32);
    let n_not_0 = rounded.clone().filter(|effect| effect.abs() > 0.0).count();
    // 0 and -0 are equal.
    super::sparse_probing::largest(rounded.map(|effect| f64::from(effect) + 0.0), n.min(n_not_0))
}

/// Texts with what each feature adds to their means.
#[derive(Clone, Debug)]
pub(super) struct Ablatable {
    means: Vec<f32>,
    /// What the decoder's rows are multiplied by, summed over all positions, by the number of
    /// those present.
    masses: SparseCodes,
}

impl Ablatable {
    /// Encodes every position once, whatever is ablated later.
    ///
    /// *Quirk* of `SAEBench`: absent positions are encoded too, so a feature that is active on
    /// zeros changes the mean of a padded text when it is ablated. Ragged texts have none.
    pub(super) fn new(sae: &Sae, texts: &impl Texts) -> Result<Self, SaeError> {
        let masses = texts.masses(sae)?;
        Ok(Self { means: texts.means(), masses })
    }

    /// Means of the texts, with nothing ablated, `[n_texts, d_in]`.
    pub(super) fn whole(&self, d_in: usize) -> Rows {
        Rows::Dense { values: self.means.clone(), width: d_in }
    }

    /// Means of `decode(f with those features 0) + (x - decode(f))`, `[n_texts, d_in]`.
    ///
    /// `SAEBench`'s `ablated_precomputed_activations`; because decoding is linear, the features'
    /// shares are taken from the means.
    pub(super) fn without(&self, sae: &Sae, features: &[usize]) -> Rows {
        let d_in = sae.config.d_in;
        let norms = sae.decoder_norms_if_rescaled();
        let mut values = self.means.clone();
        for (row, (active, masses)) in values.chunks_exact_mut(d_in).zip(self.masses.rows()) {
            let mut shares = vec![0.0_f64; d_in];
            for (feature, mass) in active.iter().zip(masses) {
                let feature = *feature as usize;
                if features.binary_search(&feature).is_ok() {
                    let mass = f64::from(*mass) / norms.get(feature).map_or(1.0, |n| f64::from(*n));
                    let direction = &sae.decoder[feature * d_in..][..d_in];
                    for (share, d) in shares.iter_mut().zip(direction) {
                        *share += mass * f64::from(*d);
                    }
                }
            }
            for (x, share) in row.iter_mut().zip(shares) {
                *x = (f64::from(*x) - share) as f32;
            }
        }
        Rows::Dense { values, width: d_in }
    }
}

/// Means of texts without what some features add to them, `[n_texts, d_in]`.
///
/// ```text
/// x' = decode(f with those features 0) + (x - decode(f)),   Σ x' / present positions
/// ```
///
/// `SAEBench`'s `ablated_precomputed_activations`, with its *quirk*: absent positions are encoded
/// too, so a feature that is active on zeros changes the mean of a padded text.
///
/// # Errors
///
/// [`SaeError::SizeMismatch`] if the autoencoder reads another width.
pub fn ablated_means(
    sae: &Sae,
    texts: &TextActivations,
    features: &[u32],
) -> Result<Vec<f32>, SaeError> {
    let mut features: Vec<usize> = features.iter().map(|feature| *feature as usize).collect();
    features.sort_unstable();
    match Ablatable::new(sae, texts)?.without(sae, &features) {
        Rows::Dense { values, .. } => Ok(values),
        Rows::Sparse(codes) => Ok(codes.to_dense()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;
    use crate::{Normalization, SaeActivation};

    #[test]
    fn only_effects_that_are_not_0_are_counted() {
        assert_eq!(largest_effects(&[0.0, 2.0, -0.0, 1.0], 5), [1, 3]);
        assert_eq!(largest_effects(&[0.0, 2.0, -1.0, -0.0, -3.0], 3), [0, 1, 3]);
        assert_eq!(largest_effects(&[0.0, 0.0], 1), [0_usize; 0]);
    }

    #[test]
    fn effects_are_differences_times_decoder_times_probe() {
        let sae = identity_sae(2, 0.0);
        let rows = [
            Rows::Dense { values: vec![3.0, 1.0], width: 2 },
            Rows::Dense { values: vec![1.0, 2.0], width: 2 },
        ];
        let examples = [0, 1].map(|source| Example { source, text: 0, is_positive: source == 0 });
        let probe = BinaryProbe { weight: vec![-2.0, 5.0], bias: 0.0 };
        assert_eq!(effects(&sae, &rows, &examples, &probe, Effect::Positive), [-4.0, 0.0]);
        assert_eq!(effects(&sae, &rows, &examples, &probe, Effect::Absolute), [4.0, 5.0]);
    }

    #[test]
    fn ablation_by_shares_is_ablation_by_decoding() {
        let mut sae = identity_sae(3, 0.25);
        sae.decoder = vec![0.5, 1.0, 0.0, -1.0, 2.0, 0.5, 0.0, 0.3, 1.5];
        sae.b_dec = vec![0.1, -0.2, 0.3];
        let b_enc = vec![0.25; 3];
        let rescaled = SaeActivation::TopK { b_enc, k: 2, rescale_acts_by_decoder_norm: true };
        let values = vec![1.0, 2.0, -1.0, 0.5, -3.0, 0.7, 2.0, 2.5, 0.1, 1.0, 1.0, 4.0];
        let texts = TextActivations::padded(values.clone(), 2, 3).unwrap();
        for activation in [sae.activation.clone(), rescaled] {
            for by in [Normalization::None, Normalization::LayerNorm] {
                sae.activation = activation.clone();
                sae.config.normalize_activations = by;
                let encoded = sae.encode(&values).unwrap();
                let whole = sae.decode(&encoded);
                let mut without_1 = encoded.clone();
                without_1.codes = SparseCodes::new(3);
                for (features, values) in encoded.codes.rows() {
                    let kept = features.iter().zip(values).filter(|(f, _)| **f != 1);
                    without_1.codes.push_row(kept.map(|(f, value)| (*f, *value)));
                }
                let left = sae.decode(&without_1);
                let found = ablated_means(&sae, &texts, &[1]).unwrap();
                for (i, found) in found.into_iter().enumerate() {
                    let at = |row: usize| (i / 3 * 2 + row) * 3 + i % 3;
                    let x = |at: usize| left[at] + values[at] - whole[at];
                    let expected = f32::midpoint(x(at(0)), x(at(1)));
                    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                }
            }
        }
    }
}
