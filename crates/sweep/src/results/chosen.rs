//! The probe that a folder of results stands for.

use std::path::{Path, PathBuf};

use attention_probes_probes::SideReport;

use crate::results::report::{ArchitectureReport, ExperimentReport};
use crate::results::saved_run::{entries, folder_of, read_json, read_text};
use crate::results::target_report::TargetReport;
use crate::{SelectBy, SweepError};

/// The probe that validation chose in an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenProbe {
    /// Its state file.
    pub file: PathBuf,
    /// Name of the experiment.
    pub experiment: String,
    /// Its architecture, by the prefix of its files.
    pub config_name: String,
    /// Number of architectures that it was chosen from.
    pub n_architectures: usize,
}

impl ChosenProbe {
    /// Finds the probe of a folder: of an experiment, or of a run or a data set with one experiment.
    ///
    /// Of several architectures it is the [`chosen`] one; of numbers the one with the highest R² on
    /// validation, of several labels with the highest mean AUROC, of distributions with the lowest
    /// loss.
    ///
    /// # Errors
    ///
    /// - [`SweepError::NoExperiment`] if the folder has no complete experiment, or several
    /// - [`SweepError::NoRun`] if the folder is no run, or holds several
    /// - [`SweepError::Diverged`] if no probe of the experiment ended with finite numbers
    /// - [`SweepError::File`] or [`SweepError::Results`] if a file cannot be read
    pub fn find(path: &Path) -> Result<Self, SweepError> {
        // The folder of the probes themselves stands for the experiment around it.
        let above =
            path.parent().filter(|_| path.file_name().is_some_and(|name| name == "trained"));
        let folder = above.filter(|above| is_experiment(above)).unwrap_or(path);
        if is_experiment(folder) {
            return Self::of_experiment(folder);
        }
        let run = folder_of(folder)?;
        let mut found = entries(&run)?;
        found.retain(|folder| is_experiment(folder));
        match <[PathBuf; 1]>::try_from(found) {
            Ok([experiment]) => Self::of_experiment(&experiment),
            Err(found) => Err(SweepError::NoExperiment { path: path.to_owned(), found }),
        }
    }

    fn of_experiment(folder: &Path) -> Result<Self, SweepError> {
        let best = folder.join("best.json");
        let (experiment, n_architectures, best) = if TargetReport::is_in(&read_text(&best)?) {
            let report: TargetReport = read_json(&best)?;
            let best = chosen_target(report.probes.iter().map(|probe| &probe.validation));
            let best = best.map(|best| &report.probes[best]);
            let best = best.map(|probe| (probe.config_name.clone(), probe.file.clone()));
            (report.experiment, report.probes.len(), best)
        } else {
            let report: ExperimentReport = read_json(&best)?;
            let best = chosen(&report.architectures).map(|best| &report.architectures[best]);
            let best = best.map(|probe| (probe.config_name.clone(), probe.file.clone()));
            (report.experiment, report.architectures.len(), best)
        };
        let Some((config_name, file)) = best else {
            return Err(SweepError::Diverged);
        };
        let file = folder.join("trained").join(file);
        Ok(Self { file, experiment, config_name, n_architectures })
    }
}

/// Which of several probes was selected on validation: the one with the best score; of equal ones,
/// the one with the lower loss, then the first. `None` of none.
///
/// The score is the metric that selected the trials, if one metric selected those of all probes on
/// validation, else balanced accuracy.
pub fn chosen<'a>(probes: impl IntoIterator<Item = &'a ArchitectureReport>) -> Option<usize> {
    let probes: Vec<&ArchitectureReport> = probes.into_iter().collect();
    let selected_by = common_metric(&probes);
    best_of(probes.iter().map(|one| {
        let score = selected_by.and(one.selected_value).unwrap_or(one.validation.balanced_accuracy);
        (score, one.validation.log_loss)
    }))
}

/// The probe of all experiments that was selected on validation, as [`chosen`] selects, and its
/// experiment. `None` if there is no probe.
///
/// # Examples
///
/// ```no_run
/// use std::path::Path;
///
/// use attention_probes::sweep::{SavedRun, chosen_experiment};
///
/// let run = SavedRun::read(Path::new("results/demo"))?;
/// let experiments: Vec<_> = run.experiments.iter().map(|saved| &saved.report).collect();
/// if let Some((experiment, probe)) = chosen_experiment(&experiments) {
///     println!("{} of {}", probe.config_name, experiment.experiment);
/// }
/// # Ok::<(), attention_probes::sweep::SweepError>(())
/// ```
pub fn chosen_experiment<'a>(
    experiments: &[&'a ExperimentReport],
) -> Option<(&'a ExperimentReport, &'a ArchitectureReport)> {
    let probes: Vec<_> = experiments
        .iter()
        .flat_map(|&one| one.architectures.iter().map(move |probe| (one, probe)))
        .collect();
    chosen(probes.iter().map(|(_, probe)| *probe)).map(|best| probes[best])
}

/// Which of several probes of numbers, labels, or distributions was selected, by what they do on
/// validation: the one with the highest R² of a number, the highest mean AUROC of labels, or the
/// lowest loss of a distribution; of equal ones the first. `None` of none.
pub fn chosen_target<'a>(validation: impl IntoIterator<Item = &'a SideReport>) -> Option<usize> {
    best_of(validation.into_iter().map(|report| (score_of(report), 0.0)))
}

/// Index of the highest score, of equal ones of the lowest loss.
fn best_of(scores: impl Iterator<Item = (f64, f64)>) -> Option<usize> {
    let is_better = |a: (f64, f64), b: (f64, f64)| {
        let order = a.0.total_cmp(&b.0);
        order.is_gt() || (order.is_eq() && a.1 < b.1)
    };
    let better = |best: (usize, (f64, f64)), one: (usize, (f64, f64))| {
        if is_better(one.1, best.1) { one } else { best }
    };
    scores.enumerate().reduce(better).map(|(best, _)| best)
}

/// The metric that chose the trials of all architectures on validation.
fn common_metric(architectures: &[&ArchitectureReport]) -> Option<SelectBy> {
    let first = architectures.first()?.selected_by;
    let is_common = |one: &&ArchitectureReport| {
        one.selected_by == first && one.selected_value.is_some() && one.cross_validation.is_none()
    };
    architectures.iter().all(is_common).then_some(first)
}

/// How good a probe of other labels than classes is, the higher the better.
fn score_of(report: &SideReport) -> f64 {
    match report {
        SideReport::Class(report) => report.balanced_accuracy,
        SideReport::Number(report) => report.r_squared,
        SideReport::Labels { report, .. } => report.macro_auroc.unwrap_or(f64::NEG_INFINITY),
        SideReport::Distribution { cross_entropy, .. } => -cross_entropy,
    }
}

/// Whether a folder is a complete experiment.
fn is_experiment(folder: &Path) -> bool {
    folder.join("best.json").is_file()
}
