//! A batch as a kind of probe sees it, on any device.

use std::collections::BTreeMap;

use attention_probes_models::{ModelError, host_values};
use burn::tensor::{Bool, Device, IndexingUpdateOp, Int, Tensor, TensorData, assert_shape};

use crate::positions_from_mask;

/// What is added to the score of padding: finite, so that no gradient becomes NaN.
const PADDING: f32 = -1e30;

/// Texts padded on the right to one length, on one device, off the tape.
#[derive(Clone, Debug)]
pub struct PaddedTokens {
    x: Tensor<3>,
    mask_pad: Tensor<2, Bool>,
    padding: Tensor<4>,
    real: Tensor<4>,
    positions: Tensor<4>,
    n_tokens: Tensor<2>,
    dropped: Option<Tensor<4, Bool>>,
    /// Where they are known on the host.
    lengths: Vec<usize>,
}

/// Moves the tokens of each text to its beginning, wherever the padding was; what is behind them is
/// 0.
///
/// # Shapes
///
/// - `x`: `[batch, pos, d_model]`
/// - `mask_pad`: `[batch, pos]`, `true` where padding is
pub(crate) fn right_padded(x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> Tensor<3> {
    let [batch, pos, d_model] = x.dims();
    let wide = |mask: Tensor<2, Bool>| mask.unsqueeze_dim::<3>(2).expand([batch, pos, d_model]);
    // Padding goes to position 0 too, where it adds nothing.
    let positions = positions_from_mask(mask_pad.clone()).int();
    let index = positions.unsqueeze_dim::<3>(2).expand([batch, pos, d_model]);
    let values = x.mask_fill(wide(mask_pad), 0.0);
    let zeros = Tensor::zeros([batch, pos, d_model], &values.device());
    zeros.scatter(1, index, values, IndexingUpdateOp::Add)
}

impl PaddedTokens {
    /// Texts that are padded anywhere, with finite numbers.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`
    /// - `mask_pad`: `[batch, pos]`, `true` where padding is
    ///
    /// # Panics
    ///
    /// If `mask_pad` does not match `x`.
    pub fn from_mask(x: Tensor<3>, mask_pad: Tensor<2, Bool>) -> Self {
        let [batch, pos, _] = x.dims();
        assert_shape!(mask_pad, [batch, pos]);
        let lengths = mask_pad.clone().bool_not().int().sum_dim(1).reshape([batch]);
        Self::of(right_padded(x, mask_pad), lengths, Vec::new())
    }

    /// Takes activations with the number of tokens of each text, each at least 1.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, d_model]`, padded on the right with finite numbers
    /// - `lengths`: `[batch]`
    ///
    /// # Panics
    ///
    /// If `lengths` has not one number for each text.
    pub fn new(x: Tensor<3>, lengths: &[usize]) -> Self {
        let [batch, _, _] = x.dims();
        assert_eq!(lengths.len(), batch, "one length for each text");
        let device = x.device();
        let on_device: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
        let on_device = Tensor::<1, Int>::from_data(TensorData::new(on_device, [batch]), &device);
        Self::of(x, on_device, lengths.to_vec())
    }

    fn of(x: Tensor<3>, n_tokens: Tensor<1, Int>, lengths: Vec<usize>) -> Self {
        let [batch, pos, _] = x.dims();
        let column = Tensor::<1, Int>::arange(0..pos as i64, &x.device());
        let mask_pad = column
            .clone()
            .reshape([1, pos])
            .expand([batch, pos])
            .greater_equal(n_tokens.clone().reshape([batch, 1]).expand([batch, pos]));
        let real = mask_pad.clone().bool_not().float();
        let padding = (real.clone() - 1.0) * -PADDING;
        Self {
            padding: padding.reshape([1, 1, batch, pos]),
            real: real.reshape([1, 1, batch, pos]),
            positions: column.float().reshape([1, 1, 1, pos]),
            n_tokens: n_tokens.float().reshape([1, batch]),
            x,
            mask_pad,
            dropped: None,
            lengths,
        }
    }

    /// Hides tokens from heads, `[batch, n_heads, pos]`.
    ///
    /// # Panics
    ///
    /// If the number of tokens is another.
    #[must_use]
    pub fn with_dropped(mut self, dropped: Vec<bool>, n_heads: usize) -> Self {
        let [batch, pos, _] = self.x.dims();
        let data = TensorData::new(dropped, [batch, n_heads, pos]);
        let dropped = Tensor::<3, Bool>::from_data(data, &self.x.device());
        self.dropped = Some(dropped.swap_dims(0, 1).unsqueeze_dim(0));
        self
    }

    /// The activations, `[batch, pos, d_model]`.
    pub fn x(&self) -> &Tensor<3> {
        &self.x
    }

    /// Where padding is, `[batch, pos]`.
    pub fn mask_pad(&self) -> &Tensor<2, Bool> {
        &self.mask_pad
    }

    /// The real tokens of each text on the host, `[n_tokens, d_model]` each.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the device does not hand them over.
    pub(crate) fn to_rows(&self) -> Result<Vec<Vec<f32>>, ModelError> {
        let [_, pos, d_model] = self.x.dims();
        let n_tokens = host_values(self.n_tokens.clone())?;
        let x = host_values(self.x.clone())?;
        let texts = x.chunks_exact(pos * d_model).zip(n_tokens);
        Ok(texts.map(|(text, n)| text[..n as usize * d_model].to_vec()).collect())
    }

    /// Tokens of each text, where that is known on the host.
    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        self.x.device()
    }
}

