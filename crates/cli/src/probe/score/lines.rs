//! What probes say about texts, a JSON line for each text.

use std::io::Write as _;

use anyhow::Result;
use attention_probes_activations::{
    ActivationSource, MemoryActivations, PlaceActivations, PlaceSites,
};
use attention_probes_probes::{
    Judge, Prefixes, Reading, Token, TokenReader, TokenScore, Verdict, apply_probe,
};
use burn::tensor::Device;
use serde::Serialize;

use crate::input::ProbeFile;
use crate::verdict::VerdictArgs;

/// One line of output.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    /// Number of the text, from 0.
    index: usize,
    #[serde(flatten)]
    result: LineResult<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum LineResult<'a> {
    Scored {
        #[serde(flatten)]
        said: Said<'a>,
        /// Whether the text was longer than allowed, and cut.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    Failed {
        error: String,
    },
}

/// What the only probe says about a text, or each of several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Said<'a> {
    One(Box<Score<'a>>),
    Several { probes: Vec<NamedScore<'a>> },
}

#[derive(Debug, Serialize)]
struct NamedScore<'a> {
    probe: &'a str,
    #[serde(flatten)]
    score: Box<Score<'a>>,
}

/// What a probe says about a text.
#[derive(Debug, Serialize)]
struct Score<'a> {
    #[serde(flatten)]
    verdict: Verdict<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<TokenScore>>,
}

/// A sequence with activations, as far as probes see it.
pub(super) struct Prefix {
    pub(super) sequence: usize,
    pub(super) end: usize,
    pub(super) truncated: bool,
    /// What is known of each token.
    pub(super) tokens: Vec<Token>,
}

/// Where probes read the activations of texts.
pub(super) enum ReadFrom<'s> {
    /// Of the sites of one source, each the place that it reads.
    Sites(&'s mut dyn ActivationSource, &'s PlaceSites),
    /// Of several sources, each the one of its number.
    Places(&'s mut [MemoryActivations], &'s [usize]),
}

/// Probes that read the same texts.
pub(super) struct Scorer<'a> {
    pub(super) files: &'a [ProbeFile],
    pub(super) device: &'a Device,
    pub(super) with_tokens: bool,
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
    /// If a probe does not bring what was asked for.
    pub(super) fn new(
        files: &'a [ProbeFile],
        verdict: &VerdictArgs,
        with_tokens: bool,
        device: &'a Device,
    ) -> Result<Self> {
        let probe = |file: &'a ProbeFile| {
            Ok(ScoringProbe {
                name: file.name(),
                file,
                judge: verdict.judge(file)?,
                readout: TokenReader::new(&file.saved)?,
            })
        };
        let probes = files.iter().map(probe).collect::<Result<_>>()?;
        Ok(Self { files, device, with_tokens, probes })
    }

    /// One line per text, in order.
    pub(super) fn lines<'s>(
        &'s self,
        indices: &[usize],
        texts: Vec<Result<Prefix, String>>,
        mut source: ReadFrom<'_>,
    ) -> Result<Vec<Line<'s>>> {
        let prefixes: Vec<&Prefix> = texts.iter().flatten().collect();
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
        let line = |(&index, text): (&usize, Result<Prefix, String>)| {
            let result = match text {
                Ok(prefix) => LineResult::Scored { said: next()?, truncated: prefix.truncated },
                Err(error) => LineResult::Failed { error },
            };
            Some(Line { index, result })
        };
        Ok(indices.iter().zip(texts).filter_map(line).collect())
    }

    /// What a probe says about some texts, in order.
    fn scores<'s>(
        &'s self,
        probe: &'s ScoringProbe<'a>,
        prefixes: &[&Prefix],
        source: &mut dyn ActivationSource,
    ) -> Result<Vec<Box<Score<'s>>>> {
        let ends: Vec<(usize, usize)> =
            prefixes.iter().map(|prefix| (prefix.sequence, prefix.end)).collect();
        let mut scores: Vec<Option<Box<Score<'s>>>> = prefixes.iter().map(|_| None).collect();
        let score = |prefix: &Prefix, reading: &Reading<'_>| Score {
            verdict: probe.judge.judge(reading.logits),
            tokens: self
                .with_tokens
                .then(|| probe.readout.token_scores(prefix.tokens.clone(), reading)),
        };
        let ends = Prefixes { source, site: 0, ends: &ends };
        apply_probe(&probe.file.probe, ends, self.device, |index, reading| {
            scores[index] = Some(Box::new(score(prefixes[index], reading)));
        })?;
        Ok(scores.into_iter().flatten().collect())
    }
}

/// Writes lines and sends them off at once, since somebody may be waiting for them.
pub(super) fn write_lines(lines: &[Line<'_>]) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
