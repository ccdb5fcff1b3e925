//! Texts as tokens, the way that a model reads them for feature-resolved attention.

use attention_probes_activations::ActivationError;
use attention_probes_errors::Stop;
use attention_probes_models::LanguageModel;
use burn::tensor::Device;
use rayon::prelude::*;

use crate::fra::capture::{NEVER, Running};
use crate::{Sae, SaeError};

/// Tokens of a text where nothing else is given.
const MAX_TOKENS: usize = 128;

/// Characters of a text that the first FRA code read.
const N_PUBLISHED_CHARACTERS: usize = 500;

/// Rows of a file that are turned into tokens together.
const ROWS_AT_A_TIME: usize = 256;

/// How texts become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FraReaderConfig {
    /// Most tokens of a text, the one for its beginning among them; 128 by default. Never more than
    /// the model reads.
    pub max_tokens: usize,
    /// Whether the token for the beginning of a text stands before each, where the model has one; by
    /// default it does.
    pub prepend_bos: bool,
    /// Whether texts are read as the first FRA code read them: 500 characters of each, and the token
    /// for the beginning has features like any other. Not by default.
    pub published: bool,
}

impl Default for FraReaderConfig {
    fn default() -> Self {
        Self { max_tokens: MAX_TOKENS, prepend_bos: true, published: false }
    }
}

impl FraReaderConfig {
    /// As in the training of an autoencoder, where its file says so: `context_size` and
    /// `prepend_bos`.
    pub fn of(sae: &Sae) -> Self {
        let metadata = &sae.config.metadata;
        let size = metadata.get("context_size").and_then(serde_json::Value::as_u64);
        Self {
            max_tokens: size.filter(|size| *size > 0).map_or(MAX_TOKENS, |size| size as usize),
            prepend_bos: metadata.prepend_bos().unwrap_or(true),
            published: false,
        }
    }
}

/// A model with how its texts begin.
#[derive(Clone, Copy)]
pub struct FraReader<'a> {
    model: &'a LanguageModel,
    device: &'a Device,
    max_tokens: usize,
    /// The token before every text.
    bos: Option<u32>,
    is_published: bool,
    stop: &'a Stop,
}

/// Tokens of one row of some data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraTextIds {
    /// Row, counted from 0.
    pub row: u64,
    /// The tokens, that for the beginning of the text among them.
    pub ids: Vec<u32>,
}

impl<'a> FraReader<'a> {
    /// Reads texts for a model that was opened on `device`.
    pub fn new(model: &'a LanguageModel, device: &'a Device, config: FraReaderConfig) -> Self {
        Self {
            model,
            device,
            max_tokens: config.max_tokens.min(model.model.shape().n_ctx),
            bos: model.tokenizer.beginning().filter(|_| config.prepend_bos),
            is_published: config.published,
            stop: &NEVER,
        }
    }

    /// Asks a signal to stop before each text, and before each block of a forward pass: all that is
    /// done with this reader ends with [`SaeError::Stopped`] once it is given.
    #[must_use]
    pub fn with_stop(self, stop: &'a Stop) -> Self {
        Self { stop, ..self }
    }

    /// As [`FraReader::new`], with texts as an autoencoder was trained on them
    /// ([`FraReaderConfig::of`]).
    pub fn of(sae: &Sae, model: &'a LanguageModel, device: &'a Device) -> Self {
        Self::new(model, device, FraReaderConfig::of(sae))
    }

