//! What comes of training: trials with their weights, and the chosen one.

use attention_probes_probes::{ProbeConfig, ProbeState};

use crate::config::SelectBy;
use crate::config::trial::Trial;
use crate::train::cross_validation::CrossValidation;
use crate::train::group::TrialGroup;
use crate::train::record::EpochRecord;
use crate::train::score::Score;

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
    /// Mean training loss of the weights that were kept; `None` if it is not a number.
    pub fn train_loss(&self) -> Option<f64> {
        let loss = self.history.get(self.kept).map(|record| record.train_loss);
        loss.filter(|loss| loss.is_finite())
    }

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
