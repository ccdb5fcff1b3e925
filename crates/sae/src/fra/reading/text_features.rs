//! The active features of one text, token by token.

use serde::Serialize;

use super::reader::FraReader;
use crate::fra::codes::rows;
use crate::fra::site::hook_of;
use crate::{Sae, SaeError};

/// A token of a text with its active features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenFeatures {
    /// The token as the tokenizer decodes it, white space included.
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Active features in rising order, each with its activation.
    pub features: Vec<(u32, f32)>,
}

/// A text with the active features of each token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextFeatures {
    /// The tokens; one that stands for the beginning of the text has no features.
    pub tokens: Vec<TokenFeatures>,
}

/// A feature in one text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TextFeature {
    /// Its number.
    pub feature: u32,
    /// Its largest activation.
    pub activation: f32,
    /// Position of the first token with that activation.
    pub position: usize,
    /// Number of tokens on which it is active.
    pub n_active: usize,
}

impl TextFeatures {
    /// The `n` features with the largest activation on any token, the strongest first; of equal
    /// ones the smaller.
    pub fn top(&self, n: usize) -> Vec<TextFeature> {
        let mut all: Vec<(u32, usize, f32)> = Vec::new();
        for (position, token) in self.tokens.iter().enumerate() {
            all.extend(token.features.iter().map(|(feature, value)| (*feature, position, *value)));
        }
        all.sort_by_key(|(feature, position, _)| (*feature, *position));
        let strongest = |of_feature: &[(u32, usize, f32)]| {
            let (feature, mut position, mut activation) = of_feature[0];
            for (_, other, value) in &of_feature[1..] {
                if *value > activation {
                    (position, activation) = (*other, *value);
                }
            }
            TextFeature { feature, activation, position, n_active: of_feature.len() }
        };
        let mut top: Vec<TextFeature> = all.chunk_by(|a, b| a.0 == b.0).map(strongest).collect();
        top.sort_by(|a, b| b.activation.total_cmp(&a.activation).then(a.feature.cmp(&b.feature)));
        top.truncate(n);
        top
    }
}

impl FraReader<'_> {
    /// Runs the model over a text and encodes what is at the hook of an autoencoder, any hook with a
    /// row for each token.
    ///
    /// # Errors
    ///
    /// - [`SaeError::NoHook`] if the autoencoder names no hook.
    /// - [`SaeError::Model`] if the model has no such hook, or the text has no token.
    /// - [`SaeError::SizeMismatch`] if the hook's rows have another width than the autoencoder reads.
    /// - [`SaeError::NonFinite`] if an activation is NaN or infinite.
    ///
    /// # Examples
    ///
    /// ```
    /// # use attention_probes::models::open_model;
    /// # use attention_probes::sae::fra::FraReader;
    /// # use attention_probes::sae::{Sae, SaeActivation, SaeConfig};
    /// # use burn::tensor::Device;
    /// let device = Device::flex();
    /// let model = open_model("demo-gpt2", None, &device)?;
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
    /// sae.set_hook("blocks.1.hook_mlp_out".parse()?);
    ///
    /// let features = FraReader::of(&sae, &model, &device).features(&sae, "Once upon a time")?;
    /// assert!(features.tokens[0].features.is_empty()); // the token for the beginning of the text
    /// assert!(features.tokens[1..].iter().all(|token| token.features.len() <= 8));
    /// let top = features.top(3);
    /// let strongest = &features.tokens[top[0].position];
    /// assert!(strongest.features.contains(&(top[0].feature, top[0].activation)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn features(&self, sae: &Sae, text: &str) -> Result<TextFeatures, SaeError> {
        let (hook, ids) = (hook_of(sae)?, self.ids(text)?);
        let activations = self.running().one(&ids, &[hook])?;
        let encoded = sae.encode(rows(&activations, hook, ids.len() * sae.config.d_in)?)?;
        let mut tokens = Vec::with_capacity(ids.len());
        for (position, (id, (features, values))) in ids.iter().zip(encoded.codes.rows()).enumerate()
        {
            let features = features.iter().copied().zip(values.iter().copied());
            let features = features.filter(|_| position >= self.n_before()).collect();
            tokens.push(TokenFeatures { text: self.token(*id)?, id: *id, features });
        }
        Ok(TextFeatures { tokens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_counts_by_its_strongest_token() {
        let token = |features: &[(u32, f32)]| TokenFeatures {
            text: "a".to_owned(),
            id: 1,
            features: features.to_vec(),
        };
        let tokens = vec![token(&[]), token(&[(3, 1.0), (7, 2.0)]), token(&[(2, 2.0), (3, 1.5)])];
        let text = TextFeatures { tokens };
        let of = |feature, activation, position, n_active| TextFeature {
            feature,
            activation,
            position,
            n_active,
        };
        let all = [of(2, 2.0, 2, 1), of(7, 2.0, 1, 1), of(3, 1.5, 2, 2)];
        assert_eq!(text.top(9), all);
        assert_eq!(text.top(1), all[..1]);
    }
}
