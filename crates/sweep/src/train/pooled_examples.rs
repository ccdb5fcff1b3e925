//! Pooled activations of every example, at every site.

use attention_probes_activations::ActivationSource;
use attention_probes_probes::Pool;
use attention_probes_probes::engine::{RaggedBatch, pool};

use crate::SweepError;

/// Pools every example at every site, `[n_sites][n_pools][n_examples, d_model]`.
///
/// # Memory
///
/// All of them at once.
pub(crate) fn pooled(
    source: &mut dyn ActivationSource,
    examples: &[(usize, usize)],
    pools: &[Pool],
    batch_size: usize,
) -> Result<Vec<Vec<Vec<f32>>>, SweepError> {
    let d_model = source.d_model();
    let width = examples.len() * d_model;
    let mut pooled = vec![vec![Vec::with_capacity(width); pools.len()]; source.n_sites()];
    for batch in examples.chunks(batch_size) {
        source.with_rows(batch, &mut |sites| {
            for (rows, pooled) in sites.iter().zip(&mut pooled) {
                let batch = RaggedBatch { rows: rows.clone(), d_model };
                for (&kind, pooled) in pools.iter().zip(pooled) {
                    pooled.extend(pool(kind, &batch));
                }
            }
        })?;
    }
    Ok(pooled)
}

/// Some rows of a table of this width.
pub(crate) fn rows(values: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}
