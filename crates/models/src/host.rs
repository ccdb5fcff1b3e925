//! Host memory: which tensors lie there, and how the others get there.

use burn::tensor::{Device, Tensor};

use crate::ModelError;

/// Whether tensors on `device` live in host memory, so that reading them costs no transfer.
///
/// burn offers no such question: the variant of `DispatchDevice` that would answer it exists only
/// where the feature `flex` of burn is on, which a library does not know. Its description of a
/// device names the backend; a test fails when that name changes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burn_still_describes_the_host_as_it_is_recognised() {
        let device = Device::flex();
        assert!(is_host(&device), "every fused path is off: {device:?}");
        let device = device.autodiff();
        assert!(!is_host(&device), "fused paths have no gradients: {device:?}");
    }
}
