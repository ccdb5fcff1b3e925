//! Running a model over texts and handing on what its hooks see.

use std::collections::BTreeMap;

use anyhow::Result;
use attention_probes_activations::{HookLayout, length_buckets};
use attention_probes_models::{
    Activation, ActivationCache, Convention, HookPoint, HookSet, HookedModel, TokenBatch,
    host_values,
};
use burn::tensor::Device;

use crate::exit::InputError;
use crate::token_rows::TokenRows;

/// Positions that attention sees are a multiple of this, and at least twice as many, if the model's
/// context is as long: so they depend on the text alone, and its activations, to the last bit, not
/// on what it is batched with. Products of up to 16 rows are summed in another order.
const POS_STEP: usize = 16;

/// A hook and the axes of its values.
#[derive(Clone, Debug)]
pub(crate) struct HookShape {
    pub(crate) hook: HookPoint,
    /// Whether it relates two positions.
    pub(crate) layout: HookLayout,
    /// Axes after batch and positions; `[n_heads]` for what relates two positions.
    pub(crate) shape: Vec<usize>,
}

/// What runs, and what is kept.
pub(crate) struct Extraction<'a> {
    pub(crate) model: &'a dyn HookedModel,
    pub(crate) hooks: &'a HookSet,
    pub(crate) shapes: &'a [HookShape],
    pub(crate) convention: Convention,
    pub(crate) device: &'a Device,
    /// Most tokens of one forward pass, padding included.
    pub(crate) batch_tokens: usize,
}

/// The values of one text at one hook.
pub(crate) struct RowValues<'a> {
    /// Index of the hook.
    pub(crate) hook: usize,
    /// The text.
    pub(crate) row: usize,
    /// `[n_tokens, …]`, or `[n_heads, n_tokens, n_tokens]` for what relates two positions.
    pub(crate) values: &'a [f32],
}

