//! `probe score`: what a saved probe says about each text, and about each of its tokens.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_cli::device;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::stdout::ignore_broken_pipe;
use attention_probes_models::Convention;
use attention_probes_probes::{
    ProbeFile, RowScorer, ScoreConfig, ScoredText, Scorer, StreamConfig, StreamOrigin,
    StreamReader, TextScorer,
};
use clap::Args;
use tracing::{info, warn};

use crate::data_args::DataArgs;
use crate::extract_args::ConventionArg;
use crate::input::{ModelArgs, open_probe, with_flags};
use crate::verdict::VerdictArgs;

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

/// Flags that say what the activations of a stream are, beside `--model`.
#[derive(Args, Debug, Default)]
pub struct StreamOriginArgs {
    /// Name the revision of the model whose activations `--stream` reads, e.g. `--revision e49d…`.
    #[arg(long, requires = "stream")]
    pub revision: Option<String>,
    /// Name the hooks whose values `x` holds side by side, in their order, e.g. `--hooks
    /// blocks.0.hook_resid_post,blocks.3.hook_resid_post`.
    #[arg(long, requires = "stream", value_delimiter = ',')]
    pub hooks: Option<Vec<String>>,
    /// Say which numbers `--stream` reads, e.g. `--convention tl_processed`.
    #[arg(long, requires = "stream", value_enum)]
    pub convention: Option<ConventionArg>,
}

/// Runs `probe score`.
///
/// # Errors
///
/// If the probe, the model, or the file of the texts is at fault, or they do not belong together.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let files: Vec<ProbeFile> =
        args.probe.iter().map(|path| open_probe(path, &device)).collect::<Result<_>>()?;
    if args.stream {
        return ignore_broken_pipe(serve(&files, args));
    }
    let config = ScoreConfig {
        verdict: args.verdict.config(),
        with_tokens: !args.no_tokens,
        max_tokens: args.max_tokens.map(NonZeroUsize::get),
        ..ScoreConfig::default()
    };
    let scorer = Scorer::new(&files, &config, &device).map_err(with_flags)?;
    let result = match (&args.data.activations, &args.data.data) {
        (Some(path), _) => score_activations(&scorer, path, (&files, args)),
        (None, Some(path)) => score_file(&scorer, args, path),
        (None, None) => score_stdin(&scorer, args),
    };
    ignore_broken_pipe(result)
}

/// Scores the rows of stored activations.
fn score_activations(
    scorer: &Scorer<'_>,
    path: &Path,
    (files, args): (&[ProbeFile], &ScoreArgs),
) -> Result<()> {
    let read = args.data.read_activations(path, None, (files, &args.model))?;
    for scored in RowScorer::new(scorer, read).scores() {
        write_line(&scored.map_err(with_flags)?)?;
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
    let reader = open_model(scorer, args)?;
    for scored in reader.dataset_scores(dataset) {
        write_line(&scored.map_err(with_flags)?)?;
    }
    Ok(())
}

/// Scores the lines of stdin as they come: those that are there already are scored together.
fn score_stdin(scorer: &Scorer<'_>, args: &ScoreArgs) -> Result<()> {
    let reader = open_model(scorer, args)?;
    if std::io::stdin().is_terminal() {
        info!("reading texts from the terminal, one per line, until Ctrl-D");
    }
    reader.score_lines(std::io::stdin(), std::io::stdout()).map_err(with_flags)
}

fn open_model<'a>(scorer: &'a Scorer<'a>, args: &ScoreArgs) -> Result<TextScorer<'a>> {
    TextScorer::open(scorer, &args.model.choice(), hub_access().as_ref()).map_err(with_flags)
}

/// Writes a line and sends it off at once, since somebody may be waiting for it.
fn write_line(line: &ScoredText<'_>) -> Result<()> {
    let text = serde_json::to_string(line)? + "\n";
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Answers the lines of stdin until it ends.
fn serve(files: &[ProbeFile], args: &ScoreArgs) -> Result<()> {
    let StreamOriginArgs { revision, hooks, convention } = &args.stream_origin;
    let config = StreamConfig {
        verdict: args.verdict.config(),
        origin: StreamOrigin {
            model: args.model.model.clone(),
            revision: revision.clone(),
            hooks: hooks.clone(),
            convention: convention.map(|one| Convention::from(one).to_string()),
        },
        allow_other_revision: args.model.allow_other_revision,
        max_streams: args.max_streams.get(),
        remedy_when_full: "end one, or raise `--max-streams`",
    };
    let reader = StreamReader::new(files, config).map_err(with_flags)?;
    let mut unsaid = || {
        warn!(
            "the stream does not say what its activations are, so they are not compared with the \
             probe; begin it with a line {{\"model\": …, \"revision\": …, \"hooks\": […], \
             \"convention\": …}}, or give `--model`, `--revision`, `--hooks`, and `--convention`"
        );
    };
    let answered = reader.answer_lines(std::io::stdin(), std::io::stdout().lock(), &mut unsaid);
    answered.map_err(with_flags)
}
