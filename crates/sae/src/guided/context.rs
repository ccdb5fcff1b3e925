//! What the context of a token gathers, for encoders that read it beside the activation.

use std::ops::Range;

use attention_probes_errors::ValueError;
use rayon::prelude::*;

use super::patterns::{BatchPattern, PatternSource};
use super::tuning::GuidanceRecord;
use crate::guided::attention_store::AttentionLayers;
use crate::{GuidanceSource, SaeError};

/// Key of the metadata of an autoencoder that reads what a token attends to in some layers.
pub const CONTEXT_LAYERS: &str = "context_layers";

/// `[w_1 A^1 X | w_2 A^2 X | …]`, `[n, n_patterns · d_in]`; 0 where a token attends to nothing.
pub(super) fn gathered(
    x: &[f32],
    (d_in, length): (usize, usize),
    patterns: &[&BatchPattern],
    weights: &[f64],
) -> Vec<f32> {
    let width = patterns.len() * d_in;
    let mut context = vec![0.0; x.len() / d_in * width];
    context.par_chunks_exact_mut(width).enumerate().for_each(|(row, context)| {
        let first = row / length * length;
        let blocks = context.chunks_exact_mut(d_in).zip(patterns).zip(weights);
        for ((block, pattern), weight) in blocks {
            for &(key, attention) in pattern.row(row) {
                let (key, weight) = ((first + key as usize) * d_in, attention * *weight as f32);
                for (sum, x) in block.iter_mut().zip(&x[key..key + d_in]) {
                    *sum += weight * x;
                }
            }
        }
    });
    context
}

/// Rows of activations, and which tokens they are of.
#[derive(Clone, Debug)]
pub struct ContextRows<'a> {
    /// The rows, context by context, `[n, d_in]`.
    pub x: &'a [f32],
    /// Width of a row.
    pub d_in: usize,
    /// The contexts, by their number.
    pub contexts: &'a [usize],
    /// Positions of each of them that have a row.
    pub positions: Range<usize>,
}

/// Rows with what their context gathers beside them, as an autoencoder with a context encoder reads
/// them: `[x | A^1 X | A^2 X | …]`. The weights of the layers are part of the autoencoder.
///
/// # Shapes
///
/// Returns `[n, d_in (1 + n_patterns)]`.
///
/// # Errors
///
/// - [`SaeError::SizeMismatch`] if the rows are not those of the contexts.
/// - [`SaeError::Hyperparameter`] if there is no attention of a layer.
pub fn context_rows(
    rows: ContextRows<'_>,
    record: &GuidanceRecord,
    attention: &AttentionLayers,
) -> Result<Vec<f32>, SaeError> {
    let ContextRows { x, d_in, contexts, positions } = rows;
    let (found, expected) = (x.len(), contexts.len() * positions.len() * d_in);
    if found != expected {
        let what = "the number of values in rows of activations";
        return Err(SaeError::SizeMismatch { what, found, expected });
    }
    let n_contexts = attention.n_contexts();
    if let Some(context) = contexts.iter().find(|context| **context >= n_contexts) {
        let what = "the number of a context";
        return Err(SaeError::SizeMismatch { what, found: *context, expected: n_contexts });
    }
    let source = record.config.attention;
    let sources = match (source, record.window) {
        (GuidanceSource::Local, Some(window)) => vec![PatternSource::Local(window)],
        _ => PatternSource::all(source, &record.layers, attention, n_contexts)?,
    };
    if sources.is_empty() || d_in == 0 {
        let (name, value, expected) = ("the number of guidance.layers", 0.0, "at least 1");
        return Err(ValueError::new(name, value, expected).into());
    }
    let gather = |source| BatchPattern::gather(source, attention, contexts, positions.clone());
    let patterns: Vec<BatchPattern> = sources.iter().map(gather).collect();
    let patterns: Vec<&BatchPattern> = patterns.iter().collect();
    let length = positions.len();
    let context = gathered(x, (d_in, length), &patterns, &vec![1.0; patterns.len()]);
    Ok(beside(x, d_in, &context))
}

/// Rows with those of a context after each.
pub(super) fn beside(x: &[f32], d_in: usize, context: &[f32]) -> Vec<f32> {
    let width = context.len() / (x.len() / d_in).max(1);
    let rows = x.chunks_exact(d_in).zip(context.chunks_exact(width.max(1)));
    rows.flat_map(|(x, context)| x.iter().chain(context)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttentionStore, GuidanceConfig, KeepAttention, PoolHeads};

    #[test]
    fn a_row_has_what_its_token_attends_to_beside_it() {
        let mut store = AttentionStore::new(4).unwrap();
        let pattern = [1., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 0.5, 0.5, 0.];
        for _ in 0..2 {
            store.push(&pattern, 1, PoolHeads::Mean, KeepAttention::default()).unwrap();
        }
        let attention = AttentionLayers::of(vec![(3, store)]);
        let record = GuidanceRecord::of(GuidanceConfig::default(), vec![3]);
        let x = [1.0, 10.0, 2.0, 20.0, 4.0, 40.0];
        let of = |contexts| ContextRows { x: &x, d_in: 2, contexts, positions: 1..4 };
        let rows = context_rows(of(&[1]), &record, &attention).unwrap();
        assert_eq!(rows, [1., 10., 0., 0., 2., 20., 1., 10., 4., 40., 1.5, 15.]);
        let uniform =
            GuidanceConfig { attention: GuidanceSource::Uniform, ..GuidanceConfig::default() };
        let record = GuidanceRecord::of(uniform, vec![3]);
        let rows = context_rows(of(&[0]), &record, &attention).unwrap();
        assert_eq!(rows[8..], [4., 40., 1.5, 15.]);
        assert!(context_rows(of(&[0, 1]), &record, &attention).is_err());
    }
}
