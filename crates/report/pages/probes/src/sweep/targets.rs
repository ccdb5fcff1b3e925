//! Data sets whose labels are no classes, as tables of the page.

use attention_probes_activations::LabelKind;
use attention_probes_probes::{Optimizer, SideReport};
use attention_probes_report::{
    Estimate, PenaltyPoint, SweepTrial, TargetRow, TargetSearch, TargetTable, TargetTrials,
    scientific, scientific_range,
};
use attention_probes_sweep::{
    ChosenTrial, SavedRun, SavedTargets, TargetMetrics, TargetProbe, chosen_target,
};

use super::histories::{histories, key};

/// Heading of the column of probes that learned shuffled labels.
pub const LABELS_SHUFFLED: &str = "labels shuffled";

/// One table for each data set of a run.
pub(super) fn tables(run: &SavedRun) -> Vec<TargetTable> {
    let mut tables: Vec<(String, Vec<&SavedTargets>)> = Vec::new();
    for saved in &run.targets {
        match tables.iter_mut().find(|(name, _)| *name == saved.report.data) {
            Some((_, of_data)) => of_data.push(saved),
            None => tables.push((saved.report.data.clone(), vec![saved])),
        }
    }
    tables.into_iter().map(|(name, of_data)| table(run, name, &of_data)).collect()
}

fn table(run: &SavedRun, data: String, of_data: &[&SavedTargets]) -> TargetTable {
    let first = &of_data[0].report; // a table is made for what was found
    let mean = &first.baselines.mean;
    let folder =
        run.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let has_components = of_data.iter().any(|one| one.report.component != first.component);
    let is_shuffled = |saved: &&SavedTargets| {
        saved.report.probes.iter().any(|one| one.shuffled_headline().is_some())
    };
    let mut details: Vec<String> =
        mean.details().iter().map(|(name, _)| (*name).to_owned()).collect();
    if of_data.iter().any(is_shuffled) {
        details.push(LABELS_SHUFFLED.to_owned());
    }
    let mut rows = Vec::new();
    for saved in of_data {
        let report = &saved.report;
        for probe in &report.probes {
            let mut of_probe = row(&probe.config_name, &probe.test);
            of_probe.details.extend(probe.shuffled_headline());
            rows.push(TargetRow {
                place: report.place_name(has_components),
                layer: report.layer,
                setting: setting(probe),
                file: format!("{folder}/{}/trained/{}", report.experiment, probe.file),
                validation: probe.validation.headline().1.unwrap_or(f64::NAN),
                search: Some(search(saved, probe)),
                ..of_probe
            });
        }
    }
    let validated = of_data.iter().flat_map(|saved| &saved.report.probes);
    if let Some(best) = chosen_target(validated.map(|probe| &probe.validation)) {
        rows[best].is_best = true;
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
        loss: loss(first.label_kind).to_owned(),
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

/// What is minimised in training.
fn loss(kind: LabelKind) -> &'static str {
    match kind {
        LabelKind::Number => "loss, half the squared error in units of the training variance",
        LabelKind::Labels => "loss in nats, the sum over labels",
        LabelKind::Class | LabelKind::Distribution => "loss in nats",
    }
}

/// What a probe was chosen from.
fn search(saved: &SavedTargets, probe: &TargetProbe) -> TargetSearch {
    let name = &probe.config_name;
    if let Some(chosen) = probe.trial {
        return TargetSearch::Trials(trials(saved, name, chosen));
    }
    let of_probe = |found: &TargetMetrics| match found {
        TargetMetrics::Penalty(found) if found.config_name == *name => Some(PenaltyPoint {
            output: found.output.clone(),
            penalty: found.penalty,
            validation: Some(found.validation).filter(|_| found.converged),
        }),
        _ => None,
    };
    TargetSearch::Penalties(saved.metrics.iter().filter_map(of_probe).collect())
}

fn trials(saved: &SavedTargets, config_name: &str, chosen: ChosenTrial) -> TargetTrials {
    let mut histories = histories(&saved.history);
    let mut trials = Vec::new();
    for found in &saved.metrics {
        let TargetMetrics::Trial(found) = found else { continue };
        if found.config_name == config_name {
            let (learning_rate, weight_decay) = (found.learning_rate, found.weight_decay);
            let setting = (learning_rate, weight_decay, found.seed);
            let mut history = histories.remove(&key(config_name, setting)).unwrap_or_default();
            history.balanced_accuracy.clear();
            trials.push(SweepTrial {
                learning_rate,
                weight_decay,
                seed: found.seed,
                balanced_accuracy: None,
                loss: found.validation_loss,
                history,
            });
        }
    }
    TargetTrials {
        has_own_steps: chosen.optimizer == Optimizer::Lbfgs,
        learning_rate: chosen.learning_rate,
        weight_decay: chosen.weight_decay,
        seed: chosen.seed,
        trials,
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
