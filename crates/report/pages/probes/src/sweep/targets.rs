//! Data sets whose labels are no classes, as tables of the page.

use attention_probes_probes::{Optimizer, SideReport};
use attention_probes_report::{Estimate, TargetRow, TargetTable, scientific, scientific_range};
use attention_probes_sweep::{SavedRun, TargetProbe, TargetReport};

/// Heading of the column of probes that learned shuffled labels.
pub const LABELS_SHUFFLED: &str = "labels shuffled";

/// One table for each data set of a run.
pub(super) fn tables(run: &SavedRun) -> Vec<TargetTable> {
    let mut tables: Vec<(String, Vec<&TargetReport>)> = Vec::new();
    for report in &run.targets {
        match tables.iter_mut().find(|(name, _)| *name == report.data) {
            Some((_, reports)) => reports.push(report),
            None => tables.push((report.data.clone(), vec![report])),
        }
    }
    tables.into_iter().map(|(name, reports)| table(run, name, &reports)).collect()
}

fn table(run: &SavedRun, data: String, reports: &[&TargetReport]) -> TargetTable {
    let first = reports[0]; // a table is made for a report
    let mean = &first.baselines.mean;
    let folder =
        run.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let has_components = reports.iter().any(|one| one.component != first.component);
    let is_shuffled =
        |report: &&TargetReport| report.probes.iter().any(|one| one.shuffled_headline().is_some());
    let mut details: Vec<String> =
        mean.details().iter().map(|(name, _)| (*name).to_owned()).collect();
    if reports.iter().any(is_shuffled) {
        details.push(LABELS_SHUFFLED.to_owned());
    }
    let mut rows = Vec::new();
    for report in reports {
        for probe in &report.probes {
            let mut of_probe = row(&probe.config_name, &probe.test);
            of_probe.details.extend(probe.shuffled_headline());
            rows.push(TargetRow {
                place: report.place_name(has_components),
                layer: report.layer,
                setting: setting(probe),
                file: format!("{folder}/{}/trained/{}", report.experiment, probe.file),
                validation: probe.validation.headline().1.unwrap_or(f64::NAN),
                ..of_probe
            });
        }
    }
    rows.push(row("mean of the labels", mean));
    rows.extend(first.baselines.bag_of_words.iter().map(|bag| row("bag of words", bag)));
    for row in &mut rows {
        row.details.resize(details.len(), f64::NAN);
    }
    let skipped = match first.counts.n_skipped {
        0 => String::new(),
        n => format!(" \u{b7} {n} left out as not finite"),
    };
    TargetTable {
        data,
        facts: format!(
            "{} \u{b7} {}: {}{skipped}",
            first.counts.in_words(),
            first.label_kind.as_str(),
            first.names.join(", ")
        ),
        metric: mean.headline().0.to_owned(),
        details,
        rows,
    }
}

/// The penalty of a probe that was solved, or learning rate and weight decay of a trial.
pub(crate) fn setting(probe: &TargetProbe) -> String {
    let Some(trial) = probe.trial else {
        return format!("penalty {}", scientific_range(&probe.penalties));
    };
    let decay = format!("decay {}", scientific(trial.weight_decay));
    match trial.optimizer {
        Optimizer::AdamW => format!("rate {}, {decay}", scientific(trial.learning_rate)),
        Optimizer::Lbfgs => decay,
    }
}

fn row(name: &str, side: &SideReport) -> TargetRow {
    let (_, value, interval) = side.headline();
    TargetRow {
        name: name.to_owned(),
        validation: f64::NAN,
        test: Estimate { value: value.unwrap_or(f64::NAN), interval },
        details: side.details().into_iter().map(|(_, value)| value.unwrap_or(f64::NAN)).collect(),
        ..TargetRow::default()
    }
}
