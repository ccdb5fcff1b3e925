//! The page of a run: what its files say, as `report` draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use attention_probes_metrics::{ComparedLayers, MetricError};
use attention_probes_probes::Optimizer;
use attention_probes_report::{
    SweepArchitecture, SweepExperiment, SweepPage, SweepTransfer, SweepTrial, SweepWarning,
    ThresholdRow, TrialHistory, fixed,
};
use attention_probes_sweep::{
    ArchitectureReport, ExperimentReport, LayersWarning, SavedExperiment, SavedRun, SelectBy,
    SidePredictions, TargetReport, TransferReport, TrialMetrics, chosen, compare_layers,
    experiment_warnings, target_warnings, warnings_by_data,
};

use super::curves::Curves;
use super::evaluation::{calibrations, comparisons, lengths, thresholds_note};
use super::histories::{histories, key};
use super::targets;

/// Describes the seeds of a run; name, model, and configuration are those of the first.
///
/// # Errors
///
/// [`MetricError`] if the curves of a probe cannot be drawn.
pub fn sweep_page(runs: &mut [SavedRun]) -> Result<SweepPage, MetricError> {
    let (run, config) = (runs[0].config.run.clone(), runs[0].config_text.clone());
    let model = runs[0].model();
    runs.sort_by_key(|run| run.config.seed);
    let mut page = SweepPage { run, model, config, ..SweepPage::default() };
    for run in &*runs {
        let first = page.experiments.len();
        for saved in &run.experiments {
            let mut experiment = experiment(run, saved)?;
            if runs.len() > 1 {
                let _ = write!(experiment.data, ", seed {}", run.config.seed);
            }
            page.experiments.push(experiment);
            page.library_version.clone_from(&saved.report.origin.library_version);
        }
        mark_chosen(&run.experiments, &mut page.experiments[first..]);
        let names_seed = runs.len() > 1;
        page.warnings.extend(warnings_of(run, names_seed));
        for mut table in targets::tables(run) {
            if names_seed {
                let _ = write!(table.data, ", seed {}", run.config.seed);
            }
            page.targets.push(table);
        }
        if let Some(saved) = run.targets.first() {
            page.library_version.clone_from(&saved.report.origin.library_version);
        }
        page.layers.extend(compare_layers(&run.experiments)?.into_iter().map(|found| {
            let seed =
                if names_seed { format!(", seed {}", run.config.seed) } else { String::new() };
            ComparedLayers { data: found.data + &seed, ..found }
        }));
        page.transfers.extend(run.transfers.iter().filter_map(|found| {
            let mut transfer = transfer(run, found)?;
            if names_seed {
                let _ = write!(transfer.trained_on, ", seed {}", run.config.seed);
            }
            Some(transfer)
        }));
    }
    Ok(page)
}

/// Marks the probes that [`chosen`] chooses: of every architecture over the layers of a data set, and
/// of all of its probes.
fn mark_chosen(saved: &[SavedExperiment], shown: &mut [SweepExperiment]) {
    let mut data_sets: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (index, saved) in saved.iter().enumerate() {
        data_sets.entry((&saved.report.data, saved.component())).or_default().push(index);
    }
    for experiments in data_sets.into_values() {
        let places: Vec<(usize, usize)> = experiments
            .into_iter()
            .flat_map(|one| (0..saved[one].report.architectures.len()).map(move |of| (one, of)))
            .collect();
        let report = |&(one, of): &(usize, usize)| &saved[one].report.architectures[of];
        if let Some((one, of)) = chosen(places.iter().map(report)).map(|best| places[best]) {
            shown[one].architectures[of].is_best = true;
        }
        let names: BTreeSet<&str> = places.iter().map(|at| &*report(at).config_name).collect();
        for name in names {
            let mut of_name = places.clone();
            of_name.retain(|at| report(at).config_name == name);
            if let Some(best) = chosen(of_name.iter().map(report)) {
                let (one, of) = of_name[best];
                shown[one].architectures[of].is_best_layer = true;
            }
        }
    }
}

/// What looks wrong in the data sets of a run, one after another.
fn warnings_of(run: &SavedRun, names_seed: bool) -> Vec<SweepWarning> {
    let experiments: Vec<&ExperimentReport> =
        run.experiments.iter().map(|saved| &saved.report).collect();
    let targets: Vec<&TargetReport> = run.targets.iter().map(|saved| &saved.report).collect();
    let mut found = warnings_by_data(&experiments, |one| &one.data, experiment_warnings);
    found.extend(warnings_by_data(&targets, |one| &one.data, target_warnings));
    let seed = if names_seed { format!(", seed {}", run.config.seed) } else { String::new() };
    let described = |(data, warning): (String, LayersWarning)| SweepWarning {
        data: format!("{data}{seed}"),
        message: warning.line(),
    };
    found.into_iter().map(described).collect()
}

