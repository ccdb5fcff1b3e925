//! Prints what runs of `sweep.toml` found, as Markdown: the numbers of `docs/results.md`.
//!
//! ```sh
//! examples/results/run.sh
//! ```

mod tables;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use attention_probes::sweep::SavedRun;

/// What stands above the tables of a model.
const HEADINGS: [&str; 5] = [
    "The best probe of every data set, and what it has to beat:",
    "Every kind at the layer that validation chose for it (in brackets); bold: the kind that \
     validation chose:",
    "How tokens are weighed, with the optimiser held fixed:",
    "The chosen kind at every layer:",
    "The chosen probe of a data set on another with the same classes:",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    if folders.is_empty() {
        return Err("give folders of runs, such as results/demo-gpt2".into());
    }
    let runs: Vec<SavedRun> =
        folders.iter().map(|folder| SavedRun::read(Path::new(folder))).collect::<Result<_, _>>()?;
    let mut stdout = std::io::stdout().lock();
    for run in &runs {
        writeln!(stdout, "## {}\n", run.config.model.name)?;
        let (best, kinds) = (tables::best(run), tables::kinds(run));
        let (attention, layers) = (tables::attention(run)?, tables::layers(run));
        let found = [best, kinds, attention, layers, tables::transfer(run)];
        for (heading, table) in HEADINGS.iter().zip(found) {
            writeln!(stdout, "{heading}\n\n{table}")?;
        }
    }
    Ok(())
}
