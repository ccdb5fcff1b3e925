//! One array of an npz archive: an npy header, then the values.
//!
//! The header is parsed here rather than by a crate, because those at hand allocate what the
//! header asks for, and overflow on its shape.

use std::io::{self, Read, Write};

use half::f16;

use crate::wording::shown;
use crate::{NpzArray, NpzData};

/// Largest array that is read, in bytes: 64 GiB.
const MAX_ARRAY_BYTES: u64 = 1 << 36;

/// Longest npy header that is read; `numpy` itself refuses those above 10,000 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// Values that are decoded at a time.
const CHUNK: usize = 16 * 1024;

/// Why an array of an npz could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The data is damaged or ends early.
    #[error("it is damaged or cut off")]
    Data {
        /// What went wrong.
        #[from]
        source: io::Error,
    },
    /// The header is malformed.
    #[error("it has no valid npy header: {reason}")]
    Header {
        /// What is wrong with the header.
        reason: &'static str,
    },
    /// The array holds pickled Python objects.
    #[error("it holds pickled objects, which are never read; save it as numbers")]
    Object,
    /// The array has a type that is not read.
    #[error(
        "it has dtype `{}`, expected float16, float32, float64, bool, or an integer",
        shown(dtype)
    )]
    Type {
        /// Name of the type in `numpy`.
        dtype: String,
    },
    /// The header claims another size than the entry of the archive has.
    #[error("it claims shape {shape:?}, but its entry has room for {size_bytes} bytes")]
    Size {
        /// The shape that the header claims.
        shape: Vec<usize>,
        /// Bytes that the entry can hold.
        size_bytes: u64,
    },
}

/// Reads one npy file of `size_bytes`, to its end, so that the archive checks its checksum.
///
/// No more than `max_reserved` values are allocated before they arrive.
pub(crate) fn read_npy(
    entry: &mut impl Read,
    size_bytes: u64,
    max_reserved: usize,
) -> Result<NpzArray, NpyError> {
    let (header, header_bytes) = read_header(entry)?;
    let item_bytes = item_bytes(&header.descr)?;
    let n_values = header.shape.iter().try_fold(1_usize, |n, &axis| n.checked_mul(axis));
    let data_bytes = n_values
        .and_then(|n_values| (n_values as u64).checked_mul(item_bytes))
        .filter(|data_bytes| *data_bytes <= MAX_ARRAY_BYTES);
    let (Some(n_values), Some(data_bytes)) = (n_values, data_bytes) else {
        return Err(NpyError::Size { shape: header.shape, size_bytes });
    };
    if size_bytes.checked_sub(header_bytes) != Some(data_bytes) {
        return Err(NpyError::Size { shape: header.shape, size_bytes });
    }

    let big_endian = header.descr.starts_with('>');
    let bytes = Bytes { reader: entry, n_values, max_reserved, big_endian };
    let data = read_values(bytes, &header.descr)?;
    if entry.read(&mut [0])? != 0 {
        return Err(NpyError::Size { shape: header.shape, size_bytes });
    }
    let data = if header.fortran_order { data.into_row_major(&header.shape) } else { data };
    Ok(NpzArray { shape: header.shape, data })
}

/// An npy header of version 1, padded so that the data begins at a multiple of 64.
///
/// An error if the shape is too long for it to be read again.
pub(crate) fn npy_header(shape: &[usize], descr: &str) -> io::Result<Vec<u8>> {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let axes = if let [axis] = &axes[..] { format!("{axis},") } else { axes.join(", ") };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    let unpadded = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');

    if text.len() > MAX_HEADER_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an array has too many axes"));
    }
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

pub(crate) fn write_values(writer: &mut impl Write, data: &NpzData) -> io::Result<()> {
    match data {
        NpzData::F32(values) => encode(writer, values, f32::to_le_bytes),
        NpzData::F64(values) => encode(writer, values, f64::to_le_bytes),
        NpzData::I64(values) => encode(writer, values, i64::to_le_bytes),
        NpzData::I32(values) => encode(writer, values, i32::to_le_bytes),
        NpzData::U8(values) => writer.write_all(values),
        NpzData::Bool(values) => encode(writer, values, |value| [u8::from(value)]),
    }
}

/// What the header of an npy file says.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl NpzData {
    /// The type string, in `numpy`, of what is written.
    pub(crate) fn descr(&self) -> &'static str {
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
    pub(crate) fn item_bytes(&self) -> usize {
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

/// Reads magic, version, and header; returns also how many bytes they took.
fn read_header(reader: &mut impl Read) -> Result<(Header, u64), NpyError> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(NpyError::Header { reason: "it does not begin with `\\x93NUMPY`" });
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
        _ => return Err(NpyError::Header { reason: "its version is not 1, 2, or 3" }),
    };
    if length > MAX_HEADER_BYTES {
        return Err(NpyError::Header { reason: "it is longer than 10,000 bytes" });
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let text =
        String::from_utf8(text).map_err(|_| NpyError::Header { reason: "it is not UTF-8" })?;
    let header = parse_header(&text).ok_or(NpyError::Header {
        reason: "it is not a dict of `descr`, `fortran_order`, and `shape`",
    })?;
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
fn item_bytes(descr: &str) -> Result<u64, NpyError> {
    match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "u1" | "i1" => Ok(1),
        "f2" | "i2" | "u2" => Ok(2),
        "f4" | "i4" | "u4" => Ok(4),
        "f8" | "i8" | "u8" => Ok(8),
        other if other.starts_with('O') => Err(NpyError::Object),
        _ => Err(NpyError::Type { dtype: descr.to_owned() }),
    }
}

fn read_values(bytes: Bytes<'_, impl Read>, descr: &str) -> Result<NpzData, NpyError> {
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
            NpzData::I64(values.map_err(|_| NpyError::Type {
                dtype: "uint64 with values above those of int64".to_owned(),
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
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An npy file of version 1 with any header text and data.
    pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read_one(header: &str, data: &[u8]) -> Result<NpzArray, NpyError> {
        read_bytes(&npy(header, data))
    }

    fn read_bytes(mut bytes: &[u8]) -> Result<NpzArray, NpyError> {
        let size_bytes = bytes.len();
        read_npy(&mut bytes, size_bytes as u64, size_bytes)
    }

    #[test]
    fn an_independent_reader_agrees_with_the_header() {
        let arrays = [
            NpzArray::new(vec![2, 3], vec![0.0_f32; 6]),
            NpzArray::new(vec![2], vec![1.0_f64, 1e300]),
            NpzArray::new(vec![], vec![i64::MIN]),
            NpzArray::new(vec![0, 4], Vec::<i32>::new()),
            NpzArray::new(vec![2], b"{}".to_vec()),
            NpzArray::new(vec![1, 1, 2], vec![true, false]),
        ];
        for array in arrays {
            let bytes = npy_header(&array.shape, array.data.descr()).unwrap();
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
        assert!(matches!(read_one(header, &[255; 8]), Err(NpyError::Type { .. })));
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
            assert!(matches!(result, Err(NpyError::Size { .. })), "{shape}");
        }
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
            assert!(matches!(result, Err(NpyError::Header { .. })), "{header}");
        }
        assert!(matches!(read_bytes(b"\x93NUMP"), Err(NpyError::Data { .. })));
        assert!(matches!(read_bytes(&npy(&" ".repeat(20_000), &[])), Err(NpyError::Header { .. })));
    }

    #[test]
    fn records_are_refused() {
        let header =
            "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}";
        assert!(matches!(read_one(header, &[0; 12]), Err(NpyError::Type { .. })));
    }

    proptest! {
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
