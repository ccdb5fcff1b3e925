//! Activations of all texts in one file, padded to one length.

use std::collections::BTreeMap;

use attention_probes_models::HookPoint;

use super::plan::Run;
use super::token_rows::TokenRows;
use crate::{
    ActivationError, HookLayout, NpzArray, SafetensorsWriter, TensorDtype, TensorSpec,
    capture_rows, finish_as_npz,
};

/// A file that is to be written.
pub(super) struct OutputFile<'a> {
    /// Every tensor, those of tokens and labels first.
    pub(super) specs: Vec<TensorSpec>,
    rows: &'a TokenRows,
}

impl<'a> OutputFile<'a> {
    pub(super) fn new(run: &Run<'_>, rows: &'a TokenRows) -> Self {
        let (batch, pos) = (rows.len(), rows.pos);
        let ints = |name: &str, shape: &[usize]| TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype: TensorDtype::Int64,
        };
        let mut specs =
            vec![ints("input_ids", &[batch, pos]), ints("attention_mask", &[batch, pos])];
        specs.extend(rows.labels.as_ref().map(|_| ints("y", &[batch])));
        specs.extend(run.shapes.iter().map(|hook| TensorSpec {
            name: hook.hook.to_string(),
            shape: match hook.layout {
                HookLayout::Tokens => [&[batch, pos], &hook.shape[..]].concat(),
                HookLayout::Pairs => [&[batch], &hook.shape[..], &[pos, pos]].concat(),
            },
            dtype: TensorDtype::Floats(run.config.dtype),
        }));
        Self { specs, rows }
    }

    /// Runs the model and fills the file; it gets its name only if texts with NaN or infinity are
    /// allowed, which are returned, or there are none.
    pub(super) fn write(
        self,
        run: &Run<'_>,
        metadata: &BTreeMap<String, String>,
        is_npz: bool,
    ) -> Result<Vec<usize>, ActivationError> {
        let Self { specs, rows } = self;
        let (path, first_hook) = (&run.config.output, specs.len() - run.shapes.len());
        let mut file = SafetensorsWriter::create(path, specs, metadata)?;
        write_ids(&mut file, rows)?;
        let mut buffer = Vec::new();
        let summary = capture_rows(&run.capture(run.watch.clone()), &rows.sequences(), |found| {
            let (row, columns) = (found.sequence, rows.columns(found.sequence));
            for (index, (hook, values)) in run.shapes.iter().zip(&found.values).enumerate() {
                let tensor = first_hook + index;
                match hook.layout {
                    HookLayout::Tokens => {
                        write_tokens(&mut file, tensor, [row, rows.pos], &columns, values)?;
                    }
                    HookLayout::Pairs => {
                        pad_pairs(hook.hook, &columns, rows.pos, values, &mut buffer);
                        file.write_floats(tensor, row * buffer.len(), &buffer)?;
                    }
                }
            }
            Ok::<(), ActivationError>(())
        })?;
        let found = summary.non_finite.iter().map(|found| (found.sequence, Some(found.hook)));
        run.check_finite(&found.collect::<Vec<_>>())?;
        if is_npz {
            let json = serde_json::json!(metadata).to_string().into_bytes();
            let mut more = vec![("metadata", NpzArray::new(vec![json.len()], json))];
            let class_names = run.input.data.class_names().to_vec();
            if !class_names.is_empty() {
                more.push(("class_names", NpzArray::new(vec![class_names.len()], class_names)));
            }
            finish_as_npz(file, &more)?;
        } else {
            file.finish()?;
        }
        Ok(summary.non_finite.iter().map(|found| found.sequence).collect())
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
    [row, pos]: [usize; 2],
    columns: &[usize],
    values: &[f32],
) -> Result<(), ActivationError> {
    let width = values.len() / columns.len();
    let mut values_left = values;
    for run in columns.chunk_by(|column, next| column + 1 == *next) {
        let (of_run, rest) = values_left.split_at(run.len() * width);
        file.write_floats(tensor, (row * pos + run[0]) * width, of_run)?;
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
    values: &[f32],
    output: &mut Vec<f32>,
) {
    let hidden = if matches!(hook, HookPoint::AttnScores(_)) { f32::NEG_INFINITY } else { 0.0 };
    let n_tokens = columns.len();
    let heads = values.chunks(n_tokens * n_tokens);
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
        let values = [1.0, hidden, 2.0, 3.0];
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
