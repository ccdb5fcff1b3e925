//! Token ids of the texts that a model is run on.

use std::ops::Range;
use std::path::Path;

use attention_probes_models::{HookedModel, ModelError, is_lfs_pointer};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::error::{ExtractError, IdsFault};
use crate::{ActivationError, PartTokens};

/// Token ids of texts, one text after the other; rows without a token are kept.
#[derive(Clone, Debug)]
pub struct TokenRows {
    /// Ids of the real tokens of all rows.
    pub ids: Vec<u32>,
    /// Where each row begins among the ids, and at last their number, `[n_rows + 1]`.
    pub offsets: Vec<usize>,
    /// Column of each token in its row, where they may be others than 0, 1, and so on.
    given_columns: Option<Vec<usize>>,
    /// Columns of a row that is padded to the longest.
    pub pos: usize,
    /// Class of each row, if the data have labels; `None` for a row without one.
    pub labels: Option<Vec<Option<usize>>>,
    /// Largest id, of padding too.
    max_id: u32,
}

impl TokenRows {
    /// Ids and offsets of rows whose tokens lie side by side.
    pub fn new(ids: Vec<u32>, offsets: Vec<usize>) -> Self {
        let pos = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let max_id = ids.iter().copied().max().unwrap_or(0);
        Self { ids, offsets, given_columns: None, pos, labels: None, max_id }
    }

    /// Reads `input_ids` and, if it is there, `attention_mask`, from the bytes of a safetensors
    /// file; both are int64 of shape `[batch, pos]`.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::LfsPointer`] if the file is one
    /// - [`ExtractError::Safetensors`] if it is damaged
    /// - [`ExtractError::NoIds`] or [`ExtractError::Ids`] if a tensor is missing or wrong
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, ActivationError> {
        let owned = || path.to_owned();
        let file = SafeTensors::deserialize(bytes).map_err(|source| {
            if is_lfs_pointer(path) {
                ActivationError::LfsPointer { path: owned() }
            } else {
                ExtractError::Safetensors { path: owned(), source }.into()
            }
        })?;
        let Ok(ids) = file.tensor("input_ids") else {
            let names = file.names().into_iter().map(ToOwned::to_owned).collect();
            return Err(ExtractError::NoIds { path: owned(), names }.into());
        };
        let wrong = |tensor, fault| ExtractError::Ids { path: owned(), tensor, fault };
        let of_ids = |fault| wrong("input_ids", fault);
        let shape = ids.shape().to_vec();
        let &[batch, pos] = &shape[..] else {
            return Err(of_ids(IdsFault::Axes { shape }).into());
        };
        if batch == 0 || pos == 0 {
            return Err(of_ids(IdsFault::NoToken { shape }).into());
        }
        let place = |index: usize| [index / pos, index % pos];
        let token_id = |(index, value): (usize, i64)| {
            u32::try_from(value).map_err(|_| IdsFault::Id { value, place: place(index) })
        };
        let values = int64s(&ids).map_err(of_ids)?;
        let ids: Vec<u32> =
            values.enumerate().map(token_id).collect::<Result<_, _>>().map_err(of_ids)?;

        let of_mask = |fault| wrong("attention_mask", fault);
        let flag = |(index, value): (usize, i64)| match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(IdsFault::Mask { value, place: place(index) }),
        };
        let mask: Vec<bool> = match file.tensor("attention_mask") {
            Err(_) => vec![true; ids.len()],
            Ok(mask) if mask.shape() != [batch, pos] => {
                let (shape, expected) = (mask.shape().to_vec(), [batch, pos]);
                return Err(of_mask(IdsFault::Shape { shape, expected }).into());
            }
            Ok(mask) => {
                let values = int64s(&mask).map_err(of_mask)?;
                values.enumerate().map(flag).collect::<Result<_, _>>().map_err(of_mask)?
            }
        };
        if !mask.contains(&true) {
            return Err(of_mask(IdsFault::NoOne).into());
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
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Token ids of every row.
    pub fn sequences(&self) -> Vec<&[u32]> {
        self.offsets.windows(2).map(|ends| &self.ids[ends[0]..ends[1]]).collect()
    }

    /// Ids and offsets of some rows, without their labels.
    pub(super) fn part(&self, rows: Range<usize>) -> PartTokens {
        let offsets = &self.offsets[rows.start..=rows.end];
        let (first, last) = (offsets[0], offsets[rows.len()]);
        PartTokens {
            ids: self.ids[first..last].to_vec(),
            offsets: offsets.iter().map(|offset| offset - first).collect(),
            labels: None,
        }
    }

    /// Tokens of a row among all of them.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn tokens(&self, row: usize) -> Range<usize> {
        self.offsets[row]..self.offsets[row + 1]
    }

    /// Column of each token of a row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn columns(&self, row: usize) -> Vec<usize> {
        let tokens = self.tokens(row);
        match &self.given_columns {
            Some(columns) => columns[tokens].to_vec(),
            None => (0..tokens.len()).collect(),
        }
    }

    /// Refuses what the model would refuse, before anything runs.
    ///
    /// # Errors
    ///
    /// - [`ModelError::ContextLength`] if a row is longer than the model's context
    /// - [`ModelError::TokenOutOfRange`] if an id, of padding too, is not in its vocabulary
    pub fn check(&self, model: &dyn HookedModel) -> Result<(), ModelError> {
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
fn int64s<'a>(tensor: &TensorView<'a>) -> Result<impl Iterator<Item = i64> + use<'a>, IdsFault> {
    if tensor.dtype() != Dtype::I64 {
        return Err(IdsFault::Dtype { found: format!("{:?}", tensor.dtype()) });
    }
    Ok(tensor.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)))
}
