//! Running a model over padded rows and keeping what its hooks see.

use std::collections::BTreeMap;

use anyhow::Result;
use attention_probes_activations::length_buckets;
use attention_probes_models::{
    Activation, ActivationCache, Convention, HookPoint, HookSet, HookedModel, TokenBatch,
    host_values,
};
use attention_probes_sweep::Tracker;
use burn::tensor::Device;

use crate::exit::InputError;
use crate::progress::Progress;
use crate::token_rows::TokenRows;

/// Least positions of one forward pass, if the longest text has as many, and least tokens; padding
/// makes up for what is missing. Products of up to 16 rows are summed in another order, and
/// the last bits of a short text would depend on what it is batched with.
const MIN_POS: usize = 32;
const MIN_TOKENS: usize = 32;

/// A hook and the shape of its tensor.
#[derive(Clone, Debug)]
pub(crate) struct HookTensor {
    pub(crate) hook: HookPoint,
    /// `[batch, pos, …]`, or `[batch, n_heads, pos, pos]` for what relates two positions.
    pub(crate) shape: Vec<usize>,
}

/// What runs, on what, and what is kept.
pub(crate) struct Extraction<'a> {
    pub(crate) model: &'a dyn HookedModel,
    pub(crate) hooks: &'a HookSet,
    pub(crate) tensors: &'a [HookTensor],
    pub(crate) rows: &'a TokenRows,
    pub(crate) convention: Convention,
    pub(crate) device: &'a Device,
}

/// The values of every tensor, row-major.
pub(crate) struct Extracted {
    pub(crate) values: Vec<Vec<f32>>,
    /// First hook with NaN or infinity, of each text that has one.
    pub(crate) non_finite: BTreeMap<usize, HookPoint>,
}

/// One row of a batch, and where it goes.
struct Place<'a> {
    /// Row of the output.
    row: usize,
    /// Real tokens of the row, as far as the batch is long.
    mask: &'a [bool],
    /// Positions of the output.
    pos: usize,
}