    /// The model.
    pub fn model(&self) -> &'a LanguageModel {
        self.model
    }

    /// Where the model computes.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// The signal that is asked.
    pub fn stop(&self) -> &'a Stop {
        self.stop
    }

    /// The model as texts run through it.
    pub(in crate::fra) fn running(&self) -> Running<'a> {
        Running { model: &*self.model.model, device: self.device, stop: self.stop }
    }

    /// Most tokens of a text.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The token that stands before every text, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Whether texts are read as the first FRA code read them.
    pub fn is_published(&self) -> bool {
        self.is_published
    }

    /// Number of tokens that stand for the beginning of a text and have no features; the first FRA
    /// code counted those too.
    pub fn n_before(&self) -> usize {
        usize::from(self.bos.is_some() && !self.is_published)
    }

    /// Tokens of a text, that for its beginning first, cut to the longest length.
    ///
    /// # Errors
    ///
    /// [`SaeError::Model`] if the tokenizer fails.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, SaeError> {
        let end = text.char_indices().nth(N_PUBLISHED_CHARACTERS).filter(|_| self.is_published);
        let text = end.map_or(text, |(end, _)| &text[..end]);
        // One more, which may be the token before every text.
        let n = self.max_tokens.saturating_add(1);
        let ids = self.model.tokenizer.encode_up_to_without_special(text, n)?.ids;
        let text = ids.strip_prefix(self.bos.as_slice()).unwrap_or(&ids);
        Ok(self.bos.into_iter().chain(text.iter().copied()).take(self.max_tokens).collect())
    }

    /// The first `most` texts of some rows that are long enough to attend to something: two tokens
    /// beside the one for the beginning. No row is asked for that is not needed.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Activation`] if a row cannot be read.
    /// - [`SaeError::Model`] if the tokenizer fails.
    ///
    /// # Memory
    ///
    /// 4 bytes for each token, and 32 for each text.
    pub fn texts(
        &self,
        rows: impl IntoIterator<Item = Result<String, ActivationError>>,
        most: usize,
    ) -> Result<Vec<FraTextIds>, SaeError> {
        let least = self.n_before() + 2;
        let mut rows = (0..).zip(rows);
        let mut texts = Vec::new();
        loop {
            self.stop.check()?;
            let n_wanted = (most - texts.len()).min(ROWS_AT_A_TIME);
            let (mut block, mut failed) = (Vec::new(), None);
            for (row, text) in rows.by_ref().take(n_wanted) {
                match text {
                    Ok(text) => block.push((row, text)),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            let is_last = n_wanted == 0 || block.len() < n_wanted;
            let of_row = |(row, text): (u64, String)| Ok(FraTextIds { row, ids: self.ids(&text)? });
            let block = block.into_par_iter().map(of_row).collect::<Result<Vec<_>, SaeError>>()?;
            texts.extend(block.into_iter().filter(|text| text.ids.len() >= least));
            match failed {
                Some(error) => return Err(error.into()),
                None if is_last => return Ok(texts),
                None => {}
            }
        }
    }

    /// The text of a token.
    ///
    /// # Errors
    ///
    /// [`SaeError::Model`] if there is no such token.
    pub fn token(&self, id: u32) -> Result<String, SaeError> {
        Ok(self.model.tokenizer.token_text(id)?)
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_errors::FileError;
    use attention_probes_models::open_model;

    use super::*;

    #[test]
    fn no_row_is_read_that_is_not_needed_and_short_ones_do_not_count() {
        let device = Device::flex();
        let model = open_model("demo-gpt2", None, &device).unwrap();
        let reader = FraReader::new(&model, &device, FraReaderConfig::default());
        let failed = || {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            Err(FileError::read("texts.csv")(source).into())
        };
        let rows = || ["The fox ran.", "", "a", "The dog sat."].map(|text| Ok(text.to_owned()));
        let numbers =
            |texts: Vec<FraTextIds>| texts.iter().map(|text| text.row).collect::<Vec<_>>();
        let found = reader.texts(rows().into_iter().chain([failed()]), 2).unwrap();
        assert_eq!(numbers(found), [0, 3]);
        assert!(reader.texts(rows().into_iter().chain([failed()]), 3).is_err());
        assert_eq!(numbers(reader.texts(rows(), usize::MAX).unwrap()), [0, 3]);
        assert!(reader.texts(rows(), 0).unwrap().is_empty());
    }
}
