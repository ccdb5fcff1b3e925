//! Activations in files that are mapped into memory, and found again by the next run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use attention_probes_errors::{FileError, io_words};
use attention_probes_models::files::{FileLock, Unfinished};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::packed::Layout;
use crate::{
    ActivationError, Capture, PackedActivations, Site, stream_activations, write_atomically,
};

/// Changes whenever a file of an older version could be misread.
const FORMAT_VERSION: u32 = 1;

/// Type of the values, as `numpy` names it. They are written as the machine has them.
const DTYPE: &str = if cfg!(target_endian = "little") { "<f4" } else { ">f4" };

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 30;

/// Activations on disk: per site one file of `f32`, `[n_tokens, d_model]`, and a manifest.
pub type DiskActivations = PackedActivations<MappedFloats>;

/// `manifest.json`: what the files beside it hold.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format_version: u32,
    /// Hash of everything that the activations depend on.
    key: String,
    dtype: String,
    n_tokens: usize,
    d_model: usize,
    files: Vec<SiteFile>,
    /// Sequences in the order in which their tokens lie in the files.
    sequences: Vec<usize>,
    skipped: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteFile {
    file: String,
    site: Site,
    size_bytes: u64,
    /// BLAKE3 of the file, as hex.
    hash: String,
}

/// Where activations lie on disk, and what they depend on beside tokens and sites.
#[derive(Clone, Copy, Debug)]
pub struct DiskCache<'a> {
    /// Folder of all activations; those of a capture have a folder of their own in it.
    pub folder: &'a Path,
    /// What tells the model from others, such as a hash of its weights.
    pub model_key: &'a str,
}

