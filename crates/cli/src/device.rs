//! From a device's name to a device of this build.

use attention_probes_models::DeviceName;
use burn::tensor::Device;

use crate::exit::InputError;

/// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
///
/// # Errors
///
/// [`InputError`] if the name is unknown, or this build or this machine lacks the device.
pub fn parse(name: &str) -> Result<Device, InputError> {
    let device = DeviceName::named(name).ok_or_else(|| {
        InputError(format!("device `{name}` is unknown, use {}", DeviceName::EXPECTED))
    })?;
    match device {
        DeviceName::Auto => Ok(Device::default()),
        #[cfg(feature = "flex")]
        DeviceName::Cpu => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        DeviceName::Wgpu => {
            found(name, 0, Device::enumerate(burn::tensor::DeviceType::Wgpu).len())?;
            Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
        }
        #[cfg(feature = "cuda")]
        DeviceName::Cuda(index) => {
            found(name, index, Device::enumerate(burn::tensor::DeviceType::Cuda).len())?;
            Ok(Device::cuda(index))
        }
        #[cfg(not(feature = "flex"))]
        DeviceName::Cpu => Err(not_built(name, "flex")),
        #[cfg(not(feature = "wgpu"))]
        DeviceName::Wgpu => Err(not_built(name, "wgpu")),
        #[cfg(not(feature = "cuda"))]
        DeviceName::Cuda(_) => Err(not_built(name, "cuda")),
    }
}

/// Refuses a device that the machine does not have, before anything is put on it.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn found(name: &str, index: usize, n_devices: usize) -> Result<(), InputError> {
    if index < n_devices {
        return Ok(());
    }
    Err(InputError(format!("device `{name}` is not there: {n_devices} found; use auto or cpu")))
}

#[cfg(not(all(feature = "flex", feature = "wgpu", feature = "cuda")))]
fn not_built(name: &str, feature: &str) -> InputError {
    InputError(format!(
        "device `{name}` is not in this build, build it with `--features {feature}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_refused_with_the_known_ones() {
        let error = parse("tpu").unwrap_err().to_string();
        assert_eq!(error, "device `tpu` is unknown, use auto, cpu, wgpu, cuda, or cuda:N");
    }
}
