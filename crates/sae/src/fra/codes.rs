//! The active features of a text, as the attention of one layer weighs them.

use std::collections::HashMap;

use attention_probes_models::HookPoint;

use super::capture::FraActivations;
use super::layer::{FraLayer, Reading};
use super::published::strongest;
use super::site::FraSite;
use crate::{Encoded, SaeError};

/// Active features of every position, and what they are multiplied by on the way to the scores.
///
/// A feature that is active anywhere has a slot; slots are in the order of features.
#[derive(Clone, Debug, PartialEq)]
pub struct FraCodes {
    features: Vec<u32>,
    /// Where each position begins and ends, `[n_positions + 1]`.
    indptr: Vec<usize>,
    /// Slot of each active feature, rising within a position.
    slots: Vec<u32>,
    /// `a_i / σ`: never negative.
    activations: Vec<f32>,
    /// `1 / σ` of each position.
    scales: Vec<f32>,
    /// `1 / σ_q` of each position and head, `1 / σ_k` of each position and key head; empty where
    /// queries and keys have no norm.
    query_factors: Vec<f32>,
    key_factors: Vec<f32>,
    /// The position after the last earlier occurrence of a position's token.
    targets: Vec<Option<u32>>,
}

/// Active features position by position, before they have slots.
struct Active {
    /// Where each position begins and ends.
    indptr: Vec<usize>,
    /// Rising within a position.
    features: Vec<u32>,
    activations: Vec<f32>,
}

impl Active {
    fn with_capacity(n_positions: usize, n_active: usize) -> Self {
        let mut indptr = Vec::with_capacity(n_positions + 1);
        indptr.push(0);
        let (features, activations) = (Vec::with_capacity(n_active), Vec::with_capacity(n_active));
        Self { indptr, features, activations }
    }

    /// Adds features of the position that has not ended.
    fn extend(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        for (feature, activation) in row {
            self.features.push(feature);
            self.activations.push(activation);
        }
    }

    fn end_position(&mut self) {
        self.indptr.push(self.features.len());
    }
}

/// A text, and what was kept of it.
#[derive(Clone, Copy, Debug)]
pub struct FraInput<'a> {
    /// Token ids, `[n_positions]`.
    pub ids: &'a [u32],
    /// Activations at the hooks that are asked for.
    pub activations: &'a FraActivations,
    /// Positions that stand for the beginning of the text: they have no features, and everything
    /// there is rest.
    pub n_before: usize,
}

impl FraCodes {
    /// Encodes a text from what [`FraLayer::hooks`] names.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hook`] if an activation is missing.
    /// - [`SaeError::SizeMismatch`] if an activation does not fit the tokens.
    pub fn new(layer: &FraLayer<'_>, text: FraInput<'_>) -> Result<Self, SaeError> {
        let n_values = text.ids.len() * layer.sae.config.d_in;
        let x = rows(text.activations, layer.hook(), n_values)?;
        Self::from_encoded(layer, text, &layer.sae.encode(x)?)
    }

    /// As [`FraCodes::new`], of a text that is encoded already.
    ///
    /// # Errors
    ///
    /// As [`FraCodes::new`].
    pub fn from_encoded(
        layer: &FraLayer<'_>,
        text: FraInput<'_>,
        encoded: &Encoded,
    ) -> Result<Self, SaeError> {
        let FraInput { ids, activations, n_before } = text;
        let n = ids.len();
        if encoded.codes.n_rows() != n {
            let (what, found) = ("the number of rows of codes", encoded.codes.n_rows());
            return Err(SaeError::SizeMismatch { what, found, expected: n });
        }
        let scales = match layer.reading {
            Reading::Exact(FraSite::Residual) => {
                let scales = rows(activations, HookPoint::Ln1Scale(layer.layer()), n)?;
                scales.iter().map(|scale| scale.recip()).collect()
            }
            _ => vec![1.0; n],
        };
        let mut active = Active::with_capacity(n, encoded.codes.n_active());
        for (position, (features, values)) in encoded.codes.rows().enumerate() {
            if position < n_before {
                active.end_position();
                continue;
            }
            let factor = encoded.scale(position) * scales[position];
            let decoded = |(feature, value): (&u32, &f32)| {
                let norm = layer.decoder_norms.get(*feature as usize).copied().unwrap_or(1.0);
                (*feature, value * factor / norm)
            };
            let row = features.iter().zip(values).map(decoded);
            match layer.reading {
                Reading::Exact(_) => active.extend(row),
                Reading::Published => active.extend(strongest(row.collect())),
            }
            active.end_position();
        }
        let mut codes = Self::from_active(active, ids);
        codes.scales = scales;
        codes.take_head_norms(layer, activations)?;
        Ok(codes)
    }

