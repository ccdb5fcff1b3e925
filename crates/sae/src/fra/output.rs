//! What features at the keys add to a head's output.

use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_models::HookPoint;
use serde::Serialize;

use super::capture::FraActivations;
use super::codes::{FraCodes, rows};
use super::layer::FraLayer;
use super::text::rest;
use crate::SaeError;

/// The output of one head on one text, by the features that the head reads its values from.
///
/// ```text
/// result(query) = Σ over keys of A[query, key] (Σ_j a_j(key) o_j + c_V(key) W_O)
/// o_j           = d_j W_V W_O
/// ```
///
/// with the frozen true pattern `A`, and norm, gain, and bias as in [`FraLayer`].
pub struct FraOutput<'a> {
    codes: &'a FraCodes,
    d_head: usize,
    d_model: usize,
    /// `[n_positions, n_positions]`
    pattern: &'a [f32],
    /// `d_j W_V` of each slot, `[n_slots, d_head]`.
    values: Vec<f32>,
    /// What is no feature's, `[n_positions, d_head]`.
    rest: Vec<f32>,
    /// `[d_head, d_model]`
    w_o: &'a [f32],
    /// What the norm after attention multiplies a direction by, and divides by at each position.
    post_norm: Option<(&'a [f32], &'a [f32])>,
}

/// What a feature at one key adds along a direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FraContribution {
    /// Position of the key.
    pub key_pos: usize,
    /// The feature there.
    pub feature: u32,
    /// `A[query, key] a_j(key) o_j·direction`.
    pub value: f32,
}

/// How much of a head's output a feature makes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FraSource {
    /// The feature at the key.
    pub feature: u32,
    /// `Σ A[query, key] a_j(key) ‖o_j‖` over all queries and keys.
    pub sum: f64,
    /// `‖o_j‖`
    pub norm: f32,
}

impl<'a> FraOutput<'a> {
    /// What a forward pass must keep beside [`FraLayer::hooks`].
    pub fn hooks(layer: &FraLayer<'_>) -> Vec<HookPoint> {
        let mut hooks = vec![HookPoint::Pattern(layer.layer())];
        if layer.weights().post_norm.is_some() {
            hooks.push(HookPoint::Ln1PostScale(layer.layer()));
        }
        hooks
    }

    /// Projects the features of a text.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Published`] if the layer is [`FraLayer::published`], whose features are of what
    ///   the heads put out and not of what they read.
    /// - [`SaeError::Head`] if the layer has no such head.
    /// - [`SaeError::Hook`] or [`SaeError::SizeMismatch`] if an activation is missing or does not
    ///   fit.
    pub fn new(
        layer: &'a FraLayer<'_>,
        codes: &'a FraCodes,
        head: usize,
        activations: &'a FraActivations,
    ) -> Result<Self, SaeError> {
        if layer.is_published() {
            return Err(SaeError::Published { what: "output of a head" });
        }
        layer.check_head(head)?;
        let (weights, n) = (layer.weights(), codes.n_positions());
        let (d_head, d_model) = (weights.d_head, weights.d_model);
        let hook = HookPoint::Pattern(layer.layer());
        let patterns = rows(activations, hook, weights.n_heads * n * n)?;
        let x = rows(activations, layer.hook(), n * d_model)?;
        let directions = layer.decoder_rows(codes.features());
        let value_head = weights.key_value_head(head);
        let project = |rows: &[f32]| layer.value.head_rows(rows, d_model, [value_head, d_head]);
        let mut rest = project(&rest(codes, x, &directions, d_model));
        let constant = &layer.value.constant[value_head * d_head..][..d_head];
        for row in rest.chunks_exact_mut(d_head) {
            for (value, constant) in row.iter_mut().zip(constant) {
                *value += constant;
            }
        }
        let post_norm = match &weights.post_norm {
            Some(norm) => {
                let scales = rows(activations, HookPoint::Ln1PostScale(layer.layer()), n)?;
                Some((&norm.gain[..], scales))
            }
            None => None,
        };
        Ok(Self {
            codes,
            d_head,
            d_model,
            pattern: &patterns[head * n * n..(head + 1) * n * n],
            values: project(&directions),
            rest,
            w_o: &weights.w_o[head * d_head * d_model..(head + 1) * d_head * d_model],
            post_norm,
        })
    }

