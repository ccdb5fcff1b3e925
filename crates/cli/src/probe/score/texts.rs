//! From texts to activations to lines.

use anyhow::Result;
use attention_probes_activations::{
    ActivationSource as _, Capture, MemoryActivations, PlaceSites, TOKENS_PER_FORWARD,
    TokenizedDataset,
};
use attention_probes_models::{CutEncoding, LanguageModel, Tokenizer};
use attention_probes_probes::Token;

use super::ScoreArgs;
use super::lines::{Line, Prefix, ReadFrom, Scorer};
use crate::exit::InputError;
use crate::input::ProbedModel;

/// Turns texts into activations and hands them to the scorer.
pub(super) struct TextReader<'a> {
    scorer: &'a Scorer<'a>,
    model: LanguageModel,
    /// Where each probe reads the model.
    places: PlaceSites,
    max_tokens: usize,
}

impl<'a> TextReader<'a> {
    /// Opens the model of the probes, which must be one.
    ///
    /// # Errors
    ///
    /// If the probes are of different models, or the model cannot be opened.
    pub(super) fn new(scorer: &'a Scorer<'a>, args: &ScoreArgs) -> Result<Self> {
        let [first, others @ ..] = scorer.files else {
            return Err(InputError("give a probe with `--probe`".to_owned()).into());
        };
        let ProbedModel { model, place } = first.open_model(&args.model, scorer.device)?;
        let others = others.iter().map(|file| file.place_in(&model, &args.model));
        let places = std::iter::once(Ok(place)).chain(others).collect::<Result<Vec<_>>>()?;
        let n_ctx = model.model.shape().n_ctx;
        // No probe sees a longer text than it was trained on.
        let max_tokens =
            scorer.files.iter().map(|file| file.max_tokens(args.max_tokens, n_ctx, n_ctx));
        let max_tokens = max_tokens.min().unwrap_or(n_ctx);
        Ok(Self { scorer, model, places: PlaceSites::new(&places), max_tokens })
    }

    /// Scores texts, or hands on why one could not be read.
    pub(super) fn score(
        &self,
        indices: &[usize],
        texts: Vec<Result<String, String>>,
    ) -> Result<Vec<Line<'a>>> {
        let mut sequences: Vec<Vec<u32>> = Vec::new();
        let encoded = texts.into_iter().map(|text| {
            let (ids, truncated) = self.encode(&text?)?;
            sequences.push(ids);
            Ok((sequences.len() - 1, truncated))
        });
        let encoded: Vec<Result<(usize, bool), String>> = encoded.collect();

        let tokens = TokenizedDataset::from_sequences(&sequences);
        let model = &self.model;
        let capture = Capture {
            model: &*model.model,
            tokens: &tokens,
            sites: self.places.sites(),
            device: self.scorer.device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
        };
        let all: Vec<usize> = (0..tokens.len()).collect();
        let mut source = MemoryActivations::capture(&capture, &all, &mut |_, _| {})?;
        let prefix = |(sequence, truncated): (usize, bool)| {
            if source.skipped().contains(&sequence) {
                return Err("NaN or infinity among its activations".to_owned());
            }
            let ids = tokens.sequence(sequence);
            let tokens = ids.iter().map(|&id| self.token(&model.tokenizer, id)).collect();
            Ok(Prefix { sequence, end: ids.len(), truncated, tokens })
        };
        let prefixes = encoded.into_iter().map(|text| text.and_then(prefix)).collect();
        self.scorer.lines(indices, prefixes, ReadFrom::Sites(&mut source, &self.places))
    }

    /// Token ids of a text, and whether it was cut.
    fn encode(&self, text: &str) -> Result<(Vec<u32>, bool), String> {
        if text.trim().is_empty() {
            return Err("empty text".to_owned());
        }
        let cut = self.model.tokenizer.encode_up_to(text, self.max_tokens);
        let CutEncoding { ids, is_truncated } = cut.map_err(|e| e.to_string())?;
        if ids.is_empty() {
            return Err("the text has no token".to_owned());
        }
        Ok((ids, is_truncated))
    }

    fn token(&self, tokenizer: &Tokenizer, id: u32) -> Token {
        if !self.scorer.with_tokens {
            return Token { id: None, text: None };
        }
        Token { id: Some(i64::from(id)), text: tokenizer.token_text(id).ok() }
    }
}
