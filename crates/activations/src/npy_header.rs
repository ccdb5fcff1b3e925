//! The header of an npy file: type, order, and shape of an array.
//!
//! It is parsed here rather than by a crate, because those at hand allocate what the header asks
//! for, and overflow on its shape.

use std::io::{self, Read};

use crate::npy_dtype::NpyDtype;
use crate::npy_error::NpyError;

/// Longest npy header that is read; `numpy` itself refuses those above 10,000 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// How every npy file begins.
pub(crate) const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// What the header of an npy file says.
pub(crate) struct Header {
    pub(crate) descr: String,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
}

/// Type and shape of an npy file, from its header alone.
pub(crate) fn read_npy_header(entry: &mut impl Read) -> Result<(NpyDtype, Vec<usize>), NpyError> {
    let (Header { descr, shape, .. }, _) = read_header(entry)?;
    Ok((NpyDtype::parse(&descr)?, shape))
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

/// Reads magic, version, and header; returns also how many bytes they took.
pub(crate) fn read_header(reader: &mut impl Read) -> Result<(Header, u64), NpyError> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if start[..6] != MAGIC {
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

/// Splits a string in quotes, before which Python 2 writes a `u`, from what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('u').unwrap_or(text);
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// Parses `3, 4`, `3,`, `3L, 4L` of Python 2, or nothing at all.
fn parse_shape(axes: &str) -> Option<Vec<usize>> {
    let axes = axes.trim();
    if axes.is_empty() {
        return Some(Vec::new());
    }
    let length = |text: &str| {
        let text = text.trim();
        text.strip_suffix('L').unwrap_or(text).parse().ok()
    };
    axes.strip_suffix(',').unwrap_or(axes).split(',').map(length).collect()
}
