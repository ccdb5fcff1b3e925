//! The weight files of a checkpoint: mapped into memory, whole or in shards, read by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attention_probes_errors::{FileError, JsonFileError, Stop, Stopped};
use burn::module::Param;
use burn::tensor::Tensor;
use memmap2::Mmap;
use safetensors::tensor::{Dtype as StoredDtype, SafeTensors, TensorView};
use serde::Deserialize;

use crate::files::{read_description, refuse_pointer};
use crate::layers::embedding_table::EmbeddingTable;
use crate::mapped::{MappedRows, Numbers, release, tensor_data};
use crate::{LoadOptions, ModelError, is_host};

/// Bytes of a file that are hashed before their memory is given back.
const HASH_CHUNK: usize = 64 << 20;

/// The weights, where they are one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// The list of the files that hold the weights, where they are several.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// What describes an adapter of the PEFT library.
pub(crate) const ADAPTER: &str = "adapter_config.json";

/// The weight files of a checkpoint, memory-mapped.
pub(crate) struct Checkpoint {
    dir: PathBuf,
    files: Vec<(PathBuf, Arc<Mmap>)>,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps `model.safetensors`, or, where there is none, every shard that the index names: the
    /// order in which transformers looks for them.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        check_no_adapter(dir)?;
        let (whole, index) = (dir.join(WEIGHTS), dir.join(INDEX));
        let paths = match (whole.is_file(), index.is_file()) {
            (false, true) => shard_names(&index)?.into_iter().map(|name| dir.join(name)).collect(),
            (is_whole, has_index) => {
                if is_whole && has_index {
                    tracing::warn!(
                        "`{}` is read, and the shards of `{INDEX}` beside it are not: remove those \
                         of the two that are of an earlier save",
                        whole.display()
                    );
                }
                vec![whole]
            }
        };
        let files = paths
            .into_iter()
            .map(|path| {
                if !path.is_file() {
                    return Err(ModelError::MissingFile { path });
                }
                let map = File::open(&path).and_then(|file| map_file(&file));
                let map = map.map_err(FileError::read(&path))?;
                Ok((path, Arc::new(map)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// Feeds the bytes of every file to a hasher, until a signal is given.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher, stop: &Stop) -> Result<(), Stopped> {
        for (_, map) in &self.files {
            for chunk in map.chunks(HASH_CHUNK) {
                stop.check()?;
                hasher.update(chunk);
                release(map, chunk);
            }
        }
        Ok(())
    }

    /// Parses the headers.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>, ModelError> {
        let files = self
            .files
            .iter()
            .map(|(path, map)| match SafeTensors::deserialize(map) {
                Ok(tensors) => Ok(TensorFile { tensors, map: Some(map) }),
                Err(source) => {
                    refuse_pointer(path, map)?;
                    Err(ModelError::Safetensors { path: path.clone(), source })
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let path = match &self.files[..] {
            [(path, _)] => path.clone(),
            _ => self.dir.clone(),
        };
        Tensors { files, path }.without_adapter()
    }
}

/// Names of the files that an index lists, none of which leads out of the folder.
///
/// # Errors
///
/// - [`ModelError::File`] or [`ModelError::Json`] if the index cannot be read
/// - [`ModelError::ConfigField`] if a name is not that of a file beside it
pub(crate) fn shard_names(index: &Path) -> Result<BTreeSet<String>, ModelError> {
    let shards: ShardIndex =
        serde_json::from_slice(&read_description(index)?).map_err(JsonFileError::new(index))?;
    let names: BTreeSet<String> = shards.weight_map.into_values().collect();
    match names.iter().find(|name| !is_plain_file_name(name)) {
        None => Ok(names),
        Some(name) => Err(ModelError::ConfigField {
            path: index.to_owned(),
            field: "weight_map".to_owned(),
            value: name.clone(),
            expected: "file names without a folder",
        }),
    }
}

/// Refuses a folder that holds an adapter: what runs would be the base model alone.
///
/// # Errors
///
/// [`ModelError::Adapter`] if there is one.
pub(crate) fn check_no_adapter(dir: &Path) -> Result<(), ModelError> {
    match dir.join(ADAPTER) {
        path if path.is_file() => Err(ModelError::Adapter { path }),
        _ => Ok(()),
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
    files: Vec<TensorFile<'data>>,
    path: PathBuf,
}

/// The tensors of one file.
struct TensorFile<'data> {
    tensors: SafeTensors<'data>,
    /// The map that they lie in, if they do.
    map: Option<&'data Arc<Mmap>>,
}

/// A tensor and the map that it lies in, if it does.
struct Stored<'a> {
    name: &'a str,
    view: TensorView<'a>,
    map: Option<&'a Arc<Mmap>>,
}

impl<'data> Tensors<'data> {
    /// Parses a safetensors file that is already in memory; `name` stands for its path.
    pub(crate) fn from_bytes(bytes: &'data [u8], name: &Path) -> Result<Self, ModelError> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|source| ModelError::Safetensors { path: name.to_owned(), source })?;
        let files = vec![TensorFile { tensors, map: None }];
        Self { files, path: name.to_owned() }.without_adapter()
    }

    /// Refuses weights that an adapter's are among: they would be left out without a word.
    fn without_adapter(self) -> Result<Self, ModelError> {
        let is_adapter = |name: &&str| {
            name.split('.').any(|part| part.starts_with("lora_") || part == "base_layer")
        };
        let found = self.names().find(is_adapter).map(str::to_owned);
        match found {
            Some(tensor) => Err(ModelError::AdapterTensor { tensor, path: self.path }),
            None => Ok(self),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| file.tensors.iter().map(|(name, _)| name))
    }

    /// The first of some names that there is a tensor of; the first of all if there is none.
    pub(crate) fn first_of<'a>(&self, names: &[&'a str]) -> &'a str {
        names.iter().find(|name| self.contains(name)).unwrap_or(&names[0])
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.tensors.tensor(name).is_ok())
    }

