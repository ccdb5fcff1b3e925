//! Reading what jobs have written.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use half::bf16;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    HookLayout, PartRecord, Shard, ShardError, ShardManifest,
    part::hook_starts,
    record::{n_parts, read_record},
};
use crate::{ActivationError, StoreDtype};

/// A folder whose shards are all complete; its parts are opened one by one.
///
/// # Examples
///
/// See [`ShardWriter`](super::ShardWriter).
#[derive(Clone, Debug)]
pub struct ShardFolder {
    path: PathBuf,
    manifest: ShardManifest,
    parts: Vec<(Shard, PartRecord)>,
}

impl ShardFolder {
    /// Reads the manifest and the record of every shard.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::Read`] if there is no manifest
    /// - [`ShardError::Missing`] if a shard is not there, or not complete
    /// - [`ShardError::Json`], [`ShardError::Field`] or [`ShardError::Damaged`] if one of the files
    ///   is damaged
    ///
    /// # Memory
    ///
    /// A few numbers per part; no activation is read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        let path = path.as_ref().to_owned();
        let manifest = ShardManifest::read(&path)?;
        let mut parts = Vec::new();
        for shard in (1..=manifest.n_shards).filter_map(|i| Shard::new(i, manifest.n_shards)) {
            let missing = || ShardError::Missing { path: path.clone(), shard };
            if !path.join(shard.record_name()).exists() {
                return Err(missing().into());
            }
            let of_shard = read_record(&path, &manifest, shard)?;
            if of_shard.len() != n_parts(&manifest, shard) {
                return Err(missing().into());
            }
            parts.extend(of_shard.into_iter().map(|(_, part)| (shard, part)));
        }
        Ok(Self { path, manifest, parts })
    }

    /// What all files have in common.
    pub fn manifest(&self) -> &ShardManifest {
        &self.manifest
    }

    /// The part files, in the order of their rows.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &PartRecord> {
        self.parts.iter().map(|(_, part)| part)
    }

    /// Opens a part by number, and checks everything that its file says.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::Read`] if the file cannot be read
    /// - [`ShardError::Damaged`] if its size, its checksum, or its tensors are not as they should be
    ///
    /// # Panics
    ///
    /// If there is no such part.
    ///
    /// # Memory
    ///
    /// A few numbers per row and hook; the file is mapped, not read.
    pub fn part(&self, index: usize) -> Result<ShardPart, ActivationError> {
        let (shard, record) = &self.parts[index];
        let path = record.verify(&self.path, *shard)?;
        let read_error = |source| ActivationError::Read { path: path.clone(), source };
        let map = File::open(&path).and_then(|file| map(&file)).map_err(read_error)?;
        let damaged =
            |reason| ShardError::Damaged { path: path.clone(), reason, shard: *shard }.into();
        ShardPart::new(map, &self.manifest, record).map_err(damaged)
    }
}

/// One part file, mapped into memory.
#[derive(Debug)]
pub struct ShardPart {
    map: Mmap,
    rows: Range<usize>,
    offsets: Vec<usize>,
    input_ids: Range<usize>,
    labels: Option<Vec<Option<usize>>>,
    dtype: StoreDtype,
    hooks: Vec<HookTensor>,
}

/// Where a hook's values lie in the file.
#[derive(Debug)]
struct HookTensor {
    bytes: Range<usize>,
    /// Where the values of each row begin, and at last their number.
    starts: Vec<usize>,
}

