//! The types of arrays that are read, as `numpy` spells them.

use npyz::{DType, TypeChar, TypeStr};

use crate::npy_error::NpyError;

/// Longest string of an array, in bytes: 16 MiB.
const MAX_STRING_BYTES: u64 = 1 << 24;

/// Type of the values of an array: one of those that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NpyDtype(TypeStr);

impl NpyDtype {
    /// Parses `<f4`, and every other name that `numpy.dtype` takes for a number or a string.
    ///
    /// `npyz` knows the first spelling alone, and types of any width, such as `<U0`, of which any
    /// number would fit into a file.
    pub(crate) fn parse(descr: &str) -> Result<Self, NpyError> {
        let name = descr.trim_start_matches(['<', '>', '|', '=']);
        if name == "object" || name.starts_with('O') {
            return Err(NpyError::Object);
        }
        let unknown = || NpyError::Type { dtype: descr.to_owned() };
        let code = number(name).map(str::to_owned).or_else(|| string(name)).ok_or_else(unknown)?;
        let order = match &code[..] {
            "b1" | "i1" | "u1" => '|',
            code if code.starts_with('S') => '|',
            _ if descr.starts_with('>') => '>',
            _ => '<',
        };
        format!("{order}{code}").parse().map(Self).map_err(|_| unknown())
    }

    /// As `npyz` knows it.
    pub(crate) fn dtype(&self) -> DType {
        DType::new_scalar(self.0.clone())
    }

    /// What a value is, and its size in bytes, in characters of `U`.
    pub(crate) fn kind(&self) -> (TypeChar, u64) {
        (self.0.type_char(), self.0.size_field())
    }

    /// Bytes of one value.
    pub(crate) fn item_bytes(&self) -> u64 {
        // No string is longer than `MAX_STRING_BYTES`.
        self.0.num_bytes().map_or(u64::MAX, |n| n as u64)
    }

    /// The name that a person knows it by, such as `int32`.
    pub(crate) fn name(&self) -> String {
        match self.kind() {
            (TypeChar::Bool, _) => "bool".to_owned(),
            (TypeChar::Int, n) => format!("int{}", 8 * n),
            (TypeChar::Uint, n) => format!("uint{}", 8 * n),
            (TypeChar::Float, n) => format!("float{}", 8 * n),
            _ => "string".to_owned(),
        }
    }

    /// Whether values are floats.
    pub(crate) fn is_float(&self) -> bool {
        self.0.type_char() == TypeChar::Float
    }
}

/// Codes of the numbers of `numpy`, by code, by character, and by name, on a machine of 64 bits.
fn number(name: &str) -> Option<&'static str> {
    Some(match name {
        "b1" | "?" | "bool" | "bool_" | "bool8" => "b1",
        "i1" | "b" | "int8" | "byte" => "i1",
        "i2" | "h" | "int16" | "short" => "i2",
        "i4" | "i" | "int32" | "intc" => "i4",
        "i8" | "l" | "q" | "p" | "int64" | "int" | "int_" | "intp" | "long" | "longlong" => "i8",
        "u1" | "B" | "uint8" | "ubyte" => "u1",
        "u2" | "H" | "uint16" | "ushort" => "u2",
        "u4" | "I" | "uint32" | "uintc" => "u4",
        "u8" | "L" | "Q" | "P" | "uint64" | "uint" | "uintp" | "ulong" | "ulonglong" => "u8",
        "f2" | "e" | "float16" | "half" => "f2",
        "f4" | "f" | "float32" | "single" => "f4",
        "f8" | "d" | "float64" | "double" | "float" | "float_" => "f8",
        _ => return None,
    })
}

fn string(name: &str) -> Option<String> {
    let length = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
    let n_bytes = match (length("U"), length("S")) {
        (Some(n), _) => n.checked_mul(4)?,
        (None, n) => n?,
    };
    // Strings of no bytes would fit into a file in any number.
    (1..=MAX_STRING_BYTES).contains(&n_bytes).then(|| {
        let (kind, n) = if name.starts_with('U') { ('U', n_bytes / 4) } else { ('S', n_bytes) };
        format!("{kind}{n}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_numpy_are_known() {
        for (expected, spellings) in [
            ("<f4", &["<f4", "f4", "=f4", "float32", "f", "single", "<f"][..]),
            ("<f2", &["<f2", "float16", "half", "e"]),
            ("<f8", &["<f8", "float64", "double", "float", "d"]),
            ("<i8", &["<i8", "int64", "int", "l", "q"]),
            ("|i1", &["|i1", "int8", "b"]),
            ("|u1", &["|u1", "uint8", "B"]),
            ("|b1", &["|b1", "bool", "?"]),
            ("<U3", &["<U3", "U3"]),
            ("|S12", &["|S12", "S12"]),
        ] {
            for spelling in spellings {
                let found = NpyDtype::parse(spelling).unwrap();
                assert_eq!(found.0.to_string(), expected, "{spelling}");
            }
        }
        assert_eq!(NpyDtype::parse(">f4").unwrap().0.to_string(), ">f4");
        assert_eq!(NpyDtype::parse(">U2").unwrap().item_bytes(), 8);
        for other in
            ["<c8", "<M8[ns]", "<V2", "f3", "", "<", "Ux", "<U99999999999", "float31", "<U0", "|S0"]
        {
            assert!(matches!(NpyDtype::parse(other), Err(NpyError::Type { .. })), "{other}");
        }
        for object in ["|O", "O", "object", "|O8"] {
            assert!(matches!(NpyDtype::parse(object), Err(NpyError::Object)), "{object}");
        }
    }
}
