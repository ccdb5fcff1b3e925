//! Pooling on the host: one vector per example.

#![expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]

use attention_probes_kernels::vectorize;
use rayon::prelude::*;

use super::RaggedBatch;
use crate::Pool;

/// Pools every text on the host, `[n_examples, d_model]`.
pub fn pool(pool: Pool, batch: &RaggedBatch<'_>) -> Vec<f32> {
    let d_model = batch.d_model;
    let mut pooled = vec![0.0; batch.rows.len() * d_model];
    pooled.par_chunks_mut(d_model).zip(&batch.rows).for_each(|(pooled, rows)| {
        vectorize(
            #[inline(always)]
            || pool_one(pool, rows, pooled),
        );
    });
    pooled
}

/// Pools one example: rows `[pos, d_model]` to `[d_model]`.
#[inline(always)]
fn pool_one(pool: Pool, rows: &[f32], pooled: &mut [f32]) {
    let d_model = pooled.len();
    if pool == Pool::Last {
        pooled.copy_from_slice(&rows[rows.len() - d_model..]);
        return;
    }
    pooled.copy_from_slice(&rows[..d_model]);
    for row in rows.chunks(d_model).skip(1) {
        for (kept, x) in pooled.iter_mut().zip(row) {
            *kept = match pool {
                Pool::Mean | Pool::Last => *kept + x,
                Pool::Max => kept.max(*x),
                Pool::AbsMax => {
                    if x.abs() > kept.abs() {
                        *x
                    } else {
                        *kept
                    }
                }
            };
        }
    }
    if pool == Pool::Mean {
        let scale = d_model as f32 / rows.len() as f32;
        for kept in pooled {
            *kept *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_gives_what_its_name_says() {
        let rows = [1.0, -4.0, 3.0, 2.0, -5.0, 1.0]; // three tokens of width 2
        let batch = RaggedBatch { rows: vec![&rows], d_model: 2 };
        assert_eq!(pool(Pool::Last, &batch), [-5.0, 1.0]);
        assert_eq!(pool(Pool::Max, &batch), [3.0, 2.0]);
        assert_eq!(pool(Pool::AbsMax, &batch), [-5.0, -4.0]);
        let mean = pool(Pool::Mean, &batch);
        approx::assert_abs_diff_eq!(mean[0], -1.0 / 3.0, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(mean[1], -1.0 / 3.0, epsilon = 1e-6);
    }
}
