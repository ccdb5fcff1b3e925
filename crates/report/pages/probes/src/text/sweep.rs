//! The results of a sweep.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use attention_probes_metrics::{AxisSpread, ClassificationReport, ComparedLayers, Comparison};
use attention_probes_probes::Optimizer;
use attention_probes_report::{aligned, fixed, scientific, signed, with_interval};
use attention_probes_sweep::{
    ArchitectureReport, Baselines, ExperimentReport, FittedOn, SweepReport, TestEvaluation,
    TransferReport, chosen_experiment, experiment_warnings,
};

use super::cells::{names, warnings};
use super::decisions::threshold_rows;
use super::targets::targets;

/// The results of a sweep: one table per data set with what each axis bought, then the best probes
/// on other data sets.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::probes::text::sweep_text;
/// use attention_probes::sweep::{NoTracker, RunOptions, SweepError, SweepPlan, run_sweep};
///
/// fn print(plan: &SweepPlan, options: &RunOptions<'_>) -> Result<(), SweepError> {
///     println!("{}", sweep_text(&run_sweep(plan, options, &mut NoTracker)?));
///     Ok(())
/// }
/// ```
pub fn sweep_text(report: &SweepReport) -> String {
    let mut text = String::new();
    let mut names: Vec<&str> = Vec::new();
    for experiment in &report.experiments {
        if !names.contains(&experiment.data.as_str()) {
            names.push(&experiment.data);
        }
    }
    for name in names {
        let experiments: Vec<&ExperimentReport> =
            report.experiments.iter().filter(|experiment| experiment.data == name).collect();
        data_set(&mut text, &experiments, &report.layers);
    }
    targets(&mut text, &report.targets);
    transfers(&mut text, report);
    text
}

/// The probe of every data set that was selected on validation, on the others.
fn transfers(text: &mut String, report: &SweepReport) {
    let header =
        ["trained on", "layer", "probe", "evaluated on", "balanced accuracy (95 %)", "own"];
    let mut rows = vec![header.map(str::to_owned)];
    let mut of_data: BTreeMap<&str, Vec<&ExperimentReport>> = BTreeMap::new();
    for experiment in &report.experiments {
        of_data.entry(&experiment.data).or_default().push(experiment);
    }
    for (experiment, probe) in
        of_data.values().filter_map(|experiments| chosen_experiment(experiments))
    {
        let of_probe = |found: &&TransferReport| {
            found.experiment == experiment.experiment && found.config_name == probe.config_name
        };
        for found in report.transfers.iter().filter(of_probe) {
            let ClassificationReport { balanced_accuracy, balanced_accuracy_interval, .. } =
                &found.test;
            rows.push([
                experiment.data.clone(),
                experiment.layer.map_or("-".to_owned(), |layer| layer.to_string()),
                probe.config_name.clone(),
                found.judged_on.clone(),
                with_interval(*balanced_accuracy, balanced_accuracy_interval),
                fixed(probe.test.balanced_accuracy, 3),
            ]);
        }
    }
    if rows.len() > 1 {
        text.push_str("the best probe of every data set on the test examples of others:\n");
        aligned(text, &rows);
        text.push('\n');
    }
}

fn setting(probe: &ArchitectureReport) -> String {
    let folds = probe.cross_validation.as_ref();
    let folds = folds.map_or(String::new(), |found| format!(" ({} folds)", found.n_folds));
    let decay = format!("wd {}{folds}", scientific(probe.weight_decay));
    match probe.optimizer {
        Some(Optimizer::Lbfgs) => decay,
        _ => format!("lr {}, {decay}", scientific(probe.learning_rate)),
    }
}

fn data_set(text: &mut String, experiments: &[&ExperimentReport], layers: &[ComparedLayers]) {
    let Some(first) = experiments.first() else { return };
    let header = ["layer", "probe", "best setting", "balanced accuracy (95 %)", "AUROC"];
    let mut rows = vec![header.map(str::to_owned)];
    let mut pairs = String::new();
    let has_components = experiments.iter().any(|one| one.component != first.component);
    for experiment in experiments {
        let mut layer = match (experiment.layer, &experiment.layers[..]) {
            (Some(layer), _) => layer.to_string(),
            (None, []) => "-".to_owned(),
            (None, layers) => layers.iter().map(usize::to_string).collect::<Vec<_>>().join("+"),
        };
        if let Some(component) = experiment.component.as_ref().filter(|_| has_components) {
            let _ = write!(layer, " {component}");
        }
        for probe in &experiment.architectures {
            rows.push([
                layer.clone(),
                probe.config_name.clone(),
                setting(probe),
                with_interval(probe.test.balanced_accuracy, &probe.test.balanced_accuracy_interval),
                probe.test.auroc.map_or("-".to_owned(), |auroc| fixed(auroc, 3)),
            ]);
        }
        for probe in &experiment.architectures {
            let Some(found) = &probe.pair_accuracy else { continue };
            let _ = writeln!(
                pairs,
                "  pairs, layer {layer}, {}: {} of {} right",
                probe.config_name,
                with_interval(found.accuracy, &found.interval),
                found.n_pairs
            );
        }
        for name in &experiment.diverged {
            let cells = [&layer, name, "every trial diverged", "-", "-"];
            rows.push(cells.map(str::to_owned));
        }
    }
    let _ = writeln!(
        text,
        "{}: {}; classes: {}",
        first.data,
        first.counts.in_words(),
        names(&first.classes)
    );
    aligned(text, &rows);
    to_beat(text, &first.baselines, &pairs);
    layers_compared(text, &first.data, layers);
    thresholds(text, experiments);
    axes(text, experiments);
    warnings(text, &experiment_warnings(experiments));
    text.push('\n');
}

