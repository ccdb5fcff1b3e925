//! The npz archives of `numpy`, read without trust and written without pickle.
//!
//! The npy header is parsed here rather than by a crate, because those at hand allocate what the
//! header asks for, and overflow on its shape.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use half::f16;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{ActivationError, write_atomically};

/// Largest array that is read, in bytes: 64 GiB.
const MAX_ARRAY_BYTES: u64 = 1 << 36;

/// Longest npy header that is read; `numpy` itself refuses those above 10,000 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// Most that deflate can shrink anything: 1032 to 1 (RFC 1951), and a block to start with.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Values that are decoded at a time.
const CHUNK: usize = 16 * 1024;

/// An array of an npz archive, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct NpzArray {
    /// Size of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, as many as the axes multiply to.
    pub data: NpzData,
}

/// The values of an array, in the type that they are kept in.
#[derive(Clone, Debug, PartialEq)]
pub enum NpzData {
    /// `float32`, and `float16` after conversion.
    F32(Vec<f32>),
    /// `float64`.
    F64(Vec<f64>),
    /// `int64`, and `uint32` and `uint64` after conversion.
    I64(Vec<i64>),
    /// `int32`, and `int8`, `int16` and `uint16` after conversion.
    I32(Vec<i32>),
    /// `uint8`.
    U8(Vec<u8>),
    /// `bool`.
    Bool(Vec<bool>),
}

impl NpzArray {
    /// An array of the given shape.
    ///
    /// # Panics
    ///
    /// If the axes do not multiply to the number of values.
    pub fn new(shape: Vec<usize>, data: impl Into<NpzData>) -> Self {
        let array = Self { shape, data: data.into() };
        array.assert_consistent();
        array
    }

    fn assert_consistent(&self) {
        let n_values = self.shape.iter().product::<usize>();
        assert_eq!(n_values, self.data.len(), "shape {:?} does not fit the data", self.shape);
    }
}

impl NpzData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as `f32`, rounded if they are `f64`. `None` if they are no floats.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self {
            Self::F32(values) => Some(values),
            Self::F64(values) => Some(values.into_iter().map(|value| value as f32).collect()),
            _ => None,
        }
    }

    /// The values as `i64`. `None` if they are floats.
    pub fn into_i64(self) -> Option<Vec<i64>> {
        match self {
            Self::I64(values) => Some(values),
            Self::I32(values) => Some(values.into_iter().map(i64::from).collect()),
            Self::U8(values) => Some(values.into_iter().map(i64::from).collect()),
            Self::Bool(values) => Some(values.into_iter().map(i64::from).collect()),
            Self::F32(_) | Self::F64(_) => None,
        }
    }

    /// The type string, in `numpy`, of what is written.
    fn descr(&self) -> &'static str {
        match self {
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
            Self::I64(_) => "<i8",
            Self::I32(_) => "<i4",
            Self::U8(_) => "|u1",
            Self::Bool(_) => "|b1",
        }
    }

    /// Bytes of one value.
    fn item_bytes(&self) -> usize {
        match self {
            Self::F64(_) | Self::I64(_) => 8,
            Self::F32(_) | Self::I32(_) => 4,
            Self::U8(_) | Self::Bool(_) => 1,
        }
    }

    /// Turns column-major values into row-major ones.
    fn into_row_major(self, shape: &[usize]) -> Self {
        match self {
            Self::F32(values) => Self::F32(row_major(&values, shape)),
            Self::F64(values) => Self::F64(row_major(&values, shape)),
            Self::I64(values) => Self::I64(row_major(&values, shape)),
            Self::I32(values) => Self::I32(row_major(&values, shape)),
            Self::U8(values) => Self::U8(row_major(&values, shape)),
            Self::Bool(values) => Self::Bool(row_major(&values, shape)),
        }
    }
}

macro_rules! from_values {
    ($($value:ty => $variant:ident),+) => {$(
        impl From<Vec<$value>> for NpzData {
            fn from(values: Vec<$value>) -> Self {
                Self::$variant(values)
            }
        }
    )+};
}

from_values!(f32 => F32, f64 => F64, i64 => I64, i32 => I32, u8 => U8, bool => Bool);

