//! `probe score`: what a saved probe says about each text, and about each of its tokens.

mod lines;
mod origin;
mod stream;
mod texts;

use std::io::{BufReader, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::MemoryActivations;
use attention_probes_probes::Token;
use clap::Args;
use tracing::info;

use crate::data_args::DataArgs;
use crate::device;
use crate::hub::hub_access;
use crate::input::{ModelArgs, ProbeFile, ignore_broken_pipe};
use crate::text_line::{read_line, text_from_line};
use crate::verdict::VerdictArgs;
use lines::{Prefix, ReadFrom, Scorer, write_lines};
use origin::StreamOriginArgs;
use stream::StreamConfig;
use texts::TextReader;

/// Most texts that are scored at a time.
const BATCH: usize = 32;

const DATA_HELP: &str = "Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or \
    `hf://datasets/org/name[@revision][/path]`; stdin if neither this nor `--activations` is given";

/// Apply saved probes to texts: one JSON line per text.
///
/// Texts come from a file, or from stdin, one per line; a line that begins with `{` is an object
/// with a `text`. A text that cannot be scored gives a line with an `error`.
#[derive(Args, Debug)]
#[command(mut_arg("data", |arg| arg.help(DATA_HELP)))]
pub struct ScoreArgs {
    /// The probes: files that end in `_state.npz`, or folders of experiments, whose chosen probes they
    /// are; several read one forward pass of one model.
    #[arg(long, required = true, num_args = 1..)]
    pub probe: Vec<PathBuf>,
    /// What they are applied to.
    #[command(flatten)]
    pub data: DataArgs,
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
    #[arg(long, conflicts_with_all = ["data", "activations", "max_tokens", "no_tokens", "layer",
        "component", "dtype"])]
    pub stream: bool,
    /// Most texts that `--stream` reads at the same time.
    #[arg(long, default_value = "1024", requires = "stream")]
    pub max_streams: NonZeroUsize,
    /// What the activations of `--stream` are, where the stream does not begin with a line that says
    /// it.
    #[command(flatten)]
    pub stream_origin: StreamOriginArgs,
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

/// Runs `probe score`.
///
/// # Errors
///
/// If the probe, the model, or the file of the texts is at fault, or they do not belong together.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let files: Vec<ProbeFile> =
        args.probe.iter().map(|path| ProbeFile::open(path, &device)).collect::<Result<_>>()?;
    if args.stream {
        let config = StreamConfig {
            verdict: &args.verdict,
            origin: &args.stream_origin,
            model: &args.model,
            max_streams: args.max_streams.get(),
        };
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout().lock());
        return ignore_broken_pipe(stream::serve(&files, config, (stdin, stdout)));
    }
    let scorer = Scorer::new(&files, &args.verdict, !args.no_tokens, &device)?;
    let result = match (&args.data.activations, &args.data.data) {
        (Some(path), _) => score_activations(&scorer, path, args),
        (None, Some(path)) => score_file(&scorer, args, path),
        (None, None) => score_stdin(&scorer, args),
    };
    ignore_broken_pipe(result)
}

/// What `probe score --stream` answers to some lines; for tests.
///
/// # Errors
///
/// If a probe cannot read a stream, or the first line says that it is of other activations.
#[doc(hidden)]
pub fn answers(files: &[ProbeFile], lines: &[u8]) -> Result<Vec<u8>> {
    let config = StreamConfig {
        verdict: &VerdictArgs::default(),
        origin: &StreamOriginArgs::default(),
        model: &ModelArgs::default(),
        max_streams: 4,
    };
    let mut answers = Vec::new();
    stream::serve(files, config, (lines, &mut answers))?;
    Ok(answers)
}

/// Scores the rows of an npz, or of a hook of a folder, of activations.
fn score_activations(scorer: &Scorer<'_>, path: &Path, args: &ScoreArgs) -> Result<()> {
    let read = args.data.read_activations(path, None, (scorer.files, &args.model))?;
    // The examples are those of every place.
    let external = &read.places[0];
    let n_rows = external.source_rows.len() + external.skipped.len();
    let (rows, offsets) = (external.source_rows.clone(), external.offsets.clone());
    let input_ids = external.input_ids.clone();
    let mut sources: Vec<MemoryActivations> =
        read.places.into_iter().map(MemoryActivations::from).collect();
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
        let source = ReadFrom::Places(&mut sources, &read.of_probe);
        write_lines(&scorer.lines(batch, texts.collect(), source)?)?;
    }
    Ok(())
}

/// Scores the rows of a file of texts.
fn score_file(scorer: &Scorer<'_>, args: &ScoreArgs, path: &Path) -> Result<()> {
    let columns = args.data.texts.columns()?;
    let hub = hub_access();
    let texts = args.data.texts.source(path, hub.as_ref());
    let dataset = match &args.tokens {
        Some(tokens) => texts.read_words(tokens)?,
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
