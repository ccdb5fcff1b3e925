//! Reading activations of one site.

use std::path::Path;

use super::store::ExternalStore;
use crate::{ActivationError, ExternalActivations, ExternalConfig};

impl ExternalActivations {
    /// Reads an `.npz` or a `.safetensors`, in which other arrays are left alone, or a folder of
    /// shards.
    ///
    /// What is read must have one site; [`read_hook`](ExternalActivations::read_hook) takes one of
    /// several. Where it has labels, a row without one is left out.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n, pos, d_model]`, or `[n, d_model]` of one token each, a float type; or
    ///   `[n, n_layers, pos, d_model]` with `layers`, `[n_layers]`; or one `x.<layer>` for each
    ///   layer; or arrays that are named as hooks
    /// - `mask`, or `attention_mask`: `[n, pos]`, any type, 1 where the token is real and 0 where it
    ///   is padding; if absent, every token is real
    /// - `y`: `[n]`, integers, floats that are integers, or strings; may be absent
    /// - `class_names`: `[n_classes]`, strings; may be absent
    /// - `position`, `input_ids`: `[n, pos]`, an integer type; may be absent
    /// - `text`: `[n]`, strings; may be absent
    /// - `model`, `revision`, `component`, `convention`: one string each; `layer`, `max_tokens`: one
    ///   integer each; may be absent
    ///
    /// # Errors
    ///
    /// - what [`ExternalStore::open`] and [`ExternalStore::choose`] return
    /// - [`ActivationError::ArrayMismatch`] if another array does not fit `x`
    /// - [`ActivationError::FloatArray`] if `position` or `input_ids` holds floats
    /// - [`ActivationError::ArrayValue`] if `mask` is anything but 0 or 1
    /// - [`ExternalError`](crate::ExternalError) if `y` is no class, or not among `class_names`, or if
    ///   every example was left out
    /// - [`ShardError`](crate::ShardError) if a hook relates positions
    ///
    /// # Memory
    ///
    /// One site as `f32`, padding included; it is packed in place.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        Self::read_with(path, &ExternalConfig::default())
    }

    /// As [`ExternalActivations::read`], for one hook of a folder of shards by name.
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read`]
    /// - [`ShardError`](crate::ShardError) if a hook is named that is not there
    ///
    /// # Memory
    ///
    /// As [`ExternalActivations::read`].
    pub fn read_hook(path: impl AsRef<Path>, hook: Option<&str>) -> Result<Self, ActivationError> {
        let hook = hook.map(str::to_owned);
        Self::read_with(path, &ExternalConfig { hook, ..ExternalConfig::default() })
    }

    /// As [`ExternalActivations::read`], as the config says; also a folder of MOSAIC, which has
    /// `<model>_<layer>_activations_metadata.csv` with the columns `npz_file`, `label`, and perhaps
    /// `sample_id`, whose equal values are one group, and an npz for each example.
    ///
    /// # Shapes
    ///
    /// In an npz of a MOSAIC folder:
    ///
    /// - `hidden_state`: `[pos, d_model]`, a float type
    /// - `input_ids`: `[pos]`, an integer type; may be absent
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read_hook`]
    /// - [`ExternalError`](crate::ExternalError) if a padding token is given for anything but a
    ///   MOSAIC folder
    /// - [`ActivationError::Table`], or [`ExternalError`](crate::ExternalError), if the table of a
    ///   MOSAIC folder or a row of it is at fault
    ///
    /// # Memory
    ///
    /// As [`ExternalActivations::read`].
    pub fn read_with(
        path: impl AsRef<Path>,
        config: &ExternalConfig,
    ) -> Result<Self, ActivationError> {
        let store = ExternalStore::open(path)?;
        let site = store.choose(config.hook.as_deref())?;
        store.read(&[site], config)
    }
}
