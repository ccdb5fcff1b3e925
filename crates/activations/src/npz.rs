//! The npz archives of `numpy`, read without trust.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use attention_probes_errors::FileError;
use attention_probes_models::is_lfs_pointer;
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use crate::npy::read_npy;
use crate::npy_dtype::NpyDtype;
use crate::npy_error::NpyError;
use crate::npy_header::{MAGIC, read_header};
use crate::{ActivationError, ExternalError, NpzArray};

/// Most that deflate can shrink anything: 1032 to 1 (RFC 1951), and a block to start with.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Reads every array of an npz archive, by name without `.npy`.
///
/// As in `numpy`, an entry with another ending is an array if it begins like one, and left out if
/// not.
///
/// # Errors
///
/// - [`ActivationError::File`] or [`ActivationError::Zip`] if the archive cannot be read
/// - [`ActivationError::LfsPointer`] if it is the pointer of a file that was not downloaded
/// - [`ActivationError::External`] if an array is compressed in a way that `numpy` does not write
/// - [`ActivationError::Array`] if an array is damaged, claims more than the file can hold, or
///   holds anything but numbers and strings
///
/// # Memory
///
/// What the arrays take; never more than a damaged file can back with bytes of its own.
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, NpzArray>, ActivationError> {
    read_where(&mut open(path.as_ref())?, path.as_ref(), |_| true)
}

/// Reads the named arrays, and leaves everything else in the archive alone.
///
/// # Errors
///
/// - as [`read_npz`]
/// - [`ActivationError::MissingArray`] if one of `required` does not exist
///
/// # Memory
///
/// As [`read_npz`], for the named arrays only.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{NpzArray, read_npz_arrays, write_npz};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("activations.npz");
/// let x = NpzArray::new(vec![1, 2], vec![0.5_f32, 1.5]);
/// write_npz(&path, &[("x", x.clone()), ("notes", NpzArray::new(vec![], vec![7_u8]))])?;
/// let arrays = read_npz_arrays(&path, &["x"], &["mask"])?;
/// assert_eq!(arrays.len(), 1);
/// assert_eq!(arrays["x"], x);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_npz_arrays(
    path: impl AsRef<Path>,
    required: &[&'static str],
    optional: &[&'static str],
) -> Result<BTreeMap<String, NpzArray>, ActivationError> {
    let path = path.as_ref();
    let mut archive = open(path)?;
    let entries = array_entries(&mut archive);
    if let Some(&array) = required.iter().find(|name| !entries.contains_key(**name)) {
        let arrays = entries.into_keys().collect();
        let (path, array) = (path.to_owned(), array.to_owned());
        return Err(ActivationError::MissingArray { path, array, arrays });
    }
    read_where(&mut archive, path, |name| required.contains(&name) || optional.contains(&name))
}

/// Type and shape of every array, by name; of one that cannot be read, why not.
///
/// # Errors
///
/// [`ActivationError::File`] or [`ActivationError::Zip`] if the archive cannot be read.
pub(crate) fn npz_headers(path: &Path) -> Result<ArrayHeaders, ActivationError> {
    let mut archive = open(path)?;
    let entries = array_entries(&mut archive);
    let header = |(name, index): (String, usize)| {
        let header = open_entry(&mut archive, path, &name, index).and_then(|mut entry| {
            let size_bytes = entry.size();
            let header = read_header(&mut entry, size_bytes).map_err(array_error(path, &name))?;
            Ok((header.dtype, header.shape))
        });
        (name, header)
    };
    Ok(entries.into_iter().map(header).collect())
}

/// Type and shape of arrays by name, or why one cannot be read.
pub(crate) type ArrayHeaders = BTreeMap<String, Result<(NpyDtype, Vec<usize>), ActivationError>>;

/// Reads one array, or, with `layer`, one index of the second of its four axes.
///
/// # Errors
///
/// As [`read_npz_arrays`].
pub(crate) fn read_npz_array(
    path: &Path,
    name: &str,
    layer: Option<usize>,
) -> Result<Option<NpzArray>, ActivationError> {
    let mut archive = open(path)?;
    match array_entries(&mut archive).get(name) {
        Some(&index) => read_entry(&mut archive, path, (name, index), layer).map(Some),
        None => Ok(None),
    }
}

type Archive = ZipArchive<BufReader<File>>;

fn open(path: &Path) -> Result<Archive, ActivationError> {
    let file = File::open(path).map_err(FileError::read(path))?;
    ZipArchive::new(BufReader::new(file)).map_err(|source| {
        let path = path.to_owned();
        let is_pointer = is_lfs_pointer(&path);
        if is_pointer {
            ActivationError::LfsPointer { path }
        } else {
            ActivationError::Zip { path, source }
        }
    })
}

/// The entries that are arrays, by name; of `x` and `x.npy` the first counts, as in `numpy`.
fn array_entries(archive: &mut Archive) -> BTreeMap<String, usize> {
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let (mut arrays, mut others) = (BTreeMap::new(), Vec::new());
    for name in names {
        let Some(index) = archive.index_for_name(&name) else { continue };
        match name.strip_suffix(".npy") {
            Some(array) => {
                arrays.insert(array.to_owned(), index);
            }
            None => others.push((name, index)),
        }
    }
    for (name, index) in others {
        let mut start = [0; MAGIC.len()];
        let entry = archive.by_index(index).map_err(io::Error::from);
        if entry.and_then(|mut entry| entry.read_exact(&mut start)).is_ok() && start == MAGIC {
            arrays.insert(name, index);
        }
    }
    arrays
}

fn open_entry<'a>(
    archive: &'a mut Archive,
    path: &Path,
    name: &str,
    index: usize,
) -> Result<ZipFile<'a, BufReader<File>>, ActivationError> {
    let zip_error = |source| ActivationError::Zip { path: path.to_owned(), source };
    let method = archive.by_index_raw(index).map_err(zip_error)?.compression();
    if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
        let (path, array, method) = (path.to_owned(), name.to_owned(), method_name(method));
        return Err(ExternalError::Compression { path, array, method }.into());
    }
    archive.by_index(index).map_err(zip_error)
}