impl Extraction<'_> {
    /// Runs texts of like length together, and calls `sink` once per hook for each that has a
    /// token; `progress` with the number of texts that are done.
    ///
    /// Returns the first hook with NaN or infinity, of each text that has one.
    pub(crate) fn run(
        &self,
        rows: &TokenRows,
        sink: &mut dyn FnMut(&RowValues<'_>) -> Result<()>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<BTreeMap<usize, HookPoint>> {
        let mut by_pos: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in (0..rows.len()).filter(|row| !rows.tokens(*row).is_empty()) {
            by_pos.entry(self.attention_pos(rows.tokens(row).len())).or_default().push(row);
        }
        let mut non_finite = BTreeMap::new();
        for (attention_pos, mut of_pos) in by_pos {
            of_pos.sort_by_key(|row| rows.tokens(*row).len());
            // Attention takes more memory than its share of short texts: fewer of them go together.
            let length = |row: &usize| rows.tokens(*row).len().max(attention_pos / 2);
            let lengths: Vec<usize> = of_pos.iter().map(length).collect();
            for bucket in length_buckets(&lengths, self.batch_tokens) {
                let batch: Vec<usize> = bucket.iter().map(|index| of_pos[*index]).collect();
                self.run_batch(rows, &batch, attention_pos, &mut |hook, values| {
                    if !is_finite(self.shapes[hook].hook, values.values) {
                        non_finite.entry(values.row).or_insert(self.shapes[hook].hook);
                    }
                    sink(values)
                })?;
                progress(batch.len());
            }
        }
        Ok(non_finite)
    }

    /// Positions that attention sees of a text.
    fn attention_pos(&self, n_tokens: usize) -> usize {
        let pos = n_tokens.next_multiple_of(POS_STEP).max(2 * POS_STEP);
        pos.min(self.model.shape().n_ctx)
    }

    fn run_batch(
        &self,
        rows: &TokenRows,
        batch: &[usize],
        attention_pos: usize,
        sink: &mut dyn FnMut(usize, &RowValues<'_>) -> Result<()>,
    ) -> Result<()> {
        let pos = batch.iter().map(|row| rows.tokens(*row).len()).max().unwrap_or(0);
        // A few short texts need rows of padding for as many products.
        let n_rows = batch.len().max((2 * POS_STEP).div_ceil(pos));
        let (mut ids, mut mask) = (vec![0; n_rows * pos], vec![false; n_rows * pos]);
        for (index, &row) in batch.iter().enumerate() {
            let tokens = &rows.ids[rows.tokens(row)];
            let place = index * pos..index * pos + tokens.len();
            ids[place.clone()].copy_from_slice(tokens);
            mask[place].fill(true);
        }
        let tokens = TokenBatch::from_mask(&ids, &mask, n_rows, self.device)?;
        let tokens = tokens.with_attention_pos(attention_pos);
        let mut cache = self.model.run_with_cache(&tokens, self.hooks)?;
        let mut pairs = Vec::new();
        for (hook, shape) in self.shapes.iter().enumerate() {
            let activation = take(&mut cache, shape.hook)?.flatten_heads();
            let values = match shape.layout {
                HookLayout::Pairs => host_values(activation)?,
                HookLayout::Tokens => {
                    host_values(self.convention.apply(self.model, shape.hook, activation))?
                }
            };
            let of_row = values.len() / n_rows;
            for (&row, values) in batch.iter().zip(values.chunks(of_row)) {
                let n_tokens = rows.tokens(row).len();
                let values = match shape.layout {
                    HookLayout::Tokens => &values[..of_row / pos * n_tokens],
                    HookLayout::Pairs => {
                        copy_pairs(values, pos, n_tokens, &mut pairs);
                        &pairs
                    }
                };
                sink(hook, &RowValues { hook, row, values })?;
            }
        }
        Ok(())
    }
}

/// Copies `[n_heads, query_pos, key_pos]` without padding.
fn copy_pairs(values: &[f32], pos: usize, n_tokens: usize, output: &mut Vec<f32>) {
    output.clear();
    for head in values.chunks(pos * pos) {
        for query in head.chunks(pos).take(n_tokens) {
            output.extend_from_slice(&query[..n_tokens]);
        }
    }
}

/// Whether there is no NaN and no infinity, but for the minus infinity of a score whose key is
/// hidden.
fn is_finite(hook: HookPoint, values: &[f32]) -> bool {
    let is_scores = matches!(hook, HookPoint::AttnScores(_));
    values.iter().all(|value| value.is_finite() || is_scores && *value == f32::NEG_INFINITY)
}

/// Axes of all hooks, from one token through the model.
pub(crate) fn shapes(
    model: &dyn HookedModel,
    hooks: &HookSet,
    device: &Device,
) -> Result<Vec<HookShape>> {
    let batch = TokenBatch::from_mask(&[0], &[true], 1, device)?;
    let mut cache = model.run_with_cache(&batch, hooks)?;
    let shape_of = |hook: HookPoint| {
        let dims = take(&mut cache, hook)?.dims();
        let is_pairs = matches!(hook, HookPoint::AttnScores(_) | HookPoint::Pattern(_));
        let (layout, shape) = if is_pairs {
            (HookLayout::Pairs, vec![dims[1]])
        } else {
            (HookLayout::Tokens, dims[2..].to_vec())
        };
        Ok(HookShape { hook, layout, shape })
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
    fn pairs_are_copied_without_padding_and_nan_in_it_does_not_count() {
        let nan = f32::NAN;
        // Two heads, three positions, of which two are real.
        let head = |x: f32| [x, -x, nan, 2.0 * x, 3.0, nan, nan, nan, nan];
        let mut output = vec![9.0];
        copy_pairs([head(1.0), head(5.0)].as_flattened(), 3, 2, &mut output);
        assert_eq!(output, [1.0, -1.0, 2.0, 3.0, 5.0, -5.0, 10.0, 3.0]);
    }

    #[test]
    fn minus_infinity_is_finite_only_where_a_key_is_hidden() {
        let hidden = [1.0, f32::NEG_INFINITY];
        assert!(is_finite(HookPoint::AttnScores(0), &hidden));
        assert!(!is_finite(HookPoint::Pattern(0), &hidden));
        assert!(!is_finite(HookPoint::AttnScores(0), &[f32::INFINITY]));
        assert!(!is_finite(HookPoint::AttnScores(0), &[f32::NAN]));
    }
}
