//! How alike the features of tokens are that attend to each other.

use std::ops::Range;

use super::codes::{Spread, UnitCodes};
use super::patterns::{BatchPattern, PatternSource};
use crate::guided::attention_store::AttentionLayers;
use crate::{Sae, SaeError};

/// Mean over tokens and layers of `Σ_k A[q,k] cos(f_q, f_k)`: what `L_guide` raises.
///
/// # Shapes
///
/// - `x`: rows of the positions `positions` of every context of `attention`, `[n, d_in]`
///
/// # Errors
///
/// - the errors of [`Sae::encode`].
/// - [`SaeError::SizeMismatch`] if the rows are not those of the contexts.
pub fn attended_cosine(
    sae: &Sae,
    x: &[f32],
    attention: &AttentionLayers,
    positions: Range<usize>,
) -> Result<f64, SaeError> {
    let codes = sae.encode(x)?.codes;
    let expected = attention.n_contexts() * positions.len();
    if codes.n_rows() != expected {
        let what = "the number of rows of activations";
        return Err(SaeError::SizeMismatch { what, found: codes.n_rows(), expected });
    }
    let length = positions.len();
    let contexts: Vec<usize> = (0..attention.n_contexts()).collect();
    let gather = |layer: &usize| {
        let source = PatternSource::Layer(*layer);
        BatchPattern::gather(&source, attention, &contexts, positions.clone())
    };
    let patterns: Vec<BatchPattern> = attention.layers().iter().map(gather).collect();
    let unit = UnitCodes::of(&codes);
    let mut spread = Spread::new(codes.d_sae());
    let (mut sum, mut weight) = (0.0_f64, 0.0_f64);
    for row in 0..codes.n_rows() {
        spread.set(&unit, row);
        let first = row / length * length;
        for &(key, attention) in patterns.iter().flat_map(|pattern| pattern.row(row)) {
            sum += f64::from(attention * spread.cosine(&unit, first + key as usize));
            weight += f64::from(attention);
        }
        spread.clear(&unit, row);
    }
    Ok(if weight > 0.0 { sum / weight } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;
    use crate::{AttentionStore, KeepAttention, PoolHeads};

    #[test]
    fn tokens_that_attend_to_their_like_have_a_cosine_of_one() {
        let mut store = AttentionStore::new(4).unwrap();
        // Token 2 attends to token 1, token 3 to tokens 1 and 2 alike.
        let pattern = [1., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 0.5, 0.5, 0.];
        store.push(&pattern, 1, PoolHeads::Mean, KeepAttention::default()).unwrap();
        let attention = AttentionLayers::of(vec![(0, store)]);
        let sae = identity_sae(2, 0.0);
        let of = |x: &[f32]| attended_cosine(&sae, x, &attention, 1..4);
        approx::assert_abs_diff_eq!(of(&[1., 0., 2., 0., 3., 0.]).unwrap(), 1.0);
        // cos(2, 1) = 0 once, cos(3, 1) = 1 and cos(3, 2) = 0 in halves.
        approx::assert_abs_diff_eq!(of(&[1., 0., 0., 2., 3., 0.]).unwrap(), 0.25);
        assert!(of(&[1., 0.]).is_err());
    }
}
