//! `probe compare`: several runs of sweeps beside each other.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_metrics::{Bootstrap, Comparison, Interval, compare_balanced_accuracy};
use attention_probes_report::{
    ChosenDifference, ComparePage, ComparedResult, ComparedRun, Estimate, PairedDifference,
    measured, signed,
};
use attention_probes_sweep::{
    ArchitectureReport, SavedExperiment, SavedRun, SideReport, TargetReport, chosen, chosen_target,
};
use clap::Args;
use serde::Serialize;
use tracing::info;

use super::sweep::epochs;
use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::{output, sweep_page, table};

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

/// A result of one run, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
struct ResultRow {
    run: String,
    data: String,
    layer: Option<usize>,
    component: String,
    config_name: String,
    n_test: usize,
    /// What sums the probe up, such as `balanced accuracy` or `R²`.
    metric: String,
    /// On examples that nothing was chosen by; `None` where it is undefined.
    value: Option<f64>,
    interval: Option<Interval>,
    /// On the examples that chose the probe.
    validation: Option<f64>,
    /// Against the first run, on the same examples; absent where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_first: Option<Comparison>,
}

/// What results of different runs have in common if they belong together: data set, layer,
/// component, and architecture.
type Place = (String, Option<usize>, String, String);

impl ResultRow {
    fn new(run: &str, result: &Found<'_>, over_first: Option<Comparison>) -> Self {
        let (data, layer, component, config_name) = result.place.clone();
        Self {
            run: run.to_owned(),
            data,
            layer,
            component,
            config_name,
            n_test: result.n_test,
            metric: result.metric.to_owned(),
            value: Some(result.test.value).filter(|value| value.is_finite()),
            interval: result.test.interval,
            validation: Some(result.validation).filter(|value| value.is_finite()),
            over_first,
        }
    }

    fn place(&self) -> Place {
        (self.data.clone(), self.layer, self.component.clone(), self.config_name.clone())
    }
}

/// One chosen probe of a run.
struct Found<'a> {
    place: Place,
    metric: &'static str,
    validation: f64,
    test: Estimate,
    n_test: usize,
    /// Whether validation chose it among all probes of the data set.
    is_chosen: bool,
    probe: Probe<'a>,
}

/// A chosen probe, by the kind of its labels.
#[derive(Clone, Copy)]
enum Probe<'a> {
    Class(&'a SavedExperiment, &'a ArchitectureReport),
    /// What it does on validation.
    Target(&'a SideReport),
}

/// Everything that runs are compared by.
struct Compared {
    /// What validation chose, data set by data set.
    chosen: Vec<ResultRow>,
    all: Vec<ResultRow>,
    differences: Vec<PairedDifference>,
    chosen_differences: Vec<ChosenDifference>,
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
    let names = names(&runs);
    let found: Vec<Vec<Found<'_>>> = runs.iter().map(results).collect();
    let compared = compare(&names, &found)?;
    let printed = print(&compared, &names, args.json);
    if let Some(path) = &args.output {
        write_page(path, &page(&runs, &names, &found, compared))?;
    }
    ignore_broken_pipe(printed)
}

/// Takes the differences of every run from the first.
fn compare(names: &[String], found: &[Vec<Found<'_>>]) -> Result<Compared> {
    let first: BTreeMap<&Place, &Found<'_>> =
        found[0].iter().map(|result| (&result.place, result)).collect();
    let chosen_first: BTreeMap<&str, &Found<'_>> =
        chosen_of(&found[0]).map(|result| (result.place.0.as_str(), result)).collect();
    let (mut chosen, mut all) = (Vec::new(), Vec::new());
    let (mut differences, mut chosen_differences) = (Vec::new(), Vec::new());
    for (run, results) in found.iter().enumerate() {
        let over = |result: &Found<'_>, base: Option<&&Found<'_>>| {
            let Some(base) = base.filter(|base| run > 0 && base.metric == result.metric) else {
                return Ok((None, None));
            };
            let paired = paired(result, base)?;
            let difference = match paired {
                Some(paired) => (paired.difference, paired.interval).into(),
                None => (result.test.value - base.test.value).into(),
            };
            Ok::<(Option<Comparison>, Option<Estimate>), anyhow::Error>((paired, Some(difference)))
        };
        for result in results {
            let (over_first, difference) = over(result, first.get(&result.place))?;
            all.push(ResultRow::new(&names[run], result, over_first));
            let (data, layer, component, config_name) = result.place.clone();
            differences.extend(difference.map(|difference| PairedDifference {
                run,
                data,
                layer,
                component,
                config_name,
                difference,
            }));
        }
        for result in chosen_of(results) {
            let data = &result.place.0;
            let (over_first, difference) = over(result, chosen_first.get(data.as_str()))?;
            chosen.push(ResultRow::new(&names[run], result, over_first));
            let data = data.clone();
            chosen_differences.extend(difference.map(|difference| ChosenDifference {
                run,
                data,
                difference,
            }));
        }
    }
    Ok(Compared { chosen, all, differences, chosen_differences })
}

fn chosen_of<'a, 'b>(results: &'b [Found<'a>]) -> impl Iterator<Item = &'b Found<'a>> {
    results.iter().filter(|result| result.is_chosen)
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

/// Every chosen probe of a run, of classes and of other labels.
fn results(run: &SavedRun) -> Vec<Found<'_>> {
    let classes = run.experiments.iter().flat_map(|experiment| {
        let (report, component) = (&experiment.report, sweep_page::component(experiment));
        report.architectures.iter().map(move |architecture| Found {
            place: (
                report.data.clone(),
                report.layer,
                component.clone(),
                architecture.config_name.clone(),
            ),
            metric: "balanced accuracy",
            validation: architecture.validation.balanced_accuracy,
            test: (
                architecture.test.balanced_accuracy,
                architecture.test.balanced_accuracy_interval,
            )
                .into(),
            n_test: architecture.test.n_examples,
            is_chosen: false,
            probe: Probe::Class(experiment, architecture),
        })
    });
    let mut found: Vec<Found<'_>> = classes.chain(run.targets.iter().flat_map(targets)).collect();
    let mut of_data: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, result) in found.iter().enumerate() {
        of_data.entry(result.place.0.clone()).or_default().push(index);
    }
    for places in of_data.into_values() {
        let classes = places.iter().filter_map(|&index| match found[index].probe {
            Probe::Class(_, probe) => Some(probe),
            Probe::Target(_) => None,
        });
        let targets = places.iter().filter_map(|&index| match found[index].probe {
            Probe::Target(report) => Some(report),
            Probe::Class(..) => None,
        });
        if let Some(best) = chosen(classes).or_else(|| chosen_target(targets)) {
            found[places[best]].is_chosen = true;
        }
    }
    found
}

