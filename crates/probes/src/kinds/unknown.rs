//! A kind that is known by its name alone.

use burn::tensor::Tensor;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Batch, Kinds, Layout, ProbeKind, ProbeSize};
use crate::ProbeError;

/// What a file says of a probe whose kind nobody told it about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UnknownKind {
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

impl ProbeKind for UnknownKind {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self, _: ProbeSize) -> Layout {
        Layout::new()
    }

    /// Probes of it are never made: [`ProbeKind::check`] refuses it.
    fn forward(&self, _: &Batch) -> Tensor<3> {
        unreachable!("a kind that is not known has no probes")
    }

    fn check(&self) -> Result<(), ProbeError> {
        let known = Kinds::builtin().names().map(str::to_owned).collect();
        Err(ProbeError::UnknownKind { name: self.name.clone(), known })
    }
}
