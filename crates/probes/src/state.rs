//! Weights of a probe outside any device: named arrays on the host.

use std::collections::BTreeMap;

use attention_probes_errors::ValueError;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::ProbeError;

/// Weights of one probe, by the names that the reference's state dict uses.
///
/// ```text
/// linear     weight           [n_out, d_model]
///            bias             [n_out]
/// mlp        hidden.weight    [hidden_dim, d_model]
///            hidden.bias      [hidden_dim]
///            out.weight       [n_out, hidden_dim]
///            out.bias         [n_out]
/// attention  q.weight         [n_heads, d_model]
///            v.weight         [n_heads * k, d_model]
///            v.bias           [n_heads * k]
///            position_weight  [n_heads]
///            o.weight         [n_out, k]      with a hidden layer only
///            o.bias           [n_out]         with a hidden layer only
/// token      weight           [n_out, d_model]
///            bias             [n_out]
/// multimax   v.weight         [n_heads * n_out, d_model]
///            bias             [n_out]
/// rolling_attention
///            q.weight         [n_heads, d_model]
///            v.weight         [n_heads * n_out, d_model]
///            bias             [n_out]
/// gated_bipolar
///            proj.weight, gate.weight      [d_gate, d_model]
///            proj.bias, gate.bias          [d_gate]
///            out.weight       [n_out, 2 * d_gate]
///            out.bias         [n_out]
/// ```
///
/// `k` is the hidden width, or `n_out` where there is no hidden layer.
pub type ProbeState = BTreeMap<String, ParamArray>;

/// One array of weights, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamArray {
    /// Size of each axis.
    pub shape: Vec<usize>,
    /// The numbers, last axis fastest.
    pub values: Vec<f32>,
}

impl ParamArray {
    /// Makes an array of zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self::full(shape, 0.0)
    }

    /// Makes an array of one repeated value.
    pub fn full(shape: &[usize], value: f32) -> Self {
        Self { shape: shape.to_vec(), values: vec![value; shape.iter().product()] }
    }

    /// Draws an array from U(-1/√fan_in, `1/√fan_in`), the default of a torch linear layer.
    ///
    /// The draw is on the host and in `f32`, so one seed gives the same bits on every device.
    pub fn uniform(shape: &[usize], fan_in: usize, rng: &mut ChaCha8Rng) -> Self {
        let bound = (1.0 / (fan_in as f64).sqrt()) as f32;
        let n = shape.iter().product();
        let values = (0..n).map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound).collect();
        Self { shape: shape.to_vec(), values }
    }
}

/// Checks that a state has exactly the named arrays, each of its shape.
///
/// # Errors
///
/// - [`ProbeError::MissingArray`] and [`ProbeError::UnknownArray`] if the names differ.
/// - [`ProbeError::ArrayShape`] if a shape differs, or does not match the number of values.
pub(crate) fn check_shapes(
    state: &ProbeState,
    expected: &[(&str, Vec<usize>)],
    kind: &str,
) -> Result<(), ProbeError> {
    let of_kind = || kind.to_owned();
    for (name, shape) in expected {
        let array = (*name).to_owned();
        let found = state.get(*name);
        let found = found.ok_or_else(|| ProbeError::MissingArray { array, kind: of_kind() })?;
        if found.shape != *shape || found.values.len() != shape.iter().product::<usize>() {
            let (array, expected) = ((*name).to_owned(), shape.clone());
            return Err(ProbeError::ArrayShape { array, found: found.shape.clone(), expected });
        }
    }
    match state.keys().find(|key| expected.iter().all(|(name, _)| name != key)) {
        Some(key) => Err(ProbeError::UnknownArray { array: key.clone(), kind: of_kind() }),
        None => Ok(()),
    }
}

