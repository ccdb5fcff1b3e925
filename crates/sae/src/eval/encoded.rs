//! Means of texts and of the features on them: what is left of texts that are too many to be held.

use super::texts::{Positions, TextActivations, check_width};
use crate::{Normalization, Sae, SaeError, SparseCodes};

/// Texts as k-sparse probing, SCR, and TPP see them: by means over positions.
///
/// [`TextActivations`] takes the means when it is asked, [`EncodedTexts`] has taken them before.
pub trait Texts: Sealed {}

impl<T: Sealed> Texts for T {}

/// The means themselves.
pub trait Sealed {
    /// Number of texts.
    fn n_texts(&self) -> usize;

    /// Width of the activations.
    fn d_in(&self) -> usize;

    /// [`TextActivations::means`].
    fn means(&self) -> Vec<f32>;

    /// [`TextActivations::feature_means`].
    fn feature_means(&self, sae: &Sae) -> Result<SparseCodes, SaeError>;

    /// What the decoder's rows are multiplied by, as means over the positions that are present.
    fn masses(&self, sae: &Sae) -> Result<SparseCodes, SaeError>;
}

impl Sealed for TextActivations {
    fn n_texts(&self) -> usize {
        TextActivations::n_texts(self)
    }

    fn d_in(&self) -> usize {
        TextActivations::d_in(self)
    }

    fn means(&self) -> Vec<f32> {
        TextActivations::means(self)
    }

    fn feature_means(&self, sae: &Sae) -> Result<SparseCodes, SaeError> {
        TextActivations::feature_means(self, sae)
    }

    fn masses(&self, sae: &Sae) -> Result<SparseCodes, SaeError> {
        self.code_means(sae, Positions::AllDecoded)
    }
}

/// Means of texts, and of one autoencoder's features on them.
///
/// Texts are encoded once, however many seeds or evaluations follow, and their activations need not
/// stay.
///
/// # Memory
///
/// For each text its mean, and 16 bytes for each feature that is active anywhere in it.
///
/// # Examples
///
/// ```
/// use attention_probes::sae::eval::{EncodedTexts, TextActivations};
/// # use attention_probes::sae::{Sae, SaeActivation, SaeConfig};
/// # let sae = Sae { config: SaeConfig::new(1, 1),
/// #     activation: SaeActivation::Standard { b_enc: vec![0.0] },
/// #     encoder: vec![1.0], decoder: vec![1.0], b_dec: vec![0.0] };
///
/// let mut encoded = EncodedTexts::new(&sae);
/// for batch in [vec![1.0, 3.0], vec![4.0]] {
///     let length = batch.len();
///     encoded.push(&sae, &TextActivations::ragged(batch, &[length], 1)?)?;
/// }
/// assert_eq!(encoded.n_texts(), 2);
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedTexts {
    d_in: usize,
    means: Vec<f32>,
    features: SparseCodes,
    masses: SparseCodes,
}

impl EncodedTexts {
    /// Begins without texts.
    pub fn new(sae: &Sae) -> Self {
        let codes = SparseCodes::new(sae.config.d_sae);
        Self { d_in: sae.config.d_in, means: Vec::new(), features: codes.clone(), masses: codes }
    }

    /// Encodes further texts, with the autoencoder of those before.
    ///
    /// # Errors
    ///
    /// [`SaeError::SizeMismatch`] if the autoencoder has another size, or reads another width.
    ///
    /// # Memory
    ///
    /// As [`TextActivations::feature_means`].
    pub fn push(&mut self, sae: &Sae, texts: &TextActivations) -> Result<(), SaeError> {
        self.check(sae)?;
        let features = texts.feature_means(sae)?;
        // Nothing but absent positions and what undoes a normalisation tells the two apart.
        let is_plain = sae.config.normalize_activations == Normalization::None;
        if is_plain && texts.is_whole() {
            self.masses.append(&features);
        } else {
            self.masses.append(&Sealed::masses(texts, sae)?);
        }
        self.features.append(&features);
        self.means.extend(texts.means());
        Ok(())
    }

    /// Number of texts.
    pub fn n_texts(&self) -> usize {
        self.features.n_rows()
    }

