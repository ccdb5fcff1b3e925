//! What the tests of this crate share.

use burn::tensor::Tensor;

/// The numbers of a tensor, row-major.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    attention_probes_models::host_values(tensor).unwrap()
}
