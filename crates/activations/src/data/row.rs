//! Rows of a file of texts, which columns they are read from, and what is wrong with one.

use std::fs::File;
use std::io;
use std::path::Path;

use attention_probes_errors::{FileError, nearest};

use super::checked_file::{CheckedFile, line_at};
use crate::{ActivationError, TableError, TableFormat};

/// Bytes that are read at a time.
pub(crate) const BUFFER_BYTES: usize = 1 << 16;

/// One row; label and group are as they stand in the file, without spaces around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRow {
    /// The text, which may be empty.
    pub text: String,
    /// Its label, if labels are read and the row has one.
    pub label: Option<String>,
    /// Its group, if the config names a column of groups and the row has one.
    pub group: Option<String>,
}

/// Names of the columns to read.
pub(crate) struct Columns {
    pub(crate) text: String,
    pub(crate) label: Option<String>,
    pub(crate) label_is_needed: bool,
    /// Whether a label is taken as it stands.
    pub(crate) label_is_raw: bool,
    pub(crate) group: Option<String>,
    /// How fields of CSV and TSV files are written.
    pub(crate) format: TableFormat,
}

impl Columns {
    pub(crate) fn has(&self, column: &str) -> bool {
        column == self.text
            || self.label.as_deref() == Some(column)
            || self.group.as_deref() == Some(column)
    }
}

/// A name without the spaces around it.
pub(crate) fn name_of(field: &str) -> String {
    field.trim().to_owned()
}

/// What went wrong while a file was read: its bytes, or the disk.
pub(crate) fn fault_of(path: &Path, file: &CheckedFile, source: io::Error) -> ActivationError {
    let Some(byte) = file.fault() else { return FileError::read(path)(source).into() };
    match line_in(path, byte) {
        Ok(line) => TableError::Utf8 { path: path.to_owned(), line }.into(),
        Err(error) => error,
    }
}

/// Line of a byte, from 1, found by reading the file again.
pub(crate) fn line_in(path: &Path, byte: u64) -> Result<usize, ActivationError> {
    Ok(File::open(path).and_then(|file| line_at(file, byte)).map_err(FileError::read(path))?)
}

pub(crate) fn field_type(
    path: &Path,
    line: usize,
    column: &str,
    found: &'static str,
    expected: &'static str,
) -> TableError {
    TableError::FieldType {
        path: path.to_owned(),
        line,
        column: column.to_owned(),
        found,
        expected,
    }
}

pub(crate) fn missing_column(
    path: &Path,
    line: usize,
    column: &str,
    columns: Vec<String>,
) -> TableError {
    let nearest = nearest(column, &columns).map(str::to_owned);
    let (path, column) = (path.to_owned(), column.to_owned());
    TableError::MissingColumn { path, line, column, columns, nearest }
}

/// Whether a text has nothing but white space.
pub(crate) fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_column_is_suggested() {
        let columns = ["Text", "labels", "prompt_id"].map(str::to_owned);
        assert_eq!(nearest("text", &columns), Some("Text"));
        assert_eq!(nearest("label", &columns), Some("labels"));
        assert_eq!(nearest("lable", &columns), Some("labels"));
        assert_eq!(nearest("promptid", &columns), Some("prompt_id"));
        assert_eq!(nearest("sentence", &columns), None);
    }
}
