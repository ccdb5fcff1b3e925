//! JSON that may stand inside an HTML page.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::ReportError;

/// Significant digits of a number that is no integer, and its decimals if these are more.
///
/// A page shows at most as many, and a number takes less than half of what `f64` would.
const N_DIGITS: usize = 4;

/// Writes JSON that an HTML parser cannot mistake for anything but text.
///
/// `<`, `>`, and `&` are escaped, so no string can end the element or open a comment; U+2028 and
/// U+2029 are escaped because older scripts take them for ends of lines. Numbers are rounded to
/// four significant digits or decimals, those apart that a page would then round another way than
/// the number itself, and those that are not finite become `null`.
pub(crate) fn json_island(data: &impl Serialize) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Island);
    data.serialize(&mut serializer).map_err(|source| ReportError::Json { source })?;
    // serde_json writes UTF-8, and so does the formatter below.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Integers up to here are written whole: every one of them is a number of its own.
const WHOLE: f64 = 1e15;

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

/// A number in few characters, from which every rounding to four digits or decimals comes out as
/// from the number itself.
fn shortest(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned(); // also of -0
    }
    let size = value.abs();
    if size < WHOLE && value.fract() == 0.0 {
        return format!("{value}");
    }
    // Digits before the point, and as many after it as there are to be.
    let n_before = if (1.0..WHOLE).contains(&size) { size.log10() as usize + 1 } else { 0 };
    let n_decimals = if n_before > 0 { n_before + N_DIGITS - 1 } else { N_DIGITS - 1 };
    let digits = format!("{value:.n_decimals$e}");
    let rounded = digits.parse().unwrap_or(value);
    // Only a number that ends in 5 lies half way between two shorter ones.
    let mantissa = digits.split('e').next().unwrap_or_default().trim_end_matches(['0', '.']);
    let kept = if mantissa.ends_with('5') { value } else { rounded };
    let (plain, scientific) = (format!("{kept}"), format!("{kept:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{fixed, measured, scientific};

    #[test]
    fn a_number_takes_the_fewest_characters() {
        let written = |value: f64| json_island(&value).unwrap();
        assert_eq!(written(0.123_416), "0.1234");
        assert_eq!(written(1.0), "1");
        assert_eq!(written(-0.0), "0");
        assert_eq!(written(0.000_012_345), "1.234e-5");
        assert_eq!(written(0.5), "0.5");
        assert_eq!(written(-12.344_91), "-12.3449");
        assert_eq!(written(177_451.0), "177451");
        assert_eq!(written(1e300), "1e300");
    }

    #[test]
    fn a_number_that_seems_to_lie_half_way_is_written_whole() {
        let written = |value: f64| json_island(&value).unwrap();
        assert_eq!(written(0.652_500_000_000_000_1), "0.6525000000000001");
        assert_eq!(written(0.6525), "0.6525");
        assert_eq!(written(0.123_456), "0.123456");
        assert_eq!(written(0.123_449_99), "0.1234");
        assert_eq!(written(0.123_451), "0.123451");
        assert_eq!(written(0.799_996), "0.8");
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

        #[test]
        fn no_number_is_rounded_twice(value in prop_oneof![-2.0..2.0_f64, -2e5..2e5_f64], steps in -2_i64..3) {
            // Near what is half way, too.
            let half = ((value * 1000.0).round() + 0.5) / 1000.0;
            for value in [value, f64::from_bits((half.to_bits() as i64 + steps) as u64)] {
                let read: f64 = json_island(&value).unwrap().parse().unwrap();
                for decimals in 0..4 {
                    prop_assert_eq!(fixed(read, decimals), fixed(value, decimals), "{}", value);
                }
                prop_assert_eq!(measured(read), measured(value));
                prop_assert_eq!(scientific(read), scientific(value));
            }
        }
    }
}
