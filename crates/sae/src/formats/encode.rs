//! Activations of a file as features in a file.

use std::path::Path;

use attention_probes_activations::{NpzArray, read_npz_arrays, write_npz};

use super::site_error::SiteError;
use crate::{Sae, SaeError};

/// What is written beside the features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Whether what the features decode to is written too. Default no.
    pub reconstruct: bool,
}

/// What a file of activations was encoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedNpz {
    /// Rows of activations.
    pub n_rows: usize,
    /// Active features of all of them.
    pub n_active: usize,
}

/// Encodes the array `x` of an npz and writes the active features as compressed rows: `indptr`,
/// `features`, `values`, `shape`, and perhaps `reconstruction`.
///
/// # Shapes
///
/// - `x`: `[..., d_in]`, or `[..., n_heads, d_head]` with `n_heads * d_head = d_in`
///
/// # Errors
///
/// - [`SiteError::Rows`], [`SiteError::NotFloats`], or [`SiteError::NotFiniteRow`] if the
///   autoencoder cannot read `x`.
/// - [`SaeError::Activation`] if a file cannot be read or written.
///
/// # Memory
///
/// The activations, twice with `reconstruct`, and their features.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{NpzArray, read_npz, write_npz};
/// use attention_probes::sae::{EncodeOptions, Sae, SaeActivation, SaeConfig, encode_npz};
///
/// let sae = Sae { config: SaeConfig::new(2, 2),
///     activation: SaeActivation::Standard { b_enc: vec![0.0; 2] },
///     encoder: vec![1.0, 0.0, 0.0, 1.0], decoder: vec![1.0, 0.0, 0.0, 1.0], b_dec: vec![0.0; 2] };
/// let folder = tempfile::tempdir()?;
/// let [from, to] = ["x.npz", "codes.npz"].map(|name| folder.path().join(name));
/// write_npz(&from, &[("x", NpzArray::new(vec![2, 2], vec![3.0_f32, -1.0, 0.5, 2.0]))])?;
/// let found = encode_npz(&sae, &from, &to, EncodeOptions::default())?;
/// assert_eq!((found.n_rows, found.n_active), (2, 3));
/// let values = read_npz(&to)?.remove("values").and_then(|array| array.data.into_f32());
/// assert_eq!(values, Some(vec![3.0, 0.5, 2.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_npz(
    sae: &Sae,
    activations: &Path,
    output: &Path,
    options: EncodeOptions,
) -> Result<EncodedNpz, SaeError> {
    let mut arrays = read_npz_arrays(activations, &["x"], &[])?;
    let path = || activations.to_owned();
    let Some(x) = arrays.remove("x") else {
        return Err(SaeError::MissingArray { path: path(), array: "x", arrays: Vec::new() });
    };
    let shape = x.shape.clone();
    let d_in = sae.config.d_in;
    // Rows end where the last axes, one or two of them, make up a row.
    let last = |n: usize| shape.iter().rev().take(n).product::<usize>();
    let n_last = [1, 2].into_iter().find(|n| shape.len() >= *n && last(*n) == d_in);
    let Some(n_last) = n_last else {
        return Err(SiteError::Rows { path: path(), shape, d_in }.into());
    };
    let values = x.data.into_f32().ok_or_else(|| SiteError::NotFloats { path: path() })?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let (row, value) = (index / d_in, values[index]);
        return Err(SiteError::NotFiniteRow { path: path(), row, value }.into());
    }
    let encoded = sae.encode(&values)?;
    let codes = &encoded.codes;
    let (mut indptr, mut features, mut active) = (vec![0_i64], Vec::new(), Vec::new());
    for (of_row, values) in codes.rows() {
        features.extend(of_row.iter().map(|feature| *feature as i32));
        active.extend_from_slice(values);
        indptr.push(features.len() as i64);
    }
    let mut codes_shape: Vec<i64> =
        shape[..shape.len() - n_last].iter().map(|n| *n as i64).collect();
    codes_shape.push(sae.config.d_sae as i64);
    let n_active = features.len();
    let mut written = vec![
        ("indptr", NpzArray::new(vec![indptr.len()], indptr)),
        ("features", NpzArray::new(vec![n_active], features)),
        ("values", NpzArray::new(vec![n_active], active)),
        ("shape", NpzArray::new(vec![codes_shape.len()], codes_shape)),
    ];
    if options.reconstruct {
        written.push(("reconstruction", NpzArray::new(shape, sae.decode(&encoded))));
    }
    write_npz(output, &written)?;
    Ok(EncodedNpz { n_rows: codes.n_rows(), n_active })
}
