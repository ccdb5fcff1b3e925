//! A run read back from its folder.

use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use serde::de::DeserializeOwned;

use crate::judge::transfer::read_transfers;
use crate::results::history::HistoryRecord;
use crate::results::predictions::Predictions;
use crate::results::report::{ExperimentReport, TransferReport, TrialMetrics};
use crate::results::target_report::{TargetMetrics, TargetReport};
use crate::{SweepConfig, SweepError};

/// A run of a sweep as it lies on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedRun {
    /// What comparisons call it; `None` if its own name is to do.
    pub name: Option<String>,
    /// Its folder, `<output>/<run>/seed_<seed>`.
    pub folder: PathBuf,
    /// The configuration, every default filled in.
    pub config: SweepConfig,
    /// The same as it is written, TOML.
    pub config_text: String,
    /// Every experiment that is complete: data sets as in the configuration, layers ascending.
    pub experiments: Vec<SavedExperiment>,
    /// Every experiment that is complete and whose labels are no classes, in the same order.
    pub targets: Vec<SavedTargets>,
    /// `transfer.json`; nothing if there is none.
    pub transfers: Vec<TransferReport>,
}

/// One data set at one layer as it lies on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedExperiment {
    /// `best.json`.
    pub report: ExperimentReport,
    /// `metrics.json`.
    pub trials: Vec<TrialMetrics>,
    /// `history.jsonl`.
    pub history: Vec<HistoryRecord>,
    /// `predictions.npz`.
    pub predictions: Predictions,
}

/// One data set at one layer whose labels are no classes, as it lies on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTargets {
    /// `best.json`.
    pub report: TargetReport,
    /// `metrics.json`.
    pub metrics: Vec<TargetMetrics>,
    /// `history.jsonl`; empty where every probe was solved exactly.
    pub history: Vec<HistoryRecord>,
}

impl SavedRun {
    /// Reads a run from its folder, or from the folder above it if it is the only one there.
    ///
    /// # Errors
    ///
    /// - [`SweepError::NoRun`] if the folder is no run, or holds several
    /// - [`SweepError::File`], [`SweepError::Toml`], [`SweepError::Results`],
    ///   [`SweepError::Predictions`], or [`SweepError::Activation`] if a file cannot be read
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let folder = folder_of(path)?;
        let file = folder.join("config.toml");
        let config_text = read_text(&file)?;
        let config = SweepConfig::parse_named(&config_text, &file)?;
        let place = |name: &str| {
            config.data.iter().position(|data| data.name == *name).unwrap_or(usize::MAX)
        };
        let (mut experiments, mut targets) = (Vec::new(), Vec::<SavedTargets>::new());
        for entry in entries(&folder)? {
            let best = entry.join("best.json");
            if !best.is_file() {
                continue;
            }
            if TargetReport::is_in(&read_text(&best)?) {
                targets.push(SavedTargets::read(&entry)?);
            } else {
                experiments.push(SavedExperiment::read(&entry)?);
            }
        }
        targets.sort_by(|a, b| {
            let key = |one: &SavedTargets| (place(&one.report.data), one.report.layer);
            key(a).cmp(&key(b)).then_with(|| a.report.experiment.cmp(&b.report.experiment))
        });
        experiments.sort_by(|a, b| {
            let key = |one: &SavedExperiment| (place(&one.report.data), one.report.layer);
            key(a).cmp(&key(b)).then_with(|| a.report.experiment.cmp(&b.report.experiment))
        });
        let transfers = read_transfers(&folder)?;
        let name = None;
        Ok(Self { name, folder, config, config_text, experiments, targets, transfers })
    }

    /// Reads a run that is given as its folder, or as `NAME=FOLDER`, which names it in comparisons.
    ///
    /// # Errors
    ///
    /// As [`SavedRun::read`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use attention_probes::sweep::SavedRun;
    ///
    /// // A folder that is there is one, whatever it is called.
    /// let error = SavedRun::read_named(Path::new("before=results/none")).unwrap_err();
    /// assert!(error.to_string().starts_with("`results/none`"), "{error}");
    /// ```
    pub fn read_named(given: &Path) -> Result<Self, SweepError> {
        let named = given.to_str().and_then(|given| given.split_once('='));
        match named.filter(|(name, _)| !name.is_empty() && !given.exists()) {
            Some((name, folder)) => {
                Ok(Self { name: Some(name.to_owned()), ..Self::read(Path::new(folder))? })
            }
            None => Self::read(given),
        }
    }

    /// The model whose activations were read; empty if every data set brought its own.
    pub fn model(&self) -> String {
        let reads_model = self.experiments.iter().any(|saved| saved.report.component.is_some())
            || self.targets.iter().any(|saved| saved.report.component.is_some());
        if reads_model { self.config.model.name.clone() } else { String::new() }
    }
}

