//! One text as a layer reads it.

use attention_probes_models::HookPoint;

use super::reader::FraReader;
use super::text_features::{TextFeatures, TokenFeatures};
use crate::SaeError;
use crate::fra::capture::FraActivations;
use crate::fra::codes::{FraCodes, FraInput};
use crate::fra::layer::FraLayer;
use crate::fra::output::FraOutput;
use crate::fra::text::{FraHead, FraText};

/// One text as a layer reads it: its tokens with their features, and the factors of its scores.
///
/// # Memory
///
/// That of [`FraText`], and the pattern and the scores of all heads.
pub struct FraReading<'a> {
    pub(in crate::fra) layer: &'a FraLayer<'a>,
    pub(super) model: String,
    pub(super) text: FraText,
    pub(super) activations: FraActivations,
    features: TextFeatures,
}

impl FraLayer<'_> {
    /// Reads a text for every head: adds the token for its beginning, runs the model once, encodes,
    /// and projects.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails, or the text has no token.
    /// - [`SaeError::NonFinite`] if an activation is NaN or infinite.
    ///
    /// # Examples
    ///
    /// ```
    /// # use attention_probes::models::open_model;
    /// # use attention_probes::sae::fra::{FraLayer, FraRank, FraReader};
    /// # use attention_probes::sae::{Sae, SaeActivation, SaeConfig};
    /// # use burn::tensor::Device;
    /// let device = Device::flex();
    /// let model = open_model("demo-gemma", None, &device)?;
    /// # let wave = |n: usize, at: f32| (0..n).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
    /// # let (d_in, d_sae) = (model.model.shape().d_model, 300);
    /// // An autoencoder with made-up weights; `read_sae` reads one from a file.
    /// let mut sae = Sae {
    ///     config: SaeConfig::new(d_in, d_sae),
    ///     activation: SaeActivation::TopK {
    ///         b_enc: vec![0.0; d_sae],
    ///         k: 8,
    ///         rescale_acts_by_decoder_norm: false,
    ///     },
    ///     encoder: wave(d_in * d_sae, 0.9),
    ///     decoder: wave(d_in * d_sae, 1.3),
    ///     b_dec: vec![0.0; d_in],
    /// };
    /// sae.set_hook("blocks.1.hook_resid_pre".parse()?);
    ///
    /// let layer = FraLayer::of(&sae, &*model.model)?;
    /// let fra = layer.text(&FraReader::of(&sae, &model, &device), "Once upon a time")?;
    /// for pair in fra.head(0)?.top(10, FraRank::Sum) {
    ///     println!("{pair}");
    /// }
    /// # assert_eq!(fra.head(0)?.top(10, FraRank::Sum).len(), 10);
    /// // The four terms add up to the model's own scores.
    /// let (sums, scores) = (fra.head(0)?.terms()?.scores(), fra.scores(0)?);
    /// let n = fra.features().tokens.len();
    /// assert!((0..n).all(|i| (sums[i * n + i] - scores[i * n + i]).abs() < 1e-4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn text(&self, reader: &FraReader<'_>, text: &str) -> Result<FraReading<'_>, SaeError> {
        let heads: Vec<usize> = (0..self.n_heads()).collect();
        self.text_of_ids(reader, &reader.ids(text)?, &heads)
    }

    /// As [`FraLayer::text`], of tokens that are there already, and for some heads.
    ///
    /// # Errors
    ///
    /// - the errors of [`FraLayer::text`].
    /// - [`SaeError::Head`] if the layer has no such head.
    pub fn text_of_ids(
        &self,
        reader: &FraReader<'_>,
        ids: &[u32],
        heads: &[usize],
    ) -> Result<FraReading<'_>, SaeError> {
        self.reading(reader, (ids, reader.running().one(ids, &self.reading_hooks())?), heads)
    }

    /// What a reading keeps of a forward pass.
    pub(in crate::fra) fn reading_hooks(&self) -> Vec<HookPoint> {
        let mut hooks = [self.hooks(), FraOutput::hooks(self)].concat();
        hooks.push(HookPoint::AttnScores(self.layer()));
        hooks
    }

    /// As [`FraLayer::text_of_ids`], of what was kept at [`FraLayer::reading_hooks`].
    pub(in crate::fra) fn reading(
        &self,
        reader: &FraReader<'_>,
        (ids, activations): (&[u32], FraActivations),
        heads: &[usize],
    ) -> Result<FraReading<'_>, SaeError> {
        let input = FraInput { ids, activations: &activations, n_before: reader.n_before() };
        let text = FraText::new(self, heads, input)?;
        let mut tokens = Vec::with_capacity(ids.len());
        for (position, id) in ids.iter().enumerate() {
            let (slots, values) = text.codes().position(position);
            let features = slots.iter().map(|slot| text.codes().features()[*slot as usize]);
            let features = features.zip(values.iter().copied()).collect();
            tokens.push(TokenFeatures { text: reader.token(*id)?, id: *id, features });
        }
        Ok(FraReading {
            layer: self,
            model: reader.model().name.clone(),
            text,
            activations,
            features: TextFeatures { tokens },
        })
    }
}

impl FraReading<'_> {
    /// The tokens with their active features, each with what its direction is multiplied by on the
    /// way to the scores, `a_i / σ`.
    pub fn features(&self) -> &TextFeatures {
        &self.features
    }

    /// The active features as the scores weigh them.
    pub fn codes(&self) -> &FraCodes {
        self.text.codes()
    }

    /// What was kept of the forward pass.
    pub fn activations(&self) -> &FraActivations {
        &self.activations
    }

    /// The factors of one head.
    ///
    /// # Errors
    ///
    /// [`SaeError::Head`] if the layer has no such head, or the text was not read for it.
    pub fn head(&self, head: usize) -> Result<FraHead<'_>, SaeError> {
        let (layer, n_heads) = (self.layer.layer(), self.layer.n_heads());
        self.text.head(head).ok_or(SaeError::Head { layer, head, n_heads })
    }

    /// What the features make of one head's output.
    ///
    /// # Errors
    ///
    /// As [`FraOutput::new`].
    pub fn output(&self, head: usize) -> Result<FraOutput<'_>, SaeError> {
        FraOutput::new(self.layer, self.codes(), head, &self.activations)
    }

    /// The scores that the model itself has of one head, `[n_positions, n_positions]`, minus
    /// infinity where the query does not see the key.
    ///
    /// # Errors
    ///
    /// [`SaeError::Head`] if the layer has no such head.
    pub fn scores(&self, head: usize) -> Result<&[f32], SaeError> {
        self.of_head(HookPoint::AttnScores(self.layer.layer()), head)
    }

    /// The attention of one head, `[n_positions, n_positions]`.
    ///
    /// # Errors
    ///
    /// [`SaeError::Head`] if the layer has no such head.
    pub fn pattern(&self, head: usize) -> Result<&[f32], SaeError> {
        self.of_head(HookPoint::Pattern(self.layer.layer()), head)
    }

    fn of_head(&self, hook: HookPoint, head: usize) -> Result<&[f32], SaeError> {
        self.layer.check_head(head)?;
        let n = self.codes().n_positions();
        let missing = || SaeError::Hook { hook: hook.to_string() };
        let all = self.activations.get(&hook).ok_or_else(missing)?;
        Ok(&all[head * n * n..(head + 1) * n * n])
    }
}
