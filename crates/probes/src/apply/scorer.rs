//! What probes say about texts: verdicts, and scores of tokens.

use attention_probes_activations::{
    ActivationSource, MemoryActivations, PlaceActivations, PlaceSites,
};
use attention_probes_errors::Stop;
use burn::tensor::Device;
use serde::{Serialize, Serializer};

use super::error::ApplyError;
use super::probe_file::ProbeFile;
use super::reading::{Prefixes, Reading, apply_probe};
use super::token_reader::{KnownToken, TokenReader, TokenScore};
use super::verdict::{Judge, Verdict, VerdictConfig};
use crate::ProbeError;

/// How texts are scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreConfig {
    /// How logits become verdicts.
    pub verdict: VerdictConfig,
    /// Whether each token gets a score. Default true.
    pub with_tokens: bool,
    /// Most tokens of a text, at most the model's context. Default none: as many as in training, or
    /// the whole context where a probe does not say.
    pub max_tokens: Option<usize>,
    /// Asked before each block of a forward pass and each batch of a probe. Default never.
    pub stop: Stop,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        let (verdict, stop) = (VerdictConfig::default(), Stop::never());
        Self { verdict, with_tokens: true, max_tokens: None, stop }
    }
}

/// A text, and what probes say about it.
#[derive(Debug, Serialize)]
pub struct ScoredText<'a> {
    /// Number of the text, from 0.
    pub index: usize,
    /// What is said, or why nothing is.
    #[serde(flatten)]
    pub result: TextResult<'a>,
}

/// What probes say about a text, or why they say nothing.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum TextResult<'a> {
    /// It was scored.
    Scored {
        /// What the probes say.
        #[serde(flatten)]
        said: Said<'a>,
        /// Whether the text was longer than allowed, and cut.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// It could not be scored.
    Failed {
        /// Why; [`ApplyError::EmptyText`], [`ApplyError::NoToken`], [`ApplyError::NotFinite`], or
        /// [`ApplyError::Unreadable`].
        #[serde(serialize_with = "as_text")]
        error: ApplyError,
    },
}

/// What the only probe says about a text, or each of several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Said<'a> {
    /// Of one probe.
    One(Box<TextScore<'a>>),
    /// Of several.
    Several {
        /// In the order of the probes.
        probes: Vec<NamedScore<'a>>,
    },
}

/// What one of several probes says about a text.
#[derive(Debug, Serialize)]
pub struct NamedScore<'a> {
    /// Name of the probe's file, without `_state.npz`.
    pub probe: &'a str,
    /// What it says.
    #[serde(flatten)]
    pub score: Box<TextScore<'a>>,
}

/// What a probe says about a text.
#[derive(Debug, Serialize)]
pub struct TextScore<'a> {
    /// About the whole text.
    #[serde(flatten)]
    pub verdict: Verdict<'a>,
    /// About each token, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<TokenScore>>,
}

/// A sequence with activations, as far as probes see it.
pub(super) struct TextPrefix {
    pub(super) sequence: usize,
    pub(super) end: usize,
    pub(super) truncated: bool,
    /// What is known of each token.
    pub(super) tokens: Vec<KnownToken>,
}

/// Where probes read the activations of texts.
pub(super) enum ReadFrom<'s> {
    /// Of the sites of one source, each the place that it reads.
    Sites(&'s mut dyn ActivationSource, &'s PlaceSites),
    /// Of several sources, each the one of its number.
    Places(&'s mut [MemoryActivations], &'s [usize]),
}

/// Probes that read the same texts: their verdicts and their scores of tokens.
///
/// [`TextScorer`](crate::TextScorer) gives it texts, [`RowScorer`](crate::RowScorer) stored
/// activations.
pub struct Scorer<'a> {
    pub(super) files: &'a [ProbeFile],
    pub(super) device: &'a Device,
    pub(super) config: ScoreConfig,
    probes: Vec<ScoringProbe<'a>>,
}

