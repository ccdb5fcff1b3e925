//! The probe that a folder of results stands for.

use std::path::{Path, PathBuf};

use crate::report::{ArchitectureReport, ExperimentReport};
use crate::saved_run::{entries, folder_of, read_json, read_text};
use crate::targets::{SideReport, TargetReport};
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
    /// Of several architectures it is the one with the best validation score; of equal ones, the
    /// one with the lower validation loss, then the first. The score is the metric that chose the
    /// trials, where one metric chose those of all architectures on validation, else balanced
    /// accuracy; of numbers R², of several labels the mean AUROC, of distributions the loss.
    ///
    /// # Errors
    ///
    /// - [`SweepError::NoExperiment`] if the folder has no complete experiment, or several
    /// - [`SweepError::NoRun`] if the folder is no run, or holds several
    /// - [`SweepError::Diverged`] if no probe of the experiment ended with finite numbers
    /// - [`SweepError::Read`] or [`SweepError::Results`] if a file cannot be read
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
        let (experiment, candidates) = if TargetReport::is_in(&read_text(&best)?) {
            let report: TargetReport = read_json(&best)?;
            let probes = report.probes.into_iter().map(|probe| Candidate {
                score: score_of(&probe.validation),
                loss: 0.0,
                config_name: probe.config_name,
                file: probe.file,
            });
            (report.experiment, probes.collect::<Vec<_>>())
        } else {
            let report: ExperimentReport = read_json(&best)?;
            let selected_by = common_metric(&report.architectures);
            let probes = report.architectures.into_iter().map(|one| Candidate {
                score: selected_by
                    .and(one.selected_value)
                    .unwrap_or(one.validation.balanced_accuracy),
                loss: one.validation.log_loss,
                config_name: one.config_name,
                file: one.file,
            });
            (report.experiment, probes.collect())
        };
        let n_architectures = candidates.len();
        let best =
            candidates.into_iter().reduce(|best, one| if one.beats(&best) { one } else { best });
        let Some(Candidate { config_name, file, .. }) = best else {
            return Err(SweepError::Diverged);
        };
        let file = folder.join("trained").join(file);
        Ok(Self { file, experiment, config_name, n_architectures })
    }
}

/// A probe that may be the chosen one.
struct Candidate {
    /// On validation, the higher the better.
    score: f64,
    /// On validation.
    loss: f64,
    config_name: String,
    file: String,
}

impl Candidate {
    fn beats(&self, other: &Self) -> bool {
        let order = self.score.total_cmp(&other.score);
        order.is_gt() || (order.is_eq() && self.loss < other.loss)
    }
}

/// The metric that chose the trials of all architectures on validation.
fn common_metric(architectures: &[ArchitectureReport]) -> Option<SelectBy> {
    let first = architectures.first()?.selected_by;
    let is_common = |one: &ArchitectureReport| {
        one.selected_by == first && one.selected_value.is_some() && one.cross_validation.is_none()
    };
    architectures.iter().all(is_common).then_some(first)
}

/// How good a probe of other labels than classes is, the higher the better.
fn score_of(report: &SideReport) -> f64 {
    match report {
        SideReport::Number(report) => report.r_squared,
        SideReport::Labels { report, .. } => report.macro_auroc.unwrap_or(f64::NEG_INFINITY),
        SideReport::Distribution { cross_entropy, .. } => -cross_entropy,
    }
}

/// Whether a folder is a complete experiment.
fn is_experiment(folder: &Path) -> bool {
    folder.join("best.json").is_file()
}