/// Reads every array of an npz archive, by name without `.npy`.
///
/// Entries of the archive with another ending are not arrays and are left out.
///
/// # Errors
///
/// - [`ActivationError::Read`] or [`ActivationError::Zip`] if the archive cannot be read
/// - [`ActivationError::ArrayHeader`], [`ActivationError::ArraySize`] or
///   [`ActivationError::ArrayData`] if an array is damaged, or claims more than the file can hold
/// - [`ActivationError::ObjectArray`] or [`ActivationError::ArrayType`] if an array holds anything
///   but numbers
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
/// As [`read_npz`], and [`ActivationError::MissingArray`] if one of `required` does not exist.
///
/// # Examples
///
/// ```
/// use attention_probes_activations::{NpzArray, read_npz_arrays, write_npz};
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
    let arrays = array_names(&archive);
    if let Some(&array) = required.iter().find(|name| !arrays.iter().any(|array| array == *name)) {
        return Err(ActivationError::MissingArray { path: path.to_owned(), array, arrays });
    }
    read_where(&mut archive, path, |name| required.contains(&name) || optional.contains(&name))
}

/// Writes arrays as an npz archive that `numpy.load` opens, under a temporary name first.
///
/// The entries are stored, not compressed, and carry no time, so the same arrays always give the
/// same bytes.
///
/// # Errors
///
/// [`ActivationError::Write`] if the file cannot be written, or two arrays have one name.
///
/// # Panics
///
/// If the axes of an array do not multiply to its number of values.
pub fn write_npz(
    path: impl AsRef<Path>,
    arrays: &[(&str, NpzArray)],
) -> Result<(), ActivationError> {
    for (_, array) in arrays {
        array.assert_consistent();
    }
    write_atomically(path.as_ref(), |file| {
        let mut zip = ZipWriter::new(file);
        for (name, array) in arrays {
            let header = header_bytes(array);
            let size_bytes = header.len() + array.data.len() * array.data.item_bytes();
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .unix_permissions(0o600)
                .large_file(size_bytes as u64 >= u64::from(u32::MAX));
            zip.start_file(format!("{name}.npy"), options)?;
            zip.write_all(&header)?;
            write_values(&mut zip, &array.data)?;
        }
        zip.finish()?;
        Ok(())
    })
}

/// What the header of an npy file says.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Why one entry of an archive could not be read; turned into [`ActivationError`] with its name.
enum EntryError {
    Header(&'static str),
    Data(io::Error),
    Object,
    Type(String),
    Size(Vec<usize>),
}

impl From<io::Error> for EntryError {
    fn from(source: io::Error) -> Self {
        Self::Data(source)
    }
}

type Archive = ZipArchive<BufReader<File>>;

fn open(path: &Path) -> Result<Archive, ActivationError> {
    let file = File::open(path)
        .map_err(|source| ActivationError::Read { path: path.to_owned(), source })?;
    ZipArchive::new(BufReader::new(file))
        .map_err(|source| ActivationError::Zip { path: path.to_owned(), source })
}

fn array_names(archive: &Archive) -> Vec<String> {
    let mut names: Vec<String> = archive
        .file_names()
        .filter_map(|name| name.strip_suffix(".npy"))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names
}

fn read_where(
    archive: &mut Archive,
    path: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, NpzArray>, ActivationError> {
    let zip_error = |source| ActivationError::Zip { path: path.to_owned(), source };
    let file_bytes = path
        .metadata()
        .map_err(|source| ActivationError::Read { path: path.to_owned(), source })?
        .len();
    let mut arrays = BTreeMap::new();
    for name in array_names(archive).into_iter().filter(|name| is_wanted(name)) {
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(zip_error)?;
        // Both sizes are claims of the file. Stored data cannot grow, deflated data by so much.
        let stored_bytes = entry.compressed_size().min(file_bytes);
        let ratio =
            if entry.compression() == CompressionMethod::Stored { 1 } else { MAX_DEFLATE_RATIO };
        let size_bytes = entry.size().min(stored_bytes.saturating_mul(ratio));
        let array = read_entry(&mut entry, size_bytes, stored_bytes as usize).map_err(|error| {
            let (path, array) = (path.to_owned(), name.clone());
            match error {
                EntryError::Header(reason) => ActivationError::ArrayHeader { path, array, reason },
                EntryError::Data(source) => ActivationError::ArrayData { path, array, source },
                EntryError::Object => ActivationError::ObjectArray { path, array },
                EntryError::Type(dtype) => ActivationError::ArrayType { path, array, dtype },
                EntryError::Size(shape) => {
                    ActivationError::ArraySize { path, array, shape, size_bytes }
                }
            }
        })?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// Reads one npy file of `size_bytes`, to its end, so that the archive checks its checksum.
///
/// No more than `max_reserved` values are allocated before they arrive.
fn read_entry(
    entry: &mut impl Read,
    size_bytes: u64,
    max_reserved: usize,
) -> Result<NpzArray, EntryError> {
    let (header, header_bytes) = read_header(entry)?;
    let item_bytes = item_bytes(&header.descr)?;
    let n_values = header.shape.iter().try_fold(1_usize, |n, &axis| n.checked_mul(axis));
    let data_bytes = n_values
        .and_then(|n_values| (n_values as u64).checked_mul(item_bytes))
        .filter(|data_bytes| *data_bytes <= MAX_ARRAY_BYTES);
    let (Some(n_values), Some(data_bytes)) = (n_values, data_bytes) else {
        return Err(EntryError::Size(header.shape));
    };
    if size_bytes.checked_sub(header_bytes) != Some(data_bytes) {
        return Err(EntryError::Size(header.shape));
    }

    let big_endian = header.descr.starts_with('>');
    let bytes = Bytes { reader: entry, n_values, max_reserved, big_endian };
    let data = read_values(bytes, &header.descr)?;
    if entry.read(&mut [0])? != 0 {
        return Err(EntryError::Size(header.shape));
    }
    let data = if header.fortran_order { data.into_row_major(&header.shape) } else { data };
    Ok(NpzArray { shape: header.shape, data })
}

/// Reads magic, version, and header; returns also how many bytes they took.
fn read_header(reader: &mut impl Read) -> Result<(Header, u64), EntryError> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(EntryError::Header("it does not begin with `\\x93NUMPY`"));
    }
    let (length, length_bytes) = match start[6] {
        1 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            (usize::from(u16::from_le_bytes(length)), 2)
        }
        2 | 3 => {
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            (u32::from_le_bytes(length) as usize, 4)
        }
        _ => return Err(EntryError::Header("its version is not 1, 2, or 3")),
    };
    if length > MAX_HEADER_BYTES {
        return Err(EntryError::Header("it is longer than 10,000 bytes"));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| EntryError::Header("it is not UTF-8"))?;
    let header = parse_header(&text)
        .ok_or(EntryError::Header("it is not a dict of `descr`, `fortran_order`, and `shape`"))?;
    Ok((header, (8 + length_bytes + length) as u64))
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse_header(text: &str) -> Option<Header> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, value) = quoted(rest)?;
        let value = value.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" if value.starts_with('[') => {
                // The fields of a structured array, which is refused by this name.
                descr = Some("structured".to_owned());
                value.get(value.rfind(']')? + 1..)?
            }
            "descr" => {
                let (text, rest) = quoted(value)?;
                descr = Some(text.to_owned());
                rest
            }
            "fortran_order" => {
                let is_fortran = value.starts_with("True");
                fortran_order = Some(is_fortran);
                value.strip_prefix(if is_fortran { "True" } else { "False" })?
            }
            "shape" => {
                let (axes, rest) = value.strip_prefix('(')?.split_once(')')?;
                shape = Some(parse_shape(axes)?);
                rest
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').map_or_else(|| rest.is_empty().then_some(rest), Some)?;
        rest = rest.trim_start();
    }
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

