//! Named arrays of `f32`, whatever kind of file they come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attention_probes_activations::{NpzData, read_npz};
use attention_probes_errors::FileError;
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::SaeError;
use crate::config::SaeDtype;
use crate::error::plain;

/// One array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
    /// Type in the file; `None` of integers.
    pub(super) dtype: Option<SaeDtype>,
}

/// The arrays of a file, by name.
#[derive(Debug)]
pub(super) struct Arrays {
    path: PathBuf,
    by_name: BTreeMap<String, Array>,
    dtypes: BTreeMap<String, SaeDtype>,
}

impl Arrays {
    pub(super) fn new(path: &Path, arrays: BTreeMap<String, Array>) -> Self {
        // A number of its own, such as a step, is no weight.
        let weights = arrays.iter().filter(|(_, of)| !of.shape.is_empty());
        let dtypes = weights.filter_map(|(name, of)| Some((name.clone(), of.dtype?)));
        Self { path: path.to_owned(), dtypes: dtypes.collect(), by_name: arrays }
    }

    /// Reads a safetensors file.
    pub(super) fn from_safetensors(path: &Path) -> Result<Self, SaeError> {
        let bytes = std::fs::read(path).map_err(FileError::read(path))?;
        let damaged = |reason: String| SaeError::Weights { path: path.to_owned(), reason };
        let file = SafeTensors::deserialize(&bytes).map_err(|source| damaged(plain(&source)))?;
        let mut arrays = BTreeMap::new();
        for (name, tensor) in file.iter() {
            let data = tensor.data();
            let (values, dtype) = match tensor.dtype() {
                Dtype::F32 => (chunks(data, f32::from_le_bytes), Some(SaeDtype::Float32)),
                Dtype::BF16 => {
                    (chunks(data, |b| bf16::from_le_bytes(b).to_f32()), Some(SaeDtype::Bfloat16))
                }
                Dtype::F16 => {
                    (chunks(data, |b| f16::from_le_bytes(b).to_f32()), Some(SaeDtype::Float16))
                }
                Dtype::F64 => {
                    (chunks(data, |b| f64::from_le_bytes(b) as f32), Some(SaeDtype::Float32))
                }
                Dtype::I64 => (chunks(data, |b| i64::from_le_bytes(b) as f32), None),
                other => return Err(damaged(format!("`{name}` holds {other:?}"))),
            };
            let shape = tensor.shape().to_vec();
            arrays.insert(name.to_owned(), Array { shape, values, dtype });
        }
        Ok(Self::new(path, arrays))
    }

    /// Reads an npz file; `w_…` is an older name for `W_…`.
    pub(super) fn from_npz(path: &Path) -> Result<Self, SaeError> {
        let mut arrays = BTreeMap::new();
        for (name, array) in read_npz(path)? {
            let name = name.strip_prefix("w_").map_or(name.clone(), |rest| format!("W_{rest}"));
            let shape = array.shape.clone();
            let values = match array.data {
                NpzData::F64(values) => values.into_iter().map(|value| value as f32).collect(),
                _ => array.data.into_f32().ok_or_else(|| SaeError::Weights {
                    path: path.to_owned(),
                    reason: format!("`{name}` holds no floating-point numbers"),
                })?,
            };
            arrays.insert(name, Array { shape, values, dtype: Some(SaeDtype::Float32) });
        }
        Ok(Self::new(path, arrays))
    }

    /// The type that holds every array as it is: theirs if they share one, else `f32`.
    pub(super) fn dtype(&self) -> SaeDtype {
        let mut all = self.dtypes.values();
        let first = all.next().copied().unwrap_or_default();
        if all.all(|other| *other == first) { first } else { SaeDtype::Float32 }
    }

    /// The type of each array by name where they differ; empty where they share one.
    pub(super) fn mixed_dtypes(&self) -> BTreeMap<String, SaeDtype> {
        let is_mixed = self.dtypes.values().any(|dtype| *dtype != self.dtype());
        if is_mixed { self.dtypes.clone() } else { BTreeMap::new() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.by_name.get(name).map(|array| &array.shape[..])
    }

    /// Takes an array of a known shape.
    pub(super) fn take(
        &mut self,
        name: &'static str,
        shape: &[usize],
    ) -> Result<Vec<f32>, SaeError> {
        let array = self.by_name.remove(name).ok_or_else(|| self.missing(name))?;
        if array.shape != shape {
            return Err(SaeError::ArrayShape {
                path: self.path.clone(),
                array: name.to_owned(),
                found: array.shape,
                expected: shape.to_vec(),
            });
        }
        Ok(array.values)
    }

    /// Takes the transpose of a matrix of a known shape.
    pub(super) fn take_transposed(
        &mut self,
        name: &'static str,
        [n_rows, n_columns]: [usize; 2],
    ) -> Result<Vec<f32>, SaeError> {
        Ok(transposed(&self.take(name, &[n_rows, n_columns])?, n_rows, n_columns))
    }

    /// Takes the only number of an array, if it is there.
    pub(super) fn take_number(&mut self, name: &str) -> Option<f32> {
        let array = self.by_name.remove(name)?;
        match array.values[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Both sizes of a matrix.
    pub(super) fn matrix_shape(&self, name: &'static str) -> Result<[usize; 2], SaeError> {
        match self.shape(name) {
            Some(&[n_rows, n_columns]) => Ok([n_rows, n_columns]),
            Some(found) => Err(SaeError::ArrayShape {
                path: self.path.clone(),
                array: name.to_owned(),
                found: found.to_vec(),
                expected: vec![0, 0],
            }),
            None => Err(self.missing(name)),
        }
    }

    fn missing(&self, array: &'static str) -> SaeError {
        let arrays = self.by_name.keys().cloned().collect();
        SaeError::MissingArray { path: self.path.clone(), array, arrays }
    }
}

/// Rows and columns that are turned at a time, so that both sides stay in the cache.
const TILE: usize = 64;

/// `[n_rows, n_columns]` to `[n_columns, n_rows]`.
pub(super) fn transposed(values: &[f32], n_rows: usize, n_columns: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    for top in (0..n_rows).step_by(TILE) {
        for left in (0..n_columns).step_by(TILE) {
            for row in top..(top + TILE).min(n_rows) {
                for column in left..(left + TILE).min(n_columns) {
                    turned[column * n_rows + row] = values[row * n_columns + column];
                }
            }
        }
    }
    turned
}

/// Numbers of `N` bytes each.
pub(super) fn chunks<const N: usize>(data: &[u8], of: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|bytes| of(*bytes)).collect()
}