/// The probes of numbers, labels, or distributions of an experiment.
fn targets(report: &TargetReport) -> impl Iterator<Item = Found<'_>> {
    report.probes.iter().map(|probe| {
        let (metric, value, interval) = probe.test.headline();
        Found {
            place: (
                report.data.clone(),
                report.layer,
                report.component.clone().unwrap_or_default(),
                probe.config_name.clone(),
            ),
            metric,
            validation: probe.validation.headline().1.unwrap_or(f64::NAN),
            test: Estimate { value: value.unwrap_or(f64::NAN), interval },
            n_test: report.n_test,
            is_chosen: false,
            probe: Probe::Target(&probe.validation),
        }
    })
}

/// Compares two classifiers if they were evaluated on the same examples.
fn paired(result: &Found<'_>, base: &Found<'_>) -> Result<Option<Comparison>> {
    let (Probe::Class(own, own_probe), Probe::Class(first, first_probe)) =
        (result.probe, base.probe)
    else {
        return Ok(None);
    };
    let (report, other) = (&own.report, &first.report);
    let (test, base_test) = (&own.predictions.test, &first.predictions.test);
    let same_data = report.origin.data_hash.is_some()
        && report.origin.data_hash == other.origin.data_hash
        && report.classes == other.classes
        && test.examples == base_test.examples;
    if !same_data {
        return Ok(None);
    }
    let n_classes = report.classes.len();
    let own = test.predicted(&own_probe.config_name, n_classes);
    let first = base_test.predicted(&first_probe.config_name, n_classes);
    let (Some(own), Some(first)) = (own, first) else { return Ok(None) };
    let bootstrap = Bootstrap { n_resamples: Bootstrap::PAIRED, ..Bootstrap::default() };
    let bootstrap = bootstrap.of_groups(test.examples.groups.as_deref());
    let labels = &test.examples.labels;
    Ok(Some(compare_balanced_accuracy(labels, [&own, &first], n_classes, &bootstrap)?))
}

fn page(
    runs: &[SavedRun],
    names: &[String],
    found: &[Vec<Found<'_>>],
    compared: Compared,
) -> ComparePage {
    let run = |((run, name), found): ((&SavedRun, &String), &Vec<Found<'_>>)| ComparedRun {
        name: name.clone(),
        description: description(run),
        results: found.iter().map(compared_result).collect(),
    };
    ComparePage {
        title: names.join(", "),
        runs: runs.iter().zip(names).zip(found).map(run).collect(),
        differences: compared.differences,
        chosen_differences: compared.chosen_differences,
    }
}

fn compared_result(found: &Found<'_>) -> ComparedResult {
    let (data, layer, component, config_name) = found.place.clone();
    ComparedResult {
        data,
        layer,
        component,
        config_name,
        metric: found.metric.to_owned(),
        validation: found.validation,
        is_chosen: found.is_chosen,
        test: found.test,
        n_test: found.n_test,
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
    let html = page.to_html()?;
    write_atomically(path, |file| file.write_all(html.as_bytes()))?;
    info!("wrote `{}`", path.display());
    Ok(())
}

/// What validation chose, then one line for each place and run.
fn print(compared: &Compared, names: &[String], json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let Compared { chosen, all, .. } = compared;
    if json {
        let object = serde_json::json!({ "runs": names, "chosen": chosen, "results": all });
        writeln!(stdout, "{}", serde_json::to_string_pretty(&object)?)?;
        return Ok(());
    }
    let mut text = String::from("what validation chose of every data set:\n");
    write_rows(&mut text, chosen, |row| row.data.clone());
    text.push_str("\nevery result:\n");
    write_rows(&mut text, all, ResultRow::place);
    write!(stdout, "{text}")?;
    Ok(())
}

/// Appends a table, rows of one key side by side, keys as they first come.
fn write_rows<K: PartialEq>(text: &mut String, rows: &[ResultRow], key: impl Fn(&ResultRow) -> K) {
    let header = ["data", "layer", "probe", "run", "metric", "test (95 %)", "over the first"];
    let mut lines = vec![header.map(str::to_owned)];
    let mut keys: Vec<K> = Vec::new();
    for row in rows {
        if !keys.contains(&key(row)) {
            keys.push(key(row));
        }
    }
    let has_components = rows.iter().any(|row| row.component != rows[0].component);
    let mut rows: Vec<&ResultRow> = rows.iter().collect();
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
fn place_of(row: &ResultRow, has_components: bool) -> String {
    let layer = row.layer.map_or("-".to_owned(), |layer| layer.to_string());
    if has_components { format!("{layer} {}", row.component).trim_end().to_owned() } else { layer }
}
