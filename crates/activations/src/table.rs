//! Rows of text, label, and group from CSV, TSV, and JSON Lines files, one after the other.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use attention_probes_models::edit_distance;
use serde_json::{Map, Value};

use crate::{
    ActivationError, DatasetConfig,
    checked_file::{CheckedFile, line_at},
    delimited::Delimited,
};

/// Bytes that are read at a time.
pub(crate) const BUFFER_BYTES: usize = 1 << 16;

/// One row; label and group are as they stand in the file, without spaces around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRow {
    /// The text, which may be empty.
    pub text: String,
    /// Its label, if labels are read and the row has one.
    pub label: Option<String>,
    /// Its group, if the config names a column of groups.
    pub group: Option<String>,
}

/// What [`TextReader`] does about the column of the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelColumn {
    /// Leaves it alone; it need not exist.
    Ignored,
    /// Takes what is a string, an integer, or a boolean; anything else is no label.
    IfThere,
    /// Refuses a file, and a row, without a label.
    Needed,
}

/// Rows of a `.csv`, `.tsv`, or `.jsonl` file in UTF-8, in the order of the file.
///
/// After an error there is no further row.
///
/// # Memory
///
/// One row and a buffer, however long the file is.
///
/// # Examples
///
/// ```
/// use attention_probes_activations::{DatasetConfig, LabelColumn, TextReader};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("reviews.csv");
/// std::fs::write(&path, "text,label\n\"fine, really\",pos\nawful,\n")?;
/// let mut rows = TextReader::open(&path, &DatasetConfig::default(), LabelColumn::IfThere)?;
/// let first = rows.next().transpose()?.ok_or("a row")?;
/// assert_eq!((first.text.as_str(), first.label.as_deref()), ("fine, really", Some("pos")));
/// assert_eq!(rows.next().transpose()?.ok_or("a row")?.label, None);
/// assert!(rows.next().is_none());
/// assert_eq!(rows.hash(), blake3::hash(&std::fs::read(&path)?).to_hex().to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TextReader {
    path: PathBuf,
    columns: Columns,
    rows: Rows,
    is_at_end: bool,
}

/// Names of the columns to read.
pub(crate) struct Columns {
    pub(crate) text: String,
    pub(crate) label: Option<String>,
    pub(crate) label_is_needed: bool,
    pub(crate) group: Option<String>,
}

/// The form of a file, and how far it has been read.
enum Rows {
    Delimited(Box<Delimited>),
    JsonLines { reader: BufReader<CheckedFile>, line: usize, json: Vec<u8> },
}

impl TextReader {
    /// Opens a file and finds the columns that the config names.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::Read`], [`ActivationError::Extension`], [`ActivationError::Utf8`] or
    ///   [`ActivationError::Csv`] if the file cannot be read
    /// - [`ActivationError::MissingColumn`] or [`ActivationError::DuplicateColumn`] if the header
    ///   does not fit the config
    ///
    /// A row can also be [`ActivationError::RowLength`], [`ActivationError::OpenQuote`],
    /// [`ActivationError::Json`], or [`ActivationError::FieldType`].
    pub fn open(
        path: impl AsRef<Path>,
        config: &DatasetConfig,
        label: LabelColumn,
    ) -> Result<Self, ActivationError> {
        let path = path.as_ref().to_owned();
        let columns = Columns {
            text: config.text.clone(),
            label: (label != LabelColumn::Ignored).then(|| config.label.clone()),
            label_is_needed: label == LabelColumn::Needed,
            group: config.group.clone(),
        };
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let separator = match extension.to_str() {
            Some("csv") => Some(b','),
            Some("tsv") => Some(b'\t'),
            Some("jsonl") => None,
            _ => return Err(ActivationError::Extension { path }),
        };
        let file = CheckedFile::open(&path).map_err(|source| read_error(&path, source))?;
        let rows = if let Some(separator) = separator {
            Rows::Delimited(Box::new(Delimited::open(&path, file, separator, &columns)?))
        } else {
            let reader = BufReader::with_capacity(BUFFER_BYTES, file);
            Rows::JsonLines { reader, line: 0, json: Vec::new() }
        };
        Ok(Self { path, columns, rows, is_at_end: false })
    }

    /// BLAKE3 as hex of what has been read: of the file, once there is no further row.
    pub fn hash(&self) -> String {
        match &self.rows {
            Rows::Delimited(rows) => rows.hash(),
            Rows::JsonLines { reader, .. } => reader.get_ref().hash(),
        }
    }