/// As [`check_shapes`], and that all numbers are finite.
///
/// # Errors
///
/// As [`check_shapes`], and [`ProbeError::NonFinite`] if a value is NaN or infinite.
pub(crate) fn check_state(
    state: &ProbeState,
    expected: &[(&str, Vec<usize>)],
    kind: &str,
) -> Result<(), ProbeError> {
    check_shapes(state, expected, kind)?;
    for (name, array) in state {
        if let Some(index) = array.values.iter().position(|value| !value.is_finite()) {
            let value = array.values[index];
            return Err(ProbeError::NonFinite { array: name.clone(), index, value });
        }
    }
    Ok(())
}

/// Refuses sizes of which one is 0 or whose product does not fit into memory's index.
///
/// # Errors
///
/// [`ProbeError::Hyperparameter`] with the name of the first such size.
pub(crate) fn check_sizes(sizes: &[(&'static str, usize)]) -> Result<(), ProbeError> {
    let mut product = 1_usize;
    for &(name, size) in sizes {
        let error = |expected| ProbeError::from(ValueError::new(name, size, expected));
        if size == 0 {
            return Err(error("at least 1"));
        }
        product = product.checked_mul(size).ok_or_else(|| error("a smaller number"))?;
    }
    Ok(())
}

/// Refuses fewer than two classes.
///
/// # Errors
///
/// [`ProbeError::Hyperparameter`] if `n_classes` is 0 or 1.
pub(crate) fn check_n_classes(n_classes: usize) -> Result<(), ProbeError> {
    if n_classes < 2 {
        let value = n_classes as f64;
        return Err(ValueError::new("n_classes", value, "at least 2").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn state() -> ProbeState {
        ProbeState::from([
            ("weight".to_owned(), ParamArray::full(&[1, 3], 0.5)),
            ("bias".to_owned(), ParamArray::zeros(&[1])),
        ])
    }

    fn expected() -> Vec<(&'static str, Vec<usize>)> {
        vec![("weight", vec![1, 3]), ("bias", vec![1])]
    }

    #[test]
    fn each_fault_of_a_state_has_its_own_error() {
        assert!(check_state(&state(), &expected(), "linear").is_ok());

        let mut missing = state();
        missing.remove("bias");
        let error = check_state(&missing, &expected(), "linear").unwrap_err();
        assert!(matches!(error, ProbeError::MissingArray { array, .. } if array == "bias"));

        let mut unknown = state();
        unknown.insert("scale".to_owned(), ParamArray::zeros(&[1]));
        let error = check_state(&unknown, &expected(), "linear").unwrap_err();
        assert!(matches!(error, ProbeError::UnknownArray { array, .. } if array == "scale"));

        let mut transposed = state();
        transposed.insert("weight".to_owned(), ParamArray::zeros(&[3, 1]));
        let error = check_state(&transposed, &expected(), "linear").unwrap_err();
        assert!(matches!(error, ProbeError::ArrayShape { found, .. } if found == [3, 1]));

        let mut short = state();
        short.get_mut("weight").unwrap().values.pop();
        let error = check_state(&short, &expected(), "linear").unwrap_err();
        assert!(matches!(error, ProbeError::ArrayShape { .. }));

        let mut infinite = state();
        infinite.get_mut("weight").unwrap().values[2] = f32::INFINITY;
        let error = check_state(&infinite, &expected(), "linear").unwrap_err();
        assert!(matches!(error, ProbeError::NonFinite { index: 2, .. }));
    }

    #[test]
    fn a_draw_stays_in_its_bounds_and_fills_them() {
        let array = ParamArray::uniform(&[100, 4], 4, &mut ChaCha8Rng::seed_from_u64(3));
        let largest = array.values.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!(largest <= 0.5 && largest > 0.49, "largest magnitude {largest}");
        let mean = array.values.iter().sum::<f32>() / 400.0;
        assert!(mean.abs() < 0.05, "mean {mean}");
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let sizes = [("n_heads", usize::MAX / 2), ("d_model", 3)];
        let error = check_sizes(&sizes).unwrap_err();
        assert!(matches!(error, ProbeError::Hyperparameter(error) if error.name == "d_model"));
    }
}
