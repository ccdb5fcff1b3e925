//! Arrays by name, in an npz or in a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use attention_probes_models::is_lfs_pointer;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::{Map, Value};

use crate::files::file_map::map;
use crate::npz::{npz_headers, read_npz_array};
use crate::{ActivationError, ExternalError, NpzArray, NpzData};

/// Name of the array of an npz that holds JSON about the others, as `uint8`.
const METADATA: &str = "metadata";

/// A file of arrays.
#[derive(Debug)]
pub(super) struct ArrayFile {
    path: PathBuf,
    /// The bytes of a safetensors file; `None` of an npz.
    map: Option<Mmap>,
}

/// Type and shape of an array.
#[derive(Clone, Debug)]
pub(super) struct ArrayHeader {
    /// As in `numpy`.
    pub(super) dtype: String,
    pub(super) is_float: bool,
    pub(super) shape: Vec<usize>,
}

impl ArrayFile {
    /// Opens a file, which is safetensors by its name or else an npz.
    pub(super) fn open(path: &Path) -> Result<Self, ActivationError> {
        let file = Self { path: path.to_owned(), map: None };
        if !is_safetensors(path) {
            return Ok(file);
        }
        let map = File::open(path).and_then(|file| map(&file)).map_err(FileError::read(path))?;
        if is_lfs_pointer(path) {
            return Err(ActivationError::LfsPointer { path: path.to_owned() });
        }
        Ok(Self { map: Some(map), ..file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Type and shape of every array, or why one cannot be read.
    pub(super) fn headers(
        &self,
    ) -> Result<BTreeMap<String, Result<ArrayHeader, ActivationError>>, ActivationError> {
        let Some(map) = &self.map else {
            let of_npz = npz_headers(&self.path)?.into_iter().map(|(name, header)| {
                let header = header.map(|(dtype, shape)| ArrayHeader {
                    dtype: dtype.name(),
                    is_float: dtype.is_float(),
                    shape,
                });
                (name, header)
            });
            return Ok(of_npz.collect());
        };
        let tensors = self.tensors(map)?.tensors();
        Ok(tensors
            .into_iter()
            .map(|(name, tensor)| {
                let dtype = tensor.dtype();
                let is_float = matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
                let shape = tensor.shape().to_vec();
                (name, Ok(ArrayHeader { dtype: format!("{dtype:?}"), is_float, shape }))
            })
            .collect())
    }

    /// Reads an array, or, with `layer`, one index of the second of its four axes.
    pub(super) fn read(
        &self,
        name: &str,
        layer: Option<usize>,
    ) -> Result<Option<NpzArray>, ActivationError> {
        let Some(map) = &self.map else { return read_npz_array(&self.path, name, layer) };
        let tensors = self.tensors(map)?;
        let Ok(tensor) = tensors.tensor(name) else { return Ok(None) };
        let data = decode(&tensor, layer).ok_or_else(|| {
            let (path, array) = (self.path.clone(), name.to_owned());
            let (dtype, expected) = (format!("{:?}", tensor.dtype()), "floats or integers");
            ExternalError::ArrayType { path, array, dtype, expected }
        })?;
        let mut shape = tensor.shape().to_vec();
        if layer.is_some() {
            shape.remove(1);
        }
        Ok(Some(NpzArray::new(shape, data)))
    }

    /// What the file says about itself beside its arrays.
    pub(super) fn metadata(&self) -> Result<Map<String, Value>, ActivationError> {
        let Some(map) = &self.map else {
            let found = read_npz_array(&self.path, METADATA, None);
            // An array of this name may be anything that somebody else thought of.
            let Ok(Some(NpzArray { data: NpzData::U8(json), .. })) = found else {
                return Ok(Map::new());
            };
            return Ok(serde_json::from_slice(&json).unwrap_or_default());
        };
        let metadata = SafeTensors::read_metadata(map).map_err(|error| self.fault(error))?.1;
        let strings = metadata.metadata().clone().unwrap_or_default();
        Ok(strings.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
    }

    fn tensors<'a>(&self, map: &'a Mmap) -> Result<SafeTensors<'a>, ActivationError> {
        SafeTensors::deserialize(map).map_err(|error| self.fault(error))
    }

    fn fault(&self, source: SafeTensorError) -> ActivationError {
        ExternalError::Safetensors { path: self.path.clone(), source }.into()
    }
}

/// Whether a path is a file of arrays by its name, `.npz` or `.safetensors`.
pub fn is_array_file(path: &Path) -> bool {
    is_safetensors(path) || path.extension().is_some_and(|end| end.eq_ignore_ascii_case("npz"))
}

/// Whether a path is a safetensors file by its name.
fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("safetensors"))
}

/// The values of a tensor, or of one index of its second axis; `None` of a type that is not read.
fn decode(tensor: &TensorView<'_>, layer: Option<usize>) -> Option<NpzData> {
    let bytes = match (layer, tensor.shape()) {
        (None, _) => vec![tensor.data()],
        (Some(index), &[_, n_layers, _, _]) if index < n_layers => {
            let of_example = tensor.data().len() / tensor.shape()[0].max(1);
            let of_layer = of_example / n_layers;
            let examples = tensor.data().chunks_exact(of_example.max(1));
            examples.map(|example| &example[index * of_layer..(index + 1) * of_layer]).collect()
        }
        _ => return None,
    };
    Some(match tensor.dtype() {
        Dtype::F32 => NpzData::F32(values(&bytes, f32::from_le_bytes)),
        Dtype::F16 => NpzData::F32(values(&bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => NpzData::F32(values(&bytes, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F64 => NpzData::F64(values(&bytes, f64::from_le_bytes)),
        Dtype::I64 => NpzData::I64(values(&bytes, i64::from_le_bytes)),
        Dtype::U32 => NpzData::I64(values(&bytes, |b| i64::from(u32::from_le_bytes(b)))),
        Dtype::I32 => NpzData::I32(values(&bytes, i32::from_le_bytes)),
        Dtype::I16 => NpzData::I32(values(&bytes, |b| i32::from(i16::from_le_bytes(b)))),
        Dtype::U16 => NpzData::I32(values(&bytes, |b| i32::from(u16::from_le_bytes(b)))),
        Dtype::I8 => NpzData::I32(values(&bytes, |b| i32::from(i8::from_le_bytes(b)))),
        Dtype::U8 => NpzData::U8(values(&bytes, u8::from_le_bytes)),
        Dtype::BOOL => NpzData::Bool(values(&bytes, |[byte]| byte != 0)),
        _ => return None,
    })
}

fn values<const N: usize, T>(pieces: &[&[u8]], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let items = pieces.iter().flat_map(|piece| piece.as_chunks::<N>().0);
    items.map(|item| decode(*item)).collect()
}
