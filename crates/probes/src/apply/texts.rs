//! From texts, or stored activations, to what probes say about them.

use attention_probes_activations::{
    ActivationSource as _, Capture, Dataset, MemoryActivations, PlaceActivations, PlaceSites,
    TOKENS_PER_FORWARD, TokenizedDataset,
};
use attention_probes_errors::Stop;
use attention_probes_models::{CutEncoding, HubAccess, LanguageModel, Tokenizer};

use super::error::ApplyError;
use super::external::ProbedActivations;
use super::reading::{Prefixes, apply_probe};
use super::scorer::{ReadFrom, ScoredText, Scorer, TextPrefix, TextScore};
use super::site::{ModelChoice, ProbedModel};
use super::token_reader::{KnownToken, TokenReader};
use super::verdict::{Judge, VerdictConfig};
use crate::{ProbeError, SavedProbe};

/// Most texts that are scored at a time.
const BATCH: usize = 32;

/// Runs a model on texts, and says what probes say about them.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{Component, Place};
/// use attention_probes::models::{Convention, open_model};
/// use attention_probes::probes::{
///     Linear, ModelChoice, ProbeConfig, ProbeFile, ProbeMetadata, SavedProbe,
///     ScoreConfig, Scorer, TextScorer,
/// };
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let model = open_model("demo-gpt2", None, &device)?;
/// let place = Place::new([2], Component::ResidPost, Convention::Raw);
/// let width = place.width(model.model.shape());
/// let config = ProbeConfig::new(Linear::default(), width, 2);
/// let classes = vec!["no".to_owned(), "yes".to_owned()];
/// let metadata = ProbeMetadata::new(config.clone(), classes).with_place(&model, &place);
/// let saved = SavedProbe { state: config.init_state(1), metadata };
/// let folder = tempfile::tempdir()?;
/// let files = [ProbeFile::open(&saved.save(folder.path(), "a")?, &device)?];
///
/// let scorer = Scorer::new(&files, &ScoreConfig::default(), &device)?;
/// let texts = TextScorer::open(&scorer, &ModelChoice::default(), None)?;
/// let lines = texts.scores([Ok("A fine day".to_owned()), Ok(String::new())]);
/// let lines = lines.map(|text| Ok(serde_json::to_value(text?)?));
/// let lines = lines.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
/// assert_eq!(lines[0]["tokens"][0]["text"], "A");
/// assert_eq!(lines[1]["error"], "empty text");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TextScorer<'a> {
    scorer: &'a Scorer<'a>,
    model: LanguageModel,
    /// Where each probe reads the model.
    places: PlaceSites,
    max_tokens: usize,
}

impl<'a> TextScorer<'a> {
    /// Most texts that are worth scoring at a time.
    pub const BATCH: usize = BATCH;

    /// Opens the model of the probes, which must be one.
    ///
    /// # Errors
    ///
    /// - [`ApplyError::Unsaid`] if there is no probe
    /// - as [`SavedProbe::open_model`] and, of a second probe, [`SavedProbe::place_in`]; what is
    ///   about a probe as [`ProbeError::InFile`]
    pub fn open(
        scorer: &'a Scorer<'a>,
        given: &ModelChoice,
        hub: Option<&HubAccess>,
    ) -> Result<Self, ProbeError> {
        let [first, others @ ..] = scorer.files else {
            return Err(ApplyError::Unsaid { what: "model" }.into());
        };
        let probed = first.saved.open_model(given, hub, scorer.device);
        let ProbedModel { model, place, .. } = probed.map_err(|error| first.in_file(error))?;
        let others = others
            .iter()
            .map(|file| file.saved.place_in(&model, given).map_err(|error| file.in_file(error)));
        let places =
            std::iter::once(Ok(place)).chain(others).collect::<Result<Vec<_>, ProbeError>>()?;
        let n_ctx = model.model.shape().n_ctx;
        // No probe sees a longer text than it was trained on.
        let given = scorer.config.max_tokens;
        let max_tokens = scorer.files.iter().map(|file| file.saved.max_tokens(given, n_ctx, n_ctx));
        let max_tokens = max_tokens.min().unwrap_or(n_ctx);
        Ok(Self { scorer, model, places: PlaceSites::new(&places), max_tokens })
    }