/// What people call a way to compress, by its number in the format of zip archives.
fn method_name(method: CompressionMethod) -> String {
    #[expect(deprecated, reason = "the number alone tells methods that are not built in")]
    match method.to_u16() {
        9 => "deflate64".to_owned(),
        12 => "bzip2".to_owned(),
        14 => "LZMA".to_owned(),
        93 => "Zstandard".to_owned(),
        95 => "xz".to_owned(),
        number => format!("method {number}"),
    }
}

fn array_error(path: &Path, name: &str) -> impl Fn(NpyError) -> ActivationError {
    move |source| {
        let (path, array) = (path.to_owned(), name.to_owned());
        ActivationError::Array { path, array, source }
    }
}

fn read_entry(
    archive: &mut Archive,
    path: &Path,
    (name, index): (&str, usize),
    layer: Option<usize>,
) -> Result<NpzArray, ActivationError> {
    let file_bytes = path.metadata().map_err(FileError::read(path))?.len();
    let mut entry = open_entry(archive, path, name, index)?;
    // Both sizes are claims of the file. Stored data cannot grow, deflated data by so much.
    let stored_bytes = entry.compressed_size().min(file_bytes);
    let ratio =
        if entry.compression() == CompressionMethod::Stored { 1 } else { MAX_DEFLATE_RATIO };
    let size_bytes = entry.size().min(stored_bytes.saturating_mul(ratio));
    read_npy(&mut entry, size_bytes, stored_bytes as usize, layer).map_err(array_error(path, name))
}

