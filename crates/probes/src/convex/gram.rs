//! The matrix of weighed products of features, `X' diag(w) X`.

use attention_probes_kernels::{Matrix, Write, matmul_on_one_core};
use rayon::prelude::*;

use super::features::{Features, Scaling};

/// Columns on a side of one tile of the matrix; tiles below the diagonal are mirrored, not computed.
const TILE: usize = 128;

/// Rows whose products are summed in `f32` before they are added in `f64`.
const ROWS: usize = 2048;

/// Sums `w[i] x[i,j] x[i,k]` over examples `i`, of scaled features `x`.
///
/// Products and sums over 2048 rows are in `f32`, sums of these in `f64`: an entry is exact to
/// about 1e-6 of the largest sum. `weights` must not be negative.
///
/// # Shapes
///
/// - `weights`: `[n_examples]`
/// - returns `[d_model, d_model]`, symmetric
pub(super) fn gram(features: Features<'_>, scaling: &Scaling, weights: Option<&[f32]>) -> Vec<f64> {
    let d = features.d_model();
    let mut tiles: Vec<Tile> = (0..d)
        .step_by(TILE)
        .flat_map(|row| (row..d).step_by(TILE).map(move |column| Tile::new(row, column, d)))
        .collect();
    let roots: Option<Vec<f32>> = weights.map(|w| w.iter().map(|w| w.sqrt()).collect());
    let mut scratch = Vec::new();
    for (chunk, rows) in features.values().chunks(ROWS * d).enumerate() {
        let x = if roots.is_none() && scaling.is_identity() {
            rows
        } else {
            scratch.resize(rows.len(), 0.0);
            let parts = scratch.par_chunks_mut(TILE * d).zip(rows.par_chunks(TILE * d));
            parts.enumerate().for_each(|(part, (scaled, rows))| {
                let roots = roots.as_ref().map(|roots| &roots[chunk * ROWS + part * TILE..]);
                scaling.scale_rows(rows, roots, scaled);
            });
            &scratch[..]
        };
        let x = Matrix::new(x, rows.len() / d, d);
        tiles.par_iter_mut().for_each(|tile| tile.add(x));
    }
    let mut sums = vec![0.0; d * d];
    for tile in &tiles {
        for (i, sum) in tile.sums.iter().enumerate() {
            let (row, column) = (tile.row + i / tile.width, tile.column + i % tile.width);
            sums[row * d + column] = *sum;
            sums[column * d + row] = *sum;
        }
    }
    sums
}

/// Part of the matrix: the rows and columns from some row and column on.
struct Tile {
    row: usize,
    column: usize,
    height: usize,
    width: usize,
    product: Vec<f32>,
    sums: Vec<f64>,
}

impl Tile {
    fn new(row: usize, column: usize, d: usize) -> Self {
        let (height, width) = (TILE.min(d - row), TILE.min(d - column));
        let (product, sums) = (vec![0.0; height * width], vec![0.0; height * width]);
        Self { row, column, height, width, product, sums }
    }

    fn add(&mut self, x: Matrix<'_>) {
        let lhs = x.columns(self.row, self.height).transpose();
        let rhs = x.columns(self.column, self.width);
        matmul_on_one_core(&mut self.product, lhs, rhs, Write::Replace);
        for (sum, product) in self.sums.iter_mut().zip(&self.product) {
            *sum += f64::from(*product);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convex::features::Moments;

    #[test]
    fn the_sums_are_those_of_three_nested_loops() {
        let (n, d) = (300, 131);
        let values: Vec<f32> = (0..n * d).map(|i| (i * 7919 % 101) as f32 / 10.0 - 3.0).collect();
        let features = Features::new(&values, d).unwrap();
        let moments = Moments::new(features, None);
        let weights: Vec<f32> = (0..n).map(|i| (i % 4) as f32).collect();
        let found = gram(features, &Scaling::new(&moments), Some(&weights));
        let x = |i: usize, j: usize| {
            (f64::from(values[i * d + j]) - moments.mean[j]) / moments.deviation[j]
        };
        for (j, k) in [(0, 0), (3, 130), (130, 3), (129, 130), (17, 64)] {
            let expected: f64 = (0..n).map(|i| f64::from(weights[i]) * x(i, j) * x(i, k)).sum();
            approx::assert_abs_diff_eq!(found[j * d + k], expected, epsilon = 1e-3);
        }
    }
}