    /// Scores texts together, numbered from `first_index`, or hands on why one could not be read.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] if the model fails
    /// - as [`apply_probe`]
    pub fn score(
        &self,
        first_index: usize,
        texts: Vec<Result<String, ApplyError>>,
    ) -> Result<Vec<ScoredText<'a>>, ProbeError> {
        let mut sequences: Vec<Vec<u32>> = Vec::new();
        let encoded = texts.into_iter().map(|text| {
            let (ids, truncated) = encode(&self.model.tokenizer, &text?, self.max_tokens)?;
            sequences.push(ids);
            Ok((sequences.len() - 1, truncated))
        });
        let encoded: Vec<Result<(usize, bool), ApplyError>> = encoded.collect();

        let tokens = TokenizedDataset::from_sequences(&sequences);
        let mut source = captured(&Capture {
            model: &*self.model.model,
            tokens: &tokens,
            sites: self.places.sites(),
            device: self.scorer.device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
            stop: self.scorer.config.stop.clone(),
        })?;
        let prefix = |(sequence, truncated): (usize, bool)| {
            if source.skipped().contains(&sequence) {
                return Err(ApplyError::NotFinite);
            }
            let ids = tokens.sequence(sequence);
            let tokens = ids.iter().map(|&id| self.token(id)).collect();
            Ok(TextPrefix { sequence, end: ids.len(), truncated, tokens })
        };
        let prefixes = encoded.into_iter().map(|text| text.and_then(prefix)).collect();
        self.scorer.scored(first_index, prefixes, ReadFrom::Sites(&mut source, &self.places))
    }

    /// Scores texts one after the other, [`TextScorer::BATCH`] at a time; ends with the first
    /// error.
    ///
    /// # Errors
    ///
    /// As [`TextScorer::score`].
    pub fn scores(
        &self,
        texts: impl IntoIterator<Item = Result<String, ApplyError>>,
    ) -> impl Iterator<Item = Result<ScoredText<'a>, ProbeError>> {
        let mut texts = texts.into_iter();
        let (mut first_index, mut failed) = (0, false);
        let batches = std::iter::from_fn(move || {
            let batch: Vec<_> = texts.by_ref().take(BATCH).collect();
            if failed || batch.is_empty() {
                return None;
            }
            let index = first_index;
            first_index += batch.len();
            let scored = self.score(index, batch);
            failed = scored.is_err();
            Some(scored)
        });
        batches.flat_map(one_by_one)
    }

    /// As [`TextScorer::scores`], of the rows of a data set; one that was left out because it is empty
    /// has an error.
    ///
    /// # Errors
    ///
    /// As [`TextScorer::score`].
    pub fn dataset_scores(
        &self,
        dataset: Dataset,
    ) -> impl Iterator<Item = Result<ScoredText<'a>, ProbeError>> {
        let n_rows = dataset.len() + dataset.skipped_empty;
        let mut texts = dataset.source_rows.into_iter().zip(dataset.texts).peekable();
        self.scores((0..n_rows).map(move |index| match texts.next_if(|(row, _)| *row == index) {
            Some((_, text)) => Ok(text),
            None => Err(ApplyError::EmptyText),
        }))
    }

    fn token(&self, id: u32) -> KnownToken {
        if !self.scorer.config.with_tokens {
            return KnownToken::default();
        }
        token(&self.model.tokenizer, id)
    }
}

/// Reads stored activations row by row, and says what probes say about them.
pub struct RowScorer<'a> {
    scorer: &'a Scorer<'a>,
    sources: Vec<MemoryActivations>,
    /// The place of each probe.
    of_probe: Vec<usize>,
    source_rows: Vec<usize>,
    offsets: Vec<usize>,
    input_ids: Option<Vec<i64>>,
    n_rows: usize,
}

impl<'a> RowScorer<'a> {
    /// Takes the activations that the probes of a scorer read.
    ///
    /// # Panics
    ///
    /// If there is no place.
    pub fn new(scorer: &'a Scorer<'a>, activations: ProbedActivations) -> Self {
        // The examples are those of every place.
        let external = &activations.places[0];
        Self {
            scorer,
            source_rows: external.source_rows.clone(),
            offsets: external.offsets.clone(),
            input_ids: external.input_ids.clone(),
            n_rows: external.source_rows.len() + external.skipped.len(),
            of_probe: activations.of_probe,
            sources: activations.places.into_iter().map(MemoryActivations::from).collect(),
        }
    }

