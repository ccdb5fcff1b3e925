//! One forward pass, read back from the device.

use attention_probes_models::{
    ForwardRequest, HookSet, ModelError, PaddingSide, TokenBatch, host_values,
};

use super::batching::Batch;
use super::hook::HookLayout;
use super::options::ModelCapture;
use crate::ActivationError;

/// Values of a batch at every hook, padding included.
pub(super) struct PassValues {
    n_rows: usize,
    pos: usize,
    /// `[n_rows, pos, …]`, or `[n_rows, n_heads, pos, pos]` for pairs.
    hooks: Vec<(HookLayout, Vec<f32>)>,
    /// Values of pairs without padding, by hook.
    pairs: Vec<Vec<f32>>,
}

/// Runs a batch.
pub(super) fn run_pass(
    capture: &ModelCapture<'_>,
    hooks: &HookSet,
    batch: &Batch,
    ids: &[&[u32]],
) -> Result<PassValues, ActivationError> {
    let mut texts: Vec<&[u32]> = batch.sequences.iter().map(|&sequence| ids[sequence]).collect();
    texts.resize(batch.n_rows, &[]);
    let tokens = TokenBatch::new(&texts, PaddingSide::Right, capture.device)?;
    let tokens = tokens.with_attention_pos(batch.attention_pos);
    let stop = capture.options.watch.stop.clone();
    let request = ForwardRequest { stop, ..ForwardRequest::hooks(hooks) };
    let mut cache = capture.model.execute(&tokens, &request)?.cache;
    let mut values = Vec::with_capacity(capture.hooks.len());
    for (index, wanted) in capture.hooks.iter().enumerate() {
        // What is not asked for again leaves the cache, so that it need not be copied.
        let is_last = capture.hooks[index + 1..].iter().all(|later| later.hook != wanted.hook);
        let found =
            if is_last { cache.remove(wanted.hook) } else { cache.get(wanted.hook).cloned() };
        let not_returned = || ModelError::NotReturned { output: wanted.hook.to_string() };
        let activation = found.ok_or_else(not_returned)?.flatten_heads();
        let layout = HookLayout::of(wanted.hook);
        let activation = match layout {
            HookLayout::Pairs => activation,
            HookLayout::Tokens => wanted.convention.apply(capture.model, wanted.hook, activation),
        };
        values.push((layout, host_values(activation)?));
    }
    let [n_rows, pos] = tokens.dims();
    Ok(PassValues { n_rows, pos, pairs: vec![Vec::new(); values.len()], hooks: values })
}

impl PassValues {
    /// Values of a row of `n_tokens` at every hook, without padding, and without those of the first
    /// `n_before` tokens where they are no pairs.
    pub(super) fn of_row(&mut self, row: usize, n_tokens: usize, n_before: usize) -> Vec<&[f32]> {
        let Self { n_rows, pos, hooks, pairs } = self;
        let mut found = Vec::with_capacity(hooks.len());
        for ((layout, values), pairs) in hooks.iter().zip(pairs) {
            let of_row = values.len() / *n_rows;
            let values = &values[row * of_row..(row + 1) * of_row];
            found.push(match layout {
                HookLayout::Tokens => {
                    let width = of_row / *pos;
                    &values[n_before.min(n_tokens) * width..n_tokens * width]
                }
                HookLayout::Pairs if n_tokens == *pos => values,
                HookLayout::Pairs => copy_pairs(values, *pos, n_tokens, pairs),
            });
        }
        found
    }
}

/// Copies `[n_heads, query_pos, key_pos]` without padding.
fn copy_pairs<'a>(
    values: &[f32],
    pos: usize,
    n_tokens: usize,
    output: &'a mut Vec<f32>,
) -> &'a [f32] {
    output.clear();
    for head in values.chunks(pos * pos) {
        for query in head.chunks(pos).take(n_tokens) {
            output.extend_from_slice(&query[..n_tokens]);
        }
    }
    output
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
    fn rows_have_neither_padding_nor_the_first_tokens() {
        // Two rows of three positions and width two, of which the second is all padding.
        let values: Vec<f32> = (0_u8..12).map(f32::from).collect();
        let mut pass = PassValues {
            n_rows: 2,
            pos: 3,
            hooks: vec![(HookLayout::Tokens, values)],
            pairs: vec![Vec::new()],
        };
        assert_eq!(pass.of_row(0, 2, 0), [[0.0, 1.0, 2.0, 3.0]]);
        assert_eq!(pass.of_row(0, 3, 1), [[2.0, 3.0, 4.0, 5.0]]);
        assert!(pass.of_row(0, 1, 2)[0].is_empty());
    }
}
