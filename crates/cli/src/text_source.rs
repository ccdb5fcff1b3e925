//! Texts that a flag names: a file, or a data set of the Hub.

use std::path::Path;

use attention_probes_activations::{
    ActivationError, Corpus, Dataset, DatasetConfig, LabelColumn, LabelKind, PairConfig,
    TaggedConfig, data_files,
};
use attention_probes_models::HubAccess;

/// Where texts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextSource<'a> {
    /// A file, or `hf://datasets/org/name`.
    pub(crate) path: &'a Path,
    /// Which split of a data set of the Hub.
    pub(crate) split: &'a str,
    /// The Hub.
    pub(crate) hub: Option<&'a HubAccess>,
}

impl TextSource<'_> {
    /// Reads the texts; the data set is called as the path.
    pub(crate) fn read(
        &self,
        columns: &DatasetConfig,
        needs_labels: bool,
    ) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        let name = self.path.display().to_string();
        Dataset::read_files(&name, &files, columns, needs_labels)
    }

    /// Reads texts whose labels are no classes; the data set is called as the path.
    pub(crate) fn read_targets(
        &self,
        columns: &DatasetConfig,
        kind: LabelKind,
        separator: &str,
    ) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        let name = self.path.display().to_string();
        Dataset::read_targets(&name, &files, columns, kind, separator)
    }

    /// Reads words with their tags; the data set is called as the path.
    pub(crate) fn read_tagged(&self, columns: &TaggedConfig) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        Dataset::read_tagged(&self.path.display().to_string(), &files, columns)
    }

    /// Reads words, joined to texts with spaces; the data set is called as the path.
    pub(crate) fn read_words(&self, column: &str) -> Result<Dataset, ActivationError> {
        let (tokens, tags) = (column.to_owned(), None);
        self.read_tagged(&TaggedConfig { tokens, tags, ..TaggedConfig::default() })
    }

    /// Reads minimal pairs, good column first; the data set is called as the path.
    pub(crate) fn read_pairs(&self, columns: &PairConfig) -> Result<Dataset, ActivationError> {
        let files = data_files(self.path, self.split, self.hub)?;
        Dataset::read_pairs(&self.path.display().to_string(), &files, columns)
    }

    /// Looks through the texts, which stay in their files.
    pub(crate) fn scan(
        &self,
        columns: &DatasetConfig,
        label: LabelColumn,
    ) -> Result<Corpus, ActivationError> {
        Corpus::scan(&data_files(self.path, self.split, self.hub)?, columns, label)
    }
}
