//! Texts that are named by a path: a file, or a data set of the Hub.

use std::path::Path;

use attention_probes_models::HubAccess;

use super::corpus::Corpus;
use super::dataset::Dataset;
use super::dataset_config::DatasetConfig;
use super::labels::LabelKind;
use super::location::data_files;
use super::pairs::PairConfig;
use super::table::LabelColumn;
use super::table_error::TableError;
use super::tagged::TaggedConfig;
use super::target_label::PlainLabels;
use crate::ActivationError;

/// Texts that are named by a path: a file, or a data set of the Hub.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{DatasetConfig, TextSource};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = &folder.path().join("reviews.csv");
/// std::fs::write(path, "text,label\nGood.,yes\nBad.,no\n")?;
/// let source = TextSource { path, split: "train", hub: None };
/// let dataset = source.read(&DatasetConfig::default(), true)?;
/// assert_eq!(dataset.texts, ["Good.", "Bad."]);
/// let other = DatasetConfig { label: "stars".to_owned(), ..DatasetConfig::default() };
/// assert!(source.read(&other, true).is_err());
/// assert_eq!(source.read_if_labelled(&other)?.texts, ["Good.", "Bad."]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TextSource<'a> {
    /// A file, or `hf://datasets/org/name`.
    pub path: &'a Path,
    /// Which split of a data set of the Hub.
    pub split: &'a str,
    /// The Hub.
    pub hub: Option<&'a HubAccess>,
}

impl TextSource<'_> {
    /// Reads the texts; the data set is called as the path.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn read(
        &self,
        columns: &DatasetConfig,
        needs_labels: bool,
    ) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        let name = self.path.display().to_string();
        Dataset::read_files(&name, &files, columns, needs_labels)
    }

    /// As [`TextSource::read`], with labels where there are some: not where the column of the label is
    /// missing or has one class only.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn read_if_labelled(&self, columns: &DatasetConfig) -> Result<Dataset, ActivationError> {
        let is_without = |error: &ActivationError| match error {
            ActivationError::OneClass { .. } => true,
            ActivationError::Table {
                source:
                    TableError::MissingColumn { column, .. } | TableError::NoColumn { column, .. },
            } => *column == columns.label,
            _ => false,
        };
        match self.read(columns, true) {
            Err(error) if is_without(&error) => self.read(columns, false),
            read => read,
        }
    }

    /// Reads texts whose labels are no classes; the data set is called as the path.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn read_targets(
        &self,
        columns: &DatasetConfig,
        kind: LabelKind,
        separator: &str,
    ) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        let name = self.path.display().to_string();
        Dataset::read_with(&name, &files, columns, &PlainLabels { kind, separator })
    }

    /// Reads words with their tags; the data set is called as the path.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn read_tagged(&self, columns: &TaggedConfig) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        Dataset::read_tagged(&self.path.display().to_string(), &files, columns)
    }

    /// Reads words, joined to texts with spaces; the data set is called as the path.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn read_words(&self, column: &str) -> Result<Dataset, ActivationError> {
        let (tokens, tags) = (column.to_owned(), None);
        self.read_tagged(&TaggedConfig { tokens, tags, ..TaggedConfig::default() })
    }

    /// Reads minimal pairs, good column first; the data set is called as the path.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn read_pairs(&self, columns: &PairConfig) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        Dataset::read_pairs(&self.path.display().to_string(), &files, columns)
    }

    /// Looks through the texts, which stay in their files.
    ///
    /// # Errors
    ///
    /// If there is no such data, or it cannot be read.
    pub fn scan(
        &self,
        columns: &DatasetConfig,
        label: LabelColumn,
    ) -> Result<Corpus, ActivationError> {
        Corpus::scan(&data_files(self.path, self.split, self.hub)?, columns, label)
    }
}
