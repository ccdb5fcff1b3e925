//! JSON that may stand inside an HTML page.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::ReportError;

/// Digits after the first of every number that is no integer.
///
/// Four significant digits are more than a page shows, and less than half of what `f64` would take.
const N_DECIMALS: usize = 3;

/// Writes JSON that an HTML parser cannot mistake for anything but text.
///
/// `<`, `>`, and `&` are escaped, so no string can end the element or open a comment; U+2028 and
/// U+2029 are escaped because older scripts take them for ends of lines. Numbers are rounded to
/// four significant digits, and those that are not finite become `null`.
pub(crate) fn json_island(data: &impl Serialize) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Island);
    data.serialize(&mut serializer).map_err(|source| ReportError::Json { source })?;
    // serde_json writes UTF-8, and so does the formatter below.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Island;

impl Formatter for Island {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(shortest(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_special = |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some(at) = rest.find(is_special) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut after = special.chars();
            if let Some(c) = after.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A number in as few characters as four significant digits need.
fn shortest(value: f64) -> String {
    let rounded = format!("{value:.N_DECIMALS$e}").parse().unwrap_or(value);
    if rounded == 0.0 {
        return "0".to_owned(); // also of -0
    }
    let (plain, scientific) = (format!("{rounded}"), format!("{rounded:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_number_takes_the_fewest_characters() {
        let written = |value: f64| json_island(&value).unwrap();
        assert_eq!(written(0.123_456), "0.1235");
        assert_eq!(written(1.0), "1");
        assert_eq!(written(-0.0), "0");
        assert_eq!(written(0.000_012_345), "1.234e-5");
        assert_eq!(written(0.5), "0.5");
        assert_eq!(written(-12.344_9), "-12.34");
        assert_eq!(written(1e300), "1e300");
    }

    #[test]
    fn what_is_not_finite_is_null() {
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(json_island(&values).unwrap(), "[null,null,null]");
    }

    #[test]
    fn markup_is_escaped() {
        let text = "</script><!-- & \u{2028}\u{2029} \" ' \\ \n";
        let json = json_island(&text).unwrap();
        assert_eq!(json, r#""\u003c/script\u003e\u003c!-- \u0026 \u2028\u2029 \" ' \\ \n""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    proptest! {
        #[test]
        fn any_string_comes_back(text in any::<String>()) {
            let json = json_island(&text).unwrap();
            let is_bare = json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            prop_assert!(!is_bare);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_number_is_json_and_near(value in any::<f64>()) {
            let json: Value = serde_json::from_str(&json_island(&value).unwrap()).unwrap();
            match json.as_f64() {
                Some(read) if value.is_normal() => {
                    prop_assert!((read - value).abs() <= 5.1e-4 * value.abs());
                }
                Some(_) => prop_assert!(value.is_finite()),
                None => prop_assert!(!value.is_finite()),
            }
        }
    }
}
