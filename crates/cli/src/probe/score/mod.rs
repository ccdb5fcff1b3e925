//! `probe score`: what a saved probe says about each text, and about each of its tokens.

mod stream;

use std::io::{BufReader, IsTerminal, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    ActivationSource, Capture, DatasetConfig, ExternalActivations, ExternalConfig,
    MemoryActivations, PlaceActivations, TOKENS_PER_FORWARD, TaggedConfig, TokenizedDataset,
};
use attention_probes_models::Tokenizer;
use burn::tensor::Device;
use clap::Args;
use serde::Serialize;
use tracing::info;

use crate::device;
use crate::hub::hub_access;
use crate::input::{
    MODEL_FLAGS, ModelArgs, ProbeFile, ProbedModel, Reading, apply_probe, ignore_broken_pipe,
};
use crate::readout::{Token, TokenReader, TokenScore};
use crate::text_line::{read_line, text_from_line};
use crate::text_source::TextSource;
use crate::verdict::{Judge, Verdict, VerdictArgs};

/// Most texts that are scored at a time.
const BATCH: usize = 32;

/// Apply a saved probe to texts: one JSON line per text.
///
/// Texts come from a file, or from stdin, one per line; a line that begins with `{` is an object
/// with a `text`. A text that cannot be scored gives a line with an `error`.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// The probe, a file that ends in `_state.npz`.
    #[arg(long)]
    pub probe: PathBuf,
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`;
    /// stdin if neither this nor `--activations` is given.
    #[arg(long, conflicts_with = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of text: an `.npz` with `x`, `mask`, and perhaps `input_ids`, a folder of
    /// shards, or a MOSAIC folder.
    #[arg(long, conflicts_with_all = MODEL_FLAGS)]
    pub activations: Option<PathBuf>,
    /// Which hook of a folder of shards, or `<model>_<layer>` of a MOSAIC folder; it may be left out
    /// where there is only one.
    #[arg(long, requires = "activations")]
    pub hook: Option<String>,
    /// Token whose run at either end of an example of a MOSAIC folder is padding.
    #[arg(long, requires = "activations")]
    pub pad_token_id: Option<u32>,
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Column of the text.
    #[arg(long, default_value = "text")]
    pub text: String,
    /// Column of words, a list, that are joined to a text with spaces, instead of the text.
    #[arg(long, requires = "data", conflicts_with = "text")]
    pub tokens: Option<String>,
    /// Most tokens of a text, at most the model's context; by default as many as in training,
    /// or the whole context where the probe does not say.
    #[arg(long, conflicts_with = "activations")]
    pub max_tokens: Option<NonZeroUsize>,
    /// Leave out the list of tokens.
    #[arg(long)]
    pub no_tokens: bool,
    /// Read activations from stdin, one token a line, and answer every line: beside a model that
    /// runs elsewhere. A line is an object with `x`, a list of numbers or an object of them by
    /// hook, and perhaps `stream`, the text's name; `end` ends a text.
    #[arg(long, conflicts_with_all = ["data", "activations", "max_tokens", "no_tokens"],
        conflicts_with_all = MODEL_FLAGS)]
    pub stream: bool,
    /// Most texts that `--stream` reads at the same time.
    #[arg(long, default_value = "1024", requires = "stream")]
    pub max_streams: NonZeroUsize,
    /// How logits become labels and probabilities.
    #[command(flatten)]
    pub verdict: VerdictArgs,
    /// Which model to run.
    #[command(flatten)]
    pub model: ModelArgs,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// One line of output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Number of the text, from 0.
    index: usize,
    #[serde(flatten)]
    result: LineResult<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum LineResult<'a> {
    Scored(Box<Score<'a>>),
    Failed { error: String },
}

/// What the probe says about a text.
#[derive(Debug, Serialize)]
struct Score<'a> {
    #[serde(flatten)]
    verdict: Verdict<'a>,
    /// Whether the text was longer than allowed, and cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<TokenScore>>,
}

/// Runs `probe score`.
///
/// # Errors
///
/// If the probe, the model, or the file of the texts is at fault, or they do not belong together.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let file = ProbeFile::open(&args.probe, &device)?;
    if args.stream {
        let files = [file];
        return ignore_broken_pipe(stream::run(&files, &args.verdict, args.max_streams.get()));
    }
    let scorer = Scorer {
        readout: TokenReader::new(&file.saved)?,
        judge: Judge::new(&file, &args.verdict)?,
        file: &file,
        device: &device,
        with_tokens: !args.no_tokens,
    };
    let result = match (&args.activations, &args.data) {
        (Some(path), _) => score_activations(&scorer, path, args),
        (None, Some(path)) => score_file(&scorer, args, path),
        (None, None) => score_stdin(&scorer, args),
    };
    ignore_broken_pipe(result)
}

/// Scores the rows of an npz, or of a hook of a folder, of activations.
fn score_activations(scorer: &Scorer<'_>, path: &Path, args: &ScoreArgs) -> Result<()> {
    let (hook, pad_token_id) = (args.hook.clone(), args.pad_token_id);
    let reading = ExternalConfig { hook, with_labels: false, pad_token_id };
    let external = ExternalActivations::read_with(path, &reading)?;
    scorer.file.check_width(external.d_model, &format!("`{}`", path.display()))?;
    let n_rows = external.source_rows.len() + external.skipped.len();
    let (rows, offsets) = (external.source_rows.clone(), external.offsets.clone());
    let input_ids = external.input_ids.clone();
    let mut source = MemoryActivations::from(external);
    let indices: Vec<usize> = (0..n_rows).collect();
    for batch in indices.chunks(BATCH) {
        let texts = batch.iter().map(|index| {
            let Ok(sequence) = rows.binary_search(index) else {
                return Err("NaN, infinity, or no real token".to_owned());
            };
            let tokens = offsets[sequence]..offsets[sequence + 1];
            let token =
                |token: usize| Token { id: input_ids.as_ref().map(|ids| ids[token]), text: None };
            Ok(Prefix {
                sequence,
                end: tokens.len(),
                truncated: false,
                tokens: tokens.map(token).collect(),
            })
        });
        write_lines(&scorer.score(batch, texts.collect(), &mut source)?)?;
    }
    Ok(())
}

/// Scores the rows of a file of texts.
fn score_file(scorer: &Scorer<'_>, args: &ScoreArgs, path: &Path) -> Result<()> {
    let columns = DatasetConfig { text: args.text.clone(), ..DatasetConfig::default() };
    let hub = hub_access();
    let texts = TextSource { path, split: &args.split, hub: hub.as_ref() };
    let dataset = match &args.tokens {
        Some(tokens) => {
            let (tokens, tags) = (tokens.clone(), None);
            texts.read_tagged(&TaggedConfig { tokens, tags, ..TaggedConfig::default() })?
        }
        None => texts.read(&columns, false)?,
    };
    let reader = TextReader::new(scorer, args)?;
    let n_rows = dataset.len() + dataset.skipped_empty;
    let mut texts = dataset.source_rows.iter().zip(dataset.texts).peekable();
    let mut next = |index: usize| match texts.next_if(|(row, _)| **row == index) {
        Some((_, text)) => Ok(text),
        None => Ok(String::new()),
    };
    for start in (0..n_rows).step_by(BATCH) {
        let batch: Vec<usize> = (start..n_rows.min(start + BATCH)).collect();
        let texts = batch.iter().map(|&index| next(index)).collect();
        write_lines(&reader.score(&batch, texts)?)?;
    }
    Ok(())
}

/// Scores the lines of stdin as they come: those that are there already are scored together.
fn score_stdin(scorer: &Scorer<'_>, args: &ScoreArgs) -> Result<()> {
    let reader = TextReader::new(scorer, args)?;
    if std::io::stdin().is_terminal() {
        info!("reading texts from the terminal, one per line, until Ctrl-D");
    }
    let mut stdin = BufReader::with_capacity(1 << 16, std::io::stdin());
    let mut index = 0;
    loop {
        let mut texts = Vec::new();
        while texts.len() < BATCH && (texts.is_empty() || stdin.buffer().contains(&b'\n')) {
            match read_line(&mut stdin)? {
                Some(line) => texts.push(line.and_then(|line| text_from_line(&line))),
                None => break,
            }
        }
        if texts.is_empty() {
            return Ok(());
        }
        let batch: Vec<usize> = (index..index + texts.len()).collect();
        index += texts.len();
        write_lines(&reader.score(&batch, texts)?)?;
    }
}

/// Writes lines and sends them off at once, since somebody may be waiting for them.
fn write_lines(lines: &[Line<'_>]) -> Result<()> {
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

/// Turns texts into activations and hands them to the scorer.
struct TextReader<'a> {
    scorer: &'a Scorer<'a>,
    probed: ProbedModel,
    max_tokens: usize,
}

impl<'a> TextReader<'a> {
    fn new(scorer: &'a Scorer<'a>, args: &ScoreArgs) -> Result<Self> {
        let probed = scorer.file.open_model(&args.model, scorer.device)?;
        let n_ctx = probed.model.model.shape().n_ctx;
        let max_tokens = scorer.file.max_tokens(args.max_tokens, n_ctx, n_ctx);
        Ok(Self { scorer, probed, max_tokens })
    }

    /// Scores texts, or hands on why one could not be read.
    fn score(
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
        let model = &self.probed.model;
        let sites = self.probed.place.sites();
        let capture = Capture {
            model: &*model.model,
            tokens: &tokens,
            sites: &sites,
            device: self.scorer.device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
        };
        let all: Vec<usize> = (0..tokens.len()).collect();
        let source = MemoryActivations::capture(&capture, &all, &mut |_, _| {})?;
        let places = std::slice::from_ref(&self.probed.place);
        let mut source = PlaceActivations::new(Box::new(source), &sites, places);
        let prefix = |(sequence, truncated): (usize, bool)| {
            if source.skipped().contains(&sequence) {
                return Err("NaN or infinity among its activations".to_owned());
            }
            let ids = tokens.sequence(sequence);
            let tokens = ids.iter().map(|&id| self.token(&model.tokenizer, id)).collect();
            Ok(Prefix { sequence, end: ids.len(), truncated, tokens })
        };
        let prefixes = encoded.into_iter().map(|text| text.and_then(prefix)).collect();
        self.scorer.score(indices, prefixes, &mut source)
    }

    /// Token ids of a text, and whether it was cut.
    fn encode(&self, text: &str) -> Result<(Vec<u32>, bool), String> {
        if text.trim().is_empty() {
            return Err("empty text".to_owned());
        }
        let encoding = self.probed.model.tokenizer.encode(text).map_err(|e| e.to_string())?;
        let mut ids = encoding.ids;
        if ids.is_empty() {
            return Err("the text has no token".to_owned());
        }
        let truncated = ids.len() > self.max_tokens;
        ids.truncate(self.max_tokens);
        Ok((ids, truncated))
    }

    fn token(&self, tokenizer: &Tokenizer, id: u32) -> Token {
        if !self.scorer.with_tokens {
            return Token { id: None, text: None };
        }
        Token { id: Some(i64::from(id)), text: tokenizer.decode(&[id]).ok() }
    }
}

/// A sequence with activations, as far as the probe sees it.
struct Prefix {
    sequence: usize,
    end: usize,
    truncated: bool,
    /// What is known of each token.
    tokens: Vec<Token>,
}

/// The probe and what is said of it.
struct Scorer<'a> {
    file: &'a ProbeFile,
    judge: Judge<'a>,
    readout: TokenReader<'a>,
    device: &'a Device,
    with_tokens: bool,
}

impl<'a> Scorer<'a> {
    /// One line per text, in order.
    fn score(
        &self,
        indices: &[usize],
        texts: Vec<Result<Prefix, String>>,
        source: &mut dyn ActivationSource,
    ) -> Result<Vec<Line<'a>>> {
        let mut lines: Vec<Option<LineResult<'a>>> = Vec::new();
        let (mut prefixes, mut places) = (Vec::new(), Vec::new());
        for (place, text) in texts.into_iter().enumerate() {
            match text {
                Ok(prefix) => {
                    prefixes.push(prefix);
                    places.push(place);
                    lines.push(None);
                }
                Err(error) => lines.push(Some(LineResult::Failed { error })),
            }
        }
        let ends: Vec<(usize, usize)> =
            prefixes.iter().map(|prefix| (prefix.sequence, prefix.end)).collect();
        let mut prefixes: Vec<Option<Prefix>> = prefixes.into_iter().map(Some).collect();
        apply_probe(&self.file.probe, (source, 0), &ends, self.device, |index, reading| {
            let score = prefixes[index].take().map(|prefix| self.score_one(prefix, reading));
            lines[places[index]] = score.map(|score| LineResult::Scored(Box::new(score)));
        })?;
        let line = |(&index, result): (&usize, Option<LineResult<'a>>)| {
            result.map(|result| Line { index, result })
        };
        Ok(indices.iter().zip(lines).filter_map(line).collect())
    }

    fn score_one(&self, prefix: Prefix, reading: &Reading<'_>) -> Score<'a> {
        Score {
            verdict: self.judge.judge(reading.logits),
            truncated: prefix.truncated,
            tokens: self.with_tokens.then(|| self.readout.token_scores(prefix.tokens, reading)),
        }
    }
}
