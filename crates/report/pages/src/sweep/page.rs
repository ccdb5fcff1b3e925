//! The page of a run: what its files say, as `report` draws it.

use std::collections::HashMap;
use std::fmt::Write as _;

use attention_probes_metrics::{ClassificationReport, MetricError, OperatingPoint};
use attention_probes_probes::Optimizer;
use attention_probes_report::{
    Estimate, SweepArchitecture, SweepBaselines, SweepExperiment, SweepMetric, SweepPage,
    SweepTransfer, SweepTrial, SweepWarning, TrialHistory, fixed,
};
use attention_probes_sweep::{
    ArchitectureReport, ExperimentReport, HistoryRecord, LayersWarning, SavedExperiment, SavedRun,
    SelectBy, SidePredictions, TargetReport, TestEvaluation, TransferReport, TrialMetrics, chosen,
    experiment_warnings, target_warnings, warnings_by_data,
};

use super::curves::Curves;
use super::evaluation::{calibrations, comparisons, lengths, seeds, thresholds, thresholds_note};
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
        for saved in &run.experiments {
            let mut experiment = experiment(run, saved)?;
            if runs.len() > 1 {
                let _ = write!(experiment.data, ", seed {}", run.config.seed);
            }
            page.experiments.push(experiment);
            page.library_version.clone_from(&saved.report.origin.library_version);
        }
        let names_seed = runs.len() > 1;
        page.warnings.extend(warnings_of(run, names_seed));
        for mut table in targets::tables(run) {
            if names_seed {
                let _ = write!(table.data, ", seed {}", run.config.seed);
            }
            page.targets.push(table);
        }
        if let Some(report) = run.targets.first() {
            page.library_version.clone_from(&report.origin.library_version);
        }
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

/// What looks wrong in the data sets of a run, one after another.
fn warnings_of(run: &SavedRun, names_seed: bool) -> Vec<SweepWarning> {
    let experiments: Vec<&ExperimentReport> =
        run.experiments.iter().map(|saved| &saved.report).collect();
    let targets: Vec<&TargetReport> = run.targets.iter().collect();
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
        balanced_accuracy: balanced_accuracy(&found.test),
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
            let history = histories.remove(&key(name, metrics)).unwrap_or_default();
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
        n_train: report.n_train,
        n_validation: report.n_validation,
        n_calibration: report.n_calibration,
        n_test: report.n_test,
        n_skipped: report.n_skipped,
        baselines: SweepBaselines {
            majority: report.baselines.majority_balanced_accuracy,
            bag_of_words: report
                .baselines
                .bag_of_words
                .as_ref()
                .map(|bag| (bag.balanced_accuracy, bag.interval).into()),
            bag_of_words_pairs: report
                .baselines
                .bag_of_words
                .as_ref()
                .and_then(|bag| bag.pair_accuracy)
                .map(|found| (found.accuracy, found.interval).into()),
            shuffled_labels: best.and_then(|best| shuffled_labels(&best.evaluation)),
        },
        architectures,
        diverged: report.diverged.clone(),
    })
}

fn shuffled_labels(evaluation: &TestEvaluation) -> Option<Estimate> {
    let control = evaluation.shuffled_labels?;
    Some(Estimate { value: control.balanced_accuracy?, interval: control.interval })
}

/// What tells a trial of an experiment from the others.
type TrialKey = (String, u64, u64, u64);

fn key(config_name: &str, trial: &TrialMetrics) -> TrialKey {
    let (learning_rate, weight_decay) = (trial.learning_rate, trial.weight_decay);
    (config_name.to_owned(), learning_rate.to_bits(), weight_decay.to_bits(), trial.seed)
}

fn histories(records: &[HistoryRecord]) -> HashMap<TrialKey, TrialHistory> {
    let mut histories: HashMap<TrialKey, TrialHistory> = HashMap::new();
    for record in records {
        let (learning_rate, weight_decay) =
            (record.learning_rate.to_bits(), record.weight_decay.to_bits());
        let key = (record.config_name.clone(), learning_rate, weight_decay, record.seed);
        let history = histories.entry(key).or_default();
        history.train_loss.push(record.train_loss.unwrap_or(f64::NAN));
        history.validation_loss.push(record.validation_loss.unwrap_or(f64::NAN));
        history.balanced_accuracy.push(record.validation_balanced_accuracy);
    }
    histories
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
        validation: balanced_accuracy(&report.validation),
        test: balanced_accuracy(&report.test),
        pairs: report.pair_accuracy.map(|found| (found.accuracy, found.interval).into()),
        metrics: metrics(report),
        trials,
        axes: report.axes.iter().filter(|axis| axis.n_values > 1).cloned().collect(),
        confusion: report.test.confusion.counts().to_vec(),
        roc: curves.roc,
        precision_recall: curves.precision_recall,
        reliability: curves.reliability,
        thresholds: thresholds(report),
        calibrations: calibrations(evaluation),
        thresholds_note: thresholds_note(evaluation),
        lengths: lengths(&evaluation.by_length, &test.examples.n_tokens),
        comparisons: comparisons(evaluation),
        seeds: seeds(evaluation),
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

fn balanced_accuracy(report: &ClassificationReport) -> Estimate {
    (report.balanced_accuracy, report.balanced_accuracy_interval).into()
}

/// The table of numbers, on both sides.
fn metrics(report: &ArchitectureReport) -> Vec<SweepMetric> {
    let sides = [&report.validation, &report.test];
    let metric = |name: &str, value: &dyn Fn(&ClassificationReport) -> Estimate| {
        let [validation, test] = sides.map(value);
        SweepMetric { name: name.to_owned(), validation, test }
    };
    let or_nan = |value: Option<f64>| value.unwrap_or(f64::NAN).into();
    let binary = report.test.n_classes == 2;
    let mut rows = vec![
        metric("accuracy", &|side| (side.accuracy, side.accuracy_interval).into()),
        metric("AUROC", &|side| or_nan(side.auroc)),
    ];
    if binary {
        rows.push(metric("average precision", &|side| or_nan(side.average_precision)));
        let tpr = |point: Option<OperatingPoint>| or_nan(point.map(|point| point.tpr));
        rows.push(metric("TPR at 1 % FPR", &|side| tpr(side.tpr_at_1_percent_fpr)));
        rows.push(metric("TPR at 5 % FPR", &|side| tpr(side.tpr_at_5_percent_fpr)));
    }
    rows.push(metric(if binary { "F1" } else { "macro F1" }, &|side| side.f1.into()));
    rows.push(metric("MCC", &|side| side.mcc.into()));
    rows.push(metric("Brier score", &|side| side.brier.into()));
    rows.push(metric("ECE", &|side| side.ece.into()));
    rows.push(metric("log loss (nats)", &|side| side.log_loss.into()));
    if let Some(test) = shuffled_labels(&report.evaluation) {
        let mut row = |name: String, test: Estimate| {
            rows.push(SweepMetric { name, validation: f64::NAN.into(), test });
        };
        let control = report.evaluation.shuffled_labels;
        match control.and_then(|control| Some((control.n_shuffles, control.range?))) {
            None => row("labels shuffled".to_owned(), test),
            Some((n, (low, high))) => {
                row(format!("labels shuffled, mean of {n}"), test);
                row("lowest of them".to_owned(), low.into());
                row("highest of them".to_owned(), high.into());
            }
        }
    }
    rows
}
