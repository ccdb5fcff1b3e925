//! Checks that keys of several tables share.

use std::path::Path;

use attention_probes_errors::is_plain_name;

use crate::SweepError;

/// Checks learning rates that a key gives.
pub(crate) fn check_learning_rates(key: &'static str, values: &[f64]) -> Result<(), SweepError> {
    not_empty(key, values)?;
    if let Some(&value) = values.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
        return Err(SweepError::Number { key, value, expected: "numbers above 0" });
    }
    told_apart(key, values)
}

/// Checks weight decays that a key gives.
pub(crate) fn check_weight_decays(key: &'static str, values: &[f64]) -> Result<(), SweepError> {
    not_empty(key, values)?;
    for &value in values {
        at_least(key, value, 0.0)?;
    }
    told_apart(key, values)
}

/// Names become folders and files, so they must be plain, and no longer than a file name may be
/// with what is added to it.
pub(crate) fn check_name(key: &'static str, name: &str) -> Result<(), SweepError> {
    let reserved = Path::new(name)
        .extension()
        .is_some_and(|end| ["toml", "html", "checkpoint"].iter().any(|other| end == *other));
    if is_plain_name(name) && !reserved {
        return Ok(());
    }
    let expected = "1 to 100 letters, digits, `-`, `_`, and `.`, not beginning with `.` and not \
                    ending in `.toml`, `.html`, or `.checkpoint`";
    Err(SweepError::Word { key, value: name.to_owned(), expected })
}

pub(crate) fn not_empty<T>(key: &'static str, list: &[T]) -> Result<(), SweepError> {
    if list.is_empty() { Err(SweepError::Empty { key }) } else { Ok(()) }
}

/// Files are named with three digits of a number, so numbers must differ in these.
pub(crate) fn told_apart(key: &'static str, values: &[f64]) -> Result<(), SweepError> {
    let name = |value: f64| format!("{value:.2e}");
    for (index, &second) in values.iter().enumerate() {
        if let Some(&first) = values[..index].iter().find(|first| name(**first) == name(second)) {
            return Err(SweepError::SameName { key, first, second });
        }
    }
    Ok(())
}

pub(crate) fn at_least(key: &'static str, value: f64, least: f64) -> Result<(), SweepError> {
    if value.is_finite() && value >= least {
        return Ok(());
    }
    let expected = if least == 0.0 { "numbers of at least 0" } else { "a number of at least 1" };
    Err(SweepError::Number { key, value, expected })
}
