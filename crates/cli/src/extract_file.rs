//! Activations of all texts in one file, padded to one length.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, HookLayout, NpzArray, SafetensorsWriter, StoreDtype, TensorDtype, TensorSpec,
    finish_as_npz,
};
use attention_probes_models::HookPoint;
use attention_probes_sweep::Tracker;

use crate::extraction::{Extraction, HookShape, RowValues};
use crate::progress::Progress;
use crate::tensor_file::Format;
use crate::token_rows::TokenRows;

/// A file that is to be written.
pub(crate) struct OutputFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) format: Format,
    pub(crate) dtype: StoreDtype,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Names of the classes, if there are labels.
    pub(crate) class_names: Vec<String>,
}

/// Every tensor of the file, those of tokens and labels first.
pub(crate) fn specs(rows: &TokenRows, shapes: &[HookShape], dtype: StoreDtype) -> Vec<TensorSpec> {
    let (batch, pos) = (rows.len(), rows.pos);
    let ints = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        dtype: TensorDtype::Int64,
    };
    let mut specs = vec![ints("input_ids", &[batch, pos]), ints("attention_mask", &[batch, pos])];
    specs.extend(rows.labels.as_ref().map(|_| ints("y", &[batch])));
    specs.extend(shapes.iter().map(|hook| TensorSpec {
        name: hook.hook.to_string(),
        shape: match hook.layout {
            HookLayout::Tokens => [&[batch, pos], &hook.shape[..]].concat(),
            HookLayout::Pairs => [&[batch], &hook.shape[..], &[pos, pos]].concat(),
        },
        dtype: TensorDtype::Floats(dtype),
    }));
    specs
}

impl OutputFile<'_> {
    /// Runs the model and fills the file; it gets its name only if `check` accepts the first hook
    /// with NaN or infinity of each text that has one.
    pub(crate) fn write(
        self,
        extraction: &Extraction<'_>,
        rows: &TokenRows,
        check: impl FnOnce(&BTreeMap<usize, HookPoint>) -> Result<()>,
    ) -> Result<Vec<usize>> {
        let specs = specs(rows, extraction.shapes, self.dtype);
        let first_hook = specs.len() - extraction.shapes.len();
        let npz_metadata =
            (self.format == Format::Npz).then(|| serde_json::to_vec(&self.metadata)).transpose()?;
        let mut file = SafetensorsWriter::create(self.path, specs, &self.metadata)?;
        write_ids(&mut file, rows)?;
        let (mut bar, mut n_done, mut buffer) = (Progress::default(), 0, Vec::new());
        let n_filled = (0..rows.len()).filter(|row| !rows.tokens(*row).is_empty()).count();
        let mut sink = |values: &RowValues<'_>| {
            let tensor = first_hook + values.hook;
            let hook = &extraction.shapes[values.hook];
            match hook.layout {
                HookLayout::Tokens => write_tokens(&mut file, tensor, rows, values)?,
                HookLayout::Pairs => {
                    pad_pairs(hook.hook, &rows.columns(values.row), rows.pos, values, &mut buffer);
                    file.write_floats(tensor, values.row * buffer.len(), &buffer)?;
                }
            }
            Ok(())
        };
        let non_finite = extraction.run(rows, &mut sink, &mut |n| {
            n_done += n;
            bar.extracted("extract", n_done, n_filled);
        })?;
        bar.clear();
        check(&non_finite)?;
        match npz_metadata {
            None => file.finish()?,
            Some(json) => {
                let mut more = vec![("metadata", NpzArray::new(vec![json.len()], json))];
                if !self.class_names.is_empty() {
                    let names = NpzArray::new(vec![self.class_names.len()], self.class_names);
                    more.push(("class_names", names));
                }
                finish_as_npz(file, &more)?;
            }
        }
        Ok(non_finite.into_keys().collect())
    }
}

/// Writes `input_ids`, `attention_mask`, and `y` where there are labels, -1 for a row without one.
fn write_ids(file: &mut SafetensorsWriter, rows: &TokenRows) -> Result<(), ActivationError> {
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for row in 0..rows.len() {
        for values in [&mut ids, &mut mask] {
            values.clear();
            values.resize(rows.pos, 0);
        }
        for (column, id) in rows.columns(row).into_iter().zip(&rows.ids[rows.tokens(row)]) {
            ids[column] = i64::from(*id);
            mask[column] = 1;
        }
        file.write_ints(0, row * rows.pos, &ids)?;
        file.write_ints(1, row * rows.pos, &mask)?;
    }
    if let Some(labels) = &rows.labels {
        let label = |label: &Option<usize>| label.map_or(-1, |label| label as i64);
        file.write_ints(2, 0, &labels.iter().map(label).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Writes the activations of a text where its tokens stand.
fn write_tokens(
    file: &mut SafetensorsWriter,
    tensor: usize,
    rows: &TokenRows,
    values: &RowValues<'_>,
) -> Result<(), ActivationError> {
    let columns = rows.columns(values.row);
    let width = values.values.len() / columns.len();
    let mut values_left = values.values;
    for run in columns.chunk_by(|column, next| column + 1 == *next) {
        let (of_run, rest) = values_left.split_at(run.len() * width);
        file.write_floats(tensor, (values.row * rows.pos + run[0]) * width, of_run)?;
        values_left = rest;
    }
    Ok(())
}

/// Puts `[n_heads, n_tokens, n_tokens]` into `[n_heads, pos, pos]`: padded queries are zero, padded
/// keys are hidden.
fn pad_pairs(
    hook: HookPoint,
    columns: &[usize],
    pos: usize,
    values: &RowValues<'_>,
    output: &mut Vec<f32>,
) {
    let hidden = if matches!(hook, HookPoint::AttnScores(_)) { f32::NEG_INFINITY } else { 0.0 };
    let n_tokens = columns.len();
    let heads = values.values.chunks(n_tokens * n_tokens);
    output.clear();
    output.resize(heads.len() * pos * pos, 0.0);
    for (values, output) in heads.zip(output.chunks_mut(pos * pos)) {
        for (values, &query) in values.chunks(n_tokens).zip(columns) {
            let output = &mut output[query * pos..(query + 1) * pos];
            output.fill(hidden);
            for (value, &key) in values.iter().zip(columns) {
                output[key] = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_keys_are_hidden_and_padded_queries_zero() {
        let hidden = f32::NEG_INFINITY;
        let values = RowValues { hook: 0, row: 0, values: &[1.0, hidden, 2.0, 3.0] };
        let mut output = vec![7.0];
        pad_pairs(HookPoint::AttnScores(0), &[1, 2], 4, &values, &mut output);
        let none = [0.0; 4];
        let expected = [none, [hidden, 1.0, hidden, hidden], [hidden, 2.0, 3.0, hidden], none];
        assert_eq!(output, expected.as_flattened());
        // In a pattern, a hidden key weighs 0.
        pad_pairs(HookPoint::Pattern(0), &[1, 2], 3, &values, &mut output);
        assert_eq!(output, [0.0, 0.0, 0.0, 0.0, 1.0, hidden, 0.0, 2.0, 3.0]);
    }
}
