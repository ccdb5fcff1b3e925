//! Why a data file of texts could not be read as a table.

use std::path::{Path, PathBuf};

use attention_probes_errors::{ErrorKind, did_you_mean};

use crate::is_datasets_folder;
use crate::wording::{listed, shown};

/// How a file is read whose quotes mean nothing.
const UNQUOTED: &str = "set `quoting` to `none`";

/// Why a data file of texts could not be read as a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A data file has a form that is not known by its name.
    #[error(
        "`{}` is not a data file by its name, expected .csv, .tsv, .jsonl, or .parquet for text, or \
         .npz or a folder for activations",
        path.display()
    )]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file cannot be read by this build.
    #[error("`{}` cannot be read: build with feature `parquet`", path.display())]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file is damaged.
    #[cfg(feature = "parquet")]
    #[error("`{}` is not a readable Parquet file", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: parquet::errors::ParquetError,
    },
    /// A column of a Parquet file is damaged, or made to do harm.
    #[error("column `{column}` of `{}` has {fault}", path.display())]
    ParquetPage {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A Parquet or Arrow file lacks a column.
    #[error(
        "`{}` has no column `{}`; columns: {}{}",
        path.display(),
        shown(column),
        listed(columns),
        did_you_mean(nearest.as_deref())
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column that was asked for.
        column: String,
        /// The columns that exist.
        columns: Vec<String>,
        /// The one that looks most like it.
        nearest: Option<String>,
    },
    /// A column of a Parquet or Arrow file has a type that makes no sense for it.
    #[error("column `{column}` of `{}` holds {found}, expected {expected}", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A value of a Parquet or Arrow file makes no sense for its column.
    #[error("`{}` row {row}: column `{column}` holds {found}, expected {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The column.
        column: String,
        /// What stands there.
        found: &'static str,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A data file is not UTF-8.
    #[error("`{}` line {line} is not UTF-8; save the file as UTF-8", path.display())]
    Utf8 {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// A CSV or TSV file is malformed.
    #[error("`{}` is not well-formed", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: csv::Error,
    },
    /// A row of a CSV or TSV file has more or fewer fields than the header.
    #[error(
        "`{}` line {line} has {n_fields} fields, but the header has {n_columns}; quote a field \
         that holds the separator",
        path.display()
    )]
    RowLength {
        /// The file.
        path: PathBuf,
        /// Line on which the row begins, from 1.
        line: usize,
        /// Fields of the row.
        n_fields: u64,
        /// Columns of the header.
        n_columns: u64,
    },
    /// A quoted field of a CSV or TSV file never ends.
    #[error(
        "`{}` line {line} opens a quote that is never closed; close it, or, if a quote is a \
         character like any other, {UNQUOTED}",
        path.display()
    )]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// Line on which the field begins, from 1.
        line: usize,
    },
    /// A field of a CSV or TSV file goes on after its closing quote.
    #[error(
        "`{}` line {line} has text after the closing quote of a field{}; if a quote is a character \
         like any other, {UNQUOTED}; if a backslash stands before quotes, set \
         `escape` to `\\`",
        path.display(),
        if opened == line { String::new() } else { format!(" that begins on line {opened}") }
    )]
    TextAfterQuote {
        /// The file.
        path: PathBuf,
        /// Line of the closing quote, from 1.
        line: usize,
        /// Line on which the field begins, from 1.
        opened: usize,
    },
    /// A space stands before the opening quote of a field of a CSV or TSV file.
    #[error(
        "`{}` line {line} has a space before an opening quote; remove the space, or, if a quote is \
         a character like any other, {UNQUOTED}",
        path.display()
    )]
    SpaceBeforeQuote {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// A CSV or TSV file has two kinds of line ends outside quotes.
    #[error(
        "`{}` line {line} has a {} outside quotes, but lines end in a {}; quote the field that \
         holds it, or replace it",
        path.display(),
        line_end(*is_carriage_return),
        line_end(!*is_carriage_return)
    )]
    LineEnd {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Whether the odd one is a carriage return.
        is_carriage_return: bool,
    },
    /// Quotes make one row of a TSV file out of lines that have every column each.
    #[error(
        "`{}` lines {first} to {last} are one row by their quotes, though each has every column; \
         if a quote is a character like any other, {UNQUOTED}; if it is one row, set \
         `quoting` to `minimal`",
        path.display()
    )]
    SwallowedRows {
        /// The file.
        path: PathBuf,
        /// First line, from 1.
        first: usize,
        /// Last line, from 1.
        last: usize,
    },
    /// A line of a JSON Lines file is no JSON object.
    #[error("`{}` line {line} is not a JSON object", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A column does not exist.
    #[error(
        "`{}` line {line} has no column `{}`; columns: {}{}",
        path.display(), shown(column), listed(columns), column_remedy(path, columns, nearest.as_deref())
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The column that was asked for.
        column: String,
        /// The columns that exist.
        columns: Vec<String>,
        /// The one that looks most like it.
        nearest: Option<String>,
    },
    /// A column name stands twice in the header.
    #[error("`{}` has two columns named `{column}`; rename one", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A field has a type that makes no sense for its column.
    #[error(
        "`{}` line {line}: column `{column}` holds {found}, expected {expected}",
        path.display()
    )]
    FieldType {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The column.
        column: String,
        /// What stands there.
        found: &'static str,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A file of another form cannot hold words and their tags.
    #[error("`{}` holds no lists; tagged words are read from .jsonl files", path.display())]
    NotJsonLines {
        /// The file.
        path: PathBuf,
    },
    /// A row has more or fewer tags than words.
    #[error("`{}` line {line} has {n_words} words but {n_tags} tags", path.display())]
    TagCount {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Number of words.
        n_words: usize,
        /// Number of tags.
        n_tags: usize,
    },
    /// A word lies outside of its text, or is empty.
    #[error(
        "`{}` line {line} has a word from {start} to {end}, but the text has {n_chars} characters \
         and a word at least one",
        path.display()
    )]
    Span {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Its first character.
        start: usize,
        /// The character after its last.
        end: usize,
        /// Characters of the text.
        n_chars: usize,
    },
    /// Data as the Python library `datasets` keeps them.
    #[error(
        "`{}` is of the Python library `datasets`; write it as text first: \
         `datasets.load_from_disk(FOLDER).to_json(\"data.jsonl\")`; folders of Gurnee et al. are \
         read as they are by a sweep",
        path.display()
    )]
    Arrow {
        /// The file or folder.
        path: PathBuf,
    },
    /// A Python pickle.
    #[error(
        "`{}` is a Python pickle, which could run any program and is never read; save text as \
         .jsonl, and arrays as .npz",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
}

