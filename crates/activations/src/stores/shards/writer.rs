//! Writing the shard of one job.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use attention_probes_models::files::FileLock;

use super::manifest::MANIFEST;
use super::record::{n_parts, part_rows, read_record, write_record};
use super::{
    PartRecord, PartTokens, PartWriter, Shard, ShardError, ShardManifest, is_shard_folder,
};
use crate::{ActivationError, remove_own_files};

/// The shard of one job in a folder: which of its parts are whole, and which are to be written.
///
/// Jobs of different shards may write into one folder at the same time, on different machines too:
/// each has files of its own. A part is under its name when it is whole, and counts when the record
/// of the shard names it with its size and checksum.
///
/// # Examples
///
/// Two jobs share three rows, one of which has no token.
///
/// ```
/// use attention_probes::activations::{
///     HookLayout, PartTokens, ShardData, ShardFolder, ShardHook, ShardManifest, ShardModel,
///     ShardWriter, StoreDtype,
/// };
///
/// let manifest = ShardManifest {
///     format_version: 1,
///     model: ShardModel {
///         name: "demo-gpt2".to_owned(),
///         revision: "5a…".to_owned(),
///         dtype: Default::default(),
///     },
///     convention: Default::default(),
///     dtype: StoreDtype::F32,
///     hooks: vec![ShardHook {
///         name: "hook_embed".to_owned(),
///         layout: HookLayout::Tokens,
///         shape: vec![2],
///     }],
///     data: ShardData {
///         name: "ids.safetensors".to_owned(),
///         hash: "90…".to_owned(),
///         n_rows: 3,
///         text: None,
///         label: None,
///         classes: Vec::new(),
///     },
///     tokenizer: None,
///     n_shards: 2,
///     rows_per_part: 100,
/// };
/// let rows = [(vec![7], vec![0.5, 1.5]), (vec![], vec![]), (vec![7, 8], vec![2.5; 4])];
///
/// let folder = tempfile::tempdir()?;
/// for shard in ["1/2", "2/2"] {
///     let mut writer = ShardWriter::open(folder.path(), manifest.clone(), shard.parse()?)?;
///     for part in writer.missing() {
///         let rows = &rows[writer.rows(part)];
///         let mut tokens = PartTokens { ids: vec![], offsets: vec![0], labels: None };
///         for (ids, _) in rows {
///             tokens.ids.extend(ids);
///             tokens.offsets.push(tokens.ids.len());
///         }
///         let mut file = writer.begin(part, &tokens)?;
///         for (row, (_, values)) in rows.iter().enumerate() {
///             file.write(0, row, values)?;
///         }
///         writer.finish(file, Vec::new())?;
///     }
/// }
///
/// let shards = ShardFolder::open(folder.path())?;
/// let last = shards.part(1)?;
/// assert_eq!(last.rows(), 1..3);
/// assert_eq!(last.input_ids(1), [7, 8]);
/// assert_eq!(last.activations(0, 1), [2.5; 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ShardWriter {
    folder: PathBuf,
    manifest: ShardManifest,
    shard: Shard,
    /// Parts that are whole, by number, ascending.
    parts: Vec<(usize, PartRecord)>,
    /// Whether the record on disk says so.
    is_recorded: bool,
    /// Locked as long as this lives.
    _lock: FileLock,
}

