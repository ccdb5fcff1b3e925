//! Rows of text, label, and group from CSV, TSV, and JSON Lines files.

use std::{fs, path::Path};

use attention_probes_models::edit_distance;
use serde_json::{Map, Value};

use crate::{ActivationError, DatasetConfig};

/// The byte-order mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a file holds, before classes and groups are numbered.
pub(crate) struct Table {
    /// Rows in the order of the file.
    pub(crate) rows: Vec<Row>,
    /// BLAKE3 of the file, as hex.
    pub(crate) hash: String,
}

/// One row; label and group are as they stand in the file, without spaces around them.
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) label: Option<String>,
    pub(crate) group: Option<String>,
}

/// Reads the columns that the config names; the label column only if labels are needed.
pub(crate) fn read_table(
    path: &Path,
    config: &DatasetConfig,
    needs_labels: bool,
) -> Result<Table, ActivationError> {
    let columns = Columns {
        text: &config.text,
        label: needs_labels.then_some(config.label.as_str()),
        group: config.group.as_deref(),
    };
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let separator = match extension.to_str() {
        Some("csv") => Some(b','),
        Some("tsv") => Some(b'\t'),
        Some("jsonl") => None,
        _ => return Err(ActivationError::Extension { path: path.to_owned() }),
    };

    let bytes =
        fs::read(path).map_err(|source| ActivationError::Read { path: path.to_owned(), source })?;
    let text = str::from_utf8(&bytes).map_err(|error| ActivationError::Utf8 {
        path: path.to_owned(),
        line: line_at(&bytes, error.valid_up_to()),
    })?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let rows = match separator {
        Some(separator) => read_delimited(path, text, separator, &columns)?,
        None => read_json_lines(path, text, &columns)?,
    };
    Ok(Table { rows, hash: blake3::hash(&bytes).to_hex().to_string() })
}

/// Names of the columns to read.
struct Columns<'a> {
    text: &'a str,
    label: Option<&'a str>,
    group: Option<&'a str>,
}

fn read_delimited(
    path: &Path,
    text: &str,
    separator: u8,
    columns: &Columns,
) -> Result<Vec<Row>, ActivationError> {
    let csv_error = |source| ActivationError::Csv { path: path.to_owned(), source };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map_err(csv_error)?.iter().map(name_of).collect();
    if let Some(column) = header.iter().enumerate().find_map(|(i, column)| {
        (columns.has(column) && header[..i].contains(column)).then(|| column.clone())
    }) {
        return Err(ActivationError::DuplicateColumn { path: path.to_owned(), column });
    }
    let find = |column: &str| {
        header
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| missing_column(path, 1, column, header.clone()))
    };
    let text_index = find(columns.text)?;
    let label_index = columns.label.map(find).transpose()?;
    let group_index = columns.group.map(find).transpose()?;

    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(csv_error)? {
        let start = record.position().map_or(0, |position| position.byte() as usize);
        let line = || line_at(text.as_bytes(), start);
        if reader.position().byte() as usize == text.len() {
            check_last_row(path, text, start)?;
        }
        if record.len() != header.len() {
            return Err(ActivationError::RowLength {
                path: path.to_owned(),
                line: line(),
                n_fields: record.len() as u64,
                n_columns: header.len() as u64,
            });
        }
        let name = |index: Option<usize>, column: Option<&str>| match (index, column) {
            (Some(index), Some(column)) => match name_of(&record[index]) {
                name if name.is_empty() => {
                    Err(field_type(path, line(), column, "nothing", "a string or an integer"))
                }
                name => Ok(Some(name)),
            },
            _ => Ok(None),
        };
        rows.push(Row {
            text: record[text_index].to_owned(),
            label: name(label_index, columns.label)?,
            group: name(group_index, columns.group)?,
        });
    }
    Ok(rows)
}

/// Refuses a last row of several lines with a quote that never closes: it has swallowed other rows.
fn check_last_row(path: &Path, text: &str, start: usize) -> Result<(), ActivationError> {
    // Quotes within a quoted field are doubled, so an odd number of them leaves one open.
    let last_row = text.get(start..).unwrap_or_default().trim_start_matches(['\r', '\n']);
    let n_quotes = last_row.bytes().filter(|byte| *byte == b'"').count();
    let n_lines = last_row.trim_end_matches(['\r', '\n']).lines().count();
    if n_quotes % 2 == 1 && n_lines > 1 {
        return Err(ActivationError::OpenQuote {
            path: path.to_owned(),
            line: line_at(text.as_bytes(), start),
        });
    }
    Ok(())
}

fn read_json_lines(
    path: &Path,
    text: &str,
    columns: &Columns,
) -> Result<Vec<Row>, ActivationError> {
    let mut rows = Vec::new();
    for (index, json) in text.lines().enumerate().filter(|(_, json)| !json.trim().is_empty()) {
        let line = index + 1;
        let mut object: Map<String, Value> = serde_json::from_str(json)
            .map_err(|source| ActivationError::Json { path: path.to_owned(), line, source })?;
        let mut field = |column: &str| {
            if let Some(value) = object.get_mut(column) {
                return Ok(value.take());
            }
            Err(missing_column(path, line, column, object.keys().cloned().collect()))
        };
        let name = |column: &str, value: Value| {
            let found = match value {
                Value::String(name) if name_of(&name).is_empty() => "an empty string",
                Value::String(name) => return Ok(name_of(&name)),
                Value::Bool(value) => return Ok(value.to_string()),
                Value::Number(number) if !number.is_f64() => return Ok(number.to_string()),
                value => kind_of(&value),
            };
            Err(field_type(path, line, column, found, "a string, an integer, or a boolean"))
        };
        let text = match field(columns.text)? {
            Value::String(text) => text,
            value => {
                let found = kind_of(&value);
                return Err(field_type(path, line, columns.text, found, "a string"));
            }
        };
        let mut named = |column: Option<&str>| {
            column.map(|column| field(column).and_then(|value| name(column, value))).transpose()
        };
        let (label, group) = (named(columns.label)?, named(columns.group)?);
        rows.push(Row { text, label, group });
    }
    Ok(rows)
}

impl Columns<'_> {
    fn has(&self, column: &str) -> bool {
        column == self.text || self.label == Some(column) || self.group == Some(column)
    }
}

/// A name without the spaces around it.
fn name_of(field: &str) -> String {
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

fn field_type(
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

fn missing_column(path: &Path, line: usize, column: &str, columns: Vec<String>) -> ActivationError {
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

/// Line of a byte, from 1; line breaks at the byte itself belong to the row before.
fn line_at(bytes: &[u8], byte: usize) -> usize {
    let start = bytes[byte.min(bytes.len())..]
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .map_or(bytes.len(), |skipped| byte + skipped);
    1 + bytes[..start].split(|byte| *byte == b'\n').skip(1).count()
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

    #[test]
    fn a_line_is_counted_past_its_line_break() {
        let text = b"a\r\nb\r\n\r\nc";
        assert_eq!(line_at(text, 0), 1);
        assert_eq!(line_at(text, 2), 2);
        assert_eq!(line_at(text, 4), 4);
        assert_eq!(line_at(text, 99), 4);
    }
}
