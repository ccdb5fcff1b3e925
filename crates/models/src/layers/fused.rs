//! One pass over memory, on all cores, where a chain of tensor operations would take several.
//!
//! Tensors on another device than the host, or with gradients, go to the same formula in tensor
//! operations, which the caller has.

use attention_probes_kernels::vectorize;
use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::*;

use crate::host::is_host;

/// Numbers per task: 64 KiB, which stays in the second-level cache.
const CHUNK: usize = 16 * 1024;

/// Changes a tensor row by row in place, where a row is `width` numbers that follow each other.
///
/// `change` gets the numbers of `tables`, the index of the row, and the row; a tensor that is not
/// `f32` in host memory, or has gradients, goes to `otherwise`.
pub(crate) fn map_rows<const D: usize, const T: usize>(
    x: Tensor<D>,
    width: usize,
    tables: &[&Tensor<T>],
    change: impl Fn(&[&[f32]], usize, &mut [f32]) + Sync,
    otherwise: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let device = x.device();
    if !is_host(&device) || x.dtype() != DType::F32 {
        return otherwise(x);
    }
    let tables: Vec<TensorData> = tables.iter().map(|table| (*table).clone().into_data()).collect();
    let tables: Option<Vec<&[f32]>> = tables.iter().map(|table| table.as_slice().ok()).collect();
    let mut data = x.into_data();
    let (Some(tables), Ok(values)) = (tables, data.as_mut_slice::<f32>()) else {
        return otherwise(Tensor::from_data(data, &device));
    };
    let n_rows = (CHUNK / width).max(1);
    values.par_chunks_mut(n_rows * width).enumerate().for_each(|(chunk, rows)| {
        vectorize(
            #[inline(always)]
            || {
                for (row, values) in rows.chunks_exact_mut(width).enumerate() {
                    change(&tables, chunk * n_rows + row, values);
                }
            },
        );
    });
    Tensor::from_data(data, &device)
}

/// Combines the two halves of every row into one row of half the width.
///
/// `combine` gets both halves and where the result goes; `otherwise` as in [`map_rows`].
pub(crate) fn halve_rows(
    x: Tensor<3>,
    combine: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
    otherwise: impl FnOnce(Tensor<3>) -> Tensor<3>,
) -> Tensor<3> {
    let device = x.device();
    if !is_host(&device) || x.dtype() != DType::F32 {
        return otherwise(x);
    }
    let [batch, pos, width] = x.dims();
    let half = width / 2;
    let data = x.into_data();
    let Ok(values) = data.as_slice::<f32>() else {
        return otherwise(Tensor::from_data(data, &device));
    };
    let mut halves = vec![0.0_f32; values.len() / 2];
    let n_rows = (CHUNK / width).max(1);
    let chunks = halves.par_chunks_mut(n_rows * half).zip(values.par_chunks(n_rows * width));
    chunks.for_each(|(out, rows)| {
        vectorize(
            #[inline(always)]
            || {
                for (out, row) in out.chunks_exact_mut(half).zip(rows.chunks_exact(width)) {
                    combine(&row[..half], &row[half..], out);
                }
            },
        );
    });
    Tensor::from_data(TensorData::new(halves, [batch, pos, half]), &device)
}

/// `Σ x²` in 16 sums side by side, which vectorises.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vectorises only inside the dispatched closure")]
pub(crate) fn sum_of_squares(row: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x * x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}
