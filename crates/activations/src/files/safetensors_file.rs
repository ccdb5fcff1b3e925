//! Safetensors files whose tensors are written in place, in any order and piece by piece.

use std::collections::BTreeMap;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use attention_probes_models::files::TemporaryFile;
use half::bf16;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{ActivationError, hash_file};

/// Values that are converted at a time.
const CHUNK: usize = 1 << 15;

/// In which type activations are kept in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreDtype {
    /// 32 bits, as they are computed.
    #[default]
    F32,
    /// The upper 16 bits, rounded to the nearest.
    Bf16,
}

/// A tensor of a file that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Size of each axis.
    pub shape: Vec<usize>,
    /// Type of its values.
    pub dtype: TensorDtype,
}

/// Type of the values of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorDtype {
    /// Signed integers of 64 bits.
    Int64,
    /// Activations.
    Floats(StoreDtype),
}

/// A safetensors file of known size that is filled in any order; what is never written is zero.
///
/// It lies under a temporary name until [`finish`](SafetensorsWriter::finish), and is removed if
/// that is never reached.
///
/// # Memory
///
/// A buffer, however large the tensors are.
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
///
/// use attention_probes::activations::{SafetensorsWriter, StoreDtype, TensorDtype, TensorSpec};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.safetensors");
/// let dtype = TensorDtype::Floats(StoreDtype::F32);
/// let x = TensorSpec { name: "x".to_owned(), shape: vec![2, 2], dtype };
/// let mut writer = SafetensorsWriter::create(&path, vec![x], &BTreeMap::new())?;
/// writer.write_floats(0, 2, &[3.0, 4.0])?;
/// writer.write_floats(0, 0, &[1.0])?;
/// writer.finish()?;
/// let bytes = std::fs::read(&path)?;
/// let file = safetensors::SafeTensors::deserialize(&bytes)?;
/// let values = [1.0_f32, 0.0, 3.0, 4.0].map(f32::to_le_bytes);
/// assert_eq!(file.tensor("x")?.data(), values.as_flattened());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SafetensorsWriter {
    path: PathBuf,
    /// The file under the name that it has until it is whole.
    temporary: TemporaryFile,
    tensors: Vec<(TensorSpec, u64)>,
    buffer: Vec<u8>,
}

impl SafetensorsWriter {
    /// Makes a file with room for every tensor, and writes its header.
    ///
    /// Tensors lie in the file in the order given; int64 ones should come first, so that every one
    /// is aligned.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the file cannot be made, would be too large for any disk, or
    /// something other than a regular file has its name.
    pub fn create(
        path: &Path,
        tensors: Vec<TensorSpec>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, ActivationError> {
        let create = || {
            let (header, places, size_bytes) = layout(&tensors, metadata)?;
            let mut temporary = TemporaryFile::create(path)?;
            temporary.file.write_all(&header)?;
            temporary.file.set_len(size_bytes)?;
            Ok((temporary, places))
        };
        let (temporary, places) = create().map_err(FileError::write(path))?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            tensors: tensors.into_iter().zip(places).collect(),
            buffer: Vec::new(),
        })
    }

    /// Writes values of a float tensor, by index, from value `start` on.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the disk refuses them.
    ///
    /// # Panics
    ///
    /// If there is no such tensor, it is int64, or the values go beyond its end.
    pub fn write_floats(
        &mut self,
        tensor: usize,
        start: usize,
        values: &[f32],
    ) -> Result<(), ActivationError> {
        let spec = &self.tensors[tensor].0;
        let is_bf16 = spec.dtype == TensorDtype::Floats(StoreDtype::Bf16);
        assert_ne!(spec.dtype, TensorDtype::Int64, "type of `{}`", spec.name);
        self.write(tensor, start, values, |buffer, values| {
            if is_bf16 {
                let rounded = values.iter().map(|value| bf16::from_f32(*value));
                buffer.extend(rounded.flat_map(bf16::to_le_bytes));
            } else {
                buffer.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        })
    }

    /// Writes values of an int64 tensor, by index, from value `start` on.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the disk refuses them.
    ///
    /// # Panics
    ///
    /// If there is no such tensor, it holds floats, or the values go beyond its end.
    pub fn write_ints(
        &mut self,
        tensor: usize,
        start: usize,
        values: &[i64],
    ) -> Result<(), ActivationError> {
        let spec = &self.tensors[tensor].0;
        assert_eq!(spec.dtype, TensorDtype::Int64, "type of `{}`", spec.name);
        self.write(tensor, start, values, |buffer, values| {
            buffer.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        })
    }

    /// Reads the tensors one after the other, as they lie in the file.
    pub(crate) fn read_back(
        &mut self,
        mut read: impl FnMut(&TensorSpec, &mut dyn io::Read) -> io::Result<()>,
    ) -> io::Result<()> {
        for (spec, start) in &self.tensors {
            self.temporary.file.seek(SeekFrom::Start(*start))?;
            read(spec, &mut io::Read::take(&self.temporary.file, spec.size_bytes()))?;
        }
        Ok(())
    }

    /// The name that the file gets.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the file as it stands, as hex.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if it cannot be read back.
    pub fn hash(&self) -> Result<String, ActivationError> {
        hash_file(self.temporary.path())
    }

    /// Bytes of the whole file.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the system does not say.
    pub fn size_bytes(&self) -> Result<u64, ActivationError> {
        let metadata = self.temporary.file.metadata().map_err(FileError::write(&self.path))?;
        Ok(metadata.len())
    }

    /// Makes sure that the file is on disk, and gives it its name.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if a step fails; nothing is left behind then.
    pub fn finish(self) -> Result<(), ActivationError> {
        Ok(self.temporary.finish().map_err(FileError::write(&self.path))?)
    }

    fn write<T>(
        &mut self,
        tensor: usize,
        start: usize,
        values: &[T],
        encode: impl Fn(&mut Vec<u8>, &[T]),
    ) -> Result<(), ActivationError> {
        let (spec, place) = &self.tensors[tensor];
        let n_values: usize = spec.shape.iter().product();
        assert!(
            start.checked_add(values.len()).is_some_and(|end| end <= n_values),
            "{} values from {start} on go beyond `{}` of {n_values}",
            values.len(),
            spec.name
        );
        let place = place + (start * spec.dtype.item_bytes()) as u64;
        let written = self.temporary.file.seek(SeekFrom::Start(place)).and_then(|_| {
            values.chunks(CHUNK).try_for_each(|values| {
                self.buffer.clear();
                encode(&mut self.buffer, values);
                self.temporary.file.write_all(&self.buffer)
            })
        });
        Ok(written.map_err(FileError::write(&self.path))?)
    }
}

