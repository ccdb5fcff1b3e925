//! The tables of `docs/results.md`.
//!
//! Validation chooses what a table shows, the layer of a kind or the kind of a data set; every
//! number is of the test examples.

use std::fmt::Write as _;

use attention_probes::metrics::{
    Bootstrap, Comparison, Interval, MetricError, compare_balanced_accuracy,
};
use attention_probes::sweep::{ArchitectureReport, SavedExperiment, SavedRun};

/// Pairs of architectures that differ in how they weigh tokens alone, with one optimiser.
const PAIRS: [(&str, &str, &str); 6] = [
    ("attention", "mean", "AdamW"),
    ("attention", "last", "AdamW"),
    ("attention-8", "mean", "AdamW"),
    ("attention-lbfgs", "mean-lbfgs", "L-BFGS"),
    ("attention-lbfgs", "last-lbfgs", "L-BFGS"),
    ("mean-lbfgs", "mean", "L-BFGS against AdamW"),
];

/// A chosen probe, and the experiment that it is from.
type Chosen<'a> = (&'a SavedExperiment, &'a ArchitectureReport);

/// Names of the data sets, as they are configured.
fn data_sets(run: &SavedRun) -> impl Iterator<Item = &str> {
    run.config.data.iter().map(|data| data.name.as_str())
}

/// Names of the architectures, as they are configured.
fn kinds_of(run: &SavedRun) -> impl Iterator<Item = &str> {
    run.config.architectures.iter().map(|architecture| architecture.config_name.as_str())
}

/// The probe of a data set that validation likes best, of one kind or of all.
fn chosen<'a>(run: &'a SavedRun, data: &str, kind: Option<&str>) -> Option<Chosen<'a>> {
    let of_data = run.experiments.iter().filter(|saved| saved.report.data == data);
    let probes =
        of_data.flat_map(|saved| saved.report.architectures.iter().map(move |a| (saved, a)));
    let score = |(_, probe): &Chosen<'_>| probe.validation.balanced_accuracy;
    let wanted = probes.filter(|(_, probe)| kind.is_none_or(|kind| probe.config_name == kind));
    wanted.rev_max_by(score)
}

/// The first of the highest.
trait FirstMax: Iterator + Sized {
    fn rev_max_by(self, score: impl Fn(&Self::Item) -> f64) -> Option<Self::Item> {
        self.fold(None, |best, item| match best {
            Some(best) if score(&best) >= score(&item) => Some(best),
            _ => Some(item),
        })
    }
}

impl<I: Iterator> FirstMax for I {}

fn interval(value: f64, interval: Interval) -> String {
    format!("{value:.3} [{:.3}, {:.3}]", interval.lower, interval.upper)
}

fn test(probe: &ArchitectureReport) -> String {
    interval(probe.test.balanced_accuracy, probe.test.balanced_accuracy_interval)
}

fn difference(comparison: Comparison) -> String {
    let Comparison { difference, interval, p_value, .. } = comparison;
    let stars = if interval.lower > 0.0 || interval.upper < 0.0 { "**" } else { "" };
    format!(
        "{stars}{difference:+.3}{stars} [{:+.3}, {:+.3}], p {p_value:.3}",
        interval.lower, interval.upper
    )
}

fn layer(saved: &SavedExperiment) -> String {
    saved.report.layer.map_or("-".to_owned(), |layer| layer.to_string())
}

/// The best probe of every data set beside what it has to beat.
pub(crate) fn best(run: &SavedRun) -> String {
    let mut text =
        "| data | classes | test | best probe, layer | balanced accuracy | bag of words \
                    | over it | labels shuffled |\n|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for data in data_sets(run) {
        let Some((saved, probe)) = chosen(run, data, None) else { continue };
        let report = &saved.report;
        let bag = report.baselines.bag_of_words.as_ref();
        let control = probe.evaluation.shuffled_labels;
        let _ = writeln!(
            text,
            "| {data} | {} | {} | {}, {} | {} | {} | {} | {} |",
            report.classes.len(),
            report.counts.n_test,
            probe.config_name,
            layer(saved),
            test(probe),
            bag.map_or("-".to_owned(), |bag| interval(bag.balanced_accuracy, bag.interval)),
            probe.evaluation.over_bag_of_words.map_or("-".to_owned(), difference),
            control
                .and_then(|control| control.balanced_accuracy)
                .map_or("-".to_owned(), |accuracy| format!("{accuracy:.3}")),
        );
    }
    text
}