impl ShardPart {
    /// Rows of the part among those of the data.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Token ids of a row, counted from the first of the part.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn input_ids(&self, row: usize) -> Vec<i64> {
        let tokens = self.offsets[row]..self.offsets[row + 1];
        int64s(&self.map[self.input_ids.clone()][tokens.start * 8..tokens.end * 8]).collect()
    }

    /// Class of a row, counted from the first of the part, an index into
    /// [`ShardData::classes`](super::ShardData::classes). `None` if the row has no label.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn label(&self, row: usize) -> Option<usize> {
        assert!(row < self.rows.len(), "row {row} of {}", self.rows.len());
        self.labels.as_ref().and_then(|labels| labels[row])
    }

    /// Activations of a row at a hook, both counted from 0: `[n_tokens, …]`, or
    /// `[n_heads, n_tokens, n_tokens]` where positions are related.
    ///
    /// # Panics
    ///
    /// If there is no such hook or row.
    pub fn activations(&self, hook: usize, row: usize) -> Vec<f32> {
        let HookTensor { bytes, starts } = &self.hooks[hook];
        let bytes = &self.map[bytes.clone()];
        let values = starts[row]..starts[row + 1];
        match self.dtype {
            StoreDtype::F32 => {
                let bytes = bytes[values.start * 4..values.end * 4].as_chunks::<4>().0;
                bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            StoreDtype::Bf16 => {
                let bytes = bytes[values.start * 2..values.end * 2].as_chunks::<2>().0;
                bytes.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()
            }
        }
    }

    /// Checks a file, whose bytes may be anything, against what is said about it.
    fn new(map: Mmap, manifest: &ShardManifest, record: &PartRecord) -> Result<Self, &'static str> {
        let file = SafeTensors::deserialize(&map).map_err(|_| "it is no safetensors file")?;
        let (n_rows, n_tokens) = (record.rows.len(), record.n_tokens);
        let row = int64s(tensor(&file, "row", Dtype::I64, &[n_rows])?.data());
        if !row.eq(record.rows.clone().map(|row| row as i64)) {
            return Err("its rows are others than its record says");
        }
        let offsets = tensor(&file, "offsets", Dtype::I64, &[n_rows + 1])?;
        let offsets: Vec<usize> = int64s(offsets.data())
            .map(|offset| usize::try_from(offset).map_err(|_| "an offset is negative"))
            .collect::<Result<_, _>>()?;
        let ends = (offsets.first(), offsets.last());
        if ends != (Some(&0), Some(&n_tokens)) || !offsets.is_sorted() {
            return Err("its offsets do not lead from 0 up to the number of tokens");
        }
        let input_ids = tensor(&file, "input_ids", Dtype::I64, &[n_tokens])?;
        let labels = manifest.data.label.as_ref().map(|_| {
            let labels = tensor(&file, "label", Dtype::I64, &[n_rows])?;
            let n_classes = manifest.data.classes.len();
            let label = |label: i64| match usize::try_from(label) {
                Ok(label) if label < n_classes => Ok(Some(label)),
                Err(_) if label == -1 => Ok(None),
                _ => Err("a label is no class"),
            };
            int64s(labels.data()).map(label).collect::<Result<Vec<_>, _>>()
        });
        let dtype = match manifest.dtype {
            StoreDtype::F32 => Dtype::F32,
            StoreDtype::Bf16 => Dtype::BF16,
        };
        let place = |tensor: &TensorView<'_>| {
            // A view is a part of the map, so this is where it begins in it.
            let start = tensor.data().as_ptr().addr() - map.as_ptr().addr();
            start..start + tensor.data().len()
        };
        let hooks = manifest.hooks.iter().map(|hook| {
            let starts = hook_starts(&offsets, |n_tokens| hook.n_values(n_tokens));
            let starts = starts.ok_or("it has more values than can be counted")?;
            let shape = match hook.layout {
                HookLayout::Tokens => [&[n_tokens], &hook.shape[..]].concat(),
                HookLayout::Pairs => vec![starts.last().copied().unwrap_or(0)],
            };
            let tensor = tensor(&file, &hook.name, dtype, &shape)?;
            Ok(HookTensor { bytes: place(&tensor), starts })
        });
        Ok(Self {
            rows: record.rows.clone(),
            labels: labels.transpose()?,
            dtype: manifest.dtype,
            hooks: hooks.collect::<Result<_, &'static str>>()?,
            input_ids: place(&input_ids),
            offsets,
            map,
        })
    }
}

/// A tensor that must be there, of a type and shape.
fn tensor<'a>(
    file: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<TensorView<'a>, &'static str> {
    let tensor = file.tensor(name).map_err(|_| "it lacks a tensor")?;
    if tensor.dtype() != dtype || tensor.shape() != shape {
        return Err("a tensor has another type or shape than its manifest says");
    }
    Ok(tensor)
}

fn int64s(bytes: &[u8]) -> impl Iterator<Item = i64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes))
}

#[expect(unsafe_code, reason = "mapping a file is unsafe: it may change beneath the map")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a part file is written under another name and never written to again under its own.
    // Whoever changes it nonetheless changes numbers, every use of which is checked; whoever
    // shortens it ends the process with a signal, which no program that maps files can prevent.
    unsafe { Mmap::map(file) }
}