    /// Scores the rows in order, a batch at a time; a row that was left out has an error.
    ///
    /// # Errors
    ///
    /// As [`apply_probe`].
    pub fn scores(&mut self) -> impl Iterator<Item = Result<ScoredText<'a>, ProbeError>> {
        let (mut start, mut failed) = (0, false);
        let batches = std::iter::from_fn(move || {
            if failed || start >= self.n_rows {
                return None;
            }
            let end = self.n_rows.min(start + BATCH);
            let texts = (start..end).map(|row| self.prefix(row)).collect();
            let source = ReadFrom::Places(&mut self.sources, &self.of_probe);
            let batch = self.scorer.scored(start, texts, source);
            start = end;
            failed = batch.is_err();
            Some(batch)
        });
        batches.flat_map(one_by_one)
    }

    fn prefix(&self, row: usize) -> Result<TextPrefix, ApplyError> {
        let Ok(sequence) = self.source_rows.binary_search(&row) else {
            let message = "NaN, infinity, or no real token".to_owned();
            return Err(ApplyError::Unreadable { message });
        };
        let tokens = self.offsets[sequence]..self.offsets[sequence + 1];
        let id = |token: usize| self.input_ids.as_ref().map(|ids| ids[token]);
        Ok(TextPrefix {
            sequence,
            end: tokens.len(),
            truncated: false,
            tokens: tokens.map(|token| KnownToken { id: id(token), text: None }).collect(),
        })
    }
}

