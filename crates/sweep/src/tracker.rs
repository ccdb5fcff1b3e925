//! Who wants to know how a run is getting on.

use attention_probes_activations::Place;

use crate::results::history::HistoryRecord;

/// What an experiment reads.
#[derive(Clone, Copy, Debug)]
pub struct ExperimentSite<'a> {
    /// Name of the data set.
    pub data: &'a str,
    /// Place in the model; `None` where the data are activations.
    pub place: Option<&'a Place>,
    /// Name of the experiment.
    pub experiment: &'a str,
}

/// Follows a run; every method may be left out.
pub trait Tracker {
    /// Something a person should know: texts cut or skipped, files found again.
    fn note(&mut self, _message: &str) {}

    /// Activations of `done` of `total` sequences of a data set have been computed.
    fn extracted(&mut self, _data: &str, _done: usize, _total: usize) {}

    /// All trials of a data set have finished `epoch` of `epochs`.
    fn epoch(&mut self, _data: &str, _epoch: usize, _epochs: usize) {}

    /// After an epoch, the trial of an architecture that validation likes best.
    ///
    /// Told before the epoch is saved: a run that is resumed may tell of one epoch again.
    fn leads(&mut self, _site: &ExperimentSite<'_>, _record: &HistoryRecord) {}

    /// An architecture that is solved on all training examples at once, by L-BFGS or as a convex
    /// problem, has been through them `n_passes` times; told after each pass.
    fn solving(&mut self, _site: &ExperimentSite<'_>, _config_name: &str, _n_passes: usize) {}

    /// The bag of words of a data set has been through its training examples `n_passes` times with
    /// the penalty at hand.
    fn baseline_pass(&mut self, _data: &str, _n_passes: usize) {}

    /// `done` of `total` penalties of the bag of words of a data set have been solved.
    fn baseline(&mut self, _data: &str, _done: usize, _total: usize) {}

    /// `done` of `total` controls of a data set, all probes on shuffled labels, have been trained.
    fn control(&mut self, _data: &str, _done: usize, _total: usize) {}

    /// An experiment has been written.
    fn finished(&mut self, _experiment: &str) {}
}

/// Follows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTracker;

impl Tracker for NoTracker {}