    /// Some of the texts, in the order in which they are asked for.
    ///
    /// # Panics
    ///
    /// If there is no such text.
    #[must_use]
    pub fn select(&self, texts: &[usize]) -> Self {
        let rows = |codes: &SparseCodes| {
            let mut selected = SparseCodes::new(codes.d_sae());
            for &text in texts {
                let (features, values) = codes.row(text);
                selected.push_row(features.iter().copied().zip(values.iter().copied()));
            }
            selected
        };
        let mean = |text: &usize| &self.means[text * self.d_in..][..self.d_in];
        Self {
            d_in: self.d_in,
            means: texts.iter().flat_map(mean).copied().collect(),
            features: rows(&self.features),
            masses: rows(&self.masses),
        }
    }

    fn check(&self, sae: &Sae) -> Result<(), SaeError> {
        let (found, expected) = (sae.config.d_sae, self.features.d_sae());
        if found != expected {
            let what = "the number of features of the autoencoder";
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        check_width(sae, self.d_in)
    }
}

impl Sealed for EncodedTexts {
    fn n_texts(&self) -> usize {
        EncodedTexts::n_texts(self)
    }

    fn d_in(&self) -> usize {
        self.d_in
    }

    fn means(&self) -> Vec<f32> {
        self.means.clone()
    }

    fn feature_means(&self, sae: &Sae) -> Result<SparseCodes, SaeError> {
        self.check(sae)?;
        Ok(self.features.clone())
    }

    fn masses(&self, sae: &Sae) -> Result<SparseCodes, SaeError> {
        self.check(sae)?;
        Ok(self.masses.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;

    #[test]
    fn batches_have_the_means_that_the_texts_have_together() {
        // With absent positions, and with a normalisation, masses are no means of features.
        for (values, by) in [
            (vec![1.0, 2.0, 3.0, -4.0, 5.0, 0.5, 2.0, 2.5], Normalization::None),
            (vec![1.0, 2.0, 0.0, 0.0, 5.0, 0.5, 0.0, 0.0], Normalization::None),
            (vec![1.0, 2.0, 3.0, -4.0, 5.0, 0.5, 2.0, 2.5], Normalization::LayerNorm),
        ] {
            let mut sae = identity_sae(2, 0.5);
            sae.config.normalize_activations = by;
            let texts = TextActivations::padded(values.clone(), 2, 2).unwrap();
            let mut encoded = EncodedTexts::new(&sae);
            for half in values.chunks(4) {
                let half = TextActivations::padded(half.to_vec(), 1, 2).unwrap();
                encoded.push(&sae, &half).unwrap();
            }
            assert_eq!(Sealed::means(&encoded), texts.means());
            let masses = Sealed::masses(&texts, &sae).unwrap();
            assert_eq!(Sealed::masses(&encoded, &sae).unwrap(), masses);
            let features = texts.feature_means(&sae).unwrap();
            assert_eq!(Sealed::feature_means(&encoded, &sae).unwrap(), features);
        }
    }

    #[test]
    fn texts_are_selected_in_the_order_asked_for() {
        let sae = identity_sae(1, 0.0);
        let mut encoded = EncodedTexts::new(&sae);
        let texts = TextActivations::padded(vec![1.0, 2.0, 3.0], 3, 1).unwrap();
        encoded.push(&sae, &texts).unwrap();
        let selected = encoded.select(&[2, 0]);
        assert_eq!(Sealed::means(&selected), [3.0, 1.0]);
        assert_eq!(Sealed::feature_means(&selected, &sae).unwrap().to_dense(), [3.0, 1.0]);
    }

    #[test]
    fn another_autoencoder_is_refused() {
        let mut encoded = EncodedTexts::new(&identity_sae(2, 0.0));
        let texts = TextActivations::padded(vec![1.0; 3], 1, 3).unwrap();
        let error = encoded.push(&identity_sae(3, 0.0), &texts).unwrap_err().to_string();
        assert_eq!(error, "the number of features of the autoencoder is 3, expected 2");
        assert!(encoded.push(&identity_sae(2, 0.0), &texts).is_err());
    }
}
