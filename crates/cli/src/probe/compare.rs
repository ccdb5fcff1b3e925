//! `probe compare`: several runs of sweeps, compared with the first.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_metrics::Comparison;
use attention_probes_pages::sweep::compare_page;
use attention_probes_report::{measured, signed};
use attention_probes_sweep::{ComparedProbe, RunComparison, SavedRun, compare_runs};
use clap::Args;
use tracing::info;

use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::{output, table};

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
    let mut text = String::from("what validation chose of every data set:\n");
    write_rows(&mut text, &compared.chosen, |row| row.data.clone());
    text.push_str("\nevery result:\n");
    write_rows(&mut text, &compared.results, |row| {
        (row.data.clone(), row.layer, row.component.clone(), row.config_name.clone())
    });
    write!(stdout, "{text}")?;
    Ok(())
}

/// Appends a table, rows of one key side by side, keys as they first come.
fn write_rows<K: PartialEq>(
    text: &mut String,
    rows: &[ComparedProbe],
    key: impl Fn(&ComparedProbe) -> K,
) {
    let header = ["data", "layer", "probe", "run", "metric", "test (95 %)", "over the first"];
    let mut lines = vec![header.map(str::to_owned)];
    let mut keys: Vec<K> = Vec::new();
    for row in rows {
        if !keys.contains(&key(row)) {
            keys.push(key(row));
        }
    }
    let has_components = rows.iter().any(|row| row.component != rows[0].component);
    let mut rows: Vec<&ComparedProbe> = rows.iter().collect();
    rows.sort_by_key(|row| keys.iter().position(|known| *known == key(row)));
    for row in rows {
        let over = row.over_first.map_or("-".to_owned(), |over| {
            let Comparison { difference, interval, .. } = over;
            let [difference, lower, upper] =
                [difference, interval.lower, interval.upper].map(signed);
            format!("{difference} [{lower}, {upper}]")
        });
        let value = match (row.value, &row.interval) {
            (None, _) => "-".to_owned(),
            (Some(value), None) => measured(value),
            (Some(value), Some(interval)) => table::with_interval(value, interval),
        };
        lines.push([
            row.data.clone(),
            place_of(row, has_components),
            row.config_name.clone(),
            row.run.clone(),
            row.metric.clone(),
            value,
            over,
        ]);
    }
    table::aligned(text, &lines);
}

/// The layer, with the component where there are several.
fn place_of(row: &ComparedProbe, has_components: bool) -> String {
    let layer = row.layer.map_or("-".to_owned(), |layer| layer.to_string());
    if has_components { format!("{layer} {}", row.component).trim_end().to_owned() } else { layer }
}