/// A probe on another data set; `None` if the experiment that it comes from is gone.
fn transfer(run: &SavedRun, found: &TransferReport) -> Option<SweepTransfer> {
    let mut experiments = run.experiments.iter();
    let saved = experiments.find(|saved| saved.report.experiment == found.experiment)?;
    Some(SweepTransfer {
        trained_on: saved.report.data.clone(),
        judged_on: found.judged_on.clone(),
        layer: saved.report.layer,
        component: saved.component(),
        config_name: found.config_name.clone(),
        balanced_accuracy: (found.test.balanced_accuracy, found.test.balanced_accuracy_interval)
            .into(),
        n_test: found.test.n_examples,
    })
}

fn experiment(run: &SavedRun, saved: &SavedExperiment) -> Result<SweepExperiment, MetricError> {
    let report = &saved.report;
    let folder = run.folder.file_name().map_or_else(String::new, |name| {
        format!("{}/{}", name.to_string_lossy(), report.experiment)
    });
    let mut histories = histories(&saved.history);
    let architectures = report.architectures.iter().map(|architecture| {
        let name = &architecture.config_name;
        let mut trials: Vec<SweepTrial> = Vec::new();
        for metrics in saved.trials.iter().filter(|trial| trial.config_name == *name) {
            let setting = (metrics.learning_rate, metrics.weight_decay, metrics.seed);
            let history = histories.remove(&key(name, setting)).unwrap_or_default();
            trials.push(trial(metrics, history));
        }
        let test = saved.predictions.test.clone();
        describe(architecture, trials, &folder, &test, report.classes.len())
    });
    let architectures = architectures.collect::<Result<Vec<_>, _>>()?;
    let best = chosen(&report.architectures).map(|best| &report.architectures[best]);
    Ok(SweepExperiment {
        experiment: report.experiment.clone(),
        data: report.data.clone(),
        layer: report.layer,
        component: saved.component(),
        classes: report.classes.clone(),
        counts: report.counts,
        baselines: report.baselines.clone(),
        shuffled_labels: best.and_then(|best| best.evaluation.shuffled_labels),
        architectures,
        diverged: report.diverged.clone(),
    })
}

fn trial(metrics: &TrialMetrics, history: TrialHistory) -> SweepTrial {
    let validation = metrics.validation.as_ref();
    SweepTrial {
        learning_rate: metrics.learning_rate,
        weight_decay: metrics.weight_decay,
        seed: metrics.seed,
        balanced_accuracy: validation.map(|side| side.balanced_accuracy),
        loss: validation.map(|side| side.log_loss),
        history,
    }
}

fn describe(
    report: &ArchitectureReport,
    trials: Vec<SweepTrial>,
    folder: &str,
    test: &SidePredictions,
    n_classes: usize,
) -> Result<SweepArchitecture, MetricError> {
    let curves = match test.scores(&report.config_name, n_classes) {
        Some(scores) => Curves::new(&scores?, &test.examples.labels)?,
        None => Curves::default(),
    };
    let evaluation = &report.evaluation;
    Ok(SweepArchitecture {
        config_name: report.config_name.clone(),
        has_own_steps: report.optimizer == Some(Optimizer::Lbfgs),
        learning_rate: report.learning_rate,
        weight_decay: report.weight_decay,
        seed: report.seed,
        file: format!("{folder}/trained/{}", report.file),
        selected_by: selected_by(report),
        is_best_layer: false,
        is_best: false,
        validation: report.validation.clone(),
        test: report.test.clone(),
        pair_accuracy: report.pair_accuracy,
        shuffled_labels: evaluation.shuffled_labels,
        trials,
        axes: report.axes.iter().filter(|axis| axis.n_values > 1).cloned().collect(),
        roc: curves.roc,
        precision_recall: curves.precision_recall,
        reliability: curves.reliability,
        thresholds: evaluation.thresholds.iter().copied().map(ThresholdRow::from).collect(),
        unfitted_thresholds: evaluation.unfitted_thresholds.clone(),
        calibrations: calibrations(evaluation),
        thresholds_note: thresholds_note(evaluation),
        lengths: lengths(&evaluation.by_length, &test.examples.n_tokens),
        comparisons: comparisons(evaluation),
        seeds: evaluation.seeds.clone(),
    })
}

/// What the chosen trial was chosen by, and on which examples.
fn selected_by(report: &ArchitectureReport) -> String {
    let metric = match report.selected_by {
        SelectBy::BalancedAccuracy => "balanced accuracy",
        SelectBy::Accuracy => "accuracy",
        SelectBy::Auroc => "AUROC",
        SelectBy::Loss => "loss",
    };
    match &report.cross_validation {
        None => format!("{metric} on validation"),
        Some(found) => {
            let (n, value) = (found.n_folds, found.chosen().balanced_accuracy);
            format!(
                "{metric} in {n}-fold cross-validation on the training examples, where its \
                 balanced accuracy is {}",
                fixed(value, 3)
            )
        }
    }
}
