//! `probe compare`: several runs of sweeps, compared with the first.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_cli::exit::InputError;
use attention_probes_cli::output;
use attention_probes_cli::stdout::print;
use attention_probes_pages_probes::compare_page;
use attention_probes_pages_probes::text::comparison_text;
use attention_probes_sweep::{SavedRun, compare_runs};
use clap::Args;
use tracing::info;

/// Compare runs of sweeps.
///
/// First comes what validation chose of every data set, then every result. Differences are taken
/// from the first run; where two runs were evaluated on the same test examples, they come from a
/// paired bootstrap.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Folders of runs, `<output>/<run>` or `<output>/<run>/seed_<seed>`; `NAME=FOLDER` names one.
    #[arg(required = true, num_args = 2..)]
    pub results: Vec<PathBuf>,
    /// Also write a page, an HTML file.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs `probe compare`.
///
/// # Errors
///
/// If a folder is no run, or the page cannot be written.
pub fn run(args: &CompareArgs) -> Result<()> {
    if let Some(path) = &args.output {
        output::check_page(path, [])?;
    }
    let runs: Vec<SavedRun> =
        args.results.iter().map(|path| SavedRun::read_named(path)).collect::<Result<_, _>>()?;
    for (run, path) in runs.iter().zip(&args.results) {
        if run.experiments.is_empty() && run.targets.is_empty() {
            let message = format!("`{}` has no complete experiment yet", path.display());
            return Err(InputError(message).into());
        }
    }
    let compared = compare_runs(&runs)?;
    let text = if args.json {
        serde_json::to_string_pretty(&serde_json::to_value(&compared)?)? + "\n"
    } else {
        comparison_text(&compared)
    };
    let printed = print(&text);
    if let Some(path) = &args.output {
        let html = compare_page(&runs, &compared).to_html()?;
        write_atomically(path, |file| file.write_all(html.as_bytes()))?;
        info!("wrote `{}`", path.display());
    }
    printed
}
