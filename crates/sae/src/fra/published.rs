//! What the first FRA code computed, under its own name.

use attention_probes_models::{HookPoint, HookedModel};

use super::layer::{FraLayer, Reading};
use super::site::hook_of;
use crate::{Sae, SaeError};

/// Features of a position that count, by the magnitude of their activation.
const N_FEATURES: usize = 20;

impl<'a> FraLayer<'a> {
    /// Multiplies the dictionary of a layer's `hook_z` with the `W_Q` and `W_K` of that layer.
    ///
    /// ```text
    /// value = a_i(query) a_j(key) (d_i W_Q)·(d_j W_K)
    /// ```
    ///
    /// of the 20 strongest features of each position, without the scale of the norm and that of the
    /// scores, without biases, and without what the features leave; the weights have the norm's gain
    /// and centring folded in (chainik1125/fra, `fra_func.py`, with the weights of
    /// `TransformerLens`). Queries and keys read the residual stream and not `hook_z`, so these
    /// numbers add up to nothing; they are here so that published tables can be made again, as the
    /// mean of absolute values over occurrences.
    ///
    /// # Errors
    ///
    /// - [`SaeError::NoHook`] if the autoencoder names no hook.
    /// - [`SaeError::Site`] if it is not of the layer's `hook_z`, or its rows are not as wide as the
    ///   residual stream.
    /// - [`SaeError::Unpublished`] if the model turns queries and keys, which that code did not know.
    /// - [`SaeError::Model`] if the model has no such layer.
    pub fn published(
        sae: &'a Sae,
        model: &dyn HookedModel,
        layer: usize,
    ) -> Result<Self, SaeError> {
        let hook = hook_of(sae)?;
        let layer = Self::with_reading(sae, model, (layer, hook), Reading::Published)?;
        if !layer.is_factored() {
            return Err(SaeError::Unpublished);
        }
        let published = HookPoint::Z(layer.layer());
        if hook != published {
            let (reads, asked) = (format!("`{hook}`"), format!("`{published}`, as that code did"));
            return Err(SaeError::Site { reads, asked });
        }
        Ok(layer)
    }

    /// Whether this is [`FraLayer::published`], and no decomposition.
    pub fn is_published(&self) -> bool {
        self.reading == Reading::Published
    }
}

/// The strongest features of a position, in rising order.
pub(super) fn strongest(mut row: Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    row.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    row.truncate(N_FEATURES);
    row.sort_by_key(|(feature, _)| *feature);
    row
}