impl SavedExperiment {
    /// The place that the experiment reads; empty where the data are activations.
    pub fn component(&self) -> String {
        let report = &self.report;
        let component = report.component.clone().unwrap_or_default();
        if report.layers.is_empty() {
            return component;
        }
        // Joined layers are told by the name of the experiment.
        let place = report.experiment.strip_prefix(&format!("{}-", report.data));
        place.map_or(component, str::to_owned)
    }

    fn read(folder: &Path) -> Result<Self, SweepError> {
        Ok(Self {
            report: read_json(&folder.join("best.json"))?,
            trials: read_json(&folder.join("metrics.json"))?,
            history: read_history(&folder.join("history.jsonl"))?,
            predictions: Predictions::read(&folder.join("predictions.npz"))?,
        })
    }
}

impl SavedTargets {
    fn read(folder: &Path) -> Result<Self, SweepError> {
        let history = folder.join("history.jsonl");
        Ok(Self {
            report: read_json(&folder.join("best.json"))?,
            metrics: read_json(&folder.join("metrics.json"))?,
            history: if history.is_file() { read_history(&history)? } else { Vec::new() },
        })
    }
}

fn read_history(path: &Path) -> Result<Vec<HistoryRecord>, SweepError> {
    read_text(path)?.lines().map(|line| parse(line, path)).collect()
}

/// The folder of a run: the one given, or the only one of a seed in it.
pub(crate) fn folder_of(path: &Path) -> Result<PathBuf, SweepError> {
    if path.join("config.toml").is_file() {
        return Ok(path.to_owned());
    }
    let mut runs = if path.is_dir() { entries(path)? } else { Vec::new() };
    runs.retain(|run| run.join("config.toml").is_file());
    match <[PathBuf; 1]>::try_from(runs) {
        Ok([run]) => Ok(run),
        Err(runs) => {
            let names = runs.iter().filter_map(|run| run.file_name()?.to_str().map(str::to_owned));
            Err(SweepError::NoRun { path: path.to_owned(), found: names.collect() })
        }
    }
}

/// Everything in a folder, by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, SweepError> {
    let entries = fs::read_dir(folder).map_err(FileError::read(folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

pub(crate) fn read_text(path: &Path) -> Result<String, SweepError> {
    Ok(fs::read_to_string(path).map_err(FileError::read(path))?)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, SweepError> {
    parse(&read_text(path)?, path)
}

fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, SweepError> {
    serde_json::from_str(text)
        .map_err(|source| SweepError::Results { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_run_is_refused_with_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = SavedRun::read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("holds no run of a sweep"), "{error}");
        for seed in ["seed_1", "seed_2"] {
            fs::create_dir(folder.path().join(seed)).unwrap();
            fs::write(folder.path().join(seed).join("config.toml"), "").unwrap();
        }
        let error = SavedRun::read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("holds several runs: name seed_1 or seed_2"), "{error}");
        let read = SavedRun::read(&folder.path().join("seed_1")).unwrap();
        assert!(read.experiments.is_empty());
        assert_eq!(read.config, SweepConfig::default());
    }
}
