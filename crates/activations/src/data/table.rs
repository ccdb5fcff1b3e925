//! Rows of text, label, and group from CSV, TSV, JSON Lines, and Parquet files, one after the other.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use attention_probes_models::is_lfs_pointer;

use super::checked_file::CheckedFile;
use super::delimited::Delimited;
use super::json_lines::JsonLines;
#[cfg(feature = "parquet")]
use super::parquet_table::ParquetRows;
use super::row::{Columns, TextRow};
use crate::{ActivationError, DatasetConfig, TableError};

/// Endings of the names of files that are read, of the last with the feature `parquet` only.
pub(crate) const EXTENSIONS: [&str; 4] = ["csv", "tsv", "jsonl", "parquet"];

/// What [`TextReader`] does about the column of the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelColumn {
    /// Leaves it alone; it need not exist.
    Ignored,
    /// Takes what is a string, an integer, or a boolean; anything else is no label.
    IfThere,
    /// Refuses a file, and a row, without a label.
    Needed,
    /// Refuses a file without the column, and takes whatever stands there: of JSON Lines as JSON, of
    /// CSV and TSV also nothing.
    Raw,
}

/// Rows of a `.csv`, `.tsv`, or `.jsonl` file in UTF-8, or, with the feature `parquet`, of a
/// `.parquet` file, in the order of the file; or of several, one after the other.
///
/// After an error there is no further row.
///
/// # Memory
///
/// One row and a buffer, however long the file is; of a Parquet file, one row group of the columns
/// that are read.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{DatasetConfig, LabelColumn, TextReader};
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
    /// The files after this one.
    next_paths: VecDeque<PathBuf>,
    columns: Columns,
    rows: Rows,
    /// Rows read so far, of all files.
    n_rows: usize,
    is_at_end: bool,
    /// Hashes of the files before this one.
    hashes: Vec<String>,
}

/// The form of a file, and how far it has been read.
enum Rows {
    Delimited(Box<Delimited>),
    JsonLines(JsonLines),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetRows>),
}

impl TextReader {
    /// Opens a file and finds the columns that the config names.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::File`] if the file cannot be read
    /// - [`ActivationError::Table`] if it is malformed, or its columns do not fit the config
    ///
    /// A row can be any of these too.
    pub fn open(
        path: impl AsRef<Path>,
        config: &DatasetConfig,
        label: LabelColumn,
    ) -> Result<Self, ActivationError> {
        Self::open_files(&[path], config, label)
    }

    /// Opens the first of several files, whose rows follow each other.
    ///
    /// # Errors
    ///
    /// As [`TextReader::open`], and [`ActivationError::NoText`] if there is no file; a row can be
    /// any of these too, where the next file begins.
    pub fn open_files(
        paths: &[impl AsRef<Path>],
        config: &DatasetConfig,
        label: LabelColumn,
    ) -> Result<Self, ActivationError> {
        let mut next_paths: VecDeque<PathBuf> =
            paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let path = next_paths
            .pop_front()
            .ok_or_else(|| ActivationError::NoText { name: String::new(), n_rows: 0 })?;
        let columns = Columns {
            text: config.text.clone(),
            label: (label != LabelColumn::Ignored).then(|| config.label.clone()),
            label_is_needed: matches!(label, LabelColumn::Needed | LabelColumn::Raw),
            label_is_raw: label == LabelColumn::Raw,
            group: config.group.clone(),
            format: config.format,
        };
        let rows = Rows::open(&path, &columns)?;
        let (n_rows, is_at_end, hashes) = (0, false, Vec::new());
        Ok(Self { path, next_paths, columns, rows, n_rows, is_at_end, hashes })
    }

    /// BLAKE3 as hex of what has been read: of the file, once there is no further row; of several
    /// files, of their hashes.
    pub fn hash(&self) -> String {
        let hash = self.rows.hash();
        if self.hashes.is_empty() {
            return hash;
        }
        blake3::hash((self.hashes.concat() + &hash).as_bytes()).to_hex().to_string()
    }

    /// Number of rows read so far.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The file that the last row is from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn read_row(&mut self) -> Result<Option<TextRow>, ActivationError> {
        loop {
            if let Some(row) = self.read_row_of_file()? {
                self.n_rows += 1;
                return Ok(Some(row));
            }
            let Some(path) = self.next_paths.pop_front() else { return Ok(None) };
            self.hashes.push(self.rows.hash());
            self.rows = Rows::open(&path, &self.columns)?;
            self.path = path;
        }
    }

    fn read_row_of_file(&mut self) -> Result<Option<TextRow>, ActivationError> {
        let Self { path, columns, rows, .. } = self;
        match rows {
            Rows::Delimited(rows) => rows.read_row(path, columns),
            Rows::JsonLines(lines) => {
                lines.next(path)?.map(|row| row.text_row(columns)).transpose()
            }
            #[cfg(feature = "parquet")]
            Rows::Parquet(rows) => rows.read_row(),
        }
    }
}

impl Rows {
    /// Opens a file as what its name says it is.
    fn open(path: &Path, columns: &Columns) -> Result<Self, ActivationError> {
        TableError::refuse_foreign(path)?;
        if is_lfs_pointer(path) {
            return Err(ActivationError::LfsPointer { path: path.to_owned() });
        }
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let separator = match extension.to_str() {
            Some("csv") => Some(b','),
            Some("tsv") => Some(b'\t'),
            Some("jsonl") => None,
            #[cfg(feature = "parquet")]
            Some("parquet") => {
                return Ok(Self::Parquet(Box::new(ParquetRows::open(path, columns)?)));
            }
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                return Err(TableError::NoParquet { path: path.to_owned() }.into());
            }
            _ => return Err(TableError::Extension { path: path.to_owned() }.into()),
        };
        let Some(separator) = separator else {
            return Ok(Self::JsonLines(JsonLines::open(path)?));
        };
        let file = CheckedFile::open(path).map_err(FileError::read(path))?;
        Ok(Self::Delimited(Box::new(Delimited::open(path, file, separator, columns)?)))
    }

    fn hash(&self) -> String {
        match self {
            Self::Delimited(rows) => rows.hash(),
            Self::JsonLines(lines) => lines.hash(),
            #[cfg(feature = "parquet")]
            Self::Parquet(rows) => rows.hash(),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rows_of_several_files_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            [("a.csv", "label,text\n1,a\n"), ("b.jsonl", "{\"text\": \"b\", \"label\": 2}\n")];
        let paths = files.map(|(name, content)| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        });
        let open = |paths: &[PathBuf]| {
            TextReader::open_files(paths, &DatasetConfig::default(), LabelColumn::Needed)
        };
        let mut rows = open(&paths).unwrap();
        let texts: Vec<String> = rows.by_ref().map(|row| row.unwrap().text).collect();
        assert_eq!(texts, ["a", "b"]);
        let hashes =
            files.map(|(_, content)| blake3::hash(content.as_bytes()).to_hex().to_string());
        assert_eq!(rows.hash(), blake3::hash(hashes.concat().as_bytes()).to_hex().to_string());
        assert!(matches!(open(&[]), Err(ActivationError::NoText { .. })));

        // What is wrong with a later file is said when its turn comes, and is the end.
        fs::write(&paths[1], "{}").unwrap();
        let mut rows = open(&paths).unwrap();
        assert!(rows.next().is_some_and(|row| row.is_ok()));
        let error = rows.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("b.jsonl` line 1 has no column `text`"), "{error}");
        assert!(rows.next().is_none());
    }
}