struct ScoringProbe<'a> {
    name: String,
    file: &'a ProbeFile,
    judge: Judge<'a>,
    readout: TokenReader<'a>,
}

impl<'a> Scorer<'a> {
    /// Takes probes, and finds in each of them what was asked for.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::InFile`] of what [`Judge::new`] returns if a probe does not bring what was
    ///   asked for
    /// - as [`TokenReader::new`]
    pub fn new(
        files: &'a [ProbeFile],
        config: &ScoreConfig,
        device: &'a Device,
    ) -> Result<Self, ProbeError> {
        let probe = |file: &'a ProbeFile| {
            let judge = Judge::new(&file.saved, &config.verdict);
            Ok(ScoringProbe {
                name: file.name(),
                file,
                judge: judge.map_err(|error| file.in_file(error))?,
                readout: TokenReader::new(&file.saved)?,
            })
        };
        let probes = files.iter().map(probe).collect::<Result<_, ProbeError>>()?;
        Ok(Self { files, device, config: config.clone(), probes })
    }

    /// One result per text, in order.
    pub(super) fn scored<'s>(
        &'s self,
        first_index: usize,
        texts: Vec<Result<TextPrefix, ApplyError>>,
        mut source: ReadFrom<'_>,
    ) -> Result<Vec<ScoredText<'s>>, ProbeError> {
        let prefixes: Vec<&TextPrefix> = texts.iter().flatten().collect();
        let mut said = Vec::new();
        for (index, probe) in self.probes.iter().enumerate() {
            let scores = match &mut source {
                ReadFrom::Places(sources, of_probe) => {
                    self.scores(probe, &prefixes, &mut sources[of_probe[index]])?
                }
                ReadFrom::Sites(source, places) => {
                    let place = places.only(index);
                    let mut source = PlaceActivations::new(Box::new(&mut **source), &place);
                    self.scores(probe, &prefixes, &mut source)?
                }
            };
            said.push(scores.into_iter());
        }
        let mut next = || -> Option<Said<'s>> {
            if let [scores] = &mut said[..] {
                return scores.next().map(Said::One);
            }
            let named = self.probes.iter().zip(&mut said).map(|(probe, scores)| {
                Some(NamedScore { probe: &probe.name, score: scores.next()? })
            });
            Some(Said::Several { probes: named.collect::<Option<_>>()? })
        };
        let scored = |(index, text): (usize, Result<TextPrefix, ApplyError>)| {
            let result = match text {
                Ok(prefix) => TextResult::Scored { said: next()?, truncated: prefix.truncated },
                Err(error) => TextResult::Failed { error },
            };
            Some(ScoredText { index, result })
        };
        Ok((first_index..).zip(texts).filter_map(scored).collect())
    }

    /// What a probe says about some texts, in order.
    fn scores<'s>(
        &'s self,
        probe: &'s ScoringProbe<'a>,
        prefixes: &[&TextPrefix],
        source: &mut dyn ActivationSource,
    ) -> Result<Vec<Box<TextScore<'s>>>, ProbeError> {
        let ends: Vec<(usize, usize)> =
            prefixes.iter().map(|prefix| (prefix.sequence, prefix.end)).collect();
        let mut scores: Vec<Option<Box<TextScore<'s>>>> = prefixes.iter().map(|_| None).collect();
        let score = |prefix: &TextPrefix, reading: &Reading<'_>| TextScore {
            verdict: probe.judge.judge(reading.logits),
            tokens: self
                .config
                .with_tokens
                .then(|| probe.readout.token_scores(prefix.tokens.clone(), reading)),
        };
        let ends = Prefixes { source, site: 0, ends: &ends, stop: &self.config.stop };
        apply_probe(&probe.file.probe, ends, self.device, |index, reading| {
            scores[index] = Some(Box::new(score(prefixes[index], reading)));
        })?;
        Ok(scores.into_iter().flatten().collect())
    }
}

fn as_text<S: Serializer>(error: &ApplyError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}
