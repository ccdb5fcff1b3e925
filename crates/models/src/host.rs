//! Host memory: which tensors lie there, and how the others get there.

use burn::tensor::{Device, Tensor};

use crate::ModelError;

/// Whether tensors on `device` live in host memory, so that reading them costs no transfer.
///
/// burn offers no such question; its description of a device names the backend.
pub fn is_host(device: &Device) -> bool {
    format!("{device:?}").starts_with("Device<Flex")
}

/// Moves the numbers of a tensor to the host as `f32`, row-major.
///
/// # Errors
///
/// [`ModelError::Device`] if the device does not hand them over.
///
/// # Memory
///
/// The values in `f32`.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.try_into_vec_as::<f32>().map_err(|source| ModelError::Device { source })
}
