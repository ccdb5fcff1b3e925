//! From a device's name to a device of this build.

use burn::tensor::Device;

use crate::exit::InputError;

/// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
///
/// # Errors
///
/// [`InputError`] if the name is unknown or this build lacks the backend.
pub fn parse(name: &str) -> Result<Device, InputError> {
    match name {
        "auto" => Ok(Device::default()),
        #[cfg(feature = "flex")]
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        #[cfg(feature = "cuda")]
        name if name.strip_prefix("cuda:").is_some_and(|n| n.parse::<usize>().is_ok()) => {
            let index = name.trim_start_matches("cuda:").parse::<usize>().unwrap_or_default();
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
