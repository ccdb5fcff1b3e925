//! Reading what jobs have written.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use half::bf16;
use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::part::hook_starts;
use super::record::{n_parts, read_record};
use super::{PartRecord, Shard, ShardError, ShardManifest};
use crate::files::file_map::map;
use crate::{ActivationError, HookLayout, StoreDtype};

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
    /// - [`ActivationError::File`] if there is no manifest
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
    /// - [`ActivationError::File`] if the file cannot be read
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
        let map = File::open(&path).and_then(|file| map(&file)).map_err(FileError::read(&path))?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::shard_manifest;
    use crate::{ExternalActivations, PartTokens, ShardWriter};

    const PART: &str = "shard-00001-of-00002-00000.safetensors";
    const RECORD: &str = "shard-00001-of-00002.json";

    /// Five rows of 2, 0, 1, 3, and 1 tokens, of two classes, the last without a label, by two jobs;
    /// a stream of width 2 and a pattern of one head.
    fn written() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let lengths = [2, 0, 1, 3, 1];
        let labels = [Some(0), Some(1), Some(1), Some(0), None];
        for shard in ["1/2", "2/2"] {
            let mut writer =
                ShardWriter::open(folder.path(), shard_manifest(5, 2), shard.parse().unwrap())
                    .unwrap();
            for part in writer.missing() {
                let rows = writer.rows(part);
                let mut tokens = PartTokens {
                    ids: Vec::new(),
                    offsets: vec![0],
                    labels: Some(labels[rows.clone()].to_vec()),
                };
                for &length in &lengths[rows.clone()] {
                    tokens.ids.extend((0..length).map(|token| 10 + token));
                    tokens.offsets.push(tokens.ids.len());
                }
                let mut file = writer.begin(part, &tokens).unwrap();
                // In any order.
                for (row, source_row) in rows.clone().enumerate().rev() {
                    let n = lengths[source_row] as usize;
                    file.write(1, row, &vec![source_row as f32; n * n]).unwrap();
                    file.write(0, row, &vec![source_row as f32 + 0.5; 2 * n]).unwrap();
                }
                writer.finish(file, Vec::new()).unwrap();
            }
            writer.close().unwrap();
        }
        folder
    }

    /// Token ids of a row, and its values at both hooks.
    type Row = (Vec<i64>, Vec<f32>, Vec<f32>);

    /// Every row of a folder.
    fn read(folder: &Path) -> Result<Vec<Row>, ActivationError> {
        let folder = ShardFolder::open(folder)?;
        let mut rows = Vec::new();
        for index in 0..folder.parts().len() {
            let part = folder.part(index)?;
            rows.extend((0..part.rows().len()).map(|row| {
                (part.input_ids(row), part.activations(0, row), part.activations(1, row))
            }));
        }
        Ok(rows)
    }

    fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        edit(&mut json);
        fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let folder = written();
        let rows = read(folder.path()).unwrap();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[0], (vec![10, 11], vec![0.5; 4], vec![0.0; 4]));
        assert_eq!(rows[1], (vec![], vec![], vec![]));
        assert_eq!(rows[3], (vec![10, 11, 12], vec![3.5; 6], vec![3.0; 9]));
        let shards = ShardFolder::open(folder.path()).unwrap();
        let part = shards.part(1).unwrap();
        assert_eq!(part.rows(), 2..4);
        assert_eq!([part.label(0), part.label(1)], [Some(1), Some(0)]);
    }

    #[test]
    fn a_hook_of_a_folder_is_data_to_train_on() {
        let folder = written();
        let error = ExternalActivations::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("several hooks, expected one; name one of them: `stream`, `pattern`"),
            "{error}"
        );
        let stream = ExternalActivations::read_hook(folder.path(), Some("stream")).unwrap();
        // Without a token, and without a label.
        assert_eq!((stream.source_rows, stream.skipped), (vec![0, 2, 3], vec![1, 4]));
        assert_eq!((stream.offsets, stream.d_model), (vec![0, 2, 3, 6], 2));
        assert_eq!(
            (stream.classes, stream.labels),
            (vec!["no".into(), "yes".into()], Some(vec![0, 1, 0]))
        );
        assert_eq!(stream.x[..6], [0.5, 0.5, 0.5, 0.5, 2.5, 2.5]);
        let error = |hook| {
            ExternalActivations::read_hook(folder.path(), Some(hook)).unwrap_err().to_string()
        };
        assert!(error("pattern").contains("`pattern` of `"), "{}", error("pattern"));
        assert!(
            error("strem").ends_with(
                "has no hook `strem`; hooks: `stream`, `pattern`; did you mean `stream`?"
            )
        );
    }

    #[test]
    fn a_shard_that_is_not_complete_is_named() {
        let folder = written();
        edit_json(&folder.path().join(RECORD), |record| record["parts"] = json!([]));
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("lacks rows of shard 1/2; extract that shard first"), "{error}");
        fs::remove_file(folder.path().join(RECORD)).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("lacks rows of shard 1/2"));
    }

    #[test]
    fn a_manifest_may_say_anything_and_nothing_is_allocated_for_it() {
        let edits: [(&str, Value); 12] = [
            ("/n_shards", json!(0)),
            ("/n_shards", json!(1_000_000_000_000_000_u64)),
            ("/n_shards", json!(3)),
            ("/rows_per_part", json!(0)),
            ("/rows_per_part", json!(u64::MAX)),
            ("/data/n_rows", json!(u64::MAX)),
            ("/data/classes", json!([])),
            ("/hooks", json!([])),
            ("/hooks/0/shape", json!([u64::MAX, u64::MAX])),
            ("/hooks/0/shape", json!([])),
            ("/hooks/0/name", json!("../../etc/passwd")),
            ("/format_version", json!(2)),
        ];
        for (field, value) in edits {
            let folder = written();
            let path = folder.path().join("manifest.json");
            edit_json(&path, |json| *json.pointer_mut(field).unwrap() = value.clone());
            assert!(read(folder.path()).is_err(), "{field} {value}");
        }
        let folder = written();
        for bytes in [&b""[..], b"{", b"[]", b"{}", b"\xff", &b"[".repeat(100_000)] {
            fs::write(folder.path().join("manifest.json"), bytes).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.ends_with("manifest.json` is damaged, or of another version"), "{error}");
        }
    }

    #[test]
    fn a_record_may_say_anything_and_no_file_elsewhere_is_opened() {
        let edits: [(&str, Value); 9] = [
            ("/key", json!("0")),
            ("/rows", json!({ "start": 0, "end": u64::MAX })),
            ("/parts/0/file", json!("../secret.safetensors")),
            ("/parts/0/file", json!("/dev/zero")),
            ("/parts/0/rows", json!({ "start": 7, "end": 2 })),
            ("/parts/0/n_tokens", json!(u64::MAX)),
            ("/parts/0/size_bytes", json!(u64::MAX)),
            ("/parts/0/hash", json!("0")),
            ("/parts", json!([{}])),
        ];
        for (field, value) in edits {
            let folder = written();
            let path = folder.path().join(RECORD);
            edit_json(&path, |json| *json.pointer_mut(field).unwrap() = value.clone());
            assert!(read(folder.path()).is_err(), "{field} {value}");
        }
    }

    #[test]
    fn a_part_whose_checksum_is_right_is_checked_nonetheless() {
        let good = written();
        let bytes = fs::read(good.path().join(PART)).unwrap();
        let n = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let header = str::from_utf8(&bytes[8..8 + n]).unwrap();
        let place = |name: &str| {
            let header: Value = serde_json::from_str(header).unwrap();
            8 + n + header[name]["data_offsets"][0].as_u64().unwrap() as usize
        };
        let int = |name: &str, index: usize, value: i64| {
            let mut bytes = bytes.clone();
            let start = place(name) + 8 * index;
            bytes[start..start + 8].copy_from_slice(&value.to_le_bytes());
            bytes
        };
        let header = |from: &str, to: &str| {
            assert!(header.contains(from) && from.len() == to.len(), "{header}");
            [&bytes[..8], header.replacen(from, to, 1).as_bytes(), &bytes[8 + n..]].concat()
        };
        let cases = [
            int("row", 0, 1),
            int("offsets", 0, 1),
            int("offsets", 1, -1),
            int("offsets", 1, i64::MAX),
            int("offsets", 2, 3),
            int("label", 0, 2),
            int("label", 0, -2),
            header("\"row\"", "\"raw\""),
            header("\"F32\"", "\"I32\""),
            header("\"stream\"", "\"strenm\""),
            [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat(),
            bytes[..bytes.len() - 4].to_vec(),
            Vec::new(),
        ];
        for (case, bytes) in cases.iter().enumerate() {
            let folder = written();
            fs::write(folder.path().join(PART), bytes).unwrap();
            edit_json(&folder.path().join(RECORD), |record| {
                record["parts"][0]["size_bytes"] = json!(bytes.len());
                record["parts"][0]["hash"] = json!(blake3::hash(bytes).to_hex().as_str());
            });
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(PART) && error.contains("is damaged: "), "{case}: {error}");
        }
    }
}