/// A batch of texts, and what the weights of trials say of them.
///
/// Positions come last, so that softmax and maxima reduce neighbours. Tensors of texts have a leading
/// axis of 1 that meets `n_trials`.
#[derive(Clone, Debug)]
pub struct Batch {
    tokens: PaddedTokens,
    products: BTreeMap<&'static str, Tensor<4>>,
    arrays: BTreeMap<&'static str, Tensor<2>>,
    n_trials: usize,
    n_out: usize,
}

impl Batch {
    pub(crate) fn new(tokens: PaddedTokens, n_trials: usize, n_out: usize) -> Self {
        Self { tokens, products: BTreeMap::new(), arrays: BTreeMap::new(), n_trials, n_out }
    }

    pub(crate) fn insert_product(&mut self, name: &'static str, product: Tensor<4>) {
        self.products.insert(name, product);
    }

    pub(crate) fn insert_array(&mut self, name: &'static str, array: Tensor<2>) {
        self.arrays.insert(name, array);
    }

    /// `[n_trials, n_out, batch]`: the shape of what a kind returns.
    pub fn dims(&self) -> [usize; 3] {
        let [batch, _, _] = self.tokens.x.dims();
        [self.n_trials, self.n_out, batch]
    }

    /// What the rows of an array say of each position, `[n_trials, n_rows, batch, pos]`; of padding
    /// some finite number.
    ///
    /// # Panics
    ///
    /// If the layout of the kind has no such rows.
    pub fn product(&self, name: &str) -> Tensor<4> {
        match self.products.get(name) {
            Some(product) => product.clone(),
            None => panic!("the layout has no rows `{name}`"),
        }
    }

    /// An array that does not meet the activations, `[n_trials, …]` in a shape of as many numbers.
    ///
    /// # Panics
    ///
    /// If the layout of the kind has no such array, or of another size.
    pub fn array<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        match self.arrays.get(name) {
            Some(array) => array.clone().reshape(shape),
            None => panic!("the layout has no array `{name}`"),
        }
    }

    /// What keeps padding out of a softmax or maximum when it is added to scores: 0 at tokens, -1e30
    /// at padding, `[1, 1, batch, pos]`.
    pub fn padding(&self) -> Tensor<4> {
        self.tokens.padding.clone()
    }

    /// 1 at tokens, 0 at padding, `[1, 1, batch, pos]`.
    pub fn real(&self) -> Tensor<4> {
        self.tokens.real.clone()
    }

    /// Positions from 0, `[1, 1, 1, pos]`.
    pub fn positions(&self) -> Tensor<4> {
        self.tokens.positions.clone()
    }

    /// Tokens of each text, `[1, batch]`.
    pub fn n_tokens(&self) -> Tensor<2> {
        self.tokens.n_tokens.clone()
    }

    /// What keeps all tokens but the last out: 0 at the last token, else -1e30, `[1, 1, batch, pos]`.
    pub fn all_but_last(&self) -> Tensor<4> {
        (self.last() - 1.0) * -PADDING
    }

    /// 1 at the last token of each text, else 0, `[1, 1, batch, pos]`.
    pub fn last(&self) -> Tensor<4> {
        let [batch, pos, _] = self.tokens.x.dims();
        let last = self.n_tokens().reshape([1, 1, batch, 1]) - 1.0;
        let here = self.positions().expand([1, 1, batch, pos]);
        here.equal(last.expand([1, 1, batch, pos])).float()
    }

    /// Tokens that training hides from heads, `[1, n_heads, batch, pos]`, where it does.
    pub fn dropped(&self) -> Option<Tensor<4, Bool>> {
        self.tokens.dropped.clone()
    }

    /// The activations, `[batch, pos, d_model]`.
    ///
    /// # Memory
    ///
    /// What a kind multiplies with them has a gradient that is as large as they are, for each trial
    /// and row: where it can, a kind names rows in its [`Layout`](crate::Layout) instead.
    pub fn x(&self) -> Tensor<3> {
        self.tokens.x.clone()
    }
}