impl TensorDtype {
    /// Bytes of one value.
    pub fn item_bytes(self) -> usize {
        match self {
            Self::Int64 => 8,
            Self::Floats(StoreDtype::F32) => 4,
            Self::Floats(StoreDtype::Bf16) => 2,
        }
    }

    /// The name in the header of a safetensors file.
    fn safetensors_name(self) -> &'static str {
        match self {
            Self::Int64 => "I64",
            Self::Floats(StoreDtype::F32) => "F32",
            Self::Floats(StoreDtype::Bf16) => "BF16",
        }
    }
}

impl TensorSpec {
    /// Bytes of all its values.
    pub fn size_bytes(&self) -> u64 {
        let item_bytes = self.dtype.item_bytes() as u64;
        self.shape.iter().fold(item_bytes, |bytes, &axis| bytes.saturating_mul(axis as u64))
    }
}

/// The bytes before the values, where each tensor begins, and where the file ends.
fn layout(
    tensors: &[TensorSpec],
    metadata: &BTreeMap<String, String>,
) -> io::Result<(Vec<u8>, Vec<u64>, u64)> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let (mut end, mut starts) = (0_u64, Vec::with_capacity(tensors.len()));
    for tensor in tensors {
        let start = end;
        end = start.checked_add(tensor.size_bytes()).filter(|end| *end < 1 << 62).ok_or_else(
            || {
                io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the tensors are too large for any disk",
                )
            },
        )?;
        let entry = json!({
            "dtype": tensor.dtype.safetensors_name(),
            "shape": tensor.shape,
            "data_offsets": [start, end],
        });
        header.insert(tensor.name.clone(), entry);
        starts.push(start);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The values begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let bytes = [&(header.len() as u64).to_le_bytes(), &header[..]].concat();
    let data = bytes.len() as u64;
    let starts = starts.into_iter().map(|start| data + start).collect();
    Ok((bytes, starts, data + end))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use safetensors::{Dtype, SafeTensors};

    use super::*;

    fn specs() -> Vec<TensorSpec> {
        let spec = |name: &str, shape: &[usize], dtype| TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype,
        };
        vec![
            spec("ids", &[3], TensorDtype::Int64),
            spec("wide", &[2, 2], TensorDtype::Floats(StoreDtype::F32)),
            spec("narrow", &[4], TensorDtype::Floats(StoreDtype::Bf16)),
            spec("none", &[0, 7], TensorDtype::Floats(StoreDtype::F32)),
        ]
    }

    #[test]
    fn pieces_in_any_order_make_a_file_that_others_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let metadata = BTreeMap::from([("model".to_owned(), "demo".to_owned())]);
        let mut writer = SafetensorsWriter::create(&path, specs(), &metadata).unwrap();
        writer.write_floats(2, 1, &[1.0, -2.5, 1.003_906_3]).unwrap();
        writer.write_ints(0, 2, &[-3]).unwrap();
        writer.write_floats(1, 3, &[0.1]).unwrap();
        writer.write_ints(0, 0, &[1, 2]).unwrap();
        assert!(!path.exists());
        let hash = writer.hash().unwrap();
        writer.finish().unwrap();

        let bytes = fs::read(&path).unwrap();
        assert_eq!(hash, blake3::hash(&bytes).to_hex().to_string());
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = |name: &str| file.tensor(name).unwrap().data().to_vec();
        assert_eq!(data("ids"), [1_i64, 2, -3].map(i64::to_le_bytes).as_flattened());
        assert_eq!(data("wide"), [0.0, 0.0, 0.0, 0.1_f32].map(f32::to_le_bytes).as_flattened());
        // Halfway between two neighbours, so rounded to the even one.
        let narrow = [0x0000_u16, 0x3f80, 0xc020, 0x3f80].map(u16::to_le_bytes);
        assert_eq!(data("narrow"), narrow.as_flattened());
        assert_eq!(file.tensor("narrow").unwrap().dtype(), Dtype::BF16);
        assert_eq!(file.tensor("none").unwrap().shape(), [0, 7]);
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["model"], "demo");
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        drop(SafetensorsWriter::create(&path, specs(), &BTreeMap::new()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_larger_than_any_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let huge = TensorSpec {
            name: "x".to_owned(),
            shape: vec![usize::MAX, 9],
            dtype: TensorDtype::Floats(StoreDtype::F32),
        };
        let error = SafetensorsWriter::create(&path, vec![huge], &BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", path.display()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    #[should_panic(expected = "go beyond `ids` of 3")]
    fn values_beyond_a_tensor_are_a_fault_of_the_caller() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut writer = SafetensorsWriter::create(&path, specs(), &BTreeMap::new()).unwrap();
        let _ = writer.write_ints(0, 2, &[1, 2]);
    }
}