    /// A text of which only the tokens are known.
    pub fn without_features(ids: &[u32]) -> Self {
        let mut active = Active::with_capacity(ids.len(), 0);
        for _ in ids {
            active.end_position();
        }
        Self::from_active(active, ids)
    }

    fn from_active(active: Active, ids: &[u32]) -> Self {
        let Active { indptr, features: mut slots, activations } = active;
        let mut features = slots.clone();
        features.sort_unstable();
        features.dedup();
        for slot in &mut slots {
            *slot = features.partition_point(|known| known < slot) as u32;
        }
        Self {
            features,
            scales: vec![1.0; indptr.len() - 1],
            indptr,
            slots,
            activations,
            query_factors: Vec::new(),
            key_factors: Vec::new(),
            targets: induction_targets(ids),
        }
    }

    /// The frozen scales of the norms of queries and keys.
    fn take_head_norms(
        &mut self,
        layer: &FraLayer<'_>,
        activations: &FraActivations,
    ) -> Result<(), SaeError> {
        if !layer.has_head_norms() {
            return Ok(());
        }
        let weights = layer.weights();
        let (n, d_head) = (self.n_positions(), weights.d_head);
        let norms = [
            (HookPoint::Q(layer.layer()), &weights.q_norm, weights.n_heads),
            (HookPoint::K(layer.layer()), &weights.k_norm, weights.n_key_value_heads),
        ];
        let [query, key] = norms.map(|(hook, norm, n_heads)| {
            let values = rows(activations, hook, n * n_heads * d_head)?;
            Ok::<Vec<f32>, SaeError>(match norm {
                Some(norm) => values
                    .chunks_exact(d_head)
                    .map(|head| {
                        let squares: f64 = head.iter().map(|x| f64::from(*x).powi(2)).sum();
                        (squares / d_head as f64 + norm.epsilon).sqrt().recip() as f32
                    })
                    .collect(),
                None => vec![1.0; n * n_heads],
            })
        });
        (self.query_factors, self.key_factors) = (query?, key?);
        Ok(())
    }

