//! Rows of CSV and TSV files.

use std::path::Path;

use super::checked_file::CheckedFile;
use super::row::{
    BUFFER_BYTES, Columns, TextRow, fault_of, field_type, line_in, missing_column, name_of,
};
use super::table_syntax::CheckedTable;
use crate::{ActivationError, Quoting, TableError};

/// A CSV or TSV file, and how far it has been read.
pub(crate) struct Delimited {
    reader: csv::Reader<CheckedTable>,
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
        let format = columns.format;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .quoting(format.quoting != Some(Quoting::None))
            .escape(format.escape_byte())
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(CheckedTable::new(file, separator, format));
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
        self.reader.get_ref().file().hash()
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
        let file = self.reader.get_ref().file();
        let start = file.byte_in_file(record.position().map_or(0, csv::Position::byte));
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
            group: name(self.group, &columns.group, false)?,
        }))
    }
}

fn csv_error(path: &Path, table: &CheckedTable, error: csv::Error) -> ActivationError {
    if let Some(fault) = table.fault() {
        return fault.in_file(path).into();
    }
    if error.is_io_error() {
        return fault_of(path, table.file(), error.into());
    }
    TableError::Csv { path: path.to_owned(), source: error }.into()
}