/// What probes have to beat, each metric by its own baseline.
fn to_beat(text: &mut String, baselines: &Baselines, pairs: &str) {
    let majority = fixed(baselines.majority_balanced_accuracy, 3);
    let _ = writeln!(text, "  to beat: most frequent class {majority}");
    let Some(bag) = &baselines.bag_of_words else {
        text.push_str(pairs);
        return;
    };
    let bag_of_words = with_interval(bag.balanced_accuracy, &bag.interval);
    let _ = writeln!(text, "           bag of words {bag_of_words}");
    text.push_str(pairs);
    if let Some(found) = &bag.pair_accuracy {
        let right = with_interval(found.accuracy, &found.interval);
        let _ =
            writeln!(text, "  pairs, to beat, bag of words: {right} of {} right", found.n_pairs);
    }
}

/// Whether the layer of the chosen probe is better than others, a line for each of these.
fn layers_compared(text: &mut String, data: &str, layers: &[ComparedLayers]) {
    for found in layers.iter().filter(|found| found.is_chosen && found.data == data) {
        let Comparison { difference, interval, .. } = &found.comparison;
        let is_clear = interval.lower > 0.0 || interval.upper < 0.0;
        let _ = writeln!(
            text,
            "  layer {} over layer {} on test, {}: {} [{}, {}]{}",
            found.layer,
            found.other,
            found.config_name,
            signed(*difference),
            signed(interval.lower),
            signed(interval.upper),
            if is_clear { "" } else { ", no clear difference" }
        );
    }
}

/// The thresholds of the probe that validation chose, with what they do on test.
fn thresholds(text: &mut String, experiments: &[&ExperimentReport]) {
    let Some((experiment, probe)) = chosen_experiment(experiments) else { return };
    let TestEvaluation { thresholds, unfitted_thresholds, fitted_on, .. } = &probe.evaluation;
    if thresholds.is_empty() && unfitted_thresholds.is_empty() {
        return;
    }
    let side = match fitted_on {
        FittedOn::Calibration => "on examples set apart",
        FittedOn::Validation => "on validation, which also chose the probe",
    };
    let layer = experiment.layer.map_or(String::new(), |layer| format!("layer {layer}, "));
    let _ = writeln!(text, "  thresholds of {layer}{}, fitted {side}:", probe.config_name);
    let mut rows = String::new();
    aligned(&mut rows, &threshold_rows(thresholds, unfitted_thresholds));
    for row in rows.lines() {
        let _ = writeln!(text, "  {row}");
    }
}

/// What each axis of the grid bought, the largest over layers.
fn axes(text: &mut String, experiments: &[&ExperimentReport]) {
    let mut names: Vec<&str> = Vec::new();
    for probe in experiments.iter().flat_map(|experiment| &experiment.architectures) {
        if !names.contains(&probe.config_name.as_str()) {
            names.push(&probe.config_name);
        }
    }
    let mut lines = String::new();
    for name in names {
        let probes = experiments
            .iter()
            .flat_map(|experiment| &experiment.architectures)
            .filter(|probe| probe.config_name == name);
        let spreads: Vec<&AxisSpread> = probes.flat_map(|probe| &probe.axes).collect();
        let mut parts = Vec::new();
        for axis in ["learning_rate", "weight_decay", "seed"] {
            let along = || spreads.iter().filter(|spread| spread.axis == axis);
            if along().any(|spread| spread.n_values > 1) {
                let loss = along().map(|spread| spread.loss).fold(0.0, f64::max);
                let accuracy = along().map(|spread| spread.balanced_accuracy).fold(0.0, f64::max);
                let axis = axis.replace('_', " ");
                parts.push(format!("{axis} {} (loss {loss:.1e})", fixed(accuracy, 3)));
            }
        }
        if !parts.is_empty() {
            let _ = writeln!(lines, "    {name}: {}", parts.join(", "));
        }
    }
    if !lines.is_empty() {
        let title = "what each axis bought, at most over all layers, on validation:";
        let _ = write!(text, "  {title}\n{lines}");
    }
}
