//! Rows of CSV and TSV files.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::checked_file::CheckedFile;
use crate::table::{
    BUFFER_BYTES, Columns, TextRow, fault_of, field_type, line_in, missing_column, name_of,
    read_error,
};
use crate::{ActivationError, TableError};

/// A CSV or TSV file, and how far it has been read.
pub(crate) struct Delimited {
    reader: csv::Reader<CheckedFile>,
    size_bytes: u64,
    n_columns: usize,
    text: usize,
    label: Option<usize>,
    group: Option<usize>,
    record: csv::StringRecord,
}

impl Delimited {
    pub(crate) fn open(
        path: &Path,
        file: CheckedFile,
        separator: u8,
        columns: &Columns,
    ) -> Result<Self, ActivationError> {
        let size_bytes = path.metadata().map_err(|source| read_error(path, source))?.len();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(file);
        let header = match reader.headers() {
            Ok(header) => header.iter().map(name_of).collect::<Vec<String>>(),
            Err(error) => return Err(csv_error(path, reader.get_ref(), error)),
        };
        if let Some(column) = header.iter().enumerate().find_map(|(i, column)| {
            (columns.has(column) && header[..i].contains(column)).then(|| column.clone())
        }) {
            return Err(TableError::DuplicateColumn { path: path.to_owned(), column }.into());
        }
        let place = |column: &String| header.iter().position(|name| name == column);
        let find = |column: &String| {
            place(column).ok_or_else(|| missing_column(path, 1, column, header.clone()))
        };
        let text = find(&columns.text)?;
        let label = match &columns.label {
            Some(column) if columns.label_is_needed => Some(find(column)?),
            column => column.as_ref().and_then(place),
        };
        Ok(Self {
            size_bytes,
            n_columns: header.len(),
            text,
            label,
            group: columns.group.as_ref().map(find).transpose()?,
            record: csv::StringRecord::new(),
            reader,
        })
    }

    /// BLAKE3 of what has been read so far, as hex.
    pub(crate) fn hash(&self) -> String {
        self.reader.get_ref().hash()
    }

    pub(crate) fn read_row(
        &mut self,
        path: &Path,
        columns: &Columns,
    ) -> Result<Option<TextRow>, ActivationError> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(csv_error(path, self.reader.get_ref(), error)),
        }
        let record = &self.record;
        let file = self.reader.get_ref();
        let start = file.byte_in_file(record.position().map_or(0, csv::Position::byte));
        if file.byte_in_file(self.reader.position().byte()) == self.size_bytes {
            check_last_row(path, start)?;
        }
        if record.len() != self.n_columns {
            return Err(TableError::RowLength {
                path: path.to_owned(),
                line: line_in(path, start)?,
                n_fields: record.len() as u64,
                n_columns: self.n_columns as u64,
            }
            .into());
        }
        let name = |index: Option<usize>,
                    column: &Option<String>,
                    is_needed: bool|
         -> Result<Option<String>, ActivationError> {
            let (Some(index), Some(column)) = (index, column) else { return Ok(None) };
            let name = Some(name_of(&record[index])).filter(|name| !name.is_empty());
            if name.is_none() && is_needed {
                let (line, expected) = (line_in(path, start)?, "a string or an integer");
                return Err(field_type(path, line, column, "nothing", expected).into());
            }
            Ok(name)
        };
        let needs_label = columns.label_is_needed && !columns.label_is_raw;
        Ok(Some(TextRow {
            text: record[self.text].to_owned(),
            label: name(self.label, &columns.label, needs_label)?,
            group: name(self.group, &columns.group, true)?,
        }))
    }
}

/// Refuses a last row of several lines with a quote that never closes: it has swallowed other rows.
fn check_last_row(path: &Path, start: u64) -> Result<(), ActivationError> {
    let read = |path: &Path| {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read(path).map_err(|source| read_error(path, source))?;
    // Quotes within a quoted field are doubled, so an odd number of them leaves one open.
    let last_row = String::from_utf8_lossy(&bytes);
    let last_row = last_row.trim_matches(['\r', '\n']);
    let n_quotes = last_row.bytes().filter(|byte| *byte == b'"').count();
    if n_quotes % 2 == 1 && last_row.lines().count() > 1 {
        let line = line_in(path, start)?;
        return Err(TableError::OpenQuote { path: path.to_owned(), line }.into());
    }
    Ok(())
}

fn csv_error(path: &Path, file: &CheckedFile, error: csv::Error) -> ActivationError {
    if error.is_io_error() {
        return fault_of(path, file, error.into());
    }
    TableError::Csv { path: path.to_owned(), source: error }.into()
}