impl DiskActivations {
    /// Opens the activations that an earlier run left in a cache, or runs the model once over some
    /// sequences and writes them there.
    ///
    /// They are used again if they were made from the same model, tokens, sites, and sequences, and
    /// every file has its size and checksum; otherwise they are written again. A second process that
    /// wants the same activations waits for the first to write them.
    ///
    /// # Errors
    ///
    /// - as [`stream_activations`]
    /// - [`ActivationError::File`] if a file cannot be written; what was written of it is removed
    /// - [`ActivationError::File`] if a file that was just written cannot be mapped
    ///
    /// # Panics
    ///
    /// If there is no such sequence, or one is given twice.
    ///
    /// # Memory
    ///
    /// One forward pass; the files are mapped, not read.
    pub fn open(
        capture: &Capture<'_>,
        sequences: &[usize],
        cache: DiskCache<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, ActivationError> {
        let DiskCache { folder, model_key } = cache;
        capture.d_model()?;
        fs::create_dir_all(folder).map_err(FileError::write(folder))?;
        let key = key_of(capture, sequences, model_key);

        // Who holds the lock may throw away what a killed process left behind.
        let lock_path = folder.join(format!("{key}.lock"));
        let _lock = FileLock::wait(&lock_path).map_err(FileError::write(&lock_path))?;

        let store = folder.join(&key);
        match Self::read(capture, sequences, &store, &key) {
            Ok(Some(activations)) => return Ok(activations),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %store.display(), error = %io_words(&error), "activations are written again");
                remove(&store).map_err(FileError::write(&store))?;
            }
        }
        let temporary = folder.join(format!(".{key}.tmp"));
        remove(&temporary).map_err(FileError::write(&temporary))?;
        let make = |path: &Path| fs::create_dir(path);
        let (unfinished, ()) =
            Unfinished::make(temporary.clone(), make).map_err(FileError::write(&temporary))?;
        write(capture, sequences, &temporary, &key, progress)?;
        unfinished.rename(&store).map_err(FileError::write(&store))?;
        let gone = || FileError::read(&store)(io::ErrorKind::NotFound.into());
        let read = Self::read(capture, sequences, &store, &key).map_err(FileError::read(&store))?;
        Ok(read.ok_or_else(gone)?)
    }

    /// Whether an earlier run has left these activations in a cache; their files are not looked into.
    pub(crate) fn is_there(
        capture: &Capture<'_>,
        sequences: &[usize],
        cache: DiskCache<'_>,
    ) -> bool {
        let key = key_of(capture, sequences, cache.model_key);
        cache.folder.join(key).join("manifest.json").is_file()
    }

    /// Maps the files of a folder; `None` if it is not there, an error if anything is wrong.
    fn read(
        capture: &Capture<'_>,
        sequences: &[usize],
        store: &Path,
        key: &str,
    ) -> io::Result<Option<Self>> {
        let path = store.join("manifest.json");
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_MANIFEST_BYTES => {
                return Err(damaged("its manifest is too large"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !store.exists() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let manifest: Manifest = serde_json::from_slice(&fs::read(&path)?)?;
        let layout = manifest
            .check(capture, sequences, key)
            .ok_or_else(|| damaged("its manifest contradicts what is asked for"))?;
        let sites: Vec<MappedFloats> = manifest
            .files
            .iter()
            .map(|file| MappedFloats::open(&store.join(&file.file), file))
            .collect::<io::Result<_>>()?;
        let Manifest { d_model, skipped, .. } = manifest;
        Ok(Some(Self { sites, layout, d_model, skipped }))
    }
}

impl Manifest {
    /// Where the sequences lie, if the manifest is of what is asked for and agrees with itself.
    fn check(&self, capture: &Capture<'_>, sequences: &[usize], key: &str) -> Option<Layout> {
        let found: BTreeSet<usize> = self.sequences.iter().chain(&self.skipped).copied().collect();
        let asked: BTreeSet<usize> = sequences.iter().copied().collect();
        // Each sequence once, or their lengths could add up to anything.
        if found != asked || self.sequences.len() + self.skipped.len() != asked.len() {
            return None;
        }
        let mut layout = Layout::new(capture.tokens.len());
        for &sequence in &self.sequences {
            layout.push(sequence, capture.tokens.sequence(sequence).len());
        }
        let size_bytes = self.n_tokens.checked_mul(self.d_model)?.checked_mul(size_of::<f32>())?;
        let agrees = self.format_version == FORMAT_VERSION
            && self.key == key
            && self.dtype == DTYPE
            && Some(self.d_model) == capture.d_model().ok()
            && self.skipped.is_sorted()
            && self.n_tokens == layout.n_tokens()
            && self.files.len() == capture.sites.len()
            && self.files.iter().zip(capture.sites).enumerate().all(|(index, (file, site))| {
                file.site == *site
                    && file.file == file_name(index, *site)
                    && file.size_bytes == size_bytes as u64
            });
        agrees.then_some(layout)
    }
}

/// A file of `f32`, mapped into memory; `None` if it is empty.
#[derive(Debug)]
pub struct MappedFloats(Option<Mmap>);

impl MappedFloats {
    /// Maps a file whose size and checksum are as the manifest says.
    #[expect(unsafe_code, reason = "mapping a file is unsafe: it may change beneath the map")]
    fn open(path: &Path, expected: &SiteFile) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() != expected.size_bytes {
            return Err(damaged("a file has another size than its manifest says"));
        }
        if expected.size_bytes == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the file lies under a name that this program made from a hash and never writes
        // to again. Whoever changes it nonetheless changes numbers; whoever shortens it ends the
        // process with a signal, which no program that maps files can prevent.
        let map = unsafe { Mmap::map(&file)? };
        if blake3::hash(&map).to_hex().as_str() != expected.hash {
            return Err(damaged("a file has another checksum than its manifest says"));
        }
        Ok(Self(Some(map)))
    }
}

impl AsRef<[f32]> for MappedFloats {
    #[expect(unsafe_code, reason = "bytes are seen as numbers without a copy")]
    fn as_ref(&self) -> &[f32] {
        let bytes = self.0.as_deref().unwrap_or_default();
        // SAFETY: every pattern of four bytes is an `f32`, and `align_to` keeps to whole ones.
        let (before, floats, after) = unsafe { bytes.align_to::<f32>() };
        assert!(
            before.is_empty() && after.is_empty(),
            "a map begins at a page and holds whole f32"
        );
        floats
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn file_name(index: usize, site: Site) -> String {
    format!("{index:03}_{site}.f32")
}

fn key_of(capture: &Capture<'_>, sequences: &[usize], model_key: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&FORMAT_VERSION.to_le_bytes());
    for part in [DTYPE, model_key, &capture.tokens.hash] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&(capture.sites.len() as u64).to_le_bytes());
    for site in capture.sites {
        hasher.update(format!("{site} {:?}\n", site.convention).as_bytes());
    }
    for &sequence in sequences {
        hasher.update(&(sequence as u64).to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Removes a folder with all that is in it, if it is there.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that is being written, with the hash of what it holds so far.
struct HashedFile {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    size_bytes: u64,
    buffer: Vec<u8>,
}

impl HashedFile {
    fn create(path: PathBuf) -> Result<Self, ActivationError> {
        let file = File::create_new(&path).map_err(FileError::write(&path))?;
        Ok(Self::new(path, file))
    }

    fn new(path: PathBuf, file: File) -> Self {
        let (file, hasher) = (BufWriter::new(file), blake3::Hasher::new());
        Self { path, file, hasher, size_bytes: 0, buffer: Vec::new() }
    }

    fn push(&mut self, values: &[f32]) -> Result<(), ActivationError> {
        self.buffer.clear();
        self.buffer.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        self.hasher.update(&self.buffer);
        self.size_bytes += self.buffer.len() as u64;
        Ok(self.file.write_all(&self.buffer).map_err(FileError::write(&self.path))?)
    }

    fn finish(mut self, file: String, site: Site) -> Result<SiteFile, ActivationError> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(FileError::write(&self.path))?;
        let hash = self.hasher.finalize().to_hex().to_string();
        Ok(SiteFile { file, site, size_bytes: self.size_bytes, hash })
    }
}

/// Runs the model once and fills an empty folder, the manifest last.
fn write(
    capture: &Capture<'_>,
    sequences: &[usize],
    folder: &Path,
    key: &str,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), ActivationError> {
    let d_model = capture.d_model()?;
    let names: Vec<String> =
        capture.sites.iter().enumerate().map(|(index, site)| file_name(index, *site)).collect();
    let mut files: Vec<HashedFile> =
        names.iter().map(|name| HashedFile::create(folder.join(name))).collect::<Result<_, _>>()?;
    let (mut written, mut n_tokens) = (Vec::new(), 0);
    let sink = |sequence: usize, site: usize, rows: &[f32]| {
        if site == 0 {
            written.push(sequence);
            n_tokens += rows.len() / d_model;
        }
        files[site].push(rows)
    };
    let report = stream_activations(capture, sequences, sink, progress)?;
    let files: Vec<SiteFile> = files
        .into_iter()
        .zip(names)
        .zip(capture.sites)
        .map(|((file, name), site)| file.finish(name, *site))
        .collect::<Result<_, _>>()?;
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        key: key.to_owned(),
        dtype: DTYPE.to_owned(),
        n_tokens,
        d_model,
        files,
        sequences: written,
        skipped: report.skipped,
    };
    write_atomically(&folder.join("manifest.json"), |file| {
        serde_json::to_writer_pretty(file, &manifest).map_err(io::Error::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;

    /// Opens the activations of every sequence; tells also whether the model ran.
    fn open(
        fixture: &Fixture,
        folder: &Path,
        model_key: &str,
    ) -> Result<(DiskActivations, bool), ActivationError> {
        let mut has_run = false;
        let mut progress = |_, _| has_run = true;
        let capture = fixture.capture();
        let cache = DiskCache { folder, model_key };
        DiskActivations::open(&capture, &fixture.all(), cache, &mut progress)
            .map(|activations| (activations, has_run))
    }

    fn values(activations: &DiskActivations) -> Vec<Vec<f32>> {
        activations.sites.iter().map(|site| site.as_ref().to_vec()).collect()
    }

    /// The only folder of activations.
    fn store(folder: &Path) -> PathBuf {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let stores: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        assert_eq!(stores.len(), 1);
        stores[0].clone()
    }

    #[test]
    fn activations_are_found_again_under_the_same_key_only() {
        let fixture = Fixture::damaged();
        let folder = tempfile::tempdir().unwrap();
        let (written, has_run) = open(&fixture, folder.path(), "m").unwrap();
        assert!(has_run);
        let (found, has_run) = open(&fixture, folder.path(), "m").unwrap();
        assert!(!has_run);
        assert_eq!(values(&found), values(&written));
        assert_eq!(found.skipped, [3]);

        assert!(open(&fixture, folder.path(), "another").unwrap().1);
        let mut other = Fixture::damaged();
        other.sites.swap(0, 1);
        assert!(open(&other, folder.path(), "m").unwrap().1);
    }

    #[test]
    fn files_are_plain_rows_of_f32() {
        let fixture = Fixture::new();
        let folder = tempfile::tempdir().unwrap();
        let (written, _) = open(&fixture, folder.path(), "m").unwrap();
        let bytes = fs::read(store(folder.path()).join("001_L00-z.f32")).unwrap();
        let floats: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(floats.len(), fixture.tokens.ids.len() * 8);
        assert_eq!(floats, values(&written)[1]);
    }

    #[test]
    fn damaged_files_are_written_anew() {
        let fixture = Fixture::damaged();
        let folder = tempfile::tempdir().unwrap();
        let expected = values(&open(&fixture, folder.path(), "m").unwrap().0);
        let store = store(folder.path());
        let (data, manifest) = (store.join("000_L01-resid_post.f32"), store.join("manifest.json"));
        let edit = |path: &Path, edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = fs::read(path).unwrap();
            edit(&mut bytes);
            fs::write(path, bytes).unwrap();
        };
        let replace = |from: &'static str, to: &'static str| {
            let manifest = manifest.clone();
            move || {
                let text = fs::read_to_string(&manifest).unwrap();
                assert!(text.contains(from), "{text}");
                fs::write(&manifest, text.replace(from, to)).unwrap();
            }
        };
        let damages: Vec<Box<dyn Fn() + '_>> = vec![
            Box::new(|| edit(&data, &|bytes| bytes[17] ^= 1)),
            Box::new(|| edit(&data, &|bytes| bytes.truncate(bytes.len() - 4))),
            Box::new(|| edit(&data, &|bytes| bytes.extend([0; 4]))),
            Box::new(|| fs::remove_file(&data).unwrap()),
            Box::new(|| fs::remove_file(&manifest).unwrap()),
            Box::new(|| edit(&manifest, &|bytes| bytes.truncate(bytes.len() / 2))),
            Box::new(replace("\"n_tokens\": 24", "\"n_tokens\": 18446744073709551615")),
            Box::new(replace("\"d_model\": 8", "\"d_model\": 4")),
            Box::new(replace("000_L01", "../000_L01")),
            Box::new(replace("\"skipped\": [\n    3\n  ]", "\"skipped\": []")),
            Box::new(replace("\"format_version\": 1", "\"format_version\": 2")),
        ];
        for (index, damage) in damages.iter().enumerate() {
            damage();
            let (anew, has_run) = open(&fixture, folder.path(), "m").unwrap();
            assert!(has_run, "damage {index}");
            assert_eq!(values(&anew), expected);
            assert!(!open(&fixture, folder.path(), "m").unwrap().1, "damage {index}");
        }
    }

    #[test]
    fn a_pass_that_fails_leaves_nothing_under_the_final_name() {
        let mut fixture = Fixture::new();
        // The long sequence is written before the model refuses a token of the short one.
        let sequences: [&[u32]; 2] = [&[1, 99, 3], &[1; 11]];
        fixture.tokens = crate::TokenizedDataset::from_sequences(&sequences);
        let folder = tempfile::tempdir().unwrap();
        let result = open(&fixture, folder.path(), "m");
        assert!(matches!(result, Err(ActivationError::Model { .. })));
        let left: Vec<PathBuf> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| path.extension().is_some_and(|e| e == "lock")), "{left:?}");
    }

    #[test]
    fn what_a_killed_process_left_behind_is_thrown_away() {
        let fixture = Fixture::new();
        let folder = tempfile::tempdir().unwrap();
        let key = key_of(&fixture.capture(), &fixture.all(), "m");
        let temporary = folder.path().join(format!(".{key}.tmp"));
        fs::create_dir(&temporary).unwrap();
        fs::write(temporary.join("000_L01-resid_post.f32"), "half").unwrap();
        assert!(open(&fixture, folder.path(), "m").unwrap().1);
        assert!(!temporary.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = open(&Fixture::new(), &file, "m").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", file.display()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_a_write_error() {
        let path = PathBuf::from("/dev/full");
        let mut file = HashedFile::new(path.clone(), File::create(&path).unwrap());
        let pushed = file.push(&vec![1.0; 100_000]);
        assert!(matches!(pushed, Err(ActivationError::File(error)) if error.path == path));

        let mut file = HashedFile::new(path.clone(), File::create(&path).unwrap());
        file.push(&[1.0]).unwrap();
        let finished = file.finish("a".to_owned(), Fixture::new().sites[0]);
        assert!(matches!(finished, Err(ActivationError::File(_))));
    }
}
