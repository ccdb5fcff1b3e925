//! The number format that a model computes in, and the device it computes on.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Number format of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// [`Dtype::Bf16`] on CUDA where the card has it, else [`Dtype::F32`].
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits, 8 of them the exponent: the range of `f32` with two to three digits.
    Bf16,
    /// 16 bits, 5 of them the exponent: up to 65,504.
    F16,
}

impl Dtype {
    const ALL: [Self; 4] = [Self::Auto, Self::F32, Self::Bf16, Self::F16];

    /// The format that is meant on `device`.
    ///
    /// # Errors
    ///
    /// [`ModelError::DeviceDtype`] if the device does not compute in this format.
    pub fn resolve(self, device: &Device) -> Result<Self, ModelError> {
        let computes = |dtype: Self| device.supports_dtype(dtype.of_tensors());
        let is_cuda = format!("{device:?}").contains("Cuda("); // `Device<Cube(Cuda(…))>` in burn 0.22.1
        match self {
            Self::Auto if is_cuda && computes(Self::Bf16) => Ok(Self::Bf16),
            Self::Auto => Ok(Self::F32),
            dtype if computes(dtype) => Ok(dtype),
            dtype => Err(ModelError::DeviceDtype { dtype, device: format!("{device:?}") }),
        }
    }

    /// The same in burn's words; [`Dtype::Auto`] counts as `f32`.
    pub(crate) fn of_tensors(self) -> DType {
        match self {
            Self::Auto | Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

impl FromStr for Dtype {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.to_string() == name);
        found.ok_or_else(|| ModelError::UnknownDtype { name: name.to_owned() })
    }
}

/// Where a model goes: its device, and the number format of its weights there.
///
/// A device alone means [`Dtype::Auto`].
///
/// # Examples
///
/// ```
/// use attention_probes::models::{Dtype, open_model};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let model = open_model("demo-gemma", None, (&device, Dtype::Bf16))?;
/// assert_eq!(model.dtype, Dtype::Bf16);
/// # Ok::<(), attention_probes::models::ModelError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Placement {
    /// Where the weights lie.
    pub device: Device,
    /// In which format.
    pub dtype: Dtype,
}

impl Placement {
    /// Settles what [`Dtype::Auto`] means.
    ///
    /// # Errors
    ///
    /// As [`Dtype::resolve`].
    pub(crate) fn resolve(self) -> Result<Self, ModelError> {
        let dtype = self.dtype.resolve(&self.device)?;
        Ok(Self { dtype, ..self })
    }
}

impl From<&Device> for Placement {
    fn from(device: &Device) -> Self {
        Self { device: device.clone(), dtype: Dtype::Auto }
    }
}

impl From<(&Device, Dtype)> for Placement {
    fn from((device, dtype): (&Device, Dtype)) -> Self {
        Self { device: device.clone(), dtype }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        for dtype in Dtype::ALL {
            assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
        }
        let error = "float".parse::<Dtype>().unwrap_err().to_string();
        assert!(error.contains("`float`") && error.contains("bf16"), "{error}");
    }

    #[test]
    fn the_cpu_computes_in_f32_unless_told_otherwise() {
        let device = Device::flex();
        assert_eq!(Dtype::Auto.resolve(&device).unwrap(), Dtype::F32);
        assert_eq!(Dtype::Bf16.resolve(&device).unwrap(), Dtype::Bf16);
    }
}
