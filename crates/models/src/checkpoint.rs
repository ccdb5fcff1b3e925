//! The weight files of a checkpoint: mapped into memory, whole or in shards, read by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::ModelError;
use crate::file::read_file;

/// The weight files of a checkpoint, memory-mapped.
pub(crate) struct Checkpoint {
    dir: PathBuf,
    files: Vec<(PathBuf, Mmap)>,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps `model.safetensors`, or every shard that the index names.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let index = dir.join("model.safetensors.index.json");
        let paths = if index.is_file() {
            let shards: ShardIndex = serde_json::from_slice(&read_file(&index)?)
                .map_err(|source| ModelError::Json { path: index.clone(), source })?;
            let names: BTreeSet<String> = shards.weight_map.into_values().collect();
            if let Some(name) = names.iter().find(|name| !is_plain_file_name(name)) {
                return Err(ModelError::ConfigField {
                    path: index,
                    field: "weight_map".to_owned(),
                    value: name.clone(),
                    expected: "file names without a folder",
                });
            }
            names.into_iter().map(|name| dir.join(name)).collect()
        } else {
            vec![dir.join("model.safetensors")]
        };
        let files = paths
            .into_iter()
            .map(|path| {
                if !path.is_file() {
                    return Err(ModelError::MissingFile { path });
                }
                let map = File::open(&path).and_then(|file| map_file(&file));
                match map {
                    Ok(map) => Ok((path, map)),
                    Err(source) => Err(ModelError::Read { path, source }),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// Feeds the bytes of every file to a hasher.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        for (_, map) in &self.files {
            hasher.update(map);
        }
    }

    /// Parses the headers.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>, ModelError> {
        let files = self
            .files
            .iter()
            .map(|(path, map)| match SafeTensors::deserialize(map) {
                Ok(file) => Ok((path.clone(), file)),
                Err(source) => Err(ModelError::Safetensors { path: path.clone(), source }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let path = match &files[..] {
            [(path, _)] => path.clone(),
            _ => self.dir.clone(),
        };
        Ok(Tensors { files, path })
    }
}

fn is_plain_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

#[expect(unsafe_code, reason = "a memory map is the only way to read weights without a copy")]
fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: undefined only if another process truncates the file while it is mapped, which
    // holds for every program that maps checkpoints.
    unsafe { Mmap::map(file) }
}

/// Tensors of one or several files, by name.
pub(crate) struct Tensors<'data> {
    files: Vec<(PathBuf, SafeTensors<'data>)>,
    path: PathBuf,
}

impl<'data> Tensors<'data> {
    /// Parses a safetensors file that is already in memory; `name` stands for its path.
    pub(crate) fn from_bytes(bytes: &'data [u8], name: &Path) -> Result<Self, ModelError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| ModelError::Safetensors { path: name.to_owned(), source })?;
        Ok(Self { files: vec![(name.to_owned(), file)], path: name.to_owned() })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.files.iter().any(|(_, file)| file.tensor(name).is_ok())
    }

    /// A parameter in f32, of exactly this shape.
    pub(crate) fn get<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        device: &Device,
    ) -> Result<Param<Tensor<D>>, ModelError> {
        let view =
            self.files.iter().find_map(|(_, file)| file.tensor(name).ok()).ok_or_else(|| {
                ModelError::MissingTensor { tensor: name.to_owned(), path: self.path.clone() }
            })?;
        if view.shape() != shape {
            return Err(ModelError::TensorShape {
                tensor: name.to_owned(),
                found: view.shape().to_vec(),
                expected: shape.to_vec(),
            });
        }
        let bytes = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => from_le(bytes, f32::from_le_bytes),
            Dtype::F16 => from_le(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => from_le(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            dtype => {
                return Err(ModelError::TensorDtype {
                    tensor: name.to_owned(),
                    dtype: format!("{dtype:?}"),
                });
            }
        };
        Ok(Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device)))
    }
}

/// Decodes little-endian numbers of `N` bytes.
fn from_le<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().map(|number| decode(*number)).collect()
}
