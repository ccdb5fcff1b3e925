//! Loops over the rows of dense matrices.

use rayon::prelude::*;

/// Adds a bias to a row.
pub(super) fn add(row: &mut [f32], bias: &[f32]) {
    for (x, b) in row.iter_mut().zip(bias) {
        *x += b;
    }
}

/// Sum of every column, `[width]`.
pub(super) fn column_sums(values: &[f32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0_f64; width];
    for row in values.chunks_exact(width) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += f64::from(*x);
        }
    }
    sums
}

/// Calls `of` with the rows of several matrices of one width, in parallel.
pub(super) fn each_row<const N: usize>(
    width: usize,
    matrices: [&mut Vec<f32>; N],
    of: impl Fn([&mut [f32]; N]) + Sync,
) {
    let n = matrices.first().map_or(0, |one| one.len() / width);
    let mut rows: Vec<Vec<&mut [f32]>> = (0..n).map(|_| Vec::with_capacity(N)).collect();
    for matrix in matrices {
        for (row, slice) in rows.iter_mut().zip(matrix.chunks_exact_mut(width)) {
            row.push(slice);
        }
    }
    rows.into_par_iter().for_each(|row| {
        if let Ok(row) = <[&mut [f32]; N]>::try_from(row) {
            of(row);
        }
    });
}
