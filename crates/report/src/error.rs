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
