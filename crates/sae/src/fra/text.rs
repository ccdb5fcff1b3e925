//! The factors of one text: enough to produce every value of its feature-resolved attention.

use attention_probes_models::RopeAngles;

use super::capture::FraActivations;
use super::codes::{FraCodes, FraInput, rows};
use super::layer::{Folded, FraLayer};
use crate::SaeError;

/// Active features of a text with their queries and keys for some heads.
///
/// # Memory
///
/// For each head two rows of `d_head` for each feature that occurs and for each position; the
/// values themselves, of which there are as many as pairs of active features, are never all there.
pub struct FraText {
    codes: FraCodes,
    heads: Vec<HeadFactors>,
    d_head: usize,
    angles: Option<RopeAngles>,
    window: Option<usize>,
    is_published: bool,
}

/// Queries and keys of one head, before they are turned.
#[derive(Clone)]
struct HeadFactors {
    head: usize,
    key_head: (usize, usize),
    query_head: (usize, usize),
    /// `u` of each slot, `[n_slots, d_head]`.
    query: Vec<f32>,
    /// `v` of each slot.
    key: Vec<f32>,
    /// What is no feature's, `[n_positions, d_head]`.
    query_rest: Vec<f32>,
    key_rest: Vec<f32>,
}

/// One head's factors as the scores multiply them.
///
/// The score of a query and a key is
/// `(Σ_i query_i + query_rest)·(Σ_j key_j + key_rest)` with the rows that are kept here.
pub struct FraHead<'a> {
    pub(super) codes: &'a FraCodes,
    pub(super) d_head: usize,
    pub(super) window: Option<usize>,
    pub(super) is_published: bool,
    /// `a_i R u_i / (σ σ_q)` of each active feature, `[n_active, d_head]`.
    pub(super) query: Vec<f32>,
    /// `a_j R v_j / (σ σ_k)` of each active feature.
    pub(super) key: Vec<f32>,
    /// `[n_positions, d_head]`
    pub(super) query_rest: Vec<f32>,
    pub(super) key_rest: Vec<f32>,
}

impl FraText {
    /// Encodes a text from what [`FraLayer::hooks`] names, and projects its features for some
    /// heads.
    ///
    /// # Errors
    ///
    /// - the errors of [`FraCodes::new`].
    /// - [`SaeError::Head`] if the layer has no such head.
    pub fn new(
        layer: &FraLayer<'_>,
        heads: &[usize],
        text: FraInput<'_>,
    ) -> Result<Self, SaeError> {
        Self::from_codes(layer, heads, FraCodes::new(layer, text)?, text.activations)
    }

    /// As [`FraText::new`], of codes that are there already.
    ///
    /// # Errors
    ///
    /// As [`FraText::new`].
    pub fn from_codes(
        layer: &FraLayer<'_>,
        heads: &[usize],
        codes: FraCodes,
        activations: &FraActivations,
    ) -> Result<Self, SaeError> {
        for head in heads {
            layer.check_head(*head)?;
        }
        let (d_in, n) = (layer.sae.config.d_in, codes.n_positions());
        let x = rows(activations, layer.hook(), n * d_in)?;
        let directions = layer.decoder_rows(codes.features());
        let rest = rest(&codes, x, &directions, d_in);
        let weights = layer.weights();
        let d_head = weights.d_head;
        let factors = |head: &usize| {
            let query_head = (*head, weights.n_heads);
            let key_head = (weights.key_value_head(*head), weights.n_key_value_heads);
            let project = |folded: &Folded, head: usize| {
                let mut of_rest = folded.head_rows(&rest, d_in, [head, d_head]);
                let constant = &folded.constant[head * d_head..][..d_head];
                for row in of_rest.chunks_exact_mut(d_head) {
                    for (value, constant) in row.iter_mut().zip(constant) {
                        *value += constant;
                    }
                }
                (folded.head_rows(&directions, d_in, [head, d_head]), of_rest)
            };
            let (query, mut query_rest) = project(&layer.query, *head);
            let (key, mut key_rest) = project(&layer.key, key_head.0);
            for position in 0..n {
                let row = position * d_head..(position + 1) * d_head;
                scale(&mut query_rest[row.clone()], codes.query_factor(position, query_head));
                scale(&mut key_rest[row], codes.key_factor(position, key_head));
            }
            HeadFactors { head: *head, key_head, query_head, query, key, query_rest, key_rest }
        };
        let heads = heads.iter().map(factors).collect();
        let angles = weights.rope.map(|rope| rope.angles(d_head, n));
        let (window, is_published) = (weights.window, layer.is_published());
        Ok(Self { codes, heads, d_head, angles, window, is_published })
    }

