//! Writing one part file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use attention_probes_errors::FileError;

use super::ShardManifest;
use crate::{ActivationError, HookLayout, SafetensorsWriter, TensorDtype, TensorSpec};

/// Tokens and labels of the rows of a part, known before its activations are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTokens {
    /// Token ids of all rows, one row after the other, `[n_tokens]`.
    pub ids: Vec<u32>,
    /// Where each row begins among the ids, and at last their number, `[n_rows + 1]`. A row may
    /// be empty.
    pub offsets: Vec<usize>,
    /// Class of each row, if the data have labels; `None` for a row without one.
    pub labels: Option<Vec<Option<usize>>>,
}

/// A part file whose activations are being written, row by row and in any order.
#[derive(Debug)]
pub struct PartWriter {
    pub(super) writer: SafetensorsWriter,
    pub(super) part: usize,
    pub(super) rows: Range<usize>,
    pub(super) n_tokens: usize,
    /// Of each hook: the tensor, where every row begins in it, and at last its number of values.
    hooks: Vec<(usize, Vec<usize>)>,
    /// Values that are still to be written.
    pub(super) n_missing: usize,
}

impl PartWriter {
    pub(super) fn create(
        path: &Path,
        manifest: &ShardManifest,
        (part, rows): (usize, Range<usize>),
        tokens: &PartTokens,
    ) -> Result<Self, ActivationError> {
        let PartTokens { ids, offsets, labels } = tokens;
        let has_labels = manifest.data.label.is_some();
        assert_eq!(offsets.len(), rows.len() + 1, "one offset per row, and one more");
        assert_eq!(offsets.last(), Some(&ids.len()), "offsets end where the ids end");
        assert_eq!(labels.as_ref().map(Vec::len), has_labels.then_some(rows.len()), "labels");
        let n_rows = rows.len();
        let mut specs =
            vec![ints("row", n_rows), ints("offsets", n_rows + 1), ints("input_ids", ids.len())];
        specs.extend(labels.as_ref().map(|_| ints("label", n_rows)));
        let first_hook = specs.len();
        let mut hooks = Vec::with_capacity(manifest.hooks.len());
        for (index, hook) in manifest.hooks.iter().enumerate() {
            let starts =
                hook_starts(offsets, |n_tokens| hook.n_values(n_tokens)).ok_or_else(|| {
                    let source = std::io::ErrorKind::FileTooLarge.into();
                    FileError::write(path)(source)
                })?;
            let n_values = starts.last().copied().unwrap_or(0);
            let shape = match hook.layout {
                HookLayout::Tokens => [&[ids.len()], &hook.shape[..]].concat(),
                HookLayout::Pairs => vec![n_values],
            };
            let dtype = TensorDtype::Floats(manifest.dtype);
            specs.push(TensorSpec { name: hook.name.clone(), shape, dtype });
            hooks.push((first_hook + index, starts));
        }
        let metadata = BTreeMap::from([
            ("key".to_owned(), manifest.key()),
            ("rows".to_owned(), format!("{}..{}", rows.start, rows.end)),
        ]);
        let mut writer = SafetensorsWriter::create(path, specs, &metadata)?;
        let int = |value: &usize| *value as i64;
        writer.write_ints(0, 0, &rows.clone().map(|row| row as i64).collect::<Vec<_>>())?;
        writer.write_ints(1, 0, &offsets.iter().map(int).collect::<Vec<_>>())?;
        writer.write_ints(2, 0, &ids.iter().map(|id| i64::from(*id)).collect::<Vec<_>>())?;
        if let Some(labels) = labels {
            let label = |label: &Option<usize>| label.as_ref().map_or(-1, int);
            writer.write_ints(3, 0, &labels.iter().map(label).collect::<Vec<_>>())?;
        }
        let n_missing = hooks.iter().filter_map(|(_, starts)| starts.last()).sum();
        Ok(Self { writer, part, rows, n_tokens: ids.len(), hooks, n_missing })
    }

    /// Writes the values of a row, counted from the first of the part, at a hook; each row once.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if the disk refuses them.
    ///
    /// # Panics
    ///
    /// If there is no such hook or row, or the row has another number of values there.
    pub fn write(
        &mut self,
        hook: usize,
        row: usize,
        values: &[f32],
    ) -> Result<(), ActivationError> {
        let (tensor, starts) = &self.hooks[hook];
        assert_eq!(values.len(), starts[row + 1] - starts[row], "values of row {row}");
        assert!(values.len() <= self.n_missing, "row {row} is written once");
        self.n_missing -= values.len();
        self.writer.write_floats(*tensor, starts[row], values)
    }
}

/// Where the values of each row begin, and at last their number.
pub(super) fn hook_starts(
    offsets: &[usize],
    n_values: impl Fn(usize) -> Option<usize>,
) -> Option<Vec<usize>> {
    let mut starts = Vec::with_capacity(offsets.len());
    starts.push(0);
    let mut end = 0_usize;
    for pair in offsets.windows(2) {
        end = end.checked_add(n_values(pair[1] - pair[0])?)?;
        starts.push(end);
    }
    Some(starts)
}

fn ints(name: &str, length: usize) -> TensorSpec {
    TensorSpec { name: name.to_owned(), shape: vec![length], dtype: TensorDtype::Int64 }
}
