//! Who wants to know how a run is getting on.

/// Follows a run; every method may be left out.
pub trait Tracker {
    /// Something a person should know: texts cut or skipped, files found again.
    fn note(&mut self, _message: &str) {}

    /// Activations of `done` of `total` sequences of a data set have been computed.
    fn extracted(&mut self, _data: &str, _done: usize, _total: usize) {}

    /// All trials of a data set have finished `epoch` of `epochs`.
    fn epoch(&mut self, _data: &str, _epoch: usize, _epochs: usize) {}

    /// An experiment has been written.
    fn finished(&mut self, _experiment: &str) {}
}

/// Follows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTracker;

impl Tracker for NoTracker {}