impl SavedProbe {
    /// What the probe says about a text, and about each of its tokens.
    ///
    /// A text that is longer than those in training is cut. [`TextScorer`] scores many texts faster.
    ///
    /// # Errors
    ///
    /// - [`ApplyError::EmptyText`], [`ApplyError::NoToken`], or [`ApplyError::NotFinite`] if there is
    ///   nothing to read
    /// - [`ProbeError::Activation`] if the model fails
    /// - as [`SavedProbe::to_probe`] and [`apply_probe`]
    ///
    /// # Panics
    ///
    /// If the probe does not read activations as wide as those of the model at its place.
    ///
    /// # Examples
    ///
    /// From labelled texts to a probe, to its file, to the scores of another text.
    ///
    /// ```
    /// use attention_probes::activations::{
    ///     Capture, Component, MemoryActivations, Place, TOKENS_PER_FORWARD, TokenizedDataset,
    /// };
    /// use attention_probes::errors::Stop;
    /// use attention_probes::models::{Convention, open_model};
    /// use attention_probes::probes::{
    ///     AttentionProbeTrainConfig, Labels, ModelChoice, Prefixes, ProbeMetadata, SavedProbe,
    ///     TrainingData, train_probe,
    /// };
    /// use burn::tensor::Device;
    ///
    /// let device = Device::default();
    /// let model = open_model("demo-gpt2", None, &device)?;
    /// let texts = ["A kind, happy dog.", "A sad, cruel storm.", "A happy day.", "A sad night."];
    /// let ids = texts.iter().map(|text| model.tokenizer.encode_up_to(text, 64));
    /// let ids = ids.map(|text| Ok(text?.ids)).collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    /// let tokens = TokenizedDataset::from_sequences(&ids);
    /// let place = Place::new([2], Component::ResidPost, Convention::Raw);
    /// let capture = Capture {
    ///     model: &*model.model,
    ///     tokens: &tokens,
    ///     sites: &place.sites(),
    ///     device: &device,
    ///     max_tokens_per_batch: TOKENS_PER_FORWARD,
    ///     stop: Stop::never(),
    /// };
    /// let mut source = MemoryActivations::capture(&capture, &[0, 1, 2, 3], &mut |_, _| {})?;
    /// let ends: Vec<(usize, usize)> = ids.iter().map(Vec::len).enumerate().collect();
    /// let class_names = vec!["sad".to_owned(), "happy".to_owned()];
    /// let labels = Labels::of_classes(vec![1, 0, 1, 0], class_names.clone());
    /// let stop = Stop::never();
    /// let prefixes = Prefixes { source: &mut source, site: 0, ends: &ends, stop: &stop };
    /// let data = TrainingData::from_prefixes(prefixes, labels, &device)?;
    ///
    /// let config = AttentionProbeTrainConfig { n_steps: 20, ..Default::default() };
    /// let probe = train_probe(&data, &config, &device)?;
    /// let metadata = ProbeMetadata::new(probe.config().clone(), class_names).with_place(&model, &place);
    /// let folder = tempfile::tempdir()?;
    /// let path = SavedProbe::from_probe(&probe, metadata)?.save(folder.path(), "mood")?;
    ///
    /// let saved = SavedProbe::load(&path)?;
    /// let probed = saved.open_model(&ModelChoice::default(), None, &device)?;
    /// let score = saved.score(&probed, "A sad fox.")?;
    /// assert_eq!(score.verdict.label(), Some("sad"));
    /// let tokens = score.tokens.unwrap_or_default();
    /// let texts: Vec<&str> = tokens.iter().filter_map(|token| token.text.as_deref()).collect();
    /// assert_eq!(texts.concat(), "A sad fox.");
    /// assert!(tokens.iter().all(|token| token.score().is_some()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn score(&self, probed: &ProbedModel, text: &str) -> Result<TextScore<'_>, ProbeError> {
        let ProbedModel { model, place, device } = probed;
        let probe = self.to_probe(device)?;
        let judge = Judge::new(self, &VerdictConfig::default())?;
        let readout = TokenReader::new(self)?;
        let n_ctx = model.model.shape().n_ctx;
        let (ids, _) = encode(&model.tokenizer, text, self.max_tokens(None, n_ctx, n_ctx))?;
        let tokens = TokenizedDataset::from_sequences(&[&ids]);
        let places = PlaceSites::new(std::slice::from_ref(place));
        let stop = Stop::never();
        let source = captured(&Capture {
            model: &*model.model,
            tokens: &tokens,
            sites: places.sites(),
            device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
            stop: stop.clone(),
        })?;
        if !source.skipped().is_empty() {
            return Err(ApplyError::NotFinite.into());
        }
        let mut source = PlaceActivations::new(Box::new(source), &places);
        let prefixes =
            Prefixes { source: &mut source, site: 0, ends: &[(0, ids.len())], stop: &stop };
        let mut score = None;
        apply_probe(&probe, prefixes, device, |_, reading| {
            let tokens = ids.iter().map(|&id| token(&model.tokenizer, id)).collect();
            score = Some(TextScore {
                verdict: judge.judge(reading.logits),
                tokens: Some(readout.token_scores(tokens, reading)),
            });
        })?;
        Ok(score.ok_or(ApplyError::NoToken)?)
    }
}

/// The results of a batch, or its error.
fn one_by_one(
    batch: Result<Vec<ScoredText<'_>>, ProbeError>,
) -> Vec<Result<ScoredText<'_>, ProbeError>> {
    match batch {
        Ok(batch) => batch.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

/// Activations of all sequences of a capture.
fn captured(capture: &Capture<'_>) -> Result<MemoryActivations, ProbeError> {
    let all: Vec<usize> = (0..capture.tokens.len()).collect();
    let source = MemoryActivations::capture(capture, &all, &mut |_, _| {});
    source.map_err(ProbeError::from)
}

/// Token ids of a text, and whether it was cut.
fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    max_tokens: usize,
) -> Result<(Vec<u32>, bool), ApplyError> {
    if text.trim().is_empty() {
        return Err(ApplyError::EmptyText);
    }
    let cut = tokenizer.encode_up_to(text, max_tokens);
    let unreadable = |error: attention_probes_models::ModelError| ApplyError::Unreadable {
        message: error.to_string(),
    };
    let CutEncoding { ids, is_truncated } = cut.map_err(unreadable)?;
    if ids.is_empty() { Err(ApplyError::NoToken) } else { Ok((ids, is_truncated)) }
}

/// A token with its text.
fn token(tokenizer: &Tokenizer, id: u32) -> KnownToken {
    KnownToken { id: Some(i64::from(id)), text: tokenizer.token_text(id).ok() }
}
