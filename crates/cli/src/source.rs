//! What a model is run on: texts that stay in their file, or token ids.

use std::borrow::Cow;

use anyhow::{Context as _, Result};
use attention_probes_activations::{ActivationError, Corpus, PartTokens, TextReader};
use attention_probes_models::{ModelAlone, Tokenizer};
use tracing::info;

use crate::token_rows::TokenRows;

/// Rows that are tokenized at a time.
const ROWS_PER_PIECE: usize = 1024;

/// What the model is run on.
pub(crate) enum Source {
    /// Texts that stay in their file.
    Texts {
        corpus: Corpus,
        /// Most tokens of a text.
        max_tokens: usize,
        /// That of the model, once it is open.
        tokenizer: Option<Box<Tokenizer>>,
    },
    /// Token ids.
    Ids {
        rows: TokenRows,
        /// BLAKE3 of their file, as hex.
        hash: String,
    },
}

/// Rows of a source in ascending order, piece by piece.
pub(crate) struct Pieces<'a> {
    source: &'a Source,
    reader: Option<TextReader>,
    next_row: usize,
    n_truncated: usize,
}

impl Source {
    /// The same for a model: texts with its tokenizer, cut to its context, and ids that it knows.
    pub(crate) fn with_model(self, model: &ModelAlone) -> Result<Self> {
        match self {
            Self::Texts { corpus, max_tokens, .. } => {
                let max_tokens = max_tokens.min(model.model.shape().n_ctx);
                let tokenizer = Some(Box::new(model.tokenizer()?));
                Ok(Self::Texts { corpus, max_tokens, tokenizer })
            }
            Self::Ids { rows, hash } => {
                rows.check(&*model.model)?;
                Ok(Self::Ids { rows, hash })
            }
        }
    }

    /// Names of the classes; none if there are no labels.
    pub(crate) fn class_names(&self) -> &[String] {
        match self {
            Self::Texts { corpus, .. } => &corpus.classes,
            Self::Ids { .. } => &[],
        }
    }

    /// All rows as tokens, which take four bytes each.
    pub(crate) fn tokens(&self) -> Result<Cow<'_, TokenRows>> {
        let corpus = match self {
            Self::Texts { corpus, .. } => corpus,
            Self::Ids { rows, .. } => return Ok(Cow::Borrowed(rows)),
        };
        if corpus.n_empty > 0 {
            info!("{} empty texts are rows of padding", corpus.n_empty);
        }
        let (mut ids, mut offsets, mut labels) = (Vec::new(), vec![0], Vec::new());
        let mut pieces = Pieces::new(self);
        for start in (0..corpus.n_rows).step_by(ROWS_PER_PIECE) {
            let piece = pieces.read(start, ROWS_PER_PIECE.min(corpus.n_rows - start))?;
            offsets.extend(piece.offsets[1..].iter().map(|offset| ids.len() + offset));
            ids.extend(piece.ids);
            labels.extend(piece.labels.into_iter().flatten());
        }
        pieces.note();
        if ids.is_empty() {
            return Err(ActivationError::NoTokens { n_texts: corpus.n_rows }.into());
        }
        let labels = (!corpus.classes.is_empty()).then_some(labels);
        let mut rows = TokenRows::new(ids, offsets);
        rows.labels = labels;
        Ok(Cow::Owned(rows))
    }
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { source, reader: None, next_row: 0, n_truncated: 0 }
    }

    /// Tokens of the rows from `start` on, which no earlier piece may have passed.
    pub(crate) fn read(&mut self, start: usize, n_rows: usize) -> Result<PartTokens> {
        match self.source {
            Source::Texts { corpus, max_tokens, tokenizer } => {
                let tokenizer = tokenizer.as_deref().context("the source has no model yet")?;
                let reader = match &mut self.reader {
                    Some(reader) => reader,
                    None => self.reader.insert(corpus.rows()?),
                };
                for row in reader.by_ref().take(start - self.next_row) {
                    row?;
                }
                self.next_row = start + n_rows;
                let piece = corpus.tokens(reader, n_rows, tokenizer, *max_tokens)?;
                self.n_truncated += piece.n_truncated;
                Ok(piece.tokens)
            }
            Source::Ids { rows, .. } => {
                let offsets = &rows.offsets[start..=start + n_rows];
                let (first, last) = (offsets[0], offsets[n_rows]);
                Ok(PartTokens {
                    ids: rows.ids[first..last].to_vec(),
                    offsets: offsets.iter().map(|offset| offset - first).collect(),
                    labels: None,
                })
            }
        }
    }

    /// Says in the log how many texts were cut.
    pub(crate) fn note(&self) {
        if self.n_truncated > 0 {
            info!("{} texts cut to the longest length allowed", self.n_truncated);
        }
    }
}
