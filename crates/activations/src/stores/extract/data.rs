//! What a model is run on: texts that stay in their file, or token ids.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use attention_probes_errors::{FileError, Stop};
use attention_probes_models::{HookedModel, ModelError, Tokenizer};
use tracing::info;

use super::token_rows::TokenRows;
use crate::{ActivationError, Corpus, PartTokens, TextReader, hash_file};

/// Rows that are tokenized at a time.
const ROWS_PER_PIECE: usize = 1024;

/// What a model is run on.
#[derive(Clone, Debug)]
pub enum ExtractData {
    /// Texts that stay in their file.
    Texts {
        /// The texts.
        corpus: Corpus,
        /// That of the model.
        tokenizer: Box<Tokenizer>,
        /// Most tokens of a text; the model's context, if that is shorter.
        max_tokens: usize,
    },
    /// Token ids.
    Ids {
        /// The ids.
        rows: TokenRows,
        /// BLAKE3 of their file, as hex.
        hash: String,
    },
}

/// Rows of the data in ascending order, piece by piece.
pub(super) struct Pieces<'a> {
    data: &'a ExtractData,
    model: &'a dyn HookedModel,
    reader: Option<TextReader>,
    next_row: usize,
    n_truncated: usize,
}

impl ExtractData {
    /// Texts, cut to `max_tokens` each.
    pub fn texts(corpus: Corpus, tokenizer: Tokenizer, max_tokens: usize) -> Self {
        Self::Texts { corpus, tokenizer: Box::new(tokenizer), max_tokens }
    }

    /// Reads token ids, and the mask if there is one, from a safetensors file.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::File`] if the file cannot be read
    /// - as [`TokenRows::read`]
    ///
    /// # Memory
    ///
    /// The file, and four bytes per token.
    pub fn read_ids(path: &Path) -> Result<Self, ActivationError> {
        let bytes = fs::read(path).map_err(FileError::read(path))?;
        let rows = TokenRows::read(path, &bytes)?;
        Ok(Self::Ids { rows, hash: hash_file(path)? })
    }

    /// Names of the classes; none if there are no labels.
    pub fn class_names(&self) -> &[String] {
        match self {
            Self::Texts { corpus, .. } => &corpus.classes,
            Self::Ids { .. } => &[],
        }
    }

    /// Most tokens of a text for a model: no more than its context.
    pub(super) fn max_tokens(&self, model: &dyn HookedModel) -> usize {
        let n_ctx = model.shape().n_ctx;
        match self {
            Self::Texts { max_tokens, .. } => n_ctx.min(*max_tokens),
            Self::Ids { .. } => n_ctx,
        }
    }

    /// Refuses ids that the model would refuse.
    pub(super) fn check(&self, model: &dyn HookedModel) -> Result<(), ModelError> {
        match self {
            Self::Texts { .. } => Ok(()),
            Self::Ids { rows, .. } => rows.check(model),
        }
    }

    /// All rows as tokens, which take four bytes each. The signal to stop is asked before each piece
    /// of the file.
    pub(super) fn tokens(
        &self,
        model: &dyn HookedModel,
        stop: &Stop,
    ) -> Result<Cow<'_, TokenRows>, ActivationError> {
        let corpus = match self {
            Self::Texts { corpus, .. } => corpus,
            Self::Ids { rows, .. } => return Ok(Cow::Borrowed(rows)),
        };
        if corpus.n_empty > 0 {
            info!("{} empty texts are rows of padding", corpus.n_empty);
        }
        let (mut ids, mut offsets, mut labels) = (Vec::new(), vec![0], Vec::new());
        let mut pieces = Pieces::new(self, model);
        for start in (0..corpus.n_rows).step_by(ROWS_PER_PIECE) {
            stop.check()?;
            let piece = pieces.read(start, ROWS_PER_PIECE.min(corpus.n_rows - start))?;
            offsets.extend(piece.offsets[1..].iter().map(|offset| ids.len() + offset));
            ids.extend(piece.ids);
            labels.extend(piece.labels.into_iter().flatten());
        }
        pieces.note();
        if ids.is_empty() {
            return Err(ActivationError::NoTokens { n_texts: corpus.n_rows });
        }
        let labels = (!corpus.classes.is_empty()).then_some(labels);
        let mut rows = TokenRows::new(ids, offsets);
        rows.labels = labels;
        Ok(Cow::Owned(rows))
    }
}

impl<'a> Pieces<'a> {
    pub(super) fn new(data: &'a ExtractData, model: &'a dyn HookedModel) -> Self {
        Self { data, model, reader: None, next_row: 0, n_truncated: 0 }
    }

    /// Tokens of the rows from `start` on, which no earlier piece may have passed.
    pub(super) fn read(
        &mut self,
        start: usize,
        n_rows: usize,
    ) -> Result<PartTokens, ActivationError> {
        match self.data {
            ExtractData::Texts { corpus, tokenizer, .. } => {
                let max_tokens = self.data.max_tokens(self.model);
                let reader = match &mut self.reader {
                    Some(reader) => reader,
                    None => self.reader.insert(corpus.rows()?),
                };
                for row in reader.by_ref().take(start - self.next_row) {
                    row?;
                }
                self.next_row = start + n_rows;
                let piece = corpus.tokens(reader, n_rows, tokenizer, max_tokens)?;
                self.n_truncated += piece.n_truncated;
                Ok(piece.tokens)
            }
            ExtractData::Ids { rows, .. } => Ok(rows.part(start..start + n_rows)),
        }
    }

    /// Says in the log how many texts were cut.
    pub(super) fn note(&self) {
        if self.n_truncated > 0 {
            info!("{} texts cut to the longest length allowed", self.n_truncated);
        }
    }
}