/// Splits a string in quotes from what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// Parses `3, 4`, `3,`, or nothing at all.
fn parse_shape(axes: &str) -> Option<Vec<usize>> {
    let axes = axes.trim();
    if axes.is_empty() {
        return Some(Vec::new());
    }
    axes.strip_suffix(',').unwrap_or(axes).split(',').map(|axis| axis.trim().parse().ok()).collect()
}

/// Bytes of one value of a type that is read.
fn item_bytes(descr: &str) -> Result<u64, EntryError> {
    match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "u1" | "i1" => Ok(1),
        "f2" | "i2" | "u2" => Ok(2),
        "f4" | "i4" | "u4" => Ok(4),
        "f8" | "i8" | "u8" => Ok(8),
        other if other.starts_with('O') => Err(EntryError::Object),
        _ => Err(EntryError::Type(descr.to_owned())),
    }
}

fn read_values(bytes: Bytes<'_, impl Read>, descr: &str) -> Result<NpzData, EntryError> {
    Ok(match descr.trim_start_matches(['<', '>', '|', '=']) {
        "f2" => NpzData::F32(bytes.decode(|b| f16::from_le_bytes(b).to_f32())?),
        "f4" => NpzData::F32(bytes.decode(f32::from_le_bytes)?),
        "f8" => NpzData::F64(bytes.decode(f64::from_le_bytes)?),
        "i1" => NpzData::I32(bytes.decode(|b| i32::from(i8::from_le_bytes(b)))?),
        "i2" => NpzData::I32(bytes.decode(|b| i32::from(i16::from_le_bytes(b)))?),
        "u2" => NpzData::I32(bytes.decode(|b| i32::from(u16::from_le_bytes(b)))?),
        "i4" => NpzData::I32(bytes.decode(i32::from_le_bytes)?),
        "u4" => NpzData::I64(bytes.decode(|b| i64::from(u32::from_le_bytes(b)))?),
        "i8" => NpzData::I64(bytes.decode(i64::from_le_bytes)?),
        "u8" => {
            let values = bytes.decode(u64::from_le_bytes)?;
            let values: Result<_, _> = values.into_iter().map(i64::try_from).collect();
            NpzData::I64(values.map_err(|_| {
                EntryError::Type("uint64 with values above those of int64".to_owned())
            })?)
        }
        "u1" => NpzData::U8(bytes.decode(u8::from_le_bytes)?),
        _ => NpzData::Bool(bytes.decode(|[b]| b != 0)?),
    })
}

