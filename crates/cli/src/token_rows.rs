//! Token ids of all texts of one call, padded to one length.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ActivationError, Dataset, TokenizeConfig, tokenize};
use attention_probes_models::{HookedModel, LanguageModel, ModelError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tracing::info;

use crate::exit::InputError;

/// Token ids of all texts, padded to one length, row by row.
pub(crate) struct TokenRows {
    /// `[batch, pos]`
    pub(crate) ids: Vec<u32>,
    /// `[batch, pos]`, `true` where a real token.
    pub(crate) mask: Vec<bool>,
    pub(crate) batch: usize,
    pub(crate) pos: usize,
    /// Whether ids and mask were made here, so that they belong in the output.
    pub(crate) from_text: bool,
}

impl TokenRows {
    /// Tokenizes every text; one that is empty, or has no token, is a row of padding.
    pub(crate) fn from_texts(
        dataset: &Dataset,
        model: &LanguageModel,
        max_tokens: Option<NonZeroUsize>,
    ) -> Result<Self> {
        let n_ctx = model.model.shape().n_ctx;
        let max_tokens = max_tokens.map_or(n_ctx, |n| n.get().min(n_ctx));
        let tokenizing = TokenizeConfig { max_tokens, cache: None };
        let tokens = tokenize(dataset, &model.tokenizer, &tokenizing)?;
        for (n, what) in [
            (dataset.skipped_empty + tokens.empty_rows.len(), "empty texts are rows of padding"),
            (tokens.n_truncated, "texts cut to the longest length allowed"),
        ] {
            if n > 0 {
                info!("`{}`: {n} {what}", dataset.name);
            }
        }
        let batch = dataset.len() + dataset.skipped_empty;
        let pos = tokens.lengths().into_iter().max().unwrap_or(0);
        let mut rows = Self {
            ids: vec![0; batch * pos],
            mask: vec![false; batch * pos],
            batch,
            pos,
            from_text: true,
        };
        for (sequence, &text) in tokens.text_rows.iter().enumerate() {
            let ids = tokens.sequence(sequence);
            let start = dataset.source_rows[text] * pos;
            rows.ids[start..start + ids.len()].copy_from_slice(ids);
            rows.mask[start..start + ids.len()].fill(true);
        }
        Ok(rows)
    }

    /// Reads `input_ids` and, if it is there, `attention_mask`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)
            .map_err(|source| ActivationError::Read { path: path.to_owned(), source })?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|source| ModelError::Safetensors { path: path.to_owned(), source })?;
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
        Ok(Self { ids, mask, batch, pos, from_text: false })
    }

    /// Refuses what the model would refuse, before anything runs.
    pub(crate) fn check(&self, model: &dyn HookedModel) -> Result<(), ModelError> {
        let (n_ctx, d_vocab) = (model.shape().n_ctx, model.shape().d_vocab);
        let n_real = |row: &[bool]| row.iter().filter(|real| **real).count();
        let found = self.mask.chunks(self.pos).map(n_real).max().unwrap_or(0);
        if found > n_ctx {
            return Err(ModelError::ContextLength { found, n_ctx });
        }
        // Some families look up padding too.
        match self.ids.iter().find(|id| **id as usize >= d_vocab) {
            Some(&id) => Err(ModelError::TokenOutOfRange { id, d_vocab }),
            None => Ok(()),
        }
    }

    /// Positions of each row up to its last real token.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        let length = |row: &[bool]| row.iter().rposition(|real| *real).map_or(0, |last| last + 1);
        self.mask.chunks(self.pos).map(length).collect()
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
