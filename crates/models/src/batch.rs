//! Token ids of several texts, padded to one length.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::ModelError;
use crate::tokenizer::MAX_ID;

/// On which side of a short text the padding goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingSide {
    /// After the text, the default of GPT-2.
    #[default]
    Right,
    /// Before the text, the default of Gemma.
    Left,
}

/// A padded batch of token ids on a device.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    input_ids: Tensor<2, Int>,
    position_ids: Tensor<2, Int>,
    mask_pad: Tensor<2, Bool>,
    ids: Vec<u32>,
    mask: Vec<bool>,
    positions: Vec<usize>,
    max_id: u32,
    has_left_padding: bool,
    attention_pos: usize,
}

impl TokenBatch {
    /// Pads texts to the longest one.
    ///
    /// An empty text becomes a row of padding. Padding uses id 0, which the mask hides.
    ///
    /// # Errors
    ///
    /// - [`ModelError::EmptyBatch`] if there is no text, or none with a token
    /// - [`ModelError::TokenId`] if an id is no number of any vocabulary
    pub fn new(
        texts: &[impl AsRef<[u32]>],
        side: PaddingSide,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let pos = texts.iter().map(|ids| ids.as_ref().len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(texts.len() * pos);
        let mut mask = Vec::with_capacity(texts.len() * pos);
        for text in texts {
            let text = text.as_ref();
            let padding = pos - text.len();
            let (before, after) = match side {
                PaddingSide::Right => (0, padding),
                PaddingSide::Left => (padding, 0),
            };
            ids.extend(std::iter::repeat_n(0, before).chain(text.iter().copied()));
            ids.extend(std::iter::repeat_n(0, after));
            mask.extend(std::iter::repeat_n(false, before));
            mask.extend(std::iter::repeat_n(true, text.len()));
            mask.extend(std::iter::repeat_n(false, after));
        }
        Self::from_mask(&ids, &mask, texts.len(), device)
    }

    /// Takes ids and a mask (`true` = real token) that are already padded, row by row.
    ///
    /// Positions count real tokens, `max(cumsum(mask) - 1, 0)`, so that padding on either side
    /// gives a text the positions it has alone. Hugging Face's bare `forward` does not do this.
    ///
    /// # Errors
    ///
    /// - [`ModelError::EmptyBatch`] if there is no token
    /// - [`ModelError::TokenId`] if an id is no number of any vocabulary
    ///
    /// # Panics
    ///
    /// If `ids` and `mask` differ in length or do not fill `batch` rows.
    pub fn from_mask(
        ids: &[u32],
        mask: &[bool],
        batch: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        assert_eq!(ids.len(), mask.len(), "one mask entry per id");
        if ids.is_empty() || batch == 0 {
            return Err(ModelError::EmptyBatch);
        }
        assert_eq!(ids.len() % batch, 0, "ids fill whole rows");
        let pos = ids.len() / batch;
        let mut positions = Vec::with_capacity(ids.len());
        let mut has_left_padding = false;
        for row in mask.chunks(pos) {
            let mut seen = 0_usize;
            let mut after_gap = false;
            for &real in row {
                has_left_padding |= real && after_gap;
                after_gap |= !real;
                seen += usize::from(real);
                positions.push(seen.saturating_sub(1));
            }
        }
        let position_ids: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
        // What a caller puts into padding need not be in the vocabulary.
        let known = |(id, real): (&u32, &bool)| if *real { *id } else { 0 };
        let ids: Vec<u32> = ids.iter().zip(mask).map(known).collect();
        let ints: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let padding: Vec<bool> = mask.iter().map(|real| !real).collect();
        let max_id = ids.iter().max().copied().unwrap_or(0);
        if max_id > MAX_ID {
            return Err(ModelError::TokenId { id: max_id });
        }
        let shape = [batch, pos];
        Ok(Self {
            input_ids: Tensor::from_data(TensorData::new(ints, shape), device),
            position_ids: Tensor::from_data(TensorData::new(position_ids, shape), device),
            mask_pad: Tensor::from_data(TensorData::new(padding, shape), device),
            ids,
            mask: mask.to_vec(),
            positions,
            max_id,
            has_left_padding,
            attention_pos: pos,
        })
    }

    /// Has attention see at least this many positions, padding behind the texts.
    ///
    /// Products of few rows are summed in another order than those of many, so the length of a
    /// batch may show in the last bits of its activations. Attention alone multiplies position by
    /// position; with its length given, nothing depends on that of the batch, as long as there are
    /// more than 16 tokens in all. Where padding comes before a text this has no effect.
    #[must_use]
    pub fn with_attention_pos(mut self, attention_pos: usize) -> Self {
        if !self.has_left_padding {
            self.attention_pos = self.attention_pos.max(attention_pos);
        }
        self
    }

    /// Token ids, `[batch, pos]`; 0 where padding.
    pub fn input_ids(&self) -> Tensor<2, Int> {
        self.input_ids.clone()
    }

    /// Position of each token within its text, `[batch, pos]`; 0 before the text begins.
    pub fn position_ids(&self) -> Tensor<2, Int> {
        self.position_ids.clone()
    }

    /// `true` where padding, `[batch, pos]`.
    pub fn mask_pad(&self) -> Tensor<2, Bool> {
        self.mask_pad.clone()
    }

    /// Token ids, row by row, on the host; 0 where padding.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// `true` where a real token, row by row, on the host.
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }

    /// Position of each token within its text, row by row, on the host.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// `[batch, pos]`.
    pub fn dims(&self) -> [usize; 2] {
        self.input_ids.dims()
    }

    /// Whether a real token follows padding, so that the causal mask alone does not hide it.
    pub fn has_left_padding(&self) -> bool {
        self.has_left_padding
    }

    /// Positions that attention sees, at least those of the batch.
    pub(crate) fn attention_pos(&self) -> usize {
        self.attention_pos
    }

    /// The largest real token id.
    pub(crate) fn max_id(&self) -> u32 {
        self.max_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_real_tokens_on_either_side() {
        let device = Device::flex();
        let texts: [&[u32]; 2] = [&[5, 6, 7], &[8]];
        let left = TokenBatch::new(&texts, PaddingSide::Left, &device).unwrap();
        let right = TokenBatch::new(&texts, PaddingSide::Right, &device).unwrap();
        let positions = |batch: &TokenBatch| batch.position_ids().into_data().convert::<i64>();
        assert_eq!(positions(&left).as_slice::<i64>().unwrap(), [0, 1, 2, 0, 0, 0]);
        assert_eq!(positions(&right).as_slice::<i64>().unwrap(), [0, 1, 2, 0, 0, 0]);
        assert!(left.has_left_padding());
        assert!(!right.has_left_padding());
    }

    #[test]
    fn a_batch_without_tokens_is_refused() {
        let texts: [&[u32]; 1] = [&[]];
        let error = TokenBatch::new(&texts, PaddingSide::Right, &Device::flex()).unwrap_err();
        assert!(matches!(error, ModelError::EmptyBatch));
    }
}