/// The data of an npy file, not yet decoded.
struct Bytes<'a, R> {
    reader: &'a mut R,
    n_values: usize,
    max_reserved: usize,
    big_endian: bool,
}

impl<R: Read> Bytes<'_, R> {
    /// Decodes values of `N` bytes; memory grows as they arrive, not by what was claimed.
    fn decode<const N: usize, T>(self, decode: impl Fn([u8; N]) -> T) -> io::Result<Vec<T>> {
        let mut values = Vec::with_capacity(self.n_values.min(self.max_reserved));
        let mut buffer = vec![[0_u8; N]; self.n_values.min(CHUNK)];
        while values.len() < self.n_values {
            let n_chunk = (self.n_values - values.len()).min(CHUNK);
            let chunk = &mut buffer[..n_chunk];
            self.reader.read_exact(chunk.as_flattened_mut())?;
            if self.big_endian {
                for item in chunk.iter_mut() {
                    item.reverse();
                }
            }
            values.extend(chunk.iter().map(|item| decode(*item)));
        }
        Ok(values)
    }
}

/// Turns column-major values into row-major ones.
fn row_major<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for axis in shape {
        strides.push(stride);
        stride *= axis;
    }
    let mut index = vec![0; shape.len()];
    let mut position = 0;
    let mut output = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        output.push(values[position]);
        // Counts up from the last axis, carrying to the one before.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            position += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            position -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    output
}

