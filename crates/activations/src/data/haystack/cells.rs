//! Columns of a record batch as plain values.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use crate::TableError;

/// A batch, with what an error names.
pub(super) struct Cells<'a> {
    pub(super) path: &'a Path,
    pub(super) batch: &'a RecordBatch,
    /// Rows before this batch.
    pub(super) first_row: usize,
}

impl Cells<'_> {
    /// A column of lists of integers.
    pub(super) fn lists(&self, column: &str) -> Result<Vec<Vec<i64>>, TableError> {
        let expected = "lists of integers";
        let array = self.column(column, expected)?;
        let list = |row: usize| -> Option<ArrayRef> {
            match array.data_type() {
                DataType::List(_) => Some(array.as_list_opt::<i32>()?.value(row)),
                DataType::LargeList(_) => Some(array.as_list_opt::<i64>()?.value(row)),
                DataType::FixedSizeList(..) => Some(array.as_fixed_size_list_opt()?.value(row)),
                _ => None,
            }
        };
        (0..array.len())
            .map(|row| {
                if array.is_null(row) {
                    return Err(self.null(row, column, expected));
                }
                let values = list(row).ok_or_else(|| self.refuse(column, array, expected))?;
                let values =
                    integers(&values).ok_or_else(|| self.refuse(column, array, expected))?;
                let all: Option<Vec<i64>> = values.into_iter().collect();
                all.ok_or_else(|| {
                    self.cell(row, column, "null, or a number out of range", expected)
                })
            })
            .collect()
    }

    /// A column of integers.
    pub(super) fn integers(&self, column: &str) -> Result<Vec<i64>, TableError> {
        let expected = "integers";
        let array = self.column(column, expected)?;
        let values = integers(array).ok_or_else(|| self.refuse(column, array, expected))?;
        let value = |(row, value): (usize, Option<i64>)| {
            value.ok_or_else(|| self.null(row, column, expected))
        };
        values.into_iter().enumerate().map(value).collect()
    }

    /// A column of booleans.
    pub(super) fn booleans(&self, column: &str) -> Result<Vec<bool>, TableError> {
        let expected = "booleans";
        let array = self.column(column, expected)?;
        let values = array.as_boolean_opt().ok_or_else(|| self.refuse(column, array, expected))?;
        let value = |(row, value): (usize, Option<bool>)| {
            value.ok_or_else(|| self.null(row, column, expected))
        };
        values.iter().enumerate().map(value).collect()
    }

    /// A column of strings, integers, or booleans, as names.
    pub(super) fn names(&self, column: &str) -> Result<Vec<String>, TableError> {
        let expected = "strings, integers, or booleans";
        let array = self.column(column, expected)?;
        let names: Option<Vec<Option<String>>> = match array.data_type() {
            DataType::Utf8 => array
                .as_string_opt::<i32>()
                .map(|names| names.iter().map(|name| name.map(str::to_owned)).collect()),
            DataType::LargeUtf8 => array
                .as_string_opt::<i64>()
                .map(|names| names.iter().map(|name| name.map(str::to_owned)).collect()),
            DataType::Boolean => array
                .as_boolean_opt()
                .map(|names| names.iter().map(|name| name.map(|name| name.to_string())).collect()),
            _ => integers(array)
                .map(|names| names.into_iter().map(|name| name.map(|n| n.to_string())).collect()),
        };
        let names = names.ok_or_else(|| self.refuse(column, array, expected))?;
        let name = |(row, name): (usize, Option<String>)| {
            name.ok_or_else(|| self.null(row, column, expected))
        };
        names.into_iter().enumerate().map(name).collect()
    }

    fn column(&self, column: &str, expected: &'static str) -> Result<&ArrayRef, TableError> {
        // The columns have been looked up before they were read.
        self.batch.column_by_name(column).ok_or_else(|| TableError::ColumnType {
            path: self.path.to_owned(),
            column: column.to_owned(),
            found: "nothing",
            expected,
        })
    }

    fn refuse(&self, column: &str, array: &ArrayRef, expected: &'static str) -> TableError {
        let found = match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => "strings",
            DataType::Boolean => "booleans",
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                "lists of something else"
            }
            kind if kind.is_floating() => "floats",
            kind if kind.is_integer() => "integers",
            _ => "values of another type",
        };
        let (path, column) = (self.path.to_owned(), column.to_owned());
        TableError::ColumnType { path, column, found, expected }
    }

    fn null(&self, row: usize, column: &str, expected: &'static str) -> TableError {
        self.cell(row, column, "null", expected)
    }

    /// What is wrong with a value of a row of this batch.
    pub(super) fn cell(
        &self,
        row: usize,
        column: &str,
        found: &'static str,
        expected: &'static str,
    ) -> TableError {
        let (path, column) = (self.path.to_owned(), column.to_owned());
        TableError::Cell { path, row: self.first_row + row, column, found, expected }
    }
}

/// Integers of any width; `None` where they are something else, or one is out of range.
fn integers(array: &ArrayRef) -> Option<Vec<Option<i64>>> {
    fn of<T: ArrowPrimitiveType<Native: TryInto<i64>>>(
        array: &ArrayRef,
    ) -> Option<Vec<Option<i64>>> {
        let values = array.as_primitive_opt::<T>()?;
        Some(values.iter().map(|value| value.and_then(|value| value.try_into().ok())).collect())
    }
    match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array),
        DataType::Int16 => of::<Int16Type>(array),
        DataType::Int32 => of::<Int32Type>(array),
        DataType::Int64 => of::<Int64Type>(array),
        DataType::UInt8 => of::<UInt8Type>(array),
        DataType::UInt16 => of::<UInt16Type>(array),
        DataType::UInt32 => of::<UInt32Type>(array),
        DataType::UInt64 => of::<UInt64Type>(array),
        // Lists that are all empty have no type.
        DataType::Null if array.is_empty() => Some(Vec::new()),
        _ => None,
    }
}