    fn read_row(&mut self) -> Result<Option<TextRow>, ActivationError> {
        let Self { path, columns, rows, .. } = self;
        match rows {
            Rows::Delimited(rows) => rows.read_row(path, columns),
            Rows::JsonLines { reader, line, json } => loop {
                json.clear();
                let n = reader
                    .read_until(b'\n', json)
                    .map_err(|source| fault_of(path, reader.get_ref(), source))?;
                if n == 0 {
                    return Ok(None);
                }
                *line += 1;
                let json = json.trim_ascii();
                // White space beyond ASCII is no line of its own either.
                if !str::from_utf8(json).is_ok_and(|json| json.trim().is_empty()) {
                    return json_row(path, *line, json, columns).map(Some);
                }
            },
        }
    }
}

impl Iterator for TextReader {
    type Item = Result<TextRow, ActivationError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_at_end {
            return None;
        }
        let row = self.read_row().transpose();
        self.is_at_end = !matches!(row, Some(Ok(_)));
        row
    }
}

impl Columns {
    pub(crate) fn has(&self, column: &str) -> bool {
        column == self.text
            || self.label.as_deref() == Some(column)
            || self.group.as_deref() == Some(column)
    }
}

fn json_row(
    path: &Path,
    line: usize,
    json: &[u8],
    columns: &Columns,
) -> Result<TextRow, ActivationError> {
    let mut object: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|source| ActivationError::Json { path: path.to_owned(), line, source })?;
    let mut field = |column: &str| {
        if let Some(value) = object.get_mut(column) {
            return Ok(value.take());
        }
        Err(missing_column(path, line, column, object.keys().cloned().collect()))
    };
    let text = match field(&columns.text)? {
        Value::String(text) => text,
        value => {
            let found = kind_of(&value);
            return Err(field_type(path, line, &columns.text, found, "a string"));
        }
    };
    let mut named = |column: &Option<String>, is_needed: bool| {
        let Some(column) = column else { return Ok(None) };
        let found = match field(column) {
            Ok(Value::String(name)) if name_of(&name).is_empty() => "an empty string",
            Ok(Value::String(name)) => return Ok(Some(name_of(&name))),
            Ok(Value::Bool(value)) => return Ok(Some(value.to_string())),
            Ok(Value::Number(number)) if !number.is_f64() => return Ok(Some(number.to_string())),
            Ok(value) => kind_of(&value),
            Err(error) if is_needed => return Err(error),
            Err(_) => "nothing",
        };
        if is_needed {
            let expected = "a string, an integer, or a boolean";
            return Err(field_type(path, line, column, found, expected));
        }
        Ok(None)
    };
    let label = named(&columns.label, columns.label_is_needed)?;
    let group = named(&columns.group, true)?;
    Ok(TextRow { text, label, group })
}

/// A name without the spaces around it.
pub(crate) fn name_of(field: &str) -> String {
    field.trim().to_owned()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(crate) fn read_error(path: &Path, source: io::Error) -> ActivationError {
    ActivationError::Read { path: path.to_owned(), source }
}

/// What went wrong while a file was read: its bytes, or the disk.
pub(crate) fn fault_of(path: &Path, file: &CheckedFile, source: io::Error) -> ActivationError {
    let Some(byte) = file.fault() else { return read_error(path, source) };
    match line_in(path, byte) {
        Ok(line) => ActivationError::Utf8 { path: path.to_owned(), line },
        Err(error) => error,
    }
}

/// Line of a byte, from 1, found by reading the file again.
pub(crate) fn line_in(path: &Path, byte: u64) -> Result<usize, ActivationError> {
    File::open(path).and_then(|file| line_at(file, byte)).map_err(|source| read_error(path, source))
}

pub(crate) fn field_type(
    path: &Path,
    line: usize,
    column: &str,
    found: &'static str,
    expected: &'static str,
) -> ActivationError {
    ActivationError::FieldType {
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
) -> ActivationError {
    let nearest = nearest(column, &columns);
    let (path, column) = (path.to_owned(), column.to_owned());
    ActivationError::MissingColumn { path, line, column, columns, nearest }
}

/// The candidate with the fewest edits, case aside, if they are at most a third of the name.
fn nearest(name: &str, candidates: &[String]) -> Option<String> {
    let name = name.to_lowercase();
    let max_edits = (name.chars().count() / 3).max(1);
    candidates
        .iter()
        // A header may be a whole row of text by mistake, which is no near name.
        .filter(|candidate| candidate.len() <= 4 * name.len() + 8)
        .map(|candidate| (edit_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(n_edits, _)| *n_edits <= max_edits)
        .min_by_key(|(n_edits, _)| *n_edits)
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_column_is_suggested() {
        let columns = ["Text", "labels", "prompt_id"].map(str::to_owned);
        assert_eq!(nearest("text", &columns).as_deref(), Some("Text"));
        assert_eq!(nearest("label", &columns).as_deref(), Some("labels"));
        assert_eq!(nearest("promptid", &columns).as_deref(), Some("prompt_id"));
        assert_eq!(nearest("sentence", &columns), None);
    }
}