    /// `‖o_j‖` of each slot, before any norm after attention.
    pub fn norms(&self) -> Vec<f32> {
        let n_slots = self.codes.features().len();
        let mut outputs = vec![0.0; n_slots * self.d_model];
        let values = Matrix::new(&self.values, n_slots, self.d_head);
        let w_o = Matrix::new(self.w_o, self.d_head, self.d_model);
        matmul(&mut outputs, values, w_o, Write::Replace);
        let norm = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        outputs.chunks_exact(self.d_model).map(norm).collect()
    }

    /// Features by how much of the output they make, the most first.
    pub fn sources(&self) -> Vec<FraSource> {
        let n = self.codes.n_positions();
        let norms = self.norms();
        let mut sums = vec![0.0_f64; norms.len()];
        for key_pos in 0..n {
            let attended: f64 =
                (key_pos..n).map(|query| f64::from(self.pattern[query * n + key_pos])).sum();
            let (slots, activations) = self.codes.position(key_pos);
            for (slot, activation) in slots.iter().zip(activations) {
                sums[*slot as usize] += attended * f64::from(*activation);
            }
        }
        let source = |((feature, norm), sum): ((&u32, &f32), &f64)| FraSource {
            feature: *feature,
            sum: sum * f64::from(*norm),
            norm: *norm,
        };
        let mut sources: Vec<FraSource> =
            self.codes.features().iter().zip(&norms).zip(&sums).map(source).collect();
        sources.sort_by(|a, b| b.sum.total_cmp(&a.sum).then(a.feature.cmp(&b.feature)));
        sources
    }

    /// `A[query, key] a_j(key) ‖o_j‖` of one feature, `[n_positions, n_positions]`.
    pub fn feature_map(&self, feature: u32) -> Vec<f32> {
        let n = self.codes.n_positions();
        let mut map = vec![0.0; n * n];
        let Some(slot) = self.codes.slot_of(feature) else { return map };
        let norm = self.norms()[slot];
        for key_pos in 0..n {
            let (slots, activations) = self.codes.position(key_pos);
            let Ok(at) = slots.binary_search(&(slot as u32)) else { continue };
            for query_pos in key_pos..n {
                let weight = self.pattern[query_pos * n + key_pos];
                map[query_pos * n + key_pos] = weight * activations[at] * norm;
            }
        }
        map
    }

    /// What each feature at each key adds to the head's output at a query along a direction of the
    /// residual stream, the largest magnitude first; and what is no feature's.
    ///
    /// They add up to the product of the output with the direction. Where a norm follows attention,
    /// its gain and its frozen true scale are part of it. For a logit divide by the scale of the
    /// final norm.
    ///
    /// # Panics
    ///
    /// If there is no such position, or the direction has another width.
    pub fn direct(&self, query_pos: usize, direction: &[f32]) -> (Vec<FraContribution>, f32) {
        assert_eq!(direction.len(), self.d_model, "width of a direction");
        let n = self.codes.n_positions();
        let direction: Vec<f32> = match self.post_norm {
            Some((gain, scales)) => {
                direction.iter().zip(gain).map(|(x, g)| x * g / scales[query_pos]).collect()
            }
            None => direction.to_vec(),
        };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let of_head: Vec<f32> =
            self.w_o.chunks_exact(self.d_model).map(|row| dot(row, &direction)).collect();
        let by_slot: Vec<f32> =
            self.values.chunks_exact(self.d_head).map(|row| dot(row, &of_head)).collect();
        let (mut found, mut left) = (Vec::new(), 0.0);
        for key_pos in 0..=query_pos {
            let weight = self.pattern[query_pos * n + key_pos];
            left += weight * dot(&self.rest[key_pos * self.d_head..][..self.d_head], &of_head);
            let (slots, activations) = self.codes.position(key_pos);
            for (slot, activation) in slots.iter().zip(activations) {
                let feature = self.codes.features()[*slot as usize];
                let value = weight * activation * by_slot[*slot as usize];
                found.push(FraContribution { key_pos, feature, value });
            }
        }
        found.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
        (found, left)
    }
}
