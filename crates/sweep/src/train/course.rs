//! Where training stands between two epochs: what a checkpoint holds.

use crate::train::group::TrialGroup;
use crate::train::passes::StackedGroup;
use crate::train::record::EpochRecord;

/// What has become of the trials of a group so far.
pub(crate) struct Course {
    /// The group with all its trials, those that were added last.
    pub(crate) group: TrialGroup,
    /// How many of them are of the grid.
    pub(crate) n_grid: usize,
    /// First trial of the round.
    pub(crate) first: usize,
    /// Epochs of every trial.
    pub(crate) histories: Vec<Vec<EpochRecord>>,
    /// Weights of every trial that count so far, part by part, each `[n_trials, …]`.
    pub(crate) kept: Vec<Vec<f32>>,
}

/// Trials of a group that are training.
pub(crate) struct Running {
    /// Index of the group.
    pub(crate) course: usize,
    /// Which of its trials they are, ascending.
    pub(crate) trials: Vec<usize>,
}

/// Where training stands between two epochs: what a checkpoint holds.
pub(crate) struct Training {
    /// How often learning rates were added.
    pub(crate) round: usize,
    /// Epochs of the round that are done.
    pub(crate) epoch: usize,
    /// Every group.
    pub(crate) courses: Vec<Course>,
    /// The groups that are training, and their stacks beside them.
    pub(crate) running: Vec<Running>,
    pub(crate) stacks: Vec<StackedGroup>,
}

impl Training {
    /// Groups of which no trial has begun.
    pub(crate) fn new(groups: &[TrialGroup]) -> Self {
        let course = |group: &TrialGroup| Course {
            group: group.clone(),
            n_grid: group.trials.len(),
            first: 0,
            histories: vec![Vec::new(); group.trials.len()],
            kept: Vec::new(),
        };
        let courses = groups.iter().map(course).collect();
        Self { round: 0, epoch: 0, courses, running: Vec::new(), stacks: Vec::new() }
    }
}

impl Course {
    /// The group with some of its trials.
    pub(crate) fn part(&self, trials: &[usize]) -> TrialGroup {
        let trials = trials.iter().map(|&trial| self.group.trials[trial]).collect();
        TrialGroup { trials, ..self.group.clone() }
    }
}
