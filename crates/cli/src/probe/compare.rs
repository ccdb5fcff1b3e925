//! `probe compare`: several runs of sweeps beside each other.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_metrics::{Comparison, PairedBootstrap, compare_balanced_accuracy};
use attention_probes_report::{ComparePage, ComparedResult, ComparedRun, PairedDifference};
use attention_probes_sweep::{ArchitectureReport, SavedExperiment, SavedRun};
use clap::Args;
use serde::Serialize;
use tracing::info;

use super::sweep::epochs;
use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::{output, sweep_page, table};

/// Put runs of sweeps beside each other.
///
/// Differences are taken from the first run; where two runs judged the same test examples, they
/// come from a paired bootstrap.
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

/// A result of one run, as `--json` prints it.
#[derive(Debug, Serialize)]
struct ResultRow {
    run: String,
    data: String,
    layer: Option<usize>,
    component: String,
    config_name: String,
    n_test: usize,
    balanced_accuracy: f64,
    balanced_accuracy_interval: attention_probes_metrics::Interval,
    /// Against the first run, on the same examples; absent where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_first: Option<Comparison>,
}

/// What results of different runs have in common if they belong together: data set, layer,
/// component, and architecture.
type Place = (String, Option<usize>, String, String);

impl ResultRow {
    fn place(&self) -> Place {
        (self.data.clone(), self.layer, self.component.clone(), self.config_name.clone())
    }
}

/// One chosen probe of a run.
struct Found<'a> {
    place: Place,
    experiment: &'a SavedExperiment,
    architecture: &'a ArchitectureReport,
}

/// Runs `probe compare`.
///
/// # Errors
///
/// If a folder is no run, or the page cannot be written.
pub fn run(args: &CompareArgs) -> Result<()> {
    if let Some(path) = &args.output {
        output::check_file(path)?;
    }
    let runs: Vec<SavedRun> =
        args.results.iter().map(|path| SavedRun::read(path)).collect::<Result<_, _>>()?;
    for (run, path) in runs.iter().zip(&args.results) {
        if run.experiments.is_empty() {
            let path = path.display();
            let message = if run.targets.is_empty() {
                format!("`{path}` has no complete experiment yet")
            } else {
                format!("`{path}` has labels that are no classes, and only classes are compared")
            };
            return Err(InputError(message).into());
        }
    }
    let names = names(&runs);
    let found: Vec<Vec<Found<'_>>> = runs.iter().map(results).collect();
    let first: BTreeMap<&Place, &Found<'_>> =
        found[0].iter().map(|result| (&result.place, result)).collect();
    let mut rows = Vec::new();
    let mut differences = Vec::new();
    for (run, results) in found.iter().enumerate() {
        for result in results {
            let base = first.get(&result.place).filter(|_| run > 0);
            let over_first = match base {
                Some(base) => paired(result, base)?,
                None => None,
            };
            let (data, layer, component, config_name) = result.place.clone();
            if let Some(comparison) = over_first {
                let (data, component) = (data.clone(), component.clone());
                let difference = (comparison.difference, comparison.interval).into();
                let config_name = config_name.clone();
                differences.push(PairedDifference {
                    run,
                    data,
                    layer,
                    component,
                    config_name,
                    difference,
                });
            }
            let test = &result.architecture.test;
            rows.push(ResultRow {
                run: names[run].clone(),
                data,
                layer,
                component,
                config_name,
                n_test: test.n_examples,
                balanced_accuracy: test.balanced_accuracy,
                balanced_accuracy_interval: test.balanced_accuracy_interval,
                over_first,
            });
        }
    }
    if let Some(path) = &args.output {
        write_page(path, &page(&runs, &names, &found, differences))?;
    }
    ignore_broken_pipe(print(&rows, &names, args.json))
}

/// Names that tell the runs apart: that of the run, with its seed or folder if need be.
fn names(runs: &[SavedRun]) -> Vec<String> {
    let short = |run: &SavedRun| run.config.run.clone();
    let seeded = |run: &SavedRun| format!("{}, seed {}", run.config.run, run.config.seed);
    let folder = |run: &SavedRun| run.folder.display().to_string();
    let ways: [&dyn Fn(&SavedRun) -> String; 3] = [&short, &seeded, &folder];
    let distinct =
        |names: &Vec<String>| names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
    let mut candidates = ways.iter().map(|name| runs.iter().map(name).collect::<Vec<_>>());
    candidates.find(distinct).unwrap_or_else(|| {
        runs.iter().enumerate().map(|(i, run)| format!("{} ({})", short(run), i + 1)).collect()
    })
}

fn results(run: &SavedRun) -> Vec<Found<'_>> {
    let of_experiment = |experiment: &'_ SavedExperiment| {
        let report = &experiment.report;
        let component = sweep_page::component(experiment);
        (report.data.clone(), report.layer, component)
    };
    let experiments = run.experiments.iter();
    experiments
        .flat_map(|experiment| {
            let (data, layer, component) = of_experiment(experiment);
            experiment.report.architectures.iter().map(move |architecture| Found {
                place: (data.clone(), layer, component.clone(), architecture.config_name.clone()),
                experiment,
                architecture,
            })
        })
        .collect()
}

