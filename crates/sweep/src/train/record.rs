//! What training tells while it goes on: records of epochs, and who leads.

use serde::{Deserialize, Serialize};

use crate::config::trial::Trial;
use crate::train::score::Score;

/// One trial after one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's steps.
    pub train_loss: f64,
    /// Validation metrics after the epoch.
    pub validation: Score,
}

/// Where training stands after an epoch.
#[derive(Clone, Copy, Debug)]
pub struct EpochReport<'a> {
    /// How often learning rates were added; the trials of each time begin with epoch 1.
    pub round: usize,
    /// The epoch, from 1.
    pub epoch: usize,
    /// Of every group that is still training, the trial that validation likes best after it.
    pub leaders: &'a [Leader],
}

/// What training tells while it goes on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FitEvent<'a> {
    /// The groups of `AdamW` have finished an epoch.
    Epoch(EpochReport<'a>),
    /// A group that is solved on all examples at once has been through them once more.
    Pass(PassReport),
}

/// Where the solving of a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassReport {
    /// Index of the group.
    pub group: usize,
    /// Passes over its training examples: of a problem that is solved for all weight decays
    /// together those of this problem, and else those of the trial at hand.
    pub n_passes: usize,
}

/// The trial of a group that leads after an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leader {
    /// Index of the group.
    pub group: usize,
    /// Its setting.
    pub trial: Trial,
    /// How good it is.
    pub record: EpochRecord,
}
