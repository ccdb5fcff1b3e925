//! The header of an npy file: type, order, and shape of an array.
//!
//! `npyz` parses it, behind a guard: the crate allocates as many bytes as a header says it has,
//! multiplies axes without a look at overflow, calls itself for each bracket, and knows neither
//! Python 2 nor types by their names. Headers are written here, in the bytes of `numpy`; `npyz` puts
//! a comma behind the last axis.

use std::io::{self, Read};

use npyz::{NpyHeader, Order};

use crate::npy_dtype::NpyDtype;
use crate::npy_error::NpyError;

/// Longest npy header that is read; `numpy` itself refuses those above 10,000 bytes.
const MAX_HEADER_BYTES: usize = 10_000;

/// How every npy file begins.
pub(crate) const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// The keys of a header, all of which it has.
const KEYS: [&str; 3] = ["descr", "fortran_order", "shape"];

/// What the header of an npy file says.
pub(crate) struct Header {
    pub(crate) dtype: NpyDtype,
    pub(crate) fortran_order: bool,
    /// The axes, whose product does not overflow.
    pub(crate) shape: Vec<usize>,
    /// Bytes that the header took.
    pub(crate) n_bytes: u64,
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

/// Reads magic, version, and header of an npy file of `size_bytes`.
pub(crate) fn read_header(reader: &mut impl Read, size_bytes: u64) -> Result<Header, NpyError> {
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
    let Guarded { text, dtype, shape } = guard(&text)?;
    // Axes of 0 count as 1: what comes before them is multiplied as well.
    let product = shape.iter().try_fold(1_u64, |n, &axis| n.checked_mul(axis.max(1) as u64));
    if product.is_none() {
        return Err(NpyError::Size { shape, size_bytes });
    }
    let text_bytes = (text.len() as u16).to_le_bytes();
    let guarded = [&MAGIC[..], &[1, 0], &text_bytes, text.as_bytes()].concat();
    let header = NpyHeader::from_reader(&guarded[..]).map_err(|_| MALFORMED)?;
    Ok(Header {
        dtype,
        fortran_order: header.order() == Order::Fortran,
        shape: header.shape().iter().map(|&axis| axis as usize).collect(),
        n_bytes: (8 + length_bytes + length) as u64,
    })
}

const MALFORMED: NpyError =
    NpyError::Header { reason: "it is not a dict of `descr`, `fortran_order`, and `shape`" };

/// What of a header may be parsed.
struct Guarded {
    /// A dict in one pair of braces, with at most one tuple in it.
    text: String,
    dtype: NpyDtype,
    /// All numbers in the order in which they stand.
    shape: Vec<usize>,
}

/// Takes `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }` apart, and puts together what
/// has nothing but these words, numbers from 0 on, and signs.
fn guard(header: &str) -> Result<Guarded, NpyError> {
    let (mut text, mut dtype, mut shape) = (String::new(), None, Vec::new());
    let (mut n_strings, mut n_brackets, mut is_type) = (0, [0; 2], false);
    let mut rest = header.trim();
    while let Some(sign) = rest.chars().next() {
        let behind = &rest[sign.len_utf8()..];
        rest = match sign {
            // Python 2 writes `u'<f4'`, and `3L` for a number.
            'u' if behind.starts_with(['\'', '"']) => behind,
            '\'' | '"' => {
                let (string, behind) = behind.split_once(sign).ok_or(MALFORMED)?;
                if is_type {
                    let parsed = NpyDtype::parse(string)?;
                    text.push_str(&parsed.dtype().descr());
                    dtype = Some(parsed);
                } else if KEYS.contains(&string) {
                    text.extend(["'", string, "'"]);
                } else {
                    return Err(MALFORMED);
                }
                is_type = !is_type && string == "descr";
                n_strings += 1;
                behind
            }
            '[' if is_type => {
                // The fields of a structured array, which is refused by this name.
                return Err(NpyError::Type { dtype: "structured".to_owned() });
            }
            '0'..='9' => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let axis: usize = rest[..end].parse().map_err(|_| MALFORMED)?;
                // Apart from what follows, or `3L4` would be 34.
                text.extend([&axis.to_string(), " "]);
                shape.push(axis);
                rest[end..].strip_prefix('L').unwrap_or(&rest[end..])
            }
            'T' | 'F' => {
                let word = if sign == 'T' { "True" } else { "False" };
                text.push_str(word);
                rest.strip_prefix(word).ok_or(MALFORMED)?
            }
            '{' | '(' => {
                let n = &mut n_brackets[usize::from(sign == '(')];
                *n += 1;
                if *n > 1 {
                    return Err(MALFORMED);
                }
                text.push(sign);
                behind
            }
            '}' | ')' | ':' | ',' => {
                text.push(sign);
                behind
            }
            sign if sign.is_whitespace() => {
                text.push(' ');
                behind
            }
            _ => return Err(MALFORMED),
        };
    }
    // Three keys and a type: whatever else there were, it would not be read.
    match dtype {
        Some(dtype) if n_strings == KEYS.len() + 1 => Ok(Guarded { text, dtype, shape }),
        _ => Err(MALFORMED),
    }
}
