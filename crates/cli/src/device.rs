//! From a device's name to a device of this build.

use burn::tensor::Device;

use crate::exit::InputError;

/// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
///
/// # Errors
///
/// [`InputError`] if the name is unknown, or this build or this machine lacks the device.
pub fn parse(name: &str) -> Result<Device, InputError> {
    match name {
        "auto" => Ok(Device::default()),
        #[cfg(feature = "flex")]
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => {
            found(name, 0, Device::enumerate(burn::tensor::DeviceType::Wgpu).len())?;
            Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
        }
        #[cfg(feature = "cuda")]
        name if cuda_index(name).is_some() => {
            let index = cuda_index(name).unwrap_or_default();
            found(name, index, Device::enumerate(burn::tensor::DeviceType::Cuda).len())?;
            Ok(Device::cuda(index))
        }
        #[cfg(not(feature = "flex"))]
        "cpu" => Err(not_built(name, "flex")),
        #[cfg(not(feature = "wgpu"))]
        "wgpu" => Err(not_built(name, "wgpu")),
        #[cfg(not(feature = "cuda"))]
        name if name == "cuda" || name.starts_with("cuda:") => Err(not_built(name, "cuda")),
        other => Err(InputError(format!(
            "device `{other}` is unknown, use auto, cpu, wgpu, cuda, or cuda:N"
        ))),
    }
}

/// The card that `cuda` or `cuda:N` names.
#[cfg(feature = "cuda")]
fn cuda_index(name: &str) -> Option<usize> {
    if name == "cuda" { Some(0) } else { name.strip_prefix("cuda:")?.parse().ok() }
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
