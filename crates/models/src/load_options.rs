//! How a model is loaded.

use attention_probes_errors::Stop;
use burn::tensor::Device;

use crate::{Dtype, ModelError, Placement};

/// How a model is loaded: where to, in which number format, and until when.
///
/// A device, or a device and a format, stand for options that nobody stops.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::Stop;
/// use attention_probes::models::{LoadOptions, ModelError, open_model};
/// use burn::tensor::Device;
///
/// let stop = Stop::new();
/// let options = LoadOptions::from(&Device::default()).with_stop(stop.clone());
/// stop.stop(); // as another thread would
/// let error = open_model("demo-gpt2", None, options).err().ok_or("is stopped")?;
/// assert!(matches!(error, ModelError::Stopped(_)));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Device and number format.
    pub placement: Placement,
    /// Asked before each tensor, and for each 64 MiB of a file that are hashed; given, loading ends
    /// with [`ModelError::Stopped`]. Default never.
    pub stop: Stop,
}

impl LoadOptions {
    /// The same, until a signal is given.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Settles what [`Dtype::Auto`] means.
    ///
    /// # Errors
    ///
    /// As [`Dtype::resolve`].
    pub(crate) fn resolve(self) -> Result<Self, ModelError> {
        Ok(Self { placement: self.placement.resolve()?, ..self })
    }
}

impl From<Placement> for LoadOptions {
    fn from(placement: Placement) -> Self {
        Self { placement, stop: Stop::never() }
    }
}

impl From<&Device> for LoadOptions {
    fn from(device: &Device) -> Self {
        Placement::from(device).into()
    }
}

impl From<(&Device, Dtype)> for LoadOptions {
    fn from(placed: (&Device, Dtype)) -> Self {
        Placement::from(placed).into()
    }
}
