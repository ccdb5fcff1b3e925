//! Numbers as a person reads them, rounded once and the same way on every page and terminal.
//!
//! A number half way between two others is rounded away from zero, as `Number.prototype.toFixed`
//! does; Rust's own formatting rounds it to even. `templates/page.js` has the same functions under
//! the same names, and both are tested with `tests/golden/numbers.json`.

/// Size from which on a number is no longer written out.
const LARGE: f64 = 1e5;

/// A number with a fixed number of decimals, so that columns align: `0.653`. From 100,000 on three
/// digits and a power of ten.
///
/// # Examples
///
/// ```
/// use attention_probes::report::fixed;
///
/// assert_eq!(fixed(0.652_500_000_000_000_1, 3), "0.653");
/// assert_eq!((fixed(0.3125, 3), fixed(-0.0625, 3)), ("0.313".to_owned(), "-0.063".to_owned()));
/// ```
pub fn fixed(value: f64, decimals: usize) -> String {
    if value.abs() >= LARGE {
        return power(value, 2);
    }
    // Exactly half way between two such numbers lie odd multiples of 2^-(decimals + 1), if they
    // have no further binary digit.
    let halves = value * 2.0_f64.powi(decimals as i32 + 1);
    let is_half = halves.fract() == 0.0 && (halves * 0.5).fract() != 0.0;
    let value = if is_half { away_from_zero(value) } else { value };
    format!("{value:.decimals$}")
}

/// A number of any size: three decimals, or three digits of what is too large or too small for
/// them, such as `1.77e5`.
///
/// # Examples
///
/// ```
/// use attention_probes::report::measured;
///
/// assert_eq!(["0.123", "177451.0"].map(|text| measured(text.parse().unwrap())), ["0.123", "1.77e5"]);
/// ```
pub fn measured(value: f64) -> String {
    let is_small = value != 0.0 && value.abs() < 1e-3;
    if is_small { power(value, 2) } else { fixed(value, 3) }
}

/// A difference, always with its sign.
pub fn signed(value: f64) -> String {
    let text = fixed(value.abs(), 3);
    if value < 0.0 { format!("-{text}") } else { format!("+{text}") }
}

/// A step size, a weight decay, or a penalty, with at most four digits, as short as it can be:
/// `5e-3`.
pub fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = power(value, 3);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{exponent}")
}

/// As [`scientific`], a number, or the lowest and the highest of several.
///
/// # Examples
///
/// ```
/// use attention_probes::report::scientific_range;
///
/// assert_eq!(scientific_range(&[10.0]), "1e1");
/// assert_eq!(scientific_range(&[10.0, 0.1]), "1e-1 to 1e1");
/// ```
pub fn scientific_range(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let [shown_low, shown_high] = [low, high].map(scientific);
    if low < high { format!("{shown_low} to {shown_high}") } else { shown_high }
}

/// A number as digits and a power of ten.
fn power(value: f64, decimals: usize) -> String {
    // Half way in decimal: five is the last digit of the exact number, and the next after those
    // that are kept.
    // No exact number that is half way after so few digits has more than 60 of them.
    let exact = format!("{value:.60e}");
    let rest = exact.split_once('.').and_then(|(_, rest)| rest.get(decimals..60));
    let rest = rest.and_then(|rest| rest.strip_prefix('5'));
    let is_half = rest.is_some_and(|rest| rest.bytes().all(|digit| digit == b'0'));
    let value = if is_half { away_from_zero(value) } else { value };
    format!("{value:.decimals$e}")
}

fn away_from_zero(value: f64) -> f64 {
    if value < 0.0 { value.next_down() } else { value.next_up() }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        raw: f64,
        fixed: String,
        measured: String,
        scientific: String,
        signed: String,
    }

    #[test]
    fn numbers_are_shown_as_pages_show_them() {
        let text = include_str!("../tests/golden/numbers.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let found = [fixed(case.raw, 3), measured(case.raw), scientific(case.raw)];
            assert_eq!(found, [case.fixed, case.measured, case.scientific], "{}", case.raw);
            assert_eq!(signed(case.raw), case.signed, "{}", case.raw);
        }
    }

    #[test]
    fn half_way_is_away_from_zero_with_any_number_of_decimals() {
        assert_eq!(
            (fixed(0.5, 0), fixed(2.5, 0), fixed(-1.5, 0)),
            ("1".into(), "3".into(), "-2".into())
        );
        assert_eq!(
            (fixed(31.25, 1), fixed(0.125, 2), fixed(0.0, 3)),
            ("31.3".into(), "0.13".into(), "0.000".into())
        );
        // These are not half way: the nearest `f64` lies below or above.
        assert_eq!((fixed(0.6525, 3), fixed(1.005, 2)), ("0.652".into(), "1.00".into()));
    }
}
