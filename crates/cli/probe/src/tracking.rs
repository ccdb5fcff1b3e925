//! What follows a run: progress bars, and files for programs that draw curves of many runs.

use std::path::Path;

use anyhow::Result;
use attention_probes_cli::progress::Progress;
use attention_probes_sweep::{
    ExperimentSite, HistoryRecord, SweepPlan, TensorBoardTracker, Tracker, write_tensorboard,
};
use clap::ValueEnum;
use tracing::{info, warn};

/// A program that draws curves of many runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Track {
    /// Event files in the run's folder, for `tensorboard --logdir`.
    Tensorboard,
}

/// Writes the history of the chosen trials of a run for every program that was asked for.
///
/// # Errors
///
/// If the run cannot be read back, or a file cannot be written.
pub fn track(folder: &Path, programs: &[Track]) -> Result<()> {
    if programs.contains(&Track::Tensorboard) {
        let logs = write_tensorboard(folder)?;
        info!("wrote `{}`, for tensorboard --logdir", logs.display());
    }
    Ok(())
}

/// Follows a run with progress bars and, for `TensorBoard`, files that grow with every epoch.
pub struct RunTracker<'a> {
    progress: Progress,
    tensorboard: Option<TensorBoardTracker<'a>>,
}

impl<'a> RunTracker<'a> {
    /// Follows the run of a plan.
    pub fn new(plan: &'a SweepPlan, programs: &[Track]) -> Self {
        let wants_curves = programs.contains(&Track::Tensorboard);
        let tensorboard = wants_curves.then(|| TensorBoardTracker::new(plan));
        Self { progress: Progress::default(), tensorboard }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        self.progress.clear();
    }
}

impl Tracker for RunTracker<'_> {
    fn note(&mut self, message: &str) {
        self.progress.note(message);
    }

    fn extracted(&mut self, data: &str, done: usize, total: usize) {
        self.progress.extracted(data, done, total);
    }

    fn epoch(&mut self, data: &str, epoch: usize, epochs: usize) {
        self.progress.advance(format!("{data}: training all trials"), epoch, epochs);
    }

    fn baseline(&mut self, data: &str, done: usize, total: usize) {
        self.progress.advance(format!("{data}: bag of words"), done, total);
    }

    fn leads(&mut self, site: &ExperimentSite<'_>, record: &HistoryRecord) {
        let Some(tensorboard) = &mut self.tensorboard else { return };
        tensorboard.leads(site, record);
        if let Some(error) = tensorboard.take_error() {
            warn!("no curves for TensorBoard until the run ends: {error}");
        }
    }

    fn solving(&mut self, site: &ExperimentSite<'_>, config_name: &str, n_passes: usize) {
        self.progress.count(format!("{}: {config_name}", site.experiment), n_passes);
    }

    fn control(&mut self, data: &str, done: usize, total: usize) {
        self.progress.advance(format!("{data}: controls"), done, total);
    }

    fn finished(&mut self, experiment: &str) {
        self.progress.clear();
        info!("wrote `{experiment}`");
    }
}
