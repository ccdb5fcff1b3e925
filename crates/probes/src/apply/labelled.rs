//! Texts with the labels that a saved probe is evaluated on.

use attention_probes_activations::{
    Dataset, DatasetConfig, PairConfig, TaggedConfig, Task, TextSource,
};

use crate::{ProbeError, SavedProbe};

/// Where texts, labels, and words stand in a file, for probes of every task and kind of label.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::LabelledColumns;
///
/// let columns = LabelledColumns::default();
/// assert_eq!((columns.texts.text.as_str(), columns.texts.label.as_str()), ("text", "label"));
/// assert_eq!(columns.label_separator, ";");
/// ```
#[derive(Clone, Debug)]
pub struct LabelledColumns {
    /// Columns of the text and its label. Default `text` and `label`.
    pub texts: DatasetConfig,
    /// Columns of words and tags, for a probe of the task `tokens`.
    pub words: TaggedConfig,
    /// Columns of the good and the bad text of minimal pairs, instead of text and label, for a probe
    /// of whole texts. Default none.
    pub pair: Option<[String; 2]>,
    /// What stands between labels in CSV and TSV files, for a probe of several labels. Default `;`.
    pub label_separator: String,
}

impl Default for LabelledColumns {
    fn default() -> Self {
        Self {
            texts: DatasetConfig::default(),
            words: TaggedConfig::default(),
            pair: None,
            label_separator: ";".to_owned(),
        }
    }
}

impl SavedProbe {
    /// Reads texts with the labels that the probe is evaluated on: classes, minimal pairs, numbers,
    /// several labels, distributions, tags of words, or none where the task draws its own.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::File`] if the texts or labels cannot be read
    /// - [`ApplyError::UnknownClass`](crate::ApplyError::UnknownClass) if the probe does not know a
    ///   label
    /// - as [`SavedProbe::task`]
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::TextSource;
    /// use attention_probes::probes::{
    ///     LabelledColumns, Linear, ProbeConfig, ProbeMetadata, SavedProbe,
    /// };
    ///
    /// let config = ProbeConfig::new(Linear::default(), 8, 2);
    /// let classes = vec!["bad".to_owned(), "good".to_owned()];
    /// let metadata = ProbeMetadata::new(config.clone(), classes);
    /// let saved = SavedProbe { state: config.init_state(1), metadata };
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = &folder.path().join("reviews.csv");
    /// std::fs::write(path, "text,label\nA joy.,good\nA bore.,bad\n")?;
    /// let source = TextSource { path, split: "train", hub: None };
    /// let dataset = saved.read_labelled(source, &LabelledColumns::default())?;
    /// assert_eq!(dataset.texts, ["A joy.", "A bore."]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_labelled(
        &self,
        source: TextSource<'_>,
        columns: &LabelledColumns,
    ) -> Result<Dataset, ProbeError> {
        let LabelledColumns { texts, words, pair, label_separator } = columns;
        let (task, kind) = (self.task()?, self.label_kind());
        let is_sequence = task == Task::Sequence;
        let dataset = match (&task, pair) {
            (Task::Sequence, None) if !kind.is_class() => {
                source.read_targets(texts, kind, label_separator)
            }
            (Task::Sequence, Some(columns)) => {
                let (columns, format) = (columns.clone(), texts.format);
                source.read_pairs(&PairConfig { columns, format, ..PairConfig::default() })
            }
            (Task::Tokens, _) => source.read_tagged(words),
            _ => source.read(texts, is_sequence),
        };
        let dataset = dataset?;
        if is_sequence && kind.is_class() {
            self.class_indices(&dataset.name, &dataset.classes)?;
        }
        Ok(dataset)
    }
}
