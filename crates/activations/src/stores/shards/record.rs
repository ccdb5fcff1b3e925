//! Which parts of a shard are whole.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use serde::{Deserialize, Serialize};

use super::manifest::{FORMAT_VERSION, read_json};
use super::{Shard, ShardError, ShardManifest};
use crate::{ActivationError, hash_file, write_atomically};

/// A part file that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRecord {
    /// Name of the file.
    pub file: String,
    /// Its rows among those of the data.
    pub rows: Range<usize>,
    /// Tokens of all its rows.
    pub n_tokens: usize,
    /// Size of the file.
    pub size_bytes: u64,
    /// BLAKE3 of the file, as hex.
    pub hash: String,
    /// Rows, of the data, whose activations hold NaN or infinity.
    pub non_finite_rows: Vec<usize>,
}

/// `shard-00001-of-00002.json`: what one job has written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format_version: u32,
    /// Hash of what the manifest says.
    key: String,
    rows: Range<usize>,
    parts: Vec<PartRecord>,
}

/// Row ranges of the part files of a shard.
pub(super) fn part_rows(manifest: &ShardManifest, shard: Shard, part: usize) -> Range<usize> {
    let rows = shard.rows(manifest.data.n_rows);
    let start = rows.start.saturating_add(part.saturating_mul(manifest.rows_per_part));
    start.min(rows.end)..start.saturating_add(manifest.rows_per_part).min(rows.end)
}

/// Number of part files of a shard.
pub(super) fn n_parts(manifest: &ShardManifest, shard: Shard) -> usize {
    shard.rows(manifest.data.n_rows).len().div_ceil(manifest.rows_per_part)
}

/// Reads what a job has written; its parts by number.
pub(super) fn read_record(
    folder: &Path,
    manifest: &ShardManifest,
    shard: Shard,
) -> Result<Vec<(usize, PartRecord)>, ActivationError> {
    let path = folder.join(shard.record_name());
    let record: Record = read_json(&path)?;
    let damaged = |reason| ShardError::Damaged { path: path.clone(), reason, shard };
    let rows = shard.rows(manifest.data.n_rows);
    let is_of_manifest = record.format_version == FORMAT_VERSION && record.key == manifest.key();
    if !is_of_manifest || record.rows != rows {
        return Err(damaged("it belongs to another manifest").into());
    }
    let n_parts = n_parts(manifest, shard);
    let mut parts: Vec<(usize, PartRecord)> = Vec::with_capacity(record.parts.len());
    for part in record.parts {
        let index = part.rows.start.saturating_sub(rows.start) / manifest.rows_per_part;
        let follows = parts.last().is_none_or(|(last, _)| *last < index);
        let agrees = index < n_parts
            && follows
            && part.rows == part_rows(manifest, shard, index)
            && part.file == shard.part_name(index);
        if !agrees {
            return Err(damaged("its parts contradict the manifest").into());
        }
        parts.push((index, part));
    }
    Ok(parts)
}

/// Writes what a job has written so far.
pub(super) fn write_record(
    folder: &Path,
    manifest: &ShardManifest,
    shard: Shard,
    parts: &[(usize, PartRecord)],
) -> Result<(), ActivationError> {
    let record = Record {
        format_version: FORMAT_VERSION,
        key: manifest.key(),
        rows: shard.rows(manifest.data.n_rows),
        parts: parts.iter().map(|(_, part)| part.clone()).collect(),
    };
    write_atomically(&folder.join(shard.record_name()), |file| {
        serde_json::to_writer_pretty(file, &record).map_err(std::io::Error::from)
    })
}

impl PartRecord {
    /// Makes sure that the file has its size and its checksum.
    pub(super) fn verify(&self, folder: &Path, shard: Shard) -> Result<PathBuf, ActivationError> {
        let path = folder.join(&self.file);
        let size = File::open(&path).and_then(|file| file.metadata());
        let size = size.map_err(FileError::read(&path))?;
        let damaged = |reason| ShardError::Damaged { path: path.clone(), reason, shard };
        if size.len() != self.size_bytes {
            return Err(damaged("it has another size than its record says").into());
        }
        if hash_file(&path)? != self.hash {
            return Err(damaged("it has another checksum than its record says").into());
        }
        Ok(path)
    }
}