impl Extraction<'_> {
    /// Runs rows of like length together.
    pub(crate) fn run(&self, batch_tokens: usize) -> Result<Extracted> {
        let n_values = |tensor: &HookTensor| tensor.shape.iter().product();
        let mut extracted = Extracted {
            values: self.tensors.iter().map(|tensor| vec![0.0; n_values(tensor)]).collect(),
            non_finite: BTreeMap::new(),
        };
        let lengths = self.rows.lengths();
        let filled: Vec<usize> = (0..self.rows.batch).filter(|&row| lengths[row] > 0).collect();
        let filled_lengths: Vec<usize> = filled.iter().map(|&row| lengths[row]).collect();
        let mut bar = Progress::default();
        let mut n_done = 0;
        for bucket in length_buckets(&filled_lengths, batch_tokens) {
            let rows: Vec<usize> = bucket.iter().map(|&index| filled[index]).collect();
            let longest = rows.iter().map(|&row| lengths[row]).max().unwrap_or(0);
            let pos = longest.max(MIN_POS).min(self.rows.pos);
            self.run_rows(&rows, pos, &mut extracted)?;
            n_done += rows.len();
            bar.extracted("extract", n_done, filled.len());
        }
        bar.clear();
        Ok(extracted)
    }

    /// Runs the first `pos` positions of some rows.
    fn run_rows(&self, rows: &[usize], pos: usize, extracted: &mut Extracted) -> Result<()> {
        let columns = |row: usize| row * self.rows.pos..row * self.rows.pos + pos;
        let mut ids: Vec<u32> =
            rows.iter().flat_map(|&row| &self.rows.ids[columns(row)]).copied().collect();
        let mut mask: Vec<bool> =
            rows.iter().flat_map(|&row| &self.rows.mask[columns(row)]).copied().collect();
        let batch = rows.len().max(MIN_TOKENS.div_ceil(pos));
        ids.resize(batch * pos, 0);
        mask.resize(batch * pos, false);
        let tokens = TokenBatch::from_mask(&ids, &mask, batch, self.device)?;
        let mut cache = self.model.run_with_cache(&tokens, self.hooks)?;
        for (tensor, output) in self.tensors.iter().zip(&mut extracted.values) {
            let hook = tensor.hook;
            let activation = take(&mut cache, hook)?.flatten_heads();
            let values = if relates_positions(hook) {
                host_values(activation)?
            } else {
                host_values(self.convention.apply(self.model, hook, activation))?
            };
            let per_row = values.len() / batch;
            let of_output = output.len() / self.rows.batch;
            for ((&row, values), mask) in
                rows.iter().zip(values.chunks(per_row)).zip(mask.chunks(pos))
            {
                let output = &mut output[row * of_output..(row + 1) * of_output];
                let place = Place { row, mask, pos: self.rows.pos };
                let is_finite = if relates_positions(hook) {
                    place.copy_pairs(hook, values, output)
                } else {
                    place.copy_tokens(values, output)
                };
                if !is_finite {
                    extracted.non_finite.entry(place.row).or_insert(hook);
                }
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    /// Copies `[pos, features]` but for padding; `false` if NaN or infinity is among it.
    fn copy_tokens(&self, values: &[f32], output: &mut [f32]) -> bool {
        let features = output.len() / self.pos;
        let mut is_finite = true;
        for (p, _) in self.mask.iter().enumerate().filter(|(_, real)| **real) {
            let token = p * features..(p + 1) * features;
            is_finite &= values[token.clone()].iter().all(|value| value.is_finite());
            output[token.clone()].copy_from_slice(&values[token]);
        }
        is_finite
    }

    /// Copies `[n_heads, query_pos, key_pos]` but for padded queries; `false` if NaN or infinity
    /// is among it, other than the minus infinity of a score whose key is hidden.
    fn copy_pairs(&self, hook: HookPoint, values: &[f32], output: &mut [f32]) -> bool {
        let from_pos = self.mask.len();
        // Keys behind the end of the batch lie in the future of every query.
        let is_scores = matches!(hook, HookPoint::AttnScores(_));
        let hidden = if is_scores { f32::NEG_INFINITY } else { 0.0 };
        let is_wrong =
            |value: &f32| !(value.is_finite() || is_scores && *value == f32::NEG_INFINITY);
        let mut is_finite = true;
        let heads = values.chunks(from_pos * from_pos).zip(output.chunks_mut(self.pos * self.pos));
        for (values, output) in heads {
            let queries = values.chunks(from_pos).zip(output.chunks_mut(self.pos));
            for ((values, output), _) in queries.zip(self.mask).filter(|(_, real)| **real) {
                is_finite &= !values.iter().any(is_wrong);
                output[..from_pos].copy_from_slice(values);
                output[from_pos..].fill(hidden);
            }
        }
        is_finite
    }
}

/// Whether a hook relates two positions, `[batch, n_heads, query_pos, key_pos]`.
fn relates_positions(hook: HookPoint) -> bool {
    matches!(hook, HookPoint::AttnScores(_) | HookPoint::Pattern(_))
}

/// Shapes of all tensors, from one token through the model.
pub(crate) fn shapes(
    model: &dyn HookedModel,
    hooks: &HookSet,
    rows: &TokenRows,
    device: &Device,
) -> Result<Vec<HookTensor>> {
    let batch = TokenBatch::from_mask(&[0], &[true], 1, device)?;
    let mut cache = model.run_with_cache(&batch, hooks)?;
    let shape_of = |hook: HookPoint| {
        let mut shape = take(&mut cache, hook)?.dims();
        shape[0] = rows.batch;
        if relates_positions(hook) {
            shape[2..].fill(rows.pos);
        } else {
            shape[1] = rows.pos;
        }
        Ok(HookTensor { hook, shape })
    };
    hooks.iter().map(shape_of).collect()
}

fn take(cache: &mut ActivationCache, hook: HookPoint) -> Result<Activation, InputError> {
    let message = || format!("this model has no hook `{hook}`, leave it out");
    cache.remove(hook).ok_or_else(|| InputError(message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_left_zero_and_nan_in_it_does_not_count() {
        let place = Place { row: 0, mask: &[false, true], pos: 3 };
        let mut output = vec![0.0; 6];
        assert!(place.copy_tokens(&[f32::NAN, 1.0, 2.0, 3.0], &mut output));
        assert_eq!(output, [0.0, 0.0, 2.0, 3.0, 0.0, 0.0]);
        assert!(!place.copy_tokens(&[0.0, 0.0, f32::INFINITY, 3.0], &mut output));
    }

    #[test]
    fn hidden_keys_keep_minus_infinity_and_padded_queries_are_zero() {
        let hidden = f32::NEG_INFINITY;
        let place = Place { row: 0, mask: &[true, false], pos: 3 };
        let mut output = vec![0.0; 9];
        let values = [1.0, hidden, f32::NAN, 3.0];
        assert!(place.copy_pairs(HookPoint::AttnScores(0), &values, &mut output));
        assert_eq!(output, [1.0, hidden, hidden, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);

        // In a pattern, a hidden key weighs 0, and infinity is wrong wherever it is.
        let mut output = vec![0.0; 9];
        assert!(!place.copy_pairs(HookPoint::Pattern(0), &values, &mut output));
        assert!(output[2].abs() < f32::EPSILON);
    }
}
