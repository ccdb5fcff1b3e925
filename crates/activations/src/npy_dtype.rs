//! The types of arrays that are read, as `numpy` spells them.

use crate::npy_error::NpyError;

/// Longest string of an array, in bytes: 16 MiB.
const MAX_STRING_BYTES: u64 = 1 << 24;

/// Type of the values of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NpyDtype {
    pub(crate) kind: NpyKind,
    pub(crate) is_big_endian: bool,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NpyKind {
    Bool,
    /// A signed integer of so many bytes.
    Int(u8),
    /// An unsigned integer of so many bytes.
    Uint(u8),
    /// A float of so many bytes.
    Float(u8),
    /// A string of so many characters, padded with NUL, in four bytes each.
    Unicode(u64),
    /// A string of so many bytes, padded with NUL.
    Bytes(u64),
}

impl NpyDtype {
    /// Parses `<f4`, and every other name that `numpy.dtype` takes for a number or a string.
    pub(crate) fn parse(descr: &str) -> Result<Self, NpyError> {
        let name = descr.trim_start_matches(['<', '>', '|', '=']);
        if name == "object" || name.starts_with('O') {
            return Err(NpyError::Object);
        }
        let kind = number(name).or_else(|| string(name));
        let kind = kind.ok_or_else(|| NpyError::Type { dtype: descr.to_owned() })?;
        Ok(Self { kind, is_big_endian: descr.starts_with('>') })
    }

    /// Bytes of one value.
    pub(crate) fn item_bytes(self) -> u64 {
        match self.kind {
            NpyKind::Bool => 1,
            NpyKind::Int(n) | NpyKind::Uint(n) | NpyKind::Float(n) => u64::from(n),
            NpyKind::Unicode(n) => 4 * n,
            NpyKind::Bytes(n) => n,
        }
    }

    /// The name that a person knows it by, such as `int32`.
    pub(crate) fn name(self) -> String {
        match self.kind {
            NpyKind::Bool => "bool".to_owned(),
            NpyKind::Int(n) => format!("int{}", 8 * n),
            NpyKind::Uint(n) => format!("uint{}", 8 * n),
            NpyKind::Float(n) => format!("float{}", 8 * n),
            NpyKind::Unicode(_) | NpyKind::Bytes(_) => "string".to_owned(),
        }
    }

    /// Whether values are floats.
    pub(crate) fn is_float(self) -> bool {
        matches!(self.kind, NpyKind::Float(_))
    }
}

/// The numbers of `numpy`, by code, by character, and by name, on a machine of 64 bits.
fn number(name: &str) -> Option<NpyKind> {
    Some(match name {
        "b1" | "?" | "bool" | "bool_" | "bool8" => NpyKind::Bool,
        "i1" | "b" | "int8" | "byte" => NpyKind::Int(1),
        "i2" | "h" | "int16" | "short" => NpyKind::Int(2),
        "i4" | "i" | "int32" | "intc" => NpyKind::Int(4),
        "i8" | "l" | "q" | "p" | "int64" | "int" | "int_" | "intp" | "long" | "longlong" => {
            NpyKind::Int(8)
        }
        "u1" | "B" | "uint8" | "ubyte" => NpyKind::Uint(1),
        "u2" | "H" | "uint16" | "ushort" => NpyKind::Uint(2),
        "u4" | "I" | "uint32" | "uintc" => NpyKind::Uint(4),
        "u8" | "L" | "Q" | "P" | "uint64" | "uint" | "uintp" | "ulong" | "ulonglong" => {
            NpyKind::Uint(8)
        }
        "f2" | "e" | "float16" | "half" => NpyKind::Float(2),
        "f4" | "f" | "float32" | "single" => NpyKind::Float(4),
        "f8" | "d" | "float64" | "double" | "float" | "float_" => NpyKind::Float(8),
        _ => return None,
    })
}

fn string(name: &str) -> Option<NpyKind> {
    let length = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
    let kind = length("U").map(NpyKind::Unicode).or_else(|| length("S").map(NpyKind::Bytes))?;
    let n_bytes = match kind {
        NpyKind::Unicode(n) => n.checked_mul(4)?,
        NpyKind::Bytes(n) => n,
        _ => return None,
    };
    // Strings of no bytes would fit into a file in any number.
    (1..=MAX_STRING_BYTES).contains(&n_bytes).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_numpy_are_known() {
        for (kind, spellings) in [
            (NpyKind::Float(4), &["<f4", "f4", "=f4", "float32", "f", "single", "<f"][..]),
            (NpyKind::Float(2), &["<f2", "float16", "half", "e"]),
            (NpyKind::Float(8), &["<f8", "float64", "double", "float", "d"]),
            (NpyKind::Int(8), &["<i8", "int64", "int", "l", "q"]),
            (NpyKind::Int(1), &["|i1", "int8", "b"]),
            (NpyKind::Uint(1), &["|u1", "uint8", "B"]),
            (NpyKind::Bool, &["|b1", "bool", "?"]),
            (NpyKind::Unicode(3), &["<U3", "U3"]),
            (NpyKind::Bytes(12), &["|S12", "S12"]),
        ] {
            for spelling in spellings {
                let found = NpyDtype::parse(spelling).unwrap();
                assert_eq!(found, NpyDtype { kind, is_big_endian: false }, "{spelling}");
            }
        }
        assert!(NpyDtype::parse(">f4").unwrap().is_big_endian);
        for other in ["<c8", "<M8[ns]", "<V2", "f3", "", "<", "Ux", "<U99999999999", "float31"] {
            assert!(matches!(NpyDtype::parse(other), Err(NpyError::Type { .. })), "{other}");
        }
        for object in ["|O", "O", "object", "|O8"] {
            assert!(matches!(NpyDtype::parse(object), Err(NpyError::Object)), "{object}");
        }
    }
}