impl TableError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// The end of a message about a column that is not there.
fn column_remedy(path: &Path, columns: &[String], nearest: Option<&str>) -> String {
    let has_header = path.extension().is_none_or(|extension| extension != "jsonl");
    if let [column] = columns
        && has_header
    {
        if column.contains('\t') {
            return "; columns separated by tabs are read of a file that ends in .tsv".to_owned();
        }
        if column.contains(';') {
            return "; columns are separated by commas, or by tabs in a file that ends in .tsv"
                .to_owned();
        }
    }
    match nearest {
        None if has_header => "; the first line must name the columns".to_owned(),
        near => did_you_mean(near),
    }
}

fn line_end(is_carriage_return: bool) -> &'static str {
    if is_carriage_return { "carriage return" } else { "line feed" }
}

impl TableError {
    /// Refuses files of other programs by name, with what to do about them.
    pub(crate) fn refuse_foreign(path: &Path) -> Result<(), Self> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_folder = is_datasets_folder(path);
        let path = path.to_owned();
        match extension.map(str::to_ascii_lowercase).as_deref() {
            _ if is_folder => Err(Self::Arrow { path }),
            Some("arrow") => Err(Self::Arrow { path }),
            Some("p" | "pkl" | "pickle" | "pt" | "pth") => Err(Self::Pickle { path }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_programs_are_refused_with_a_remedy() {
        let refused = |name: &str| TableError::refuse_foreign(Path::new(name));
        assert!(matches!(refused("a/data-00000-of-00001.arrow"), Err(TableError::Arrow { .. })));
        for name in ["a.pkl", "A.PT", "b.p"] {
            assert!(matches!(refused(name), Err(TableError::Pickle { .. })));
        }
        assert!(refused("a.csv").is_ok() && refused("folder").is_ok());
        let folder = tempfile::tempdir().unwrap();
        assert!(TableError::refuse_foreign(folder.path()).is_ok());
        for name in ["state.json", "dataset_info.json"] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let error = crate::ExternalActivations::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("to_json(\"data.jsonl\")"), "{error}");
        let texts =
            crate::Dataset::read("d", folder.path(), &crate::DatasetConfig::default(), true);
        let tagged =
            crate::Dataset::read_tagged("d", &[folder.path()], &crate::TaggedConfig::default());
        for result in [texts, tagged] {
            assert_eq!(result.unwrap_err().to_string(), error);
        }
    }
}
