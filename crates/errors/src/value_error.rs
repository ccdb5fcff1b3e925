//! A value that is out of range.

use std::fmt::Display;

use crate::ErrorKind;

/// A value of the caller's that cannot be used.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::ValueError;
///
/// let error = ValueError::new("level", 1.5, "between 0 and 1");
/// assert_eq!(error.to_string(), "`level` is 1.5, expected between 0 and 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {value}, expected {expected}")]
pub struct ValueError {
    /// The field or parameter.
    pub name: &'static str,
    /// What the caller gave.
    pub value: String,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl ValueError {
    /// Names a value, shows it, and says what is accepted.
    pub fn new(name: &'static str, value: impl Display, expected: &'static str) -> Self {
        Self { name, value: value.to_string(), expected }
    }

    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}
