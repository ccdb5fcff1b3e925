//! One layer's queries, keys, and values as functions of an autoencoder's features.

use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_models::{AttentionWeights, HookPoint, HookedModel, NormKind};

use super::site::{FraSite, hook_of};
use crate::{Sae, SaeError};

/// An autoencoder, and what the attention of the layer that reads it makes of its features.
///
/// With activations `x = Σ_i a_i d_i + e`, the frozen true scale `σ` of the norm, its gain `g` and
/// bias `b`, and `P` that takes the mean (layer norm) or nothing (root mean square):
///
/// ```text
/// y      = g ∘ P x / σ + b
/// q_h    = R(gain_q ∘ (y W_Q,h + b_Q,h) / σ_q)     σ_q frozen too, R the rotation; k_h alike
/// u_i    = scale · gain_q ∘ (d_i P diag(g) W_Q,h)  v_j = gain_k ∘ (d_j P diag(g) W_K,h)
/// ```
///
/// so that gain, centring, and scale are part of the weights that are kept here, and an activation
/// has only to be divided by `σ σ_q`. An autoencoder of `ln1.hook_normalized` reads `P x / σ`
/// itself; then `P` and `σ` are left out.
///
/// # Memory
///
/// The layer's attention weights, twice over.
pub struct FraLayer<'a> {
    pub(super) sae: &'a Sae,
    layer: usize,
    hook: HookPoint,
    pub(super) reading: Reading,
    pub(super) weights: AttentionWeights,
    pub(super) query: Folded,
    pub(super) key: Folded,
    pub(super) value: Folded,
    /// Norms of the decoder's rows where features were scaled by them, else nothing.
    pub(super) decoder_norms: Vec<f32>,
}

/// What is made of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// All features, so that everything adds up to the scores.
    Exact(FraSite),
    /// What the first FRA code made of a dictionary of `hook_z`.
    Published,
}

/// A projection with all that is linear before and after it.
pub(super) struct Folded {
    /// `[d_model, width]`
    pub(super) weight: Vec<f32>,
    /// What it adds whatever the features, `[width]`.
    pub(super) constant: Vec<f32>,
}

impl Folded {
    pub(super) fn width(&self) -> usize {
        self.constant.len()
    }

    /// Rows times the columns of one head, `[n, d_head]`.
    pub(super) fn head_rows(&self, rows: &[f32], d_model: usize, head: [usize; 2]) -> Vec<f32> {
        let (n, [head, d_head]) = (rows.len() / d_model, head);
        let mut projected = vec![0.0; n * d_head];
        let weight = Matrix::new(&self.weight, d_model, self.width());
        let weight = weight.columns(head * d_head, d_head);
        matmul(&mut projected, Matrix::new(rows, n, d_model), weight, Write::Replace);
        projected
    }
}

impl<'a> FraLayer<'a> {
    /// Takes the attention weights of a layer from a model.
    ///
    /// # Errors
    ///
    /// - [`SaeError::NotDecomposed`] if the layer's scores do not read the autoencoder's hook.
    /// - [`SaeError::NoHook`] if the autoencoder names no hook.
    /// - [`SaeError::Site`] if the autoencoder reads rows of another width.
    /// - [`SaeError::Model`] if the model has no such layer.
    pub fn new(sae: &'a Sae, model: &dyn HookedModel, layer: usize) -> Result<Self, SaeError> {
        let hook = hook_of(sae)?;
        let site = FraSite::for_layer(hook, layer)?;
        Self::with_reading(sae, model, (layer, hook), Reading::Exact(site))
    }

    /// As [`FraLayer::new`], of the layer whose scores read the autoencoder's hook.
    ///
    /// # Errors
    ///
    /// As [`FraLayer::new`]; [`SaeError::NotDecomposed`] if no layer's scores read it.
    pub fn of(sae: &'a Sae, model: &dyn HookedModel) -> Result<Self, SaeError> {
        let hook = hook_of(sae)?;
        // Of a hook that no scores read, the error names those of its own layer.
        let own = hook.layer().unwrap_or_default();
        Self::new(sae, model, FraSite::of(hook).map_or(own, |(_, layer)| layer))
    }

