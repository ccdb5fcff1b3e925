//! What is trained, on what, and what comes of it.

use attention_probes_errors::Stop;
use attention_probes_probes::{Loss, ProbeConfig, ProbeState};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::config::SelectBy;
use crate::cross_validation::CrossValidation;
use crate::early_stopping::{Keep, Race};
use crate::method::Method;
use crate::passes::{PredictConfig, StackConfig};
use crate::plan::Trial;
use crate::select::Score;

/// Probes of one shape at one site: they train as one stack.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialGroup {
    /// Which site of the activations they read.
    pub site: usize,
    /// Their shape.
    pub probe: ProbeConfig,
    /// What training makes small.
    pub loss: Loss,
    /// How they train.
    pub method: Method,
    /// Their settings.
    pub trials: Vec<Trial>,
}

/// Examples that trials learn from and are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct FitData<'a> {
    /// For each example the sequence it belongs to and the number of its tokens.
    pub examples: &'a [(usize, usize)],
    /// Class of each example.
    pub labels: &'a [usize],
    /// Number of classes.
    pub n_classes: usize,
    /// Weight of each class in the loss.
    pub class_weights: &'a [f32],
    /// Group of each example, if they have any: one group stays in one fold.
    pub groups: Option<&'a [usize]>,
    /// Examples to train on.
    pub train: &'a [usize],
    /// Examples to choose a trial by.
    pub validation: &'a [usize],
}

/// How long and in which steps trials train.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// Passes over the training examples, at most.
    pub epochs: usize,
    /// Examples per step.
    pub batch_size: usize,
    /// Seed of the order of the examples, and of folds.
    pub seed: u64,
    /// Metric that chooses a trial.
    pub select_by: SelectBy,
    /// Epochs without a better score of its best trial after which the training of a group stops; 0
    /// never.
    pub patience: usize,
    /// Which weights of a trial are kept.
    pub keep: Keep,
    /// Which trials go on after some epochs; all of them, if this is not given.
    pub race: Option<Race>,
    /// Asked once a batch, and once a pass of L-BFGS; given, the training ends with
    /// [`SweepError::Stopped`](crate::SweepError::Stopped).
    pub stop: Stop,
    /// Where kinds of probes without a host kernel are differentiated.
    pub device: Device,
}

impl FitConfig {
    /// What trials of any group are stacked with.
    pub(crate) fn stack(&self) -> StackConfig {
        StackConfig { seed: self.seed, device: self.device.clone() }
    }

    /// How the same examples are predicted.
    pub(crate) fn prediction(&self) -> PredictConfig {
        PredictConfig { batch_size: self.batch_size, device: self.device.clone() }
    }
}

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

/// A trained trial.
#[derive(Clone, Debug)]
pub struct TrialFit {
    /// Its setting.
    pub trial: Trial,
    /// Its weights.
    pub state: ProbeState,
    /// Its history, one record per epoch; one of all of L-BFGS, and one more of a head that was
    /// added.
    pub history: Vec<EpochRecord>,
    /// Index of the record that the weights belong to.
    pub kept: usize,
    /// Epochs of `AdamW` that the weights have seen; `None` for L-BFGS, which has none.
    pub epochs: Option<usize>,
    /// Whether L-BFGS met a tolerance; `None` for `AdamW`, which has none.
    pub converged: Option<bool>,
}

/// What [`find_best_fit`](crate::find_best_fit()) returns for each group.
#[derive(Clone, Debug)]
pub struct GroupFit {
    /// What the trials are: the probe of the group, with one head more where one was added.
    pub probe: ProbeConfig,
    /// Every trial, in the order of the group; those that were added come last.
    pub trials: Vec<TrialFit>,
    /// Index of the trial that validation, or cross-validation, chose.
    pub best: usize,
    /// What cross-validation said, where it chose.
    pub cross_validation: Option<CrossValidation>,
    /// For every weight decay, in order of first appearance, the trial that validation chose.
    pub best_per_weight_decay: Vec<usize>,
}

impl TrialFit {
    /// Validation metrics of the weights that were kept.
    pub fn score(&self) -> Option<Score> {
        self.history.get(self.kept).map(|record| record.validation)
    }
}

impl GroupFit {
    /// What the chosen trial was chosen by, the higher the better: a loss is negated.
    pub(crate) fn selected_value(&self, select_by: SelectBy) -> Option<f64> {
        match (&self.cross_validation, select_by) {
            (Some(found), SelectBy::Loss) => Some(-found.chosen().log_loss),
            (Some(found), _) => Some(found.chosen().balanced_accuracy),
            (None, _) => self.trials[self.best].score()?.value(select_by),
        }
    }

    /// The trials of a group as what they are now, with their weights.
    pub(crate) fn trained(&self, group: &TrialGroup) -> (TrialGroup, Vec<ProbeState>) {
        let states = self.trials.iter().map(|trial| trial.state.clone()).collect();
        let trials = self.trials.iter().map(|fit| fit.trial).collect();
        (TrialGroup { probe: self.probe.clone(), trials, ..group.clone() }, states)
    }
}
