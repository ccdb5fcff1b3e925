//! The page of a run: what its files say, as `report` draws it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_metrics::{
    Binning, Bucket, CalibrationScores, Calibrator, ClassificationReport, Comparison, Guarantee,
    MetricError, precision_recall_curve, predicted_class, reliability_bins, roc_curve,
};
use attention_probes_report::{
    CalibrationRow, ComparisonRow, Estimate, LengthRow, ReliabilityBin, SeedsSummary,
    SweepArchitecture, SweepAxis, SweepBaselines, SweepExperiment, SweepMetric, SweepPage,
    SweepTrial, ThresholdRow, TrialHistory,
};
use attention_probes_sweep::{
    ArchitectureReport, Evaluation, FittedOn, HistoryRecord, SavedExperiment, SavedRun, SelectBy,
    SidePredictions, ThresholdReport, TrialMetrics,
};
use tracing::info;

/// Most points of a curve, more than a screen has.
const MAX_POINTS: usize = 200;

/// Bins of the reliability diagram.
const N_BINS: usize = 10;

/// Writes the page of a run, beside the folders of its seeds, and returns its path.
///
/// Other seeds of the run that lie there are on the page too, if they can be read.
///
/// # Errors
///
/// If the run cannot be read back, or the page cannot be written.
pub(crate) fn write_page(folder: &Path) -> Result<PathBuf> {
    let path = page_path(folder);
    let mut runs = vec![SavedRun::read(folder)?];
    let siblings = path.parent().map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
    for sibling in siblings.map(|entry| entry.path()) {
        let is_run = sibling.join("config.toml").is_file();
        if is_run && sibling.file_name() != folder.file_name() {
            match SavedRun::read(&sibling) {
                Ok(run) => runs.push(run),
                Err(error) => info!("not on the page: {:#}", anyhow::Error::from(error)),
            }
        }
    }
    let html = sweep_page(&mut runs)?.to_html()?;
    write_atomically(&path, |file| file.write_all(html.as_bytes()))?;
    Ok(path)
}

/// Where the page of a run lies.
pub(crate) fn page_path(folder: &Path) -> PathBuf {
    folder.parent().unwrap_or(folder).join("report.html")
}

/// Describes the seeds of a run, the one that was just run first.
fn sweep_page(runs: &mut [SavedRun]) -> Result<SweepPage> {
    let (run, config) = (runs[0].config.run.clone(), runs[0].config_text.clone());
    let model = model(&runs[0]);
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
    }
    Ok(page)
}

/// The model whose activations were read; empty if every data set brought its own.
pub(crate) fn model(run: &SavedRun) -> String {
    let reads_model = run.experiments.iter().any(|saved| saved.report.component.is_some());
    if reads_model { run.config.model.name.clone() } else { String::new() }
}

/// The place that an experiment reads; empty where the data are activations.
pub(crate) fn component(saved: &SavedExperiment) -> String {
    let report = &saved.report;
    let component = report.component.clone().unwrap_or_default();
    if report.layers.is_empty() {
        return component;
    }
    // Joined layers are told by the name of the experiment.
    let place = report.experiment.strip_prefix(&format!("{}-", report.data));
    place.map_or(component, str::to_owned)
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
    let best = best(&report.architectures);
    Ok(SweepExperiment {
        experiment: report.experiment.clone(),
        data: report.data.clone(),
        layer: report.layer,
        component: component(saved),
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
            shuffled_labels: best.and_then(|best| shuffled_labels(&best.evaluation)),
        },
        architectures,
        diverged: report.diverged.clone(),
    })
}

/// The architecture that validation likes best.
fn best(architectures: &[ArchitectureReport]) -> Option<&ArchitectureReport> {
    let score = |one: &ArchitectureReport| one.validation.balanced_accuracy;
    architectures.iter().rev().max_by(|a, b| score(a).total_cmp(&score(b)))
}