impl ShardWriter {
    /// Makes sure that these activations may be written into a folder, and touches nothing.
    ///
    /// # Errors
    ///
    /// - [`ShardError::Other`] if the folder holds other activations
    /// - [`ShardError::Foreign`] if it has files, but no manifest
    /// - [`ShardError::Json`] or [`ShardError::Field`] if its manifest is damaged
    /// - [`ActivationError::File`] if it cannot be read
    pub fn check(folder: &Path, manifest: &ShardManifest) -> Result<(), ActivationError> {
        if is_shard_folder(folder) {
            return Ok(manifest.check_same(&ShardManifest::read(folder)?, folder)?);
        }
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(FileError::read(folder))?,
        };
        for entry in entries {
            let name = entry.map_err(FileError::read(folder))?.file_name();
            // Another job may be about to write the manifest.
            if !name.to_string_lossy().starts_with(&format!(".{MANIFEST}.")) {
                return Err(ShardError::Foreign { path: folder.to_owned() }.into());
            }
        }
        Ok(())
    }

    /// Removes the activations of a folder, whatever they are of.
    ///
    /// # Errors
    ///
    /// - [`ShardError::Foreign`] if something else is in the folder; nothing is removed then
    /// - [`ShardError::InUse`] if another process writes one of its shards
    /// - [`ActivationError::File`] if a file cannot be removed
    pub fn remove(folder: &Path) -> Result<(), ActivationError> {
        let entries = fs::read_dir(folder).map_err(FileError::read(folder))?;
        let mut shards = BTreeSet::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match Shard::of_file(&name) {
                Some(shard) => {
                    shards.insert(shard);
                }
                None if name == MANIFEST || name.starts_with(&format!(".{MANIFEST}.")) => {}
                None => return Err(ShardError::Foreign { path: folder.to_owned() }.into()),
            }
        }
        let _locks: Vec<FileLock> =
            shards.iter().map(|&shard| lock(folder, shard)).collect::<Result<_, _>>()?;
        remove_own_files(folder, |name| Shard::of_file(name).is_some())?;
        // Without its manifest, what is left of a folder would be of somebody else.
        remove_own_files(folder, |name| name == MANIFEST)
    }

    /// Opens a folder, or makes it, and finds the parts of a shard that are whole.
    ///
    /// A part that is damaged is named in the log and to be written again, and so is every part of
    /// a shard whose record is damaged. What a killed process left behind is removed.
    ///
    /// # Errors
    ///
    /// - as [`ShardWriter::check`]
    /// - [`ShardError::InUse`] if another process writes this shard
    /// - [`ActivationError::File`] if the folder or a file in it cannot be made
    pub fn open(
        folder: &Path,
        manifest: ShardManifest,
        shard: Shard,
    ) -> Result<Self, ActivationError> {
        Self::check(folder, &manifest)?;
        fs::create_dir_all(folder).map_err(FileError::write(folder))?;
        if !is_shard_folder(folder) {
            manifest.check_same(&manifest.publish(folder)?, folder)?;
        }
        let lock = lock(folder, shard)?;
        remove_temporaries(folder, shard).map_err(FileError::write(folder))?;
        let (mut parts, is_recorded) = match read_record(folder, &manifest, shard) {
            Ok(parts) => (parts, true),
            Err(error) => {
                let path = folder.join(shard.record_name());
                if path.exists() {
                    tracing::warn!("shard {shard} is written again: {error}");
                }
                (Vec::new(), false)
            }
        };
        parts.retain(|(_, part)| match part.verify(folder, shard) {
            Ok(_) => true,
            Err(error) => {
                let path = folder.join(&part.file);
                let reason = match &error {
                    ActivationError::Shards { source: ShardError::Damaged { reason, .. } } => {
                        reason
                    }
                    _ => "it cannot be read",
                };
                tracing::warn!("`{}` is written again: {reason}", path.display());
                false
            }
        });
        Ok(Self { folder: folder.to_owned(), manifest, shard, parts, is_recorded, _lock: lock })
    }

    /// Parts that are still to be written, by number.
    pub fn missing(&self) -> Vec<usize> {
        let is_missing = |part: &usize| self.parts.binary_search_by_key(part, |p| p.0).is_err();
        (0..n_parts(&self.manifest, self.shard)).filter(is_missing).collect()
    }

    /// Rows of a part among those of the data.
    pub fn rows(&self, part: usize) -> Range<usize> {
        part_rows(&self.manifest, self.shard, part)
    }

    /// Parts that are whole.
    pub fn parts(&self) -> impl Iterator<Item = &PartRecord> {
        self.parts.iter().map(|(_, part)| part)
    }

    /// Makes room for a part, and writes everything but its activations.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the file cannot be made.
    ///
    /// # Panics
    ///
    /// If the tokens are not of as many rows as the part has, or labels are there where the
    /// manifest has none, or the reverse.
    ///
    /// # Memory
    ///
    /// A few numbers per row and hook.
    pub fn begin(&self, part: usize, tokens: &PartTokens) -> Result<PartWriter, ActivationError> {
        let path = self.folder.join(self.shard.part_name(part));
        PartWriter::create(&path, &self.manifest, (part, self.rows(part)), tokens)
    }

    /// Gives a part its name, and records it.
    ///
    /// `non_finite_rows` are those of the data whose activations hold NaN or infinity.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if a step fails.
    ///
    /// # Panics
    ///
    /// If a row has not been written at every hook.
    pub fn finish(
        &mut self,
        part: PartWriter,
        non_finite_rows: Vec<usize>,
    ) -> Result<(), ActivationError> {
        let PartWriter { writer, part: index, rows, n_tokens, n_missing, .. } = part;
        assert_eq!(n_missing, 0, "every row is written at every hook");
        let record = PartRecord {
            file: self.shard.part_name(index),
            rows,
            n_tokens,
            size_bytes: writer.size_bytes()?,
            hash: writer.hash()?,
            non_finite_rows,
        };
        writer.finish()?;
        let place = self.parts.partition_point(|(other, _)| *other < index);
        self.parts.insert(place, (index, record));
        write_record(&self.folder, &self.manifest, self.shard, &self.parts)?;
        self.is_recorded = true;
        Ok(())
    }

    /// Records the shard, which may have no rows at all.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the record cannot be written.
    pub fn close(self) -> Result<(), ActivationError> {
        if self.is_recorded {
            return Ok(());
        }
        write_record(&self.folder, &self.manifest, self.shard, &self.parts)
    }
}

