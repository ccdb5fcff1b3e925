//! `probe compare`: several runs of sweeps, compared with the first.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_pages::sweep::compare_page;
use attention_probes_pages::text::comparison_text;
use attention_probes_sweep::{RunComparison, SavedRun, compare_runs};
use clap::Args;
use tracing::info;

use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::output;

/// Compare runs of sweeps.
///
/// First comes what validation chose of every data set, then every result. Differences are taken
/// from the first run; where two runs were evaluated on the same test examples, they come from a
/// paired bootstrap.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Folders of runs, `<output>/<run>` or `<output>/<run>/seed_<seed>`.
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
        args.results.iter().map(|path| SavedRun::read(path)).collect::<Result<_, _>>()?;
    for (run, path) in runs.iter().zip(&args.results) {
        if run.experiments.is_empty() && run.targets.is_empty() {
            let message = format!("`{}` has no complete experiment yet", path.display());
            return Err(InputError(message).into());
        }
    }
    let compared = compare_runs(&runs)?;
    let printed = print(&compared, args.json);
    if let Some(path) = &args.output {
        let html = compare_page(&runs, &compared).to_html()?;
        write_atomically(path, |file| file.write_all(html.as_bytes()))?;
        info!("wrote `{}`", path.display());
    }
    ignore_broken_pipe(printed)
}

/// What validation chose, then one line for each place and run.
fn print(compared: &RunComparison, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&serde_json::to_value(compared)?)?)?;
        return Ok(());
    }
    write!(stdout, "{}", comparison_text(compared))?;
    Ok(())
}
