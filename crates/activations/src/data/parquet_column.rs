//! One column of one row group of a Parquet file: its bytes, and its values as text.

use std::io::{self, Cursor};
use std::path::PathBuf;

use bytes::Bytes;
use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnDescPtr;

use super::row::name_of;
use crate::TableError;

/// A column that is being read.
pub(crate) struct Column {
    pub(crate) path: PathBuf,
    pub(crate) descriptor: ColumnDescPtr,
    pub(crate) reader: ColumnReader,
}

impl Column {
    pub(crate) fn name(&self) -> String {
        self.descriptor.name().to_owned()
    }

    /// The next `n` texts, of which the first is in row `first` of the file.
    pub(crate) fn texts(&mut self, n: usize, first: usize) -> Result<Vec<String>, TableError> {
        let cells = self.strings(n)?;
        let texts = cells.into_iter().zip(first..).map(|(cell, row)| match cell {
            Some(Ok(text)) => Ok(text),
            Some(Err(())) => Err(self.cell(row, "bytes that are not UTF-8", "a string")),
            None => Err(self.cell(row, "null", "a string")),
        });
        texts.collect()
    }

    /// The next `n` labels or groups; without `is_needed`, what is no name is none.
    pub(crate) fn names(
        &mut self,
        n: usize,
        first: usize,
        is_needed: bool,
    ) -> Result<Vec<Option<String>>, TableError> {
        let cells = self.strings(n)?;
        let names = cells.into_iter().zip(first..).map(|(cell, row)| {
            let found = match cell {
                Some(Ok(name)) if name_of(&name).is_empty() => "an empty string",
                Some(Ok(name)) => return Ok(Some(name_of(&name))),
                Some(Err(())) => "bytes that are not UTF-8",
                None => "null",
            };
            let expected = "a string, an integer, or a boolean";
            if is_needed { Err(self.cell(row, found, expected)) } else { Ok(None) }
        });
        names.collect()
    }

    /// The next `n` values as text; `None` where there is none, `Err` where it is not UTF-8.
    fn strings(&mut self, n: usize) -> Result<Vec<Option<Result<String, ()>>>, TableError> {
        let is_unsigned = match self.descriptor.logical_type_ref() {
            Some(LogicalType::Integer(integer)) => !integer.is_signed,
            _ => matches!(
                self.descriptor.converted_type(),
                ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            ),
        };
        let max_def = self.descriptor.max_def_level();
        let utf8 = |value: ByteArray| match value.as_utf8() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(()),
        };
        let result = match &mut self.reader {
            ColumnReader::ByteArrayColumnReader(reader) => batch(reader, max_def, n, utf8),
            ColumnReader::BoolColumnReader(reader) => {
                batch(reader, max_def, n, |value| Ok(value.to_string()))
            }
            ColumnReader::Int32ColumnReader(reader) => batch(reader, max_def, n, |value| {
                Ok(if is_unsigned { (value as u32).to_string() } else { value.to_string() })
            }),
            ColumnReader::Int64ColumnReader(reader) => batch(reader, max_def, n, |value| {
                Ok(if is_unsigned { (value as u64).to_string() } else { value.to_string() })
            }),
            _ => Err(ParquetError::NYI("columns of this type".to_owned())),
        };
        let broken = |source| TableError::Parquet { path: self.path.clone(), source };
        let cells = result.map_err(broken)?;
        if cells.len() != n {
            let end = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(broken(ParquetError::External(Box::new(end))));
        }
        Ok(cells)
    }

    fn cell(&self, row: usize, found: &'static str, expected: &'static str) -> TableError {
        TableError::Cell { path: self.path.clone(), row, column: self.name(), found, expected }
    }
}

/// The bytes of one column of one row group, at their place in the file.
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
    pub(crate) size_bytes: u64,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.size_bytes
    }
}

impl ChunkReader for Chunk {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let length = self.bytes.len() - self.offset(start, 0)?;
        Ok(Cursor::new(self.get_bytes(start, length)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let offset = self.offset(start, length)?;
        Ok(self.bytes.slice(offset..offset + length))
    }
}

impl Chunk {
    fn offset(&self, start: u64, length: usize) -> Result<usize, ParquetError> {
        let offset = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let is_inside =
            |at: &usize| at.checked_add(length).is_some_and(|end| end <= self.bytes.len());
        offset
            .filter(is_inside)
            .ok_or_else(|| ParquetError::EOF("a page outside of its column".to_owned()))
    }
}

/// The next `n` values of a column of any type, or fewer at its end.
fn batch<T: DataType, V>(
    reader: &mut ColumnReaderImpl<T>,
    max_def: i16,
    n: usize,
    convert: impl Fn(T::T) -> V,
) -> Result<Vec<Option<V>>, ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut n_read = 0;
    while n_read < n {
        let levels = (max_def > 0).then_some(&mut levels);
        let (n_rows, ..) = reader.read_records(n - n_read, levels, None, &mut values)?;
        if n_rows == 0 {
            break;
        }
        n_read += n_rows;
    }
    let mut values = values.into_iter().map(convert);
    if max_def == 0 {
        return Ok(values.map(Some).collect());
    }
    Ok(levels
        .into_iter()
        .map(|level| if level == max_def { values.next() } else { None })
        .collect())
}