    /// The same text with each key in the direction of another feature.
    pub(super) fn with_keys_of(&self, layer: &FraLayer<'_>, permutation: &[u32]) -> Self {
        let other = |feature: &u32| permutation[*feature as usize];
        let others: Vec<u32> = self.codes.features().iter().map(other).collect();
        let directions = layer.decoder_rows(&others);
        let (d_in, d_head) = (layer.sae.config.d_in, self.d_head);
        let permuted = |factors: &HeadFactors| {
            let key = layer.key.head_rows(&directions, d_in, [factors.key_head.0, d_head]);
            HeadFactors { key, ..factors.clone() }
        };
        Self {
            codes: self.codes.clone(),
            heads: self.heads.iter().map(permuted).collect(),
            d_head,
            angles: self.angles.clone(),
            window: self.window,
            is_published: self.is_published,
        }
    }

    /// The active features.
    pub fn codes(&self) -> &FraCodes {
        &self.codes
    }

    /// The heads, in the order in which they were asked for.
    pub fn heads(&self) -> impl Iterator<Item = usize> + '_ {
        self.heads.iter().map(|factors| factors.head)
    }

    /// One head, with everything turned and weighed; `None` if it was not asked for.
    pub fn head(&self, head: usize) -> Option<FraHead<'_>> {
        let factors = self.heads.iter().find(|factors| factors.head == head)?;
        let d_head = self.d_head;
        let turn = |position: usize, row: &mut [f32]| {
            if let Some(angles) = &self.angles {
                angles.turn(position, row);
            }
        };
        let codes = &self.codes;
        let features = |rows: &[f32], factor: &dyn Fn(usize) -> f32| {
            let mut weighed = Vec::with_capacity(codes.n_active() * d_head);
            for position in 0..codes.n_positions() {
                let (slots, activations) = codes.position(position);
                let factor = factor(position);
                for (slot, activation) in slots.iter().zip(activations) {
                    let start = weighed.len();
                    weighed.extend_from_slice(&rows[*slot as usize * d_head..][..d_head]);
                    scale(&mut weighed[start..], activation * factor);
                    turn(position, &mut weighed[start..]);
                }
            }
            weighed
        };
        let turned = |rest: &[f32]| {
            let mut rest = rest.to_vec();
            for (position, row) in rest.chunks_exact_mut(d_head).enumerate() {
                turn(position, row);
            }
            rest
        };
        Some(FraHead {
            codes,
            d_head,
            window: self.window,
            is_published: self.is_published,
            query: features(&factors.query, &|p| codes.query_factor(p, factors.query_head)),
            key: features(&factors.key, &|p| codes.key_factor(p, factors.key_head)),
            query_rest: turned(&factors.query_rest),
            key_rest: turned(&factors.key_rest),
        })
    }
}

/// What is no feature's, `e / σ`: `[n_positions, d_in]`.
pub(super) fn rest(codes: &FraCodes, x: &[f32], directions: &[f32], d_in: usize) -> Vec<f32> {
    let mut rest = x.to_vec();
    for (position, row) in rest.chunks_exact_mut(d_in).enumerate() {
        scale(row, codes.scale(position));
        let (slots, activations) = codes.position(position);
        for (slot, activation) in slots.iter().zip(activations) {
            let direction = &directions[*slot as usize * d_in..][..d_in];
            for (x, d) in row.iter_mut().zip(direction) {
                *x -= activation * d;
            }
        }
    }
    rest
}

fn scale(row: &mut [f32], factor: f32) {
    for value in row {
        *value *= factor;
    }
}