    /// A parameter of exactly this shape, in the format of the placement, unless a signal to stop is
    /// given.
    pub(crate) fn get<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        options: &LoadOptions,
    ) -> Result<Param<Tensor<D>>, ModelError> {
        options.stop.check()?;
        let placement = &options.placement;
        let stored = self.find(name, &shape)?;
        let numbers = stored.numbers()?;
        let data = tensor_data(numbers.read(stored.view.data()), shape, placement.dtype);
        if let Some(map) = stored.map {
            release(map, stored.view.data());
        }
        let options = (&placement.device, placement.dtype.of_tensors());
        Ok(Param::from_tensor(Tensor::from_data(data, options)))
    }

    /// A table of exactly this shape. Where it lies in a mapped file, and the model runs on the
    /// host without gradients, it stays there.
    pub(crate) fn table(
        &self,
        name: &str,
        shape: [usize; 2],
        options: &LoadOptions,
    ) -> Result<EmbeddingTable, ModelError> {
        let placement = &options.placement;
        let stored = self.find(name, &shape)?;
        match stored.map {
            Some(map) if is_host(&placement.device) && !placement.device.is_autodiff() => {
                let bytes = stored.view.data();
                let start = bytes.as_ptr() as usize - map.as_ptr() as usize;
                let bytes = start..start + bytes.len();
                let (map, numbers) = (Arc::clone(map), stored.numbers()?);
                let rows = MappedRows { map, bytes, numbers, shape };
                Ok(EmbeddingTable::from_mapped(rows, placement.dtype))
            }
            _ => Ok(EmbeddingTable::Param(self.get(name, shape, options)?)),
        }
    }

    /// A tensor is not there; if it is under a name with something before it, that is said too.
    fn missing(&self, name: &str) -> ModelError {
        let (tensor, path) = (name.to_owned(), self.path.clone());
        // The name may have a prefix of its own, which the loader took for the file's.
        let core = name.find("h.").or_else(|| name.find("layers.")).map_or(name, |at| &name[at..]);
        for wanted in [name, core] {
            let prefix = |found: &str| {
                let prefix = found.strip_suffix(wanted)?;
                prefix.ends_with('.').then(|| (found.to_owned(), prefix.to_owned()))
            };
            if let Some((found, prefix)) = self.names().find_map(prefix) {
                return ModelError::WrappedTensor { tensor, path, found, prefix };
            }
        }
        ModelError::MissingTensor { tensor, path }
    }

    fn find<'a>(&'a self, name: &'a str, shape: &[usize]) -> Result<Stored<'a>, ModelError> {
        let mut files = self.files.iter();
        let stored = files.find_map(|file| {
            let view = file.tensors.tensor(name).ok()?;
            Some(Stored { name, view, map: file.map })
        });
        let stored = stored.ok_or_else(|| self.missing(name))?;
        if stored.view.shape() != shape {
            return Err(ModelError::TensorShape {
                tensor: name.to_owned(),
                found: stored.view.shape().to_vec(),
                expected: shape.to_vec(),
            });
        }
        Ok(stored)
    }
}

impl Stored<'_> {
    fn numbers(&self) -> Result<Numbers, ModelError> {
        match self.view.dtype() {
            StoredDtype::F32 => Ok(Numbers::F32),
            StoredDtype::F16 => Ok(Numbers::F16),
            StoredDtype::BF16 => Ok(Numbers::Bf16),
            dtype => Err(ModelError::TensorDtype {
                tensor: self.name.to_owned(),
                dtype: format!("{dtype:?}"),
            }),
        }
    }
}