/// Every kind on every data set, at the layer that validation chose for it.
pub(crate) fn kinds(run: &SavedRun) -> String {
    let names: Vec<&str> = data_sets(run).collect();
    let mut text =
        format!("| probe | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for kind in kinds_of(run) {
        let cell = |data: &&str| {
            let Some((saved, probe)) = chosen(run, data, Some(kind)) else { return "-".to_owned() };
            let is_best = chosen(run, data, None)
                .is_some_and(|(at, best)| best.config_name == kind && at.report == saved.report);
            let mark = if is_best { "**" } else { "" };
            format!("{mark}{:.3}{mark} ({})", probe.test.balanced_accuracy, layer(saved))
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        let _ = writeln!(text, "| {kind} | {} |", cells.join(" | "));
    }
    text
}

/// Attention against mean and last with the optimiser held fixed, on the same examples.
pub(crate) fn attention(run: &SavedRun) -> Result<String, MetricError> {
    let names: Vec<&str> = data_sets(run).collect();
    let mut text = format!(
        "| difference | optimiser | {} |\n|---|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (first, second, optimiser) in PAIRS {
        let mut cells = Vec::new();
        for data in &names {
            let pair = chosen(run, data, Some(first)).zip(chosen(run, data, Some(second)));
            cells.push(match pair {
                Some((a, b)) => difference(compare(a, b)?),
                None => "-".to_owned(),
            });
        }
        if cells.iter().any(|cell| cell != "-") {
            let cells = cells.join(" | ");
            let _ = writeln!(text, "| {first} minus {second} | {optimiser} | {cells} |");
        }
    }
    Ok(text)
}

/// Two probes of one data set on its test examples, which are the same at every layer.
fn compare(first: Chosen<'_>, second: Chosen<'_>) -> Result<Comparison, MetricError> {
    let n_classes = first.0.report.classes.len();
    let predicted = |(saved, probe): Chosen<'_>| {
        saved.predictions.test.predicted(&probe.config_name, n_classes).unwrap_or_default()
    };
    let examples = &first.0.predictions.test.examples;
    let bootstrap = Bootstrap { n_resamples: Bootstrap::PAIRED, ..Bootstrap::default() };
    let bootstrap = bootstrap.of_groups(examples.groups.as_deref());
    let predictions = [predicted(first), predicted(second)];
    let [first, second] = &predictions;
    compare_balanced_accuracy(&examples.labels, [first, second], n_classes, &bootstrap)
}

/// The best kind of every data set at every layer.
pub(crate) fn layers(run: &SavedRun) -> String {
    let mut layers: Vec<usize> =
        run.experiments.iter().filter_map(|saved| saved.report.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let header: Vec<String> = layers.iter().map(|layer| format!("layer {layer}")).collect();
    let mut text = format!(
        "| data | probe | {} |\n|---|---|{}\n",
        header.join(" | "),
        "---|".repeat(layers.len())
    );
    for data in data_sets(run) {
        let Some((_, best)) = chosen(run, data, None) else { continue };
        let cell = |&layer: &usize| {
            let at = |saved: &&SavedExperiment| {
                saved.report.data == data && saved.report.layer == Some(layer)
            };
            let saved = run.experiments.iter().find(at)?;
            let mut probes = saved.report.architectures.iter();
            probes.find(|probe| probe.config_name == best.config_name).map(test)
        };
        let cells: Vec<String> =
            layers.iter().map(|layer| cell(layer).unwrap_or("-".to_owned())).collect();
        let _ = writeln!(text, "| {data} | {} | {} |", best.config_name, cells.join(" | "));
    }
    text
}

/// The best probe of every data set on the others with the same classes.
pub(crate) fn transfer(run: &SavedRun) -> String {
    let mut text =
        "| trained on | tested on | probe, layer | balanced accuracy | on its own data |\n\
                    |---|---|---|---|---|\n"
            .to_owned();
    for data in data_sets(run) {
        let Some((saved, probe)) = chosen(run, data, None) else { continue };
        let found = run.transfers.iter().filter(|found| {
            found.experiment == saved.report.experiment && found.config_name == probe.config_name
        });
        for found in found {
            let (accuracy, range) =
                (found.test.balanced_accuracy, found.test.balanced_accuracy_interval);
            let _ = writeln!(
                text,
                "| {data} | {} | {}, {} | {} | {:.3} |",
                found.judged_on,
                probe.config_name,
                layer(saved),
                interval(accuracy, range),
                probe.test.balanced_accuracy
            );
        }
    }
    text
}
