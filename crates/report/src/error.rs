//! Why a page could not be made.

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
    /// The data could not be written as JSON.
    #[error("the data of the page could not be written as JSON")]
    Json {
        /// What went wrong.
        source: serde_json::Error,
    },
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
