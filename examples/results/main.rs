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
        for table in [best, kinds, attention, layers, tables::transfer(run)] {
            writeln!(stdout, "{table}")?;
        }
    }
    Ok(())
}
