//! Objects of JSON Lines files, and what stands in their fields.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use attention_probes_errors::FileError;
use serde_json::{Map, Value};

use super::checked_file::CheckedFile;
use super::row::{BUFFER_BYTES, Columns, TextRow, fault_of, field_type, missing_column, name_of};
use crate::{ActivationError, TableError};

/// A JSON Lines file, and how far it has been read.
pub(crate) struct JsonLines {
    reader: BufReader<CheckedFile>,
    line: usize,
    json: Vec<u8>,
}

/// One line of a JSON Lines file.
pub(crate) struct JsonRow<'a> {
    path: &'a Path,
    line: usize,
    object: Map<String, Value>,
}

impl JsonLines {
    pub(crate) fn open(path: &Path) -> Result<Self, ActivationError> {
        let file = CheckedFile::open(path).map_err(FileError::read(path))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self { reader, line: 0, json: Vec::new() })
    }

    /// BLAKE3 of what has been read so far, as hex.
    pub(crate) fn hash(&self) -> String {
        self.reader.get_ref().hash()
    }

    /// The next line that is not blank.
    pub(crate) fn next<'a>(
        &mut self,
        path: &'a Path,
    ) -> Result<Option<JsonRow<'a>>, ActivationError> {
        loop {
            self.json.clear();
            let n = self
                .reader
                .read_until(b'\n', &mut self.json)
                .map_err(|source| fault_of(path, self.reader.get_ref(), source))?;
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            let json = self.json.trim_ascii();
            // White space beyond ASCII is no line of its own either.
            if str::from_utf8(json).is_ok_and(|json| json.trim().is_empty()) {
                continue;
            }
            let line = self.line;
            let object = serde_json::from_slice(json).map_err(|source| TableError::Json {
                path: path.to_owned(),
                line,
                source,
            })?;
            return Ok(Some(JsonRow { path, line, object }));
        }
    }
}

impl<'a> JsonRow<'a> {
    /// Text, label, and group.
    pub(crate) fn text_row(mut self, columns: &Columns) -> Result<TextRow, ActivationError> {
        let text = self.text(&columns.text)?;
        let label = match columns.label.as_deref().filter(|_| columns.label_is_raw) {
            Some(column) => Some(self.field(column)?.to_string()),
            None => self.name(columns.label.as_deref(), columns.label_is_needed)?,
        };
        let group = self.group(columns.group.as_deref())?;
        Ok(TextRow { text, label, group })
    }

    /// A string.
    pub(crate) fn text(&mut self, column: &str) -> Result<String, ActivationError> {
        match self.field(column)? {
            Value::String(text) => Ok(text),
            value => Err(self.fault(column, kind_of(&value), "a string").into()),
        }
    }

    /// Whether a field is a string.
    pub(crate) fn is_text(&self, column: &str) -> bool {
        self.object.get(column).is_some_and(Value::is_string)
    }

    /// A list.
    pub(crate) fn list(&mut self, column: &str) -> Result<Vec<Value>, ActivationError> {
        match self.field(column)? {
            Value::Array(values) => Ok(values),
            value => Err(self.fault(column, kind_of(&value), "an array").into()),
        }
    }

    /// A string, an integer, or a boolean as a name; `None` if there is none and need not be.
    pub(crate) fn name(
        &mut self,
        column: Option<&str>,
        is_needed: bool,
    ) -> Result<Option<String>, ActivationError> {
        let Some(column) = column else { return Ok(None) };
        let found = match self.field(column).map(name_from) {
            Ok(Ok(name)) => return Ok(Some(name)),
            Ok(Err(found)) => found,
            Err(error) if is_needed => return Err(error.into()),
            Err(_) => "nothing",
        };
        if is_needed {
            return Err(self.fault(column, found, "a string, an integer, or a boolean").into());
        }
        Ok(None)
    }

    /// The group of a row; `None` if there is no such column, or nothing in it.
    pub(crate) fn group(
        &mut self,
        column: Option<&str>,
    ) -> Result<Option<String>, ActivationError> {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(name) => name_of(name).is_empty(),
            _ => false,
        };
        let found = column.and_then(|column| self.object.get(column));
        if found.is_some_and(is_empty) { Ok(None) } else { self.name(column, true) }
    }

    /// An error about a field.
    pub(crate) fn fault(
        &self,
        column: &str,
        found: &'static str,
        expected: &'static str,
    ) -> TableError {
        field_type(self.path, self.line, column, found, expected)
    }

    /// Path and line, for an error.
    pub(crate) fn place(&self) -> (&'a Path, usize) {
        (self.path, self.line)
    }

    fn field(&mut self, column: &str) -> Result<Value, TableError> {
        if let Some(value) = self.object.get_mut(column) {
            return Ok(value.take());
        }
        let columns = self.object.keys().cloned().collect();
        Err(missing_column(self.path, self.line, column, columns))
    }
}

/// A name without the spaces around it, or what stands there instead.
pub(crate) fn name_from(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(name) if name_of(&name).is_empty() => Err("an empty string"),
        Value::String(name) => Ok(name_of(&name)),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        value => Err(kind_of(&value)),
    }
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
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
