//! What numbers labels may be, and the error about one that is none of them.

use std::borrow::Cow;
use std::path::Path;

use crate::ActivationError;

/// Largest distance of the sum of a distribution from 1.
pub(crate) const SUM_TOLERANCE: f64 = 1e-4;

/// Largest magnitude of a number that is predicted; the square of anything larger leaves the range
/// of `f32`.
const LARGEST: f64 = 1e18;

/// What was expected of a number.
pub(crate) const NUMBER: &str =
    "a finite number of magnitude at most 1e18; correct it or remove the row";
/// What was expected of a probability.
pub(crate) const PROBABILITY: &str = "a probability from 0 to 1; correct it or remove the row";
/// What was expected of the probabilities of a row.
pub(crate) const SUM: &str = "probabilities with the sum 1; correct them or remove the row";

pub(crate) fn is_number(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// An error about a label; rows are counted from 0 here.
pub(crate) fn fault(
    path: &Path,
    row: usize,
    column: &str,
    value: impl Into<String>,
    expected: impl Into<Cow<'static, str>>,
) -> ActivationError {
    let (path, column) = (path.to_owned(), column.to_owned());
    ActivationError::BadTarget {
        path,
        row: row + 1,
        column,
        value: value.into(),
        expected: expected.into(),
    }
}
