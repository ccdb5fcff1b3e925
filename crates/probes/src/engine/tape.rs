//! Passes forward of any kind of probe on a device, with and without a tape.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use crate::ProbeState;
use crate::kinds::{Batch, PaddedTokens, ProbeKind, ProbeSize};

/// Arrays of trials by name, each `[n_trials, size]`.
pub(crate) type DeviceState = BTreeMap<&'static str, Tensor<2>>;

/// Puts the arrays of one probe on a device.
pub(crate) fn device_state(
    kind: &dyn ProbeKind,
    size: ProbeSize,
    state: &ProbeState,
    device: &Device,
) -> DeviceState {
    let array = |(name, _): (&'static str, Vec<usize>)| {
        let values = state[name].values.clone();
        let data = TensorData::new(values.clone(), [1, values.len()]);
        (name, Tensor::from_data(data, device))
    };
    kind.layout(size).shapes(size).into_iter().map(array).collect()
}

/// The vectors that rows meet, `[batch * n_points, d_model]`.
pub(crate) struct Points {
    x: Tensor<2>,
    batch: usize,
    /// Vectors of a text.
    n_each: usize,
}

impl Points {
    /// What a kind reads of a batch.
    pub(crate) fn new(kind: &dyn ProbeKind, tokens: &PaddedTokens) -> Self {
        let prepared = kind.reads().prepare(tokens.x().clone(), tokens.mask_pad().clone());
        let [batch, n_points, d_model] = prepared.dims();
        Self { x: prepared.reshape([batch * n_points, d_model]), batch, n_each: n_points }
    }

    /// Products of rows `[n, d_model]` with all vectors, `[n, batch * n_points]`.
    pub(crate) fn product(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.x.clone().transpose())
    }

    /// A product as kinds see it, `[n_trials, n_rows, batch, n_points]`.
    pub(crate) fn by_trial(&self, product: Tensor<2>, n_trials: usize) -> Tensor<4> {
        let [n, _] = product.dims();
        product.reshape([n_trials, n / n_trials, self.batch, self.n_each])
    }

    /// Gradients of rows from those of their products.
    pub(crate) fn gradient(&self, of_product: Tensor<2>) -> Tensor<2> {
        of_product.matmul(self.x.clone())
    }
}

/// A batch with everything that a kind needs of trials, off the tape.
pub(crate) fn batch_of(
    kind: &dyn ProbeKind,
    size: ProbeSize,
    state: &DeviceState,
    tokens: PaddedTokens,
) -> Batch {
    let n_trials = state.values().next().map_or(1, |array| array.dims()[0]);
    let points = Points::new(kind, &tokens);
    let mut batch = Batch::new(tokens, n_trials, size.n_out);
    let layout = kind.layout(size);
    for (name, n_rows) in layout.all_rows() {
        let rows = state[name].clone().reshape([n_trials * n_rows, size.d_model]);
        batch.insert_product(name, points.by_trial(points.product(rows), n_trials));
    }
    for (name, _) in layout.all_small() {
        batch.insert_array(name, state[name].clone());
    }
    batch
}
