//! Texts without padding.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use crate::kinds::PaddedTokens;

/// Tokens of a block: activations of a block stay in the cache between the two products.
const BLOCK_TOKENS: usize = 1024;

/// Texts without padding: of each one its rows, `[pos, d_model]`, wherever they lie.
#[derive(Clone, Debug)]
pub struct RaggedBatch<'a> {
    /// One slice for each text, a whole number of rows, at least one.
    pub rows: Vec<&'a [f32]>,
    /// Width of a row.
    pub d_model: usize,
}

impl RaggedBatch<'_> {
    /// Number of rows of a text.
    pub fn n_tokens(&self, example: usize) -> usize {
        self.rows[example].len() / self.d_model
    }

    /// The batch on a device, padded on the right with 0.
    pub fn padded(&self, device: &Device) -> PaddedTokens {
        let lengths = self.lengths(0..self.rows.len());
        let pos = lengths.iter().copied().max().unwrap_or(1);
        let mut x = Vec::with_capacity(lengths.len() * pos * self.d_model);
        for rows in &self.rows {
            x.extend_from_slice(rows);
            x.resize(x.len() + pos * self.d_model - rows.len(), 0.0);
        }
        let x = TensorData::new(x, [lengths.len(), pos, self.d_model]);
        PaddedTokens::new(Tensor::from_data(x, device), &lengths)
    }

    /// Numbers of rows of some texts.
    pub(super) fn lengths(&self, examples: Range<usize>) -> Vec<usize> {
        examples.map(|example| self.n_tokens(example)).collect()
    }

    /// Divides the batch into runs of texts of about 1024 tokens.
    pub(super) fn blocks(&self) -> Vec<Range<usize>> {
        blocks(&self.lengths(0..self.rows.len()))
    }
}

/// Divides texts of some lengths into runs of about [`BLOCK_TOKENS`] tokens.
pub(super) fn blocks(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let (mut from, mut n_tokens) = (0, 0);
    for (example, length) in lengths.iter().enumerate() {
        n_tokens += length;
        if n_tokens >= BLOCK_TOKENS {
            blocks.push(from..example + 1);
            (from, n_tokens) = (example + 1, 0);
        }
    }
    if from < lengths.len() {
        blocks.push(from..lengths.len());
    }
    blocks
}