fn read_where(
    archive: &mut Archive,
    path: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, NpzArray>, ActivationError> {
    let mut arrays = BTreeMap::new();
    for (name, index) in array_entries(archive) {
        if is_wanted(&name) {
            let array = read_entry(archive, path, (&name, index), None)?;
            arrays.insert(name, array);
        }
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Cursor, Write};
    use std::path::PathBuf;

    use proptest::prelude::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::npy::tests::npy;
    use crate::{NpzData, write_npz};

    /// A file of an archive with the given entries, in a folder of its own.
    fn archive(
        entries: &[(&str, &[u8])],
        method: CompressionMethod,
    ) -> (tempfile::TempDir, PathBuf) {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default().compression_method(method);
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        file_of(&zip.finish().unwrap().into_inner())
    }

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn sample_arrays() -> Vec<(&'static str, NpzArray)> {
        vec![
            (
                "x",
                NpzArray::new(vec![2, 3], vec![0.0_f32, -1.5, f32::NAN, f32::INFINITY, 1.0, 2.0]),
            ),
            ("f64", NpzArray::new(vec![2], vec![1.0_f64, 1e300])),
            ("i64", NpzArray::new(vec![], vec![i64::MIN])),
            ("i32", NpzArray::new(vec![0, 4], Vec::<i32>::new())),
            ("metadata", NpzArray::new(vec![2], b"{}".to_vec())),
            ("mask", NpzArray::new(vec![1, 1, 2], vec![true, false])),
            ("names", NpzArray::new(vec![2], vec!["neg".to_owned(), "é".to_owned()])),
        ]
    }

    /// What is wrong with the first array that cannot be read.
    fn fault(path: &Path) -> NpyError {
        match read_npz(path) {
            Err(ActivationError::Array { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write_npz(&path, &sample_arrays()).unwrap();
        let arrays = read_npz(&path).unwrap();
        assert_eq!(arrays.len(), 7);
        for (name, array) in sample_arrays() {
            assert_eq!(format!("{:?}", arrays[name]), format!("{array:?}"));
        }
    }

    #[test]
    fn an_array_that_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let of_axes =
            |n_axes: usize| write_npz(&path, &[("x", NpzArray::new(vec![1; n_axes], vec![1_u8]))]);
        of_axes(3_000).unwrap();
        assert_eq!(read_npz(&path).unwrap()["x"].shape.len(), 3_000);
        assert!(matches!(of_axes(30_000), Err(ActivationError::File(_))));
    }

    #[test]
    fn the_same_arrays_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.npz", "b.npz"].map(|name| folder.path().join(name));
        write_npz(&a, &sample_arrays()).unwrap();
        write_npz(&b, &sample_arrays()).unwrap();
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        // The temporary names are gone.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_entry_that_lies_about_its_size_is_refused_without_allocating() {
        // Entry and header agree on 16 GB, of which 8 bytes exist.
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000,)}";
        let bytes = npy(header, &[0; 8]);
        let (_folder, path) = archive(&[("a.npy", &bytes)], CompressionMethod::Stored);
        let mut file = fs::read(&path).unwrap();
        let (true_size, claim) = ((bytes.len() as u32).to_le_bytes(), [0xfe, 0xff, 0xff, 0xff]);
        for i in 0..file.len() - 4 {
            if file[i..i + 4] == true_size {
                file[i..i + 4].copy_from_slice(&claim);
            }
        }
        let (_folder, path) = file_of(&file);
        assert!(read_npz(path).is_err());
    }

    #[test]
    fn objects_are_refused_unless_nobody_asks_for_them() {
        let object = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\x80\x04N.");
        let number = npy("{'descr': '|b1', 'fortran_order': False, 'shape': (1,)}", &[1]);
        let entries: [(&str, &[u8]); 3] =
            [("o.npy", &object), ("mask.npy", &number), ("readme.txt", b"hello")];
        let (_folder, path) = archive(&entries, CompressionMethod::Deflated);
        assert!(matches!(fault(&path), NpyError::Object));
        let arrays = read_npz_arrays(&path, &["mask"], &["x"]).unwrap();
        assert_eq!(arrays["mask"].data, NpzData::Bool(vec![true]));
        let error = read_npz_arrays(&path, &["x"], &[]).unwrap_err().to_string();
        assert!(error.ends_with("has no array `x`; arrays: `mask`, `o`"), "{error}");
    }

    #[test]
    fn an_entry_without_an_ending_is_an_array_if_it_begins_like_one() {
        let number =
            |value| npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", &[value]);
        let entries: [(&str, &[u8]); 4] =
            [("x", &number(1)), ("x.npy", &number(2)), ("y", &number(3)), ("note", b"hello")];
        let (_folder, path) = archive(&entries, CompressionMethod::Deflated);
        let arrays = read_npz(&path).unwrap();
        let found: Vec<(&str, &NpzData)> =
            arrays.iter().map(|(name, array)| (name.as_str(), &array.data)).collect();
        assert_eq!(found, [("x", &NpzData::U8(vec![1])), ("y", &NpzData::U8(vec![3]))]);
        assert_eq!(read_npz_array(&path, "y", None).unwrap(), Some(arrays["y"].clone()));
        assert_eq!(read_npz_array(&path, "z", None).unwrap(), None);
    }

    #[test]
    fn a_way_to_compress_that_is_not_read_is_named() {
        let number = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", &[1]);
        let (_folder, path) = archive(&[("x.npy", &number)], CompressionMethod::Stored);
        let mut bytes = fs::read(&path).unwrap();
        // The method stands behind version and flags, in both headers of the entry.
        let central = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        for place in [8, central + 10] {
            bytes[place..place + 2].copy_from_slice(&12_u16.to_le_bytes());
        }
        fs::write(&path, bytes).unwrap();
        let error = read_npz(&path).unwrap_err().to_string();
        assert!(
            error.contains("array `x` of") && error.contains("compressed with bzip2"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_with_an_array_is_told_with_file_and_name() {
        let message = |header: &str| {
            let (_folder, path) =
                archive(&[("x.npy", &npy(header, &[0; 8]))], CompressionMethod::Stored);
            let error = read_npz(&path).unwrap_err().to_string();
            assert_eq!(error, format!("cannot read array `x` of `{}`", path.display()));
            fault(&path).to_string()
        };
        assert_eq!(
            message("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"),
            "it claims shape [3], but its entry has room for 73 bytes"
        );
        assert_eq!(
            message("{}"),
            "it has no valid npy header: it is not a dict of `descr`, \
             `fortran_order`, and `shape`"
        );
        assert_eq!(
            message("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}"),
            "it has dtype `<c8`, expected float16, float32, float64, bool, \
             an integer, or a string"
        );
    }

    #[test]
    fn a_file_that_is_no_archive_is_named() {
        let (_folder, path) = file_of(b"PK is not enough");
        assert!(matches!(read_npz(&path), Err(ActivationError::Zip { .. })));
        assert!(matches!(read_npz(path.join("x")), Err(ActivationError::File(_))));
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write_npz(&path, &[("x", NpzArray::new(vec![1000], vec![1.0_f32; 1000]))]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[2000] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(fault(&path), NpyError::Data { .. }));
    }

    proptest! {
        #[test]
        fn damaged_archives_never_panic_or_change_shape(
            position in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            length in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.npz");
            write_npz(&path, &sample_arrays()).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            fs::write(&path, &bytes).unwrap();
            if let Ok(arrays) = read_npz(&path) {
                for array in arrays.values() {
                    prop_assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
                }
            }
            fs::write(&path, &bytes[..length.index(bytes.len())]).unwrap();
            prop_assert!(read_npz(&path).is_err());
        }

    }
}