    pub(super) fn with_reading(
        sae: &'a Sae,
        model: &dyn HookedModel,
        (layer, hook): (usize, HookPoint),
        reading: Reading,
    ) -> Result<Self, SaeError> {
        let weights = model.attention_weights(layer)?;
        if sae.config.d_in != weights.d_model {
            return Err(SaeError::Site {
                reads: format!("rows of {}", sae.config.d_in),
                asked: format!("a residual stream of width {}", weights.d_model),
            });
        }
        let fold = |weight: &[f32], bias: &[f32]| fold(&weights, weight, bias, reading);
        let mut query = fold(&weights.w_q, &weights.b_q);
        let mut key = fold(&weights.w_k, &weights.b_k);
        let value = fold(&weights.w_v, &weights.b_v);
        if let Reading::Exact(_) = reading {
            for (folded, norm) in [(&mut query, &weights.q_norm), (&mut key, &weights.k_norm)] {
                if let Some(norm) = norm {
                    folded.multiply(|column| norm.gain[column % weights.d_head]);
                }
            }
            query.multiply(|_| weights.scale as f32);
        }
        let decoder_norms = sae.decoder_norms_if_rescaled();
        Ok(Self { sae, layer, hook, reading, weights, query, key, value, decoder_norms })
    }

    /// The layer.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// Number of query heads.
    pub fn n_heads(&self) -> usize {
        self.weights.n_heads
    }

    /// The weights as the model has them.
    pub fn weights(&self) -> &AttentionWeights {
        &self.weights
    }

    /// The autoencoder.
    pub fn sae(&self) -> &Sae {
        self.sae
    }

    /// What a forward pass must keep for [`FraCodes`](super::FraCodes).
    pub fn hooks(&self) -> Vec<HookPoint> {
        let mut hooks = vec![self.hook];
        if self.reading == Reading::Exact(FraSite::Residual) {
            hooks.push(HookPoint::Ln1Scale(self.layer));
        }
        if self.has_head_norms() {
            hooks.extend([HookPoint::Q(self.layer), HookPoint::K(self.layer)]);
        }
        hooks
    }

    /// The hook that the autoencoder reads.
    pub fn hook(&self) -> HookPoint {
        self.hook
    }

    /// Whether a pair's value does not depend on how far key and query are apart, and all heads
    /// weigh activations alike: then sums over positions need no head.
    pub fn is_factored(&self) -> bool {
        self.weights.rope.is_none() && self.weights.window.is_none() && !self.has_head_norms()
    }

    pub(super) fn has_head_norms(&self) -> bool {
        matches!(self.reading, Reading::Exact(_))
            && (self.weights.q_norm.is_some() || self.weights.k_norm.is_some())
    }

    /// Decoder rows of some features, `[n, d_in]`.
    pub(super) fn decoder_rows(&self, features: &[u32]) -> Vec<f32> {
        let d_in = self.sae.config.d_in;
        let mut rows = Vec::with_capacity(features.len() * d_in);
        for feature in features {
            rows.extend_from_slice(&self.sae.decoder[*feature as usize * d_in..][..d_in]);
        }
        rows
    }

    /// Refuses a head that the layer does not have.
    ///
    /// # Errors
    ///
    /// [`SaeError::Head`]
    pub fn check_head(&self, head: usize) -> Result<(), SaeError> {
        let (layer, n_heads) = (self.layer, self.weights.n_heads);
        if head < n_heads { Ok(()) } else { Err(SaeError::Head { layer, head, n_heads }) }
    }
}

impl Folded {
    /// Multiplies each column by a factor.
    fn multiply(&mut self, factor: impl Fn(usize) -> f32) {
        let width = self.width();
        for row in self.weight.chunks_exact_mut(width).chain([&mut self.constant[..]]) {
            for (column, value) in row.iter_mut().enumerate() {
                *value *= factor(column);
            }
        }
    }
}

/// Puts gain, bias, and centring of the norm into a projection.
fn fold(weights: &AttentionWeights, weight: &[f32], bias: &[f32], reading: Reading) -> Folded {
    let (width, norm) = (bias.len(), &weights.norm);
    let mut constant: Vec<f64> = bias.iter().map(|b| f64::from(*b)).collect();
    let mut means = vec![0.0_f64; width];
    let mut folded = weight.to_vec();
    let rows = folded.chunks_exact_mut(width).zip(norm.gain.iter().zip(&norm.bias));
    for (row, (gain, bias)) in rows {
        for ((w, constant), mean) in row.iter_mut().zip(&mut constant).zip(&mut means) {
            *constant += f64::from(*bias) * f64::from(*w);
            *w *= gain;
            *mean += f64::from(*w) / weights.d_model as f64;
        }
    }
    // `P` is symmetric: to take the mean of a row is to take that of every column.
    let centres = norm.kind == NormKind::Layer && reading != Reading::Exact(FraSite::Normalized);
    if centres {
        for row in folded.chunks_exact_mut(width) {
            for (w, mean) in row.iter_mut().zip(&means) {
                *w -= *mean as f32;
            }
        }
    }
    let constant = match reading {
        Reading::Exact(_) => constant.into_iter().map(|value| value as f32).collect(),
        Reading::Published => vec![0.0; width],
    };
    Folded { weight: folded, constant }
}