/// Locks a shard.
fn lock(folder: &Path, shard: Shard) -> Result<FileLock, ActivationError> {
    let path = folder.join(format!(".{}.lock", shard.stem()));
    FileLock::claim(&path)
        .map_err(FileError::write(&path))?
        .ok_or_else(|| ShardError::InUse { path: folder.to_owned(), shard }.into())
}

/// Removes what a killed process left half-written of a shard.
fn remove_temporaries(folder: &Path, shard: Shard) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let is_ours = text.strip_prefix('.').is_some_and(|text| text.starts_with(&shard.stem()));
        if is_ours && text.ends_with(".tmp") {
            fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shard_manifest;

    fn open(folder: &Path, shard: &str) -> Result<ShardWriter, ActivationError> {
        ShardWriter::open(folder, shard_manifest(5, 2), shard.parse().unwrap())
    }

    fn write(writer: &mut ShardWriter, part: usize) {
        let n_rows = writer.rows(part).len();
        let tokens = PartTokens {
            ids: vec![],
            offsets: vec![0; n_rows + 1],
            labels: Some(vec![None; n_rows]),
        };
        let file = writer.begin(part, &tokens).unwrap();
        writer.finish(file, Vec::new()).unwrap();
    }

    #[test]
    fn parts_may_be_finished_in_any_order_and_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path(), "2/2").unwrap();
        assert_eq!(writer.missing(), [0, 1]);
        assert_eq!([writer.rows(0), writer.rows(1)], [2..4, 4..5]);
        write(&mut writer, 1);
        drop(writer);
        let mut writer = open(folder.path(), "2/2").unwrap();
        assert_eq!(writer.missing(), [0]);
        write(&mut writer, 0);
        let rows: Vec<Range<usize>> = writer.parts().map(|part| part.rows.clone()).collect();
        assert_eq!(rows, [2..4, 4..5]);
    }

    #[test]
    fn two_processes_on_one_shard_are_refused_and_on_two_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), "1/2").unwrap();
        let error = open(folder.path(), "1/2").unwrap_err();
        assert!(
            matches!(error, ActivationError::Shards { source: ShardError::InUse { .. } }),
            "{error}"
        );
        open(folder.path(), "2/2").unwrap();
        drop(first);
        open(folder.path(), "1/2").unwrap();
    }

    #[test]
    fn what_a_killed_process_left_behind_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), "1/2").unwrap());
        let of_shard =
            |shard: &str| format!(".shard-0000{shard}-of-00002-00000.safetensors.7-0.tmp");
        for shard in ["1", "2"] {
            fs::write(folder.path().join(of_shard(shard)), "half").unwrap();
        }
        let _writer = open(folder.path(), "1/2").unwrap();
        assert!(!folder.path().join(of_shard("1")).exists());
        assert!(folder.path().join(of_shard("2")).exists());
    }

    #[test]
    fn a_manifest_is_written_once_and_its_names_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), "1/2").unwrap());
        let path = folder.path().join(MANIFEST);
        let before = fs::read(&path).unwrap();
        let mut manifest = shard_manifest(5, 2);
        "/elsewhere/model".clone_into(&mut manifest.model.name);
        assert_eq!(manifest.publish(folder.path()).unwrap(), shard_manifest(5, 2));
        ShardWriter::open(folder.path(), manifest.clone(), Shard::new(2, 2).unwrap()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        manifest.data.classes.swap(0, 1);
        let error = ShardWriter::check(folder.path(), &manifest).unwrap_err().to_string();
        assert!(error.contains("activations of another description"), "{error}");
    }

    #[test]
    fn activations_are_removed_unless_something_else_is_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), "1/2").unwrap());
        let held = open(folder.path(), "2/2").unwrap();
        assert!(ShardWriter::remove(folder.path()).unwrap_err().to_string().contains("2/2"));
        drop(held);
        fs::write(folder.path().join(".shard-00001-of-00002-00000.safetensors.7-0.tmp"), "")
            .unwrap();
        let notes = folder.path().join("shard-notes.txt");
        fs::write(&notes, "").unwrap();
        let error = ShardWriter::remove(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has other files"), "{error}");
        assert!(folder.path().join(MANIFEST).exists());
        fs::remove_file(&notes).unwrap();
        ShardWriter::remove(folder.path()).unwrap();
        assert!(!folder.path().exists());
    }

    #[test]
    #[should_panic(expected = "every row is written at every hook")]
    fn a_part_with_a_gap_is_a_fault_of_the_caller() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path(), "1/2").unwrap();
        let tokens =
            PartTokens { ids: vec![1], offsets: vec![0, 1, 1], labels: Some(vec![None; 2]) };
        let mut file = writer.begin(0, &tokens).unwrap();
        file.write(0, 0, &[1.0, 2.0]).unwrap();
        let _ = writer.finish(file, Vec::new());
    }
}
