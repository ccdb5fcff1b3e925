//! Texts with labels of any kind, out of a file.

use std::path::Path;

use super::classes::grouped;
use super::label_fault::fault;
use super::row::is_empty;
use super::target_label::{check, labels_of};
use crate::{
    ActivationError, Dataset, DatasetConfig, LabelColumn, LabelField, LabelKind, LabelReader,
    TextLabel, TextReader, TextRow,
};

impl Dataset {
    /// Reads texts with labels of any kind, as a reader takes them out of their fields:
    /// [`PlainLabels`](crate::PlainLabels), or one of your own.
    ///
    /// Classes are then [`Dataset::labels`]; other labels are [`Dataset::targets`], and
    /// [`Dataset::labels`] their [strata](crate::Labels::strata).
    ///
    /// # Errors
    ///
    /// - as [`Dataset::read_files`]
    /// - [`ActivationError::BadTarget`] if the reader refuses a label, or returns one of another kind
    ///
    /// # Memory
    ///
    /// The texts.
    pub fn read_with(
        name: &str,
        paths: &[impl AsRef<Path>],
        config: &DatasetConfig,
        labels_of_texts: &dyn LabelReader,
    ) -> Result<Self, ActivationError> {
        let kind = labels_of_texts.kind();
        let mut reader = TextReader::open_files(paths, config, LabelColumn::Raw)?;
        let (mut n_rows, mut row_of_file) = (0, 0);
        let (mut source_rows, mut rows, mut labels) = (Vec::new(), Vec::<TextRow>::new(), vec![]);
        let mut file = reader.path().to_owned();
        while let Some(row) = reader.next() {
            let mut row = row?;
            if file != reader.path() {
                reader.path().clone_into(&mut file);
                row_of_file = 0;
            }
            row_of_file += 1;
            if !is_empty(&row.text) {
                let is_json = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl"));
                let text = row.label.take().unwrap_or_default();
                let label = labels_of_texts
                    .read(&LabelField { text: &text, is_json })
                    .and_then(|label| check(&label, kind).map(|()| label));
                let label = label.map_err(|expected| {
                    fault(&file, row_of_file - 1, &config.label, text.clone(), expected)
                })?;
                if labels.first().is_some_and(|first: &TextLabel| !label.is_like(first)) {
                    let expected = "an object in every row, or a number in every row";
                    return Err(fault(&file, row_of_file - 1, &config.label, text, expected));
                }
                labels.push(label);
                source_rows.push(n_rows);
                rows.push(row);
            }
            n_rows += 1;
        }
        if rows.is_empty() {
            let name = file.display().to_string();
            return Err(ActivationError::NoText { name, n_rows });
        }
        let targets = labels_of(&labels, kind, &config.label);
        if targets.names.is_empty() {
            return Err(ActivationError::NoLabel { path: file, column: config.label.clone() });
        }
        if let (LabelKind::Class, [class]) = (kind, &targets.names[..]) {
            let (name, class) = (file.display().to_string(), class.clone());
            return Err(ActivationError::OneClass { name, class });
        }
        let classes = match kind {
            LabelKind::Labels => {
                targets.names.iter().cloned().chain(["no label".to_owned()]).collect()
            }
            _ => targets.names.clone(),
        };
        let groups =
            config.group.as_ref().map(|_| grouped(rows.iter().map(|row| row.group.as_deref())));
        Ok(Self {
            name: name.to_owned(),
            labels: targets.strata(),
            classes,
            groups,
            skipped_empty: n_rows - rows.len(),
            texts: rows.into_iter().map(|row| row.text).collect(),
            source_rows,
            pairs: Vec::new(),
            words: Vec::new(),
            targets: (!kind.is_class()).then_some(targets),
            hash: reader.hash(),
        })
    }
}