/// Compares two probes if they were judged on the same examples.
fn paired(result: &Found<'_>, base: &Found<'_>) -> Result<Option<Comparison>> {
    let [report, other] = [result, base].map(|found| &found.experiment.report);
    let [test, base_test] = [result, base].map(|found| &found.experiment.predictions.test);
    let same_data = report.origin.data_hash.is_some()
        && report.origin.data_hash == other.origin.data_hash
        && report.classes == other.classes
        && test.examples == base_test.examples;
    if !same_data {
        return Ok(None);
    }
    let n_classes = report.classes.len();
    let name = &result.architecture.config_name;
    let (Some(own), Some(first)) =
        (test.predicted(name, n_classes), base_test.predicted(name, n_classes))
    else {
        return Ok(None);
    };
    let groups = test.examples.groups.as_deref();
    let groups = groups.filter(|groups| groups.iter().any(|group| *group != groups[0]));
    let bootstrap = PairedBootstrap { groups, ..PairedBootstrap::default() };
    let labels = &test.examples.labels;
    Ok(Some(compare_balanced_accuracy(labels, [&own, &first], n_classes, &bootstrap)?))
}

fn page(
    runs: &[SavedRun],
    names: &[String],
    found: &[Vec<Found<'_>>],
    differences: Vec<PairedDifference>,
) -> ComparePage {
    let run = |((run, name), found): ((&SavedRun, &String), &Vec<Found<'_>>)| ComparedRun {
        name: name.clone(),
        description: description(run),
        results: found.iter().map(compared).collect(),
    };
    ComparePage {
        title: names.join(", "),
        runs: runs.iter().zip(names).zip(found).map(run).collect(),
        differences,
    }
}

fn compared(found: &Found<'_>) -> ComparedResult {
    let (data, layer, component, config_name) = found.place.clone();
    let test = &found.architecture.test;
    ComparedResult {
        data,
        layer,
        component,
        config_name,
        test: (test.balanced_accuracy, test.balanced_accuracy_interval).into(),
        n_test: test.n_examples,
    }
}

/// Model, size of the grid, and epochs of a run.
fn description(run: &SavedRun) -> String {
    let grid = &run.config.sweep;
    let n_trials = grid.rates().len() * grid.weight_decays.len() * grid.seeds.len().max(1);
    let counted = |n: usize, what: &str| {
        if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
    };
    let parts = [sweep_page::model(run), counted(n_trials, "trial"), epochs(grid)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn write_page(path: &Path, page: &ComparePage) -> Result<()> {
    if path.is_dir() {
        let message = format!("`{}` is a folder, name a file in it", path.display());
        return Err(InputError(message).into());
    }
    let html = page.to_html()?;
    write_atomically(path, |file| file.write_all(html.as_bytes()))?;
    info!("wrote `{}`", path.display());
    Ok(())
}

/// One line for each place and run.
fn print(rows: &[ResultRow], names: &[String], json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        let object = serde_json::json!({ "runs": names, "results": rows });
        writeln!(stdout, "{}", serde_json::to_string_pretty(&object)?)?;
        return Ok(());
    }
    let header = ["data", "layer", "probe", "run", "balanced accuracy (95 %)", "over the first"];
    let mut lines = vec![header.map(str::to_owned)];
    // The runs of one place beside each other, places as they first come.
    let mut places: Vec<Place> = Vec::new();
    for row in rows {
        if !places.contains(&row.place()) {
            places.push(row.place());
        }
    }
    let has_components = rows.iter().any(|row| row.component != rows[0].component);
    let mut rows: Vec<&ResultRow> = rows.iter().collect();
    rows.sort_by_key(|row| places.iter().position(|place| *place == row.place()));
    for row in rows {
        let interval = &row.balanced_accuracy_interval;
        let over = row.over_first.map_or("-".to_owned(), |over| {
            let Comparison { difference, interval, .. } = over;
            format!("{difference:+.3} [{:+.3}, {:+.3}]", interval.lower, interval.upper)
        });
        lines.push([
            row.data.clone(),
            place_of(row, has_components),
            row.config_name.clone(),
            row.run.clone(),
            table::with_interval(row.balanced_accuracy, interval),
            over,
        ]);
    }
    let mut text = String::new();
    table::aligned(&mut text, &lines);
    write!(stdout, "{text}")?;
    Ok(())
}

/// The layer, with the component where there are several.
fn place_of(row: &ResultRow, has_components: bool) -> String {
    let layer = row.layer.map_or("-".to_owned(), |layer| layer.to_string());
    if has_components { format!("{layer} {}", row.component).trim_end().to_owned() } else { layer }
}
