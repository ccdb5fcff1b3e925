//! Matrix products on slices: the one place that calls the `gemm` crate.

use gemm::Parallelism;

/// A row-major matrix that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `rows` by `columns` numbers, last axis fastest.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self { values, rows, columns, transposed: false }
    }

    /// The transpose, without moving a number.
    pub(crate) fn transpose(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// Distance in memory between two rows and between two columns.
    fn strides(&self) -> (isize, isize) {
        if self.transposed { (1, self.rows as isize) } else { (self.columns as isize, 1) }
    }
}

/// What happens to the numbers that are in the destination already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `dst = lhs rhs` or `dst += lhs rhs`, row-major, on all cores.
///
/// No sum is divided among threads, so the result does not depend on their number.
///
/// # Panics
///
/// If the shapes do not fit.
#[expect(unsafe_code, reason = "`gemm` takes pointers; the assertions are its preconditions")]
pub(crate) fn matmul(dst: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>, write: Write) {
    assert_eq!(lhs.columns, rhs.rows, "inner sizes of a product");
    assert_eq!(dst.len(), lhs.rows * rhs.columns, "size of a product");
    if dst.is_empty() {
        return;
    }
    let (lhs_rs, lhs_cs) = lhs.strides();
    let (rhs_rs, rhs_cs) = rhs.strides();
    // SAFETY: `Matrix::new` and the assertions above hold every index that the shapes and strides
    // lead to inside its slice, and `dst` is borrowed mutably, so it overlaps nothing.
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
            lhs_cs,
            lhs_rs,
            rhs.values.as_ptr(),
            rhs_cs,
            rhs_rs,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
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
}
