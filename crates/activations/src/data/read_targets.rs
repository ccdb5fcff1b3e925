//! Texts whose labels are no classes, out of a file.

use std::path::Path;

use super::classes::grouped;
use super::row::is_empty;
use super::target_label::{Label, fault, targets_of};
use crate::{ActivationError, Dataset, DatasetConfig, LabelColumn, LabelKind, TextReader, TextRow};

impl Dataset {
    /// Reads texts whose labels are no classes.
    ///
    /// `separator` stands between labels in CSV and TSV files. Labels are then
    /// [`Dataset::targets`], and [`Dataset::labels`] are
    /// [`Targets::strata`](crate::Targets::strata).
    ///
    /// # Errors
    ///
    /// - as [`Dataset::read_files`]
    /// - [`ActivationError::BadTarget`] if a label is not what `kind` says
    ///
    /// # Memory
    ///
    /// The texts.
    pub fn read_targets(
        name: &str,
        paths: &[impl AsRef<Path>],
        config: &DatasetConfig,
        kind: LabelKind,
        separator: &str,
    ) -> Result<Self, ActivationError> {
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
                let label = Label::parse(&text, is_json, kind, separator).map_err(|expected| {
                    fault(&file, row_of_file - 1, &config.label, text.clone(), expected)
                })?;
                if labels.first().is_some_and(|first| !label.is_like(first)) {
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
        let targets = targets_of(&labels, kind, &config.label);
        if targets.names.is_empty() {
            return Err(ActivationError::NoLabel { path: file, column: config.label.clone() });
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
            targets: Some(targets),
            hash: reader.hash(),
        })
    }
}
