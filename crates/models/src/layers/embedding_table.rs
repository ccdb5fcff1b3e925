//! A table with a row per token: a parameter, or rows that stay in the file of a checkpoint.

use std::sync::{Arc, OnceLock};

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{Device, Tensor};

use crate::mapped::{MappedRows, tensor_data};
use crate::{Dtype, TokenBatch};

/// Rows of numbers, one per token, `[d_vocab, d_model]`.
#[derive(Module, Debug)]
pub(crate) enum EmbeddingTable {
    /// In the memory of its device.
    Param(Param<Tensor<2>>),
    /// In the mapped file: a batch reads the rows of its tokens alone.
    Mapped(MappedTable),
}

/// Rows in a file, and the format they are computed with.
#[derive(Module, Debug)]
pub(crate) struct MappedTable {
    #[module(skip)]
    rows: MappedRows,
    #[module(skip)]
    dtype: Dtype,
    /// All of it, once somebody has asked for a product with it.
    #[module(skip)]
    whole: Arc<OnceLock<Tensor<2>>>,
}

impl EmbeddingTable {
    /// A table that stays in its file.
    pub(crate) fn from_mapped(rows: MappedRows, dtype: Dtype) -> Self {
        Self::Mapped(MappedTable { rows, dtype, whole: Arc::default() })
    }

    /// Whether products with it are tracked for gradients.
    pub(crate) fn tracks_gradients(&self) -> bool {
        matches!(self, Self::Param(weight) if weight.val().device().is_autodiff())
    }

    /// The row of each token, `[batch, pos, d_model]`.
    pub(crate) fn lookup(&self, batch: &TokenBatch) -> Tensor<3> {
        match self {
            Self::Param(weight) => embedding(weight.val(), batch.input_ids()),
            Self::Mapped(table) => {
                let [n_texts, pos] = batch.dims();
                let rows = table.rows(batch.ids(), &batch.input_ids().device());
                let [_, d_model] = rows.dims();
                rows.reshape([n_texts, pos, d_model])
            }
        }
    }

    /// The row of one token, `[d_model]`.
    ///
    /// # Panics
    ///
    /// If there is no such token.
    pub(crate) fn row(&self, token: u32, device: &Device) -> Tensor<1> {
        match self {
            Self::Param(weight) => weight.val().narrow(0, token as usize, 1).squeeze_dim::<1>(0),
            Self::Mapped(table) => table.rows(&[token], device).squeeze_dim::<1>(0),
        }
    }

    /// All rows, `[d_vocab, d_model]`.
    ///
    /// # Memory
    ///
    /// A table that stays in its file is read into memory at the first call, and kept.
    pub(crate) fn whole(&self, device: &Device) -> Tensor<2> {
        match self {
            Self::Param(weight) => weight.val(),
            Self::Mapped(table) => table.whole(device),
        }
    }
}

impl MappedTable {
    fn rows(&self, tokens: &[u32], device: &Device) -> Tensor<2> {
        let [_, d_model] = self.rows.shape();
        let row = |token: &u32| self.rows.rows(*token as usize..*token as usize + 1);
        let values: Vec<f32> = tokens.iter().flat_map(row).collect();
        let data = tensor_data(values, [tokens.len(), d_model], self.dtype);
        Tensor::from_data(data, (device, self.dtype.of_tensors()))
    }

    fn whole(&self, device: &Device) -> Tensor<2> {
        let read = || {
            let data = tensor_data(self.rows.all_rows(), self.rows.shape(), self.dtype);
            Tensor::from_data(data, (device, self.dtype.of_tensors()))
        };
        self.whole.get_or_init(read).clone()
    }
}
