//! Matrix products: the one place that calls the `gemm` crate.

use gemm::Parallelism;

/// A row-major matrix that is read, or some of its columns, or the transpose of either.
///
/// # Examples
///
/// ```
/// use attention_probes::kernels::{Matrix, Write, matmul};
///
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, -1.0]);
/// let mut product = [0.0; 4];
/// matmul(&mut product, Matrix::new(&a, 2, 2).transpose(), Matrix::new(&b, 2, 2), Write::Replace);
/// assert_eq!(product, [1.0, -3.0, 2.0, -4.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Distance in memory between two rows.
    row_stride: usize,
    /// Distance in memory between two columns.
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` by `columns` numbers, last axis fastest.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, without moving a number.
    #[must_use]
    pub fn transpose(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// `n` columns from `first` on, without moving a number.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[must_use]
    pub fn columns(self, first: usize, n: usize) -> Self {
        assert!(first + n <= self.columns, "{n} columns of {} from {first} on", self.columns);
        // A matrix of no rows or columns has no numbers to start at.
        let start = (first * self.column_stride).min(self.values.len());
        Self { values: &self.values[start..], columns: n, ..self }
    }
}

/// What happens to the numbers that are in the destination already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `dst = lhs rhs` or `dst += lhs rhs`, row-major, on all cores.
///
/// No sum is divided among threads, so the result does not depend on their number.
///
/// # Shapes
///
/// - `lhs`: `[m, k]`
/// - `rhs`: `[k, n]`
/// - `dst`: `[m, n]`
///
/// # Panics
///
/// If the shapes do not fit.
pub fn matmul(dst: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>, write: Write) {
    product(dst, lhs, rhs, write, Parallelism::Rayon(0));
}

/// As [`matmul`], on the thread that calls, which is one of many that multiply.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn matmul_on_one_core(dst: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>, write: Write) {
    product(dst, lhs, rhs, write, Parallelism::None);
}

#[expect(unsafe_code, reason = "`gemm` takes pointers; the assertions are its preconditions")]
fn product(
    dst: &mut [f32],
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    write: Write,
    parallelism: Parallelism,
) {
    assert_eq!(lhs.columns, rhs.rows, "inner sizes of a product");
    assert_eq!(dst.len(), lhs.rows * rhs.columns, "size of a product");
    if dst.is_empty() {
        return;
    }
    // SAFETY: `Matrix` is made so that every index that its shape and strides lead to is inside its
    // slice, and `dst` is as large as the assertions say and borrowed mutably, so it overlaps
    // nothing.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.columns,
            lhs.columns,
            dst.as_mut_ptr(),
            1,
            rhs.columns as isize,
            write == Write::Add,
            lhs.values.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.values.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(lhs: &[f32], rhs: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
        let at = |i: usize, j: usize| (0..k).map(|l| lhs[i * k + l] * rhs[l * n + j]).sum();
        (0..m * n).map(|ij| at(ij / n, ij % n)).collect()
    }

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 50.0).collect()
    }

    #[test]
    fn products_equal_three_nested_loops() {
        let [m, k, n] = [7, 13, 5];
        let (lhs, rhs) = (numbers(m * k), numbers(k * n));
        let mut dst = vec![f32::NAN; m * n];
        matmul(&mut dst, Matrix::new(&lhs, m, k), Matrix::new(&rhs, k, n), Write::Replace);
        for (found, expected) in dst.iter().zip(slow(&lhs, &rhs, [m, k, n])) {
            approx::assert_abs_diff_eq!(*found, expected, epsilon = 1e-5);
        }
    }

    #[test]
    fn transposed_products_are_added() {
        let [m, k, n] = [3, 4, 6];
        let (lhs, rhs) = (numbers(m * k), numbers(k * n));
        let rhs_t: Vec<f32> = (0..n * k).map(|i| rhs[i % k * n + i / k]).collect();
        let mut dst = vec![1.0; m * n];
        let rhs_t = Matrix::new(&rhs_t, n, k).transpose();
        matmul(&mut dst, Matrix::new(&lhs, m, k), rhs_t, Write::Add);
        for (found, expected) in dst.iter().zip(slow(&lhs, &rhs, [m, k, n])) {
            approx::assert_abs_diff_eq!(*found, expected + 1.0, epsilon = 1e-5);
        }
    }

    #[test]
    fn a_product_of_some_columns_is_that_part_of_the_product() {
        let [m, k, n] = [5, 6, 8];
        let (lhs, rhs) = (numbers(m * k), numbers(k * n));
        let mut dst = vec![f32::NAN; m * 3];
        let part = Matrix::new(&rhs, k, n).columns(4, 3);
        matmul_on_one_core(&mut dst, Matrix::new(&lhs, m, k), part, Write::Replace);
        let whole = slow(&lhs, &rhs, [m, k, n]);
        for (i, found) in dst.iter().enumerate() {
            approx::assert_abs_diff_eq!(*found, whole[i / 3 * n + 4 + i % 3], epsilon = 1e-5);
        }
    }
}