    /// Number of positions.
    pub fn n_positions(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of active features of all positions.
    pub fn n_active(&self) -> usize {
        self.slots.len()
    }

    /// The features that are active anywhere, in rising order; a slot is a place in this list.
    pub fn features(&self) -> &[u32] {
        &self.features
    }

    /// The slot of a feature, if it is active anywhere.
    pub fn slot_of(&self, feature: u32) -> Option<usize> {
        self.features.binary_search(&feature).ok()
    }

    /// Slots of a position's active features, and `a_i / σ`.
    ///
    /// # Panics
    ///
    /// If there is no such position.
    pub fn position(&self, position: usize) -> (&[u32], &[f32]) {
        let range = self.range(position);
        (&self.slots[range.clone()], &self.activations[range])
    }

    /// Where a position's active features are among all.
    pub(super) fn range(&self, position: usize) -> std::ops::Range<usize> {
        self.indptr[position]..self.indptr[position + 1]
    }

    /// `1 / σ` of a position.
    pub(super) fn scale(&self, position: usize) -> f32 {
        self.scales[position]
    }

    /// `1 / σ_q` of a position and head.
    pub(super) fn query_factor(&self, position: usize, (head, n_heads): (usize, usize)) -> f32 {
        self.query_factors.get(position * n_heads + head).copied().unwrap_or(1.0)
    }

    /// `1 / σ_k` of a position and key head.
    pub(super) fn key_factor(&self, position: usize, (head, n_heads): (usize, usize)) -> f32 {
        self.key_factors.get(position * n_heads + head).copied().unwrap_or(1.0)
    }

    /// Where an induction head looks from a position: behind the last earlier occurrence of its
    /// token; `None` if there is none, or that is the position itself.
    pub fn induction_target(&self, position: usize) -> Option<usize> {
        self.targets[position].map(|target| target as usize)
    }

    /// Position of each active feature.
    pub(super) fn positions(&self) -> Vec<u32> {
        let n = |position: usize| self.range(position).len();
        let all = 0..self.n_positions();
        all.flat_map(|position| std::iter::repeat_n(position as u32, n(position))).collect()
    }

    /// Active features in the order of slots, and of positions within a slot; and where each slot
    /// begins and ends among them.
    pub(super) fn by_slot(&self) -> (Vec<u32>, Vec<usize>) {
        let mut ends = vec![0; self.features.len() + 1];
        for slot in &self.slots {
            ends[*slot as usize + 1] += 1;
        }
        for slot in 1..ends.len() {
            ends[slot] += ends[slot - 1];
        }
        let (indptr, mut next) = (ends.clone(), ends);
        let mut order = vec![0; self.slots.len()];
        for (active, slot) in self.slots.iter().enumerate() {
            order[next[*slot as usize]] = active as u32;
            next[*slot as usize] += 1;
        }
        (order, indptr)
    }

    /// Activation of each active feature.
    pub(super) fn activations(&self) -> &[f32] {
        &self.activations
    }

    /// How much of a head's attention goes to where an induction head looks: the sum over positions
    /// that have such a place, and their number.
    ///
    /// # Shapes
    ///
    /// - `pattern`: `[n_positions, n_positions]`, of one head, after the softmax
    pub fn induction_attention(&self, pattern: &[f32]) -> (f64, u64) {
        let n = self.n_positions();
        let targets = (0..n).filter_map(|query| Some((query, self.induction_target(query)?)));
        targets.fold((0.0, 0), |(sum, count), (query, target)| {
            (sum + f64::from(pattern[query * n + target]), count + 1)
        })
    }
}

/// An activation that a forward pass kept, of the size that is expected.
pub(super) fn rows(
    activations: &FraActivations,
    hook: HookPoint,
    expected: usize,
) -> Result<&[f32], SaeError> {
    let missing = || SaeError::Hook { hook: hook.to_string() };
    let values = activations.get(&hook).ok_or_else(missing)?;
    if values.len() != expected {
        let (what, found) = ("the number of values of an activation", values.len());
        return Err(SaeError::SizeMismatch { what, found, expected });
    }
    Ok(values)
}

/// For each position the one after the last earlier occurrence of its token, if that is before it.
fn induction_targets(ids: &[u32]) -> Vec<Option<u32>> {
    let mut last = HashMap::new();
    let target = |(position, id): (usize, &u32)| {
        let before = last.insert(*id, position as u32)?;
        Some(before + 1).filter(|target| (*target as usize) < position)
    };
    ids.iter().enumerate().map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_induction_head_looks_behind_the_last_occurrence() {
        // a b c a b a a
        let targets = induction_targets(&[1, 2, 3, 1, 2, 1, 1]);
        assert_eq!(targets, [None, None, None, Some(1), Some(2), Some(4), None]);
    }

    #[test]
    fn features_have_slots_and_slots_have_positions() {
        let mut active = Active::with_capacity(3, 4);
        for row in [&[(3, 1.0), (9, 2.0)][..], &[], &[(1, 3.0), (9, 4.0)]] {
            active.extend(row.iter().copied());
            active.end_position();
        }
        let codes = FraCodes::from_active(active, &[5, 6, 5]);
        assert_eq!(codes.features(), [1, 3, 9]);
        assert_eq!(codes.position(2), (&[0, 2][..], &[3.0, 4.0][..]));
        assert_eq!((codes.slot_of(9), codes.slot_of(2)), (Some(2), None));
        assert_eq!(codes.by_slot(), (vec![2, 0, 1, 3], vec![0, 1, 2, 4]));
        assert_eq!(codes.positions(), [0, 0, 2, 2]);
        let pattern = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.1, 0.7, 0.2];
        let (sum, n) = codes.induction_attention(&pattern);
        approx::assert_abs_diff_eq!(sum, 0.7, epsilon = 1e-6);
        assert_eq!(n, 1);
    }
}
