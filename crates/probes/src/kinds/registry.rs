//! The kinds of probes that files and configurations may name.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Aggregation, Attention, GatedBipolar, Linear, Mlp, MultiMax, ProbeKind, RollingAttention,
    TokenScores,
};
use crate::ProbeError;

/// The kinds of probes that files and configurations may name: those of this library, and yours.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Batch, Kinds, Layout, ProbeKind, ProbeSize};
/// # use burn::tensor::Tensor;
/// # use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct Highest {}
///
/// impl ProbeKind for Highest {
///     // …
/// #    fn name(&self) -> &'static str { "highest" }
/// #    fn layout(&self, size: ProbeSize) -> Layout { Layout::new().rows("weight", size.n_out) }
/// #    fn forward(&self, batch: &Batch) -> Tensor<3> {
/// #        let highest = (batch.product("weight") + batch.padding()).max_dim(3);
/// #        highest.reshape(batch.dims())
/// #    }
/// }
///
/// let kinds = Kinds::builtin().with(Highest {});
/// assert!(kinds.names().any(|name| name == "highest"));
/// ```
#[derive(Clone)]
pub struct Kinds {
    kinds: Vec<Known>,
}

/// A kind, and how its settings are read.
#[derive(Clone)]
struct Known {
    prototype: Arc<dyn ProbeKind>,
    read: fn(Value) -> Result<Arc<dyn ProbeKind>, serde_json::Error>,
}

impl Kinds {
    /// The kinds of this library.
    pub fn builtin() -> Self {
        Self { kinds: Vec::new() }
            .with(Linear::default())
            .with(Mlp::default())
            .with(Attention::default())
            .with(TokenScores { aggregation: Aggregation::RollingMax { window: 10 } })
            .with(MultiMax::default())
            .with(RollingAttention::default())
            .with(GatedBipolar::default())
    }

    /// Adds a kind with its default settings; one of the same name is replaced.
    #[must_use]
    pub fn with<K: ProbeKind + DeserializeOwned>(mut self, kind: K) -> Self {
        self.kinds.retain(|known| known.prototype.name() != kind.name());
        let read = |settings| Ok(Arc::new(serde_json::from_value::<K>(settings)?) as _);
        self.kinds.push(Known { prototype: Arc::new(kind), read });
        self
    }

    /// Their names, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|known| known.prototype.name())
    }

    /// A kind with its default settings.
    ///
    /// # Errors
    ///
    /// [`ProbeError::UnknownKind`] if there is none of this name.
    pub fn get(&self, name: &str) -> Result<Arc<dyn ProbeKind>, ProbeError> {
        Ok(self.known(name)?.prototype.clone())
    }

    /// A kind with given settings.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::UnknownKind`] if there is none of this name.
    /// - [`ProbeError::Settings`] if the settings are not its own.
    pub fn read(
        &self,
        name: &str,
        settings: Map<String, Value>,
    ) -> Result<Arc<dyn ProbeKind>, ProbeError> {
        let read = self.known(name)?.read;
        let kind = name.to_owned();
        read(Value::Object(settings)).map_err(|source| ProbeError::Settings { kind, source })
    }

    fn known(&self, name: &str) -> Result<&Known, ProbeError> {
        let found = self.kinds.iter().find(|known| known.prototype.name() == name);
        found.ok_or_else(|| ProbeError::UnknownKind {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::builtin()
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.iter().map(|known| &known.prototype)).finish()
    }
}
