//! Devices by name.

use std::fmt;

/// A device as configurations and flags name it: `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
///
/// # Examples
///
/// ```
/// use attention_probes::models::DeviceName;
///
/// assert_eq!(DeviceName::named("cuda:1"), Some(DeviceName::Cuda(1)));
/// assert_eq!(DeviceName::named("cuda"), Some(DeviceName::Cuda(0)));
/// assert_eq!(DeviceName::named("tpu"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// The best one there is.
    Auto,
    /// The host.
    Cpu,
    /// A GPU through WebGPU or Vulkan.
    Wgpu,
    /// An NVIDIA GPU, by number.
    Cuda(usize),
}

impl DeviceName {
    /// What a name may be, in words.
    pub const EXPECTED: &str = "auto, cpu, wgpu, cuda, or cuda:N";

    /// The device of a name; `None` if it is unknown.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "wgpu" => Some(Self::Wgpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => name.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Wgpu => f.write_str("wgpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}
