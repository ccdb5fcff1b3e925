//! Token ids of the texts that a model is run on.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use attention_probes_models::{HookedModel, ModelError, is_lfs_pointer};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::exit::InputError;

/// Token ids of texts, one text after the other; rows without a token are kept.
#[derive(Clone)]
pub(crate) struct TokenRows {
    /// Ids of the real tokens of all rows.
    pub(crate) ids: Vec<u32>,
    /// Where each row begins among the ids, and at last their number, `[n_rows + 1]`.
    pub(crate) offsets: Vec<usize>,
    /// Column of each token in its row, where they may be others than 0, 1, and so on.
    pub(crate) given_columns: Option<Vec<usize>>,
    /// Columns of a padded row.
    pub(crate) pos: usize,
    /// Class of each row, if the data have labels; `None` for a row without one.
    pub(crate) labels: Option<Vec<Option<usize>>>,
    /// Largest id, of padding too.
    max_id: u32,
}

impl TokenRows {
    /// Ids and offsets of rows whose tokens lie side by side.
    pub(crate) fn new(ids: Vec<u32>, offsets: Vec<usize>) -> Self {
        let pos = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let max_id = ids.iter().copied().max().unwrap_or(0);
        Self { ids, offsets, given_columns: None, pos, labels: None, max_id }
    }

    /// Reads `input_ids` and, if it is there, `attention_mask`.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|source| {
            let path = path.to_owned();
            let is_pointer = is_lfs_pointer(&path);
            if is_pointer {
                ModelError::LfsPointer { path }
            } else {
                ModelError::Safetensors { path, source }
            }
        })?;
        let Ok(ids) = file.tensor("input_ids") else {
            let names: Vec<String> =
                file.names().into_iter().map(|name| format!("`{name}`")).collect();
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let path = path.display();
            let message = format!("`{path}` has no tensor `input_ids`; tensors: {found}");
            return Err(InputError(message).into());
        };
        let &[batch, pos] = ids.shape() else {
            let message = format!("has shape {:?}, expected [batch, pos]", ids.shape());
            return Err(wrong_tensor(path, "input_ids", &message).into());
        };
        if batch == 0 || pos == 0 {
            let message = format!("has shape {:?}, expected a token", ids.shape());
            return Err(wrong_tensor(path, "input_ids", &message).into());
        }
        let place = |index: usize| format!("row {}, position {}", index / pos, index % pos);
        let token_id = |(index, id): (usize, i64)| {
            u32::try_from(id).map_err(|_| {
                let message = format!("has {id} at {}, expected a token id", place(index));
                wrong_tensor(path, "input_ids", &message)
            })
        };
        let ids: Vec<u32> =
            int64s(path, "input_ids", &ids)?.enumerate().map(token_id).collect::<Result<_, _>>()?;

        let mask = match file.tensor("attention_mask") {
            Err(_) => vec![true; ids.len()],
            Ok(mask) if mask.shape() != [batch, pos] => {
                let shape = mask.shape();
                let message =
                    format!("has shape {shape:?}, but `input_ids` has shape {:?}", [batch, pos]);
                return Err(wrong_tensor(path, "attention_mask", &message).into());
            }
            Ok(mask) => {
                let flag = |(index, value): (usize, i64)| match value {
                    0 => Ok(false),
                    1 => Ok(true),
                    _ => {
                        let message = format!(
                            "has {value} at {}, expected 1 for a real token or 0 for padding",
                            place(index)
                        );
                        Err(wrong_tensor(path, "attention_mask", &message))
                    }
                };
                let mask = int64s(path, "attention_mask", &mask)?.enumerate().map(flag);
                mask.collect::<Result<Vec<bool>, _>>()?
            }
        };
        if !mask.contains(&true) {
            let message = "has no 1, so there is no real token";
            return Err(wrong_tensor(path, "attention_mask", message).into());
        }
        // Some families look up padding too.
        let max_id = ids.iter().copied().max().unwrap_or(0);
        let real = || (0..ids.len()).filter(|token| mask[*token]);
        let n_real = |row: &[bool]| row.iter().filter(|real| **real).count();
        let mut offsets = vec![0];
        offsets.extend(mask.chunks(pos).scan(0, |end, row| {
            *end += n_real(row);
            Some(*end)
        }));
        Ok(Self {
            given_columns: Some(real().map(|token| token % pos).collect()),
            ids: real().map(|token| ids[token]).collect(),
            offsets,
            pos,
            labels: None,
            max_id,
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Tokens of a row among all of them.
    pub(crate) fn tokens(&self, row: usize) -> Range<usize> {
        self.offsets[row]..self.offsets[row + 1]
    }

    /// Column of each token of a row.
    pub(crate) fn columns(&self, row: usize) -> Vec<usize> {
        let tokens = self.tokens(row);
        match &self.given_columns {
            Some(columns) => columns[tokens].to_vec(),
            None => (0..tokens.len()).collect(),
        }
    }

    /// Refuses what the model would refuse, before anything runs.
    pub(crate) fn check(&self, model: &dyn HookedModel) -> Result<(), ModelError> {
        let (n_ctx, d_vocab) = (model.shape().n_ctx, model.shape().d_vocab);
        let found = (0..self.len()).map(|row| self.tokens(row).len()).max().unwrap_or(0);
        if found > n_ctx {
            return Err(ModelError::ContextLength { found, n_ctx });
        }
        if self.max_id as usize >= d_vocab {
            return Err(ModelError::TokenOutOfRange { id: self.max_id, d_vocab });
        }
        Ok(())
    }
}

/// The values of an int64 tensor.
fn int64s<'a>(
    path: &Path,
    name: &str,
    tensor: &TensorView<'a>,
) -> Result<impl Iterator<Item = i64> + use<'a>, InputError> {
    if tensor.dtype() != Dtype::I64 {
        let message = format!("is {:?}, expected I64", tensor.dtype());
        return Err(wrong_tensor(path, name, &message));
    }
    Ok(tensor.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)))
}

fn wrong_tensor(path: &Path, name: &str, message: &str) -> InputError {
    InputError(format!("`{}`: tensor `{name}` {message}", path.display()))
}
