//! Why a page could not be made.

use attention_probes_errors::ErrorKind;

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A list is not as long as what it describes.
    #[error("{at}: `{field}` has length {length}, expected {expected}")]
    Length {
        /// Where on the page, in words.
        at: String,
        /// The list.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The length that would fit.
        expected: usize,
    },
    /// A class index is not below the number of classes.
    #[error("{at}: class {class} was predicted, expected one below {n_classes}")]
    Class {
        /// Where on the page, in words.
        at: String,
        /// The class index.
        class: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// An index is not below the number of what it points into.
    #[error("{at}: `{field}` is {index}, expected one below {n}")]
    Index {
        /// Where on the page, in words.
        at: String,
        /// The index.
        field: &'static str,
        /// Its value.
        index: usize,
        /// How many there are.
        n: usize,
    },
    /// Something is listed twice that may be listed once.
    #[error("`{field}` has {index} twice")]
    Repeated {
        /// The list.
        field: &'static str,
        /// What is in it twice.
        index: usize,
    },
    /// A pair is listed twice that may be listed once.
    #[error("{at}: the pair of {} and {} is listed twice", pair.0, pair.1)]
    RepeatedPair {
        /// Where on the page, in words.
        at: String,
        /// The pair.
        pair: (usize, usize),
    },
    /// A number is NaN or infinite where the page needs one.
    #[error("{at}: `{field}` has {value} at {index}, expected finite numbers")]
    NonFinite {
        /// Where on the page, in words.
        at: String,
        /// The number, or the list that it is in.
        field: &'static str,
        /// Its place in the list, 0 where there is none.
        index: usize,
        /// The number.
        value: f64,
    },
    /// An address leads out of the folder of the pages.
    #[error(
        "{at}: `{field}` is `{link}`, expected an address relative to the page, such as \
         `samples/one.html`"
    )]
    Link {
        /// Where on the page, in words.
        at: String,
        /// What the address is for.
        field: &'static str,
        /// The address.
        link: String,
    },
    /// The data could not be written as JSON.
    #[error("the data of the page could not be written as JSON")]
    Json {
        /// What went wrong.
        source: serde_json::Error,
    },
}

impl ReportError {
    /// What kind of error it is: [`ErrorKind::Input`], as a page shows what it is given.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Json { .. } => ErrorKind::Fault,
            _ => ErrorKind::Input,
        }
    }

    /// `false`: a page looks for nothing.
    pub fn is_not_found(&self) -> bool {
        false
    }
}

/// Checks that a list is as long as what it describes.
pub(crate) fn check_length(
    at: impl Fn() -> String,
    field: &'static str,
    length: usize,
    expected: usize,
) -> Result<(), ReportError> {
    if length == expected {
        return Ok(());
    }
    Err(ReportError::Length { at: at(), field, length, expected })
}

/// Checks that an index is below the number of what it points into.
pub(crate) fn check_index(
    at: impl Fn() -> String,
    field: &'static str,
    index: usize,
    n: usize,
) -> Result<(), ReportError> {
    if index < n {
        return Ok(());
    }
    Err(ReportError::Index { at: at(), field, index, n })
}

/// Checks that numbers are neither NaN nor infinite.
pub(crate) fn check_finite(
    at: impl Fn() -> String,
    field: &'static str,
    values: &[f64],
) -> Result<(), ReportError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(ReportError::NonFinite { at: at(), field, index, value: values[index] }),
        None => Ok(()),
    }
}