fn shuffled_labels(evaluation: &Evaluation) -> Option<Estimate> {
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
    let probabilities = test.probabilities(&report.config_name, n_classes).unwrap_or_default();
    let curves = Curves::new(&probabilities, &test.examples.labels, n_classes)?;
    let evaluation = &report.evaluation;
    Ok(SweepArchitecture {
        config_name: report.config_name.clone(),
        learning_rate: report.learning_rate,
        weight_decay: report.weight_decay,
        seed: report.seed,
        file: format!("{folder}/trained/{}", report.file),
        selected_by: selected_by(report.selected_by).to_owned(),
        validation: balanced_accuracy(&report.validation),
        test: balanced_accuracy(&report.test),
        metrics: metrics(report),
        trials,
        axes: report
            .axes
            .iter()
            .filter(|axis| axis.n_values > 1)
            .map(|axis| SweepAxis {
                axis: axis.axis.clone(),
                n_values: axis.n_values,
                loss: axis.loss,
                balanced_accuracy: axis.balanced_accuracy,
            })
            .collect(),
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

fn selected_by(select_by: SelectBy) -> &'static str {
    match select_by {
        SelectBy::BalancedAccuracy => "balanced accuracy",
        SelectBy::Accuracy => "accuracy",
        SelectBy::Auroc => "AUROC",
        SelectBy::Loss => "loss",
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
        let tpr = |point: Option<attention_probes_metrics::OperatingPoint>| {
            or_nan(point.map(|point| point.tpr))
        };
        rows.push(metric("TPR at 1 % FPR", &|side| tpr(side.tpr_at_1_percent_fpr)));
        rows.push(metric("TPR at 5 % FPR", &|side| tpr(side.tpr_at_5_percent_fpr)));
    }
    rows.push(metric(if binary { "F1" } else { "macro F1" }, &|side| side.f1.into()));
    rows.push(metric("MCC", &|side| side.mcc.into()));
    rows.push(metric("Brier score", &|side| side.brier.into()));
    rows.push(metric("ECE", &|side| side.ece.into()));
    rows.push(metric("log loss (nats)", &|side| side.log_loss.into()));
    if let Some(test) = shuffled_labels(&report.evaluation) {
        let name = "labels shuffled".to_owned();
        rows.push(SweepMetric { name, validation: f64::NAN.into(), test });
    }
    rows
}

/// What is drawn of the test side; empty where it is not defined.
#[derive(Default)]
struct Curves {
    roc: Vec<(f64, f64)>,
    precision_recall: Vec<(f64, f64)>,
    reliability: Vec<ReliabilityBin>,
}

impl Curves {
    fn new(probabilities: &[f64], labels: &[usize], n_classes: usize) -> Result<Self, MetricError> {
        if probabilities.is_empty() {
            return Ok(Self::default());
        }
        let rows = probabilities.chunks_exact(n_classes);
        let (confidences, correct): (Vec<f64>, Vec<bool>) = rows
            .zip(labels)
            .map(|(row, &label)| {
                let class = predicted_class(row, 0.5);
                (row[class], class == label)
            })
            .unzip();
        let bins = reliability_bins(&confidences, &correct, Binning::EqualMass(N_BINS))?;
        let (mut roc, mut precision_recall) = (Vec::new(), Vec::new());
        if n_classes == 2 {
            let scores: Vec<f64> = probabilities.chunks_exact(2).map(|row| row[1]).collect();
            let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
            let points = roc_curve(&scores, &labels, MAX_POINTS)?;
            roc = points.iter().map(|point| (point.fpr, point.tpr)).collect();
            let points = precision_recall_curve(&scores, &labels, MAX_POINTS)?;
            precision_recall = points.iter().map(|point| (point.recall, point.precision)).collect();
        }
        Ok(Self { roc, precision_recall, reliability: reliability(&bins, &confidences) })
    }
}

/// Bins with their ends: a bin begins where the one before it ends.
fn reliability(
    bins: &[attention_probes_metrics::ReliabilityBin],
    confidences: &[f64],
) -> Vec<ReliabilityBin> {
    let mut sorted = confidences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut from = 0;
    let bin = |bin: &attention_probes_metrics::ReliabilityBin| {
        let range = &sorted[from..from + bin.n_examples];
        from += bin.n_examples;
        ReliabilityBin {
            lower: range.first().copied().unwrap_or(f64::NAN),
            upper: range.last().copied().unwrap_or(f64::NAN),
            n: bin.n_examples,
            confidence: bin.mean_confidence,
            accuracy: bin.share_correct,
        }
    };
    bins.iter().map(bin).collect()
}

fn thresholds(report: &ArchitectureReport) -> Vec<ThresholdRow> {
    if report.test.n_classes != 2 {
        return Vec::new();
    }
    let confusion = report.test.confusion.counts();
    let false_positive_rate = confusion[0][1] as f64 / (confusion[0][0] + confusion[0][1]) as f64;
    let as_trained = ThresholdRow {
        rule: "as trained".to_owned(),
        threshold: 0.5,
        true_positive_rate: report.test.recall.unwrap_or(f64::NAN),
        false_positive_rate,
        precision: report.test.precision.unwrap_or(f64::NAN),
        balanced_accuracy: report.test.balanced_accuracy,
    };
    let fitted = report.evaluation.thresholds.iter().map(threshold_row);
    std::iter::once(as_trained).chain(fitted).collect()
}

fn threshold_row(report: &ThresholdReport) -> ThresholdRow {
    let percent = (report.fitted.target_fpr * 1e6).round() / 1e4;
    ThresholdRow {
        rule: format!("at most {percent} % false positives"),
        threshold: sigmoid(report.fitted.threshold),
        true_positive_rate: report.true_positive_rate,
        false_positive_rate: report.false_positive_rate,
        precision: report.precision.unwrap_or(f64::NAN),
        balanced_accuracy: report.balanced_accuracy,
    }
}

fn calibrations(evaluation: &Evaluation) -> Vec<CalibrationRow> {
    let row = |method: String, scores: CalibrationScores| CalibrationRow {
        method,
        ece: scores.ece,
        brier: scores.brier,
        log_loss: scores.log_loss,
    };
    let before = evaluation.calibrations.first().map(|fitted| fitted.report.before);
    let before = before.map(|scores| row("as trained".to_owned(), scores));
    let after = evaluation.calibrations.iter().map(|fitted| {
        let method = match &fitted.calibrator {
            Calibrator::Temperature(temperature) => {
                format!("temperature {:.3}", temperature.temperature())
            }
            Calibrator::Platt(_) => "Platt scaling".to_owned(),
            Calibrator::Isotonic(_) => "isotonic regression".to_owned(),
        };
        row(method, fitted.report.after)
    });
    before.into_iter().chain(after).collect()
}

fn thresholds_note(evaluation: &Evaluation) -> String {
    let side = match evaluation.fitted_on {
        FittedOn::Calibration => {
            "Fitted on the calibration examples, which nothing else was done with"
        }
        FittedOn::Validation => {
            "Fitted on the validation examples, which also chose the trial; set some apart \
             (evaluation.calibration) for guarantees that hold as they stand"
        }
    };
    let deferral = evaluation.deferral.map_or_else(String::new, |report| {
        let [deferred, fpr, fnr] =
            [report.deferred, report.false_positive_rate, report.false_negative_rate]
                .map(|share| format!("{:.1} %", 100.0 * share));
        format!(
            " Two thresholds, at {} and {}, pass {deferred} of the test examples on to a better \
             judge; of the negatives {fpr} are called positive, of the positives {fnr} negative.",
            probability(report.fitted.low),
            probability(report.fitted.high),
        )
    });
    match evaluation.thresholds.first().map(|report| report.fitted.guarantee) {
        Some(Guarantee::Marginal) => format!(
            "{side}. Thresholds keep to their rate of false positives on average over \
             calibration sets.{deferral}"
        ),
        Some(Guarantee::Confidence { confidence }) => format!(
            "{side}. Thresholds keep to their rate of false positives with probability \
             {confidence} over calibration sets.{deferral}"
        ),
        None if evaluation.calibrations.is_empty() => String::new(),
        None => format!("{side}.{deferral}"),
    }
}

/// The probability that a logit stands for.
fn probability(logit: f64) -> String {
    format!("{:.3}", sigmoid(logit))
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The buckets with their ends as they occur.
fn lengths(buckets: &[Bucket], n_tokens: &[usize]) -> Vec<LengthRow> {
    let row = |bucket: &Bucket| {
        let inside = |n: &&usize| **n >= bucket.from && bucket.to.is_none_or(|to| **n < to);
        let members = n_tokens.iter().filter(inside);
        let (from, to) = (members.clone().min().copied()?, members.max().copied()?);
        Some(LengthRow {
            from,
            to,
            n: bucket.n_examples,
            accuracy: Estimate {
                value: bucket.accuracy.unwrap_or(f64::NAN),
                interval: bucket.accuracy_interval,
            },
            balanced_accuracy: bucket.balanced_accuracy.unwrap_or(f64::NAN),
            auroc: bucket.auroc.unwrap_or(f64::NAN),
        })
    };
    // One bucket says nothing that the other tables do not.
    if buckets.len() < 2 { Vec::new() } else { buckets.iter().filter_map(row).collect() }
}

fn comparisons(evaluation: &Evaluation) -> Vec<ComparisonRow> {
    let row = |(with, comparison): (&str, Comparison)| ComparisonRow {
        with: with.to_owned(),
        difference: (comparison.difference, comparison.interval).into(),
        p_value: comparison.p_value,
    };
    let others = [
        ("bag of words", evaluation.over_bag_of_words),
        ("best of the layer", evaluation.over_best),
    ];
    others.into_iter().filter_map(|(with, found)| Some(row((with, found?)))).collect()
}

fn seeds(evaluation: &Evaluation) -> Option<SeedsSummary> {
    let seeds = evaluation.seeds.as_ref()?;
    Some(SeedsSummary {
        n_seeds: seeds.agreement.n_seeds,
        balanced_accuracy: (seeds.balanced_accuracy.mean, seeds.balanced_accuracy.interval).into(),
        std: seeds.balanced_accuracy.std,
        agreement: seeds.agreement.mean,
        fleiss_kappa: seeds.agreement.fleiss_kappa.unwrap_or(f64::NAN),
    })
}