/// An npy header of version 1, padded so that the data begins at a multiple of 64.
fn header_bytes(array: &NpzArray) -> Vec<u8> {
    let axes: Vec<String> = array.shape.iter().map(usize::to_string).collect();
    let axes = if let [axis] = &axes[..] { format!("{axis},") } else { axes.join(", ") };
    let descr = array.data.descr();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    let unpadded = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');

    let length = u16::try_from(text.len()).expect("a shape has at most some hundred axes");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn write_values(writer: &mut impl Write, data: &NpzData) -> io::Result<()> {
    match data {
        NpzData::F32(values) => encode(writer, values, f32::to_le_bytes),
        NpzData::F64(values) => encode(writer, values, f64::to_le_bytes),
        NpzData::I64(values) => encode(writer, values, i64::to_le_bytes),
        NpzData::I32(values) => encode(writer, values, i32::to_le_bytes),
        NpzData::U8(values) => writer.write_all(values),
        NpzData::Bool(values) => encode(writer, values, |value| [u8::from(value)]),
    }
}

fn encode<const N: usize, T: Copy>(
    writer: &mut impl Write,
    values: &[T],
    encode: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(values.len().min(CHUNK));
    for chunk in values.chunks(CHUNK) {
        buffer.clear();
        buffer.extend(chunk.iter().map(|value| encode(*value)));
        writer.write_all(buffer.as_flattened())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Cursor, path::PathBuf};

    use proptest::prelude::*;

    use super::*;

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

    /// An npy file of version 1 with any header text and data.
    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read_one(header: &str, data: &[u8]) -> Result<NpzArray, ActivationError> {
        let (_folder, path) = archive(&[("a.npy", &npy(header, data))], CompressionMethod::Stored);
        read_npz(path).map(|mut arrays| arrays.remove("a").unwrap())
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
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write_npz(&path, &sample_arrays()).unwrap();
        let arrays = read_npz(&path).unwrap();
        assert_eq!(arrays.len(), 6);
        for (name, array) in sample_arrays() {
            assert_eq!(format!("{:?}", arrays[name]), format!("{array:?}"));
        }
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
    fn an_independent_reader_agrees_with_the_header() {
        for (_, array) in sample_arrays() {
            let bytes = header_bytes(&array);
            assert_eq!(bytes.len() % 64, 0);
            let header = npyz::NpyHeader::from_reader(&bytes[..]).unwrap();
            let shape: Vec<u64> = array.shape.iter().map(|&axis| axis as u64).collect();
            assert_eq!(header.shape(), shape);
            assert_eq!(header.dtype().descr(), format!("'{}'", array.data.descr()));
        }
    }

    #[test]
    fn column_major_arrays_become_row_major() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n";
        let array = read_one(header, &[1, 4, 2, 5, 3, 6]).unwrap();
        assert_eq!(array, NpzArray::new(vec![2, 3], vec![1_u8, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn headers_of_other_writers_are_understood() {
        let header = r#"{"shape":(2,),"fortran_order":False,"descr":">i2"}"#;
        assert_eq!(read_one(header, &[0, 1, 255, 255]).unwrap().data, NpzData::I32(vec![1, -1]));
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': ()}";
        assert_eq!(read_one(header, &[0, 0x3e]).unwrap().data, NpzData::F32(vec![1.5]));
        let header = "{'descr': '<u8', 'fortran_order': False, 'shape': (1, )}";
        assert!(matches!(read_one(header, &[255; 8]), Err(ActivationError::ArrayType { .. })));
    }

    #[test]
    fn a_header_that_claims_more_than_the_entry_holds_is_refused() {
        let n_huge = u64::MAX / 4;
        for shape in [
            "(3,)".to_owned(),
            "(1000000000000,)".to_owned(),
            format!("({n_huge}, 4)"),
            format!("({n_huge}, {n_huge}, {n_huge})"),
        ] {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
            let result = read_one(&header, &[0; 8]);
            assert!(matches!(result, Err(ActivationError::ArraySize { .. })), "{shape}");
        }
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
    fn malformed_headers_are_refused() {
        let deep = format!("{{'descr': {}", "(".repeat(9000));
        for header in [
            "",
            "{",
            "{}",
            "nonsense",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            "{'descr': '<f4' 'fortran_order': False}",
            "{'é",
            &deep,
        ] {
            let result = read_one(header, &[0; 4]);
            assert!(matches!(result, Err(ActivationError::ArrayHeader { .. })), "{header}");
        }
        let (_folder, path) = archive(&[("a.npy", b"\x93NUMP")], CompressionMethod::Stored);
        assert!(matches!(read_npz(path), Err(ActivationError::ArrayData { .. })));
        let long = npy(&" ".repeat(20_000), &[]);
        let (_folder, path) = archive(&[("a.npy", &long)], CompressionMethod::Stored);
        assert!(matches!(read_npz(path), Err(ActivationError::ArrayHeader { .. })));
    }

    #[test]
    fn objects_and_text_are_refused_unless_nobody_asks_for_them() {
        let object = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\x80\x04N.");
        let text = npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", &[0; 4]);
        let record =
            "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}";
        let number = npy("{'descr': '|b1', 'fortran_order': False, 'shape': (1,)}", &[1]);
        let entries: [(&str, &[u8]); 3] =
            [("o.npy", &object), ("mask.npy", &number), ("readme.txt", b"hello")];
        let (_folder, path) = archive(&entries, CompressionMethod::Deflated);
        assert!(matches!(read_npz(&path), Err(ActivationError::ObjectArray { .. })));
        let arrays = read_npz_arrays(&path, &["mask"], &["x"]).unwrap();
        assert_eq!(arrays["mask"].data, NpzData::Bool(vec![true]));
        let error = read_npz_arrays(&path, &["x"], &[]).unwrap_err().to_string();
        assert!(error.ends_with("has no array `x`; arrays: `mask`, `o`"), "{error}");

        let (_folder, path) = archive(&[("t.npy", &text)], CompressionMethod::Stored);
        assert!(matches!(read_npz(path), Err(ActivationError::ArrayType { .. })));
        assert!(matches!(read_one(record, &[0; 12]), Err(ActivationError::ArrayType { .. })));
    }

    #[test]
    fn a_file_that_is_no_archive_is_named() {
        let (_folder, path) = file_of(b"PK is not enough");
        assert!(matches!(read_npz(&path), Err(ActivationError::Zip { .. })));
        assert!(matches!(read_npz(path.join("x")), Err(ActivationError::Read { .. })));
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write_npz(&path, &[("x", NpzArray::new(vec![1000], vec![1.0_f32; 1000]))]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[2000] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(read_npz(&path), Err(ActivationError::ArrayData { .. })));
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

        #[test]
        fn any_shape_survives_both_orders(shape in prop::collection::vec(0_usize..4, 0..4)) {
            let n_values = shape.iter().product::<usize>();
            let values: Vec<i32> = (0..n_values as i32).collect();
            // Column-major order of the reversed axes is row-major order of the axes.
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            let there = row_major(&values, &reversed);
            prop_assert_eq!(row_major(&there, &shape), values);
        }
    }
}
