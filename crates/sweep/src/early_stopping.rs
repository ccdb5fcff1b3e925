//! Which epoch of a trial counts, and when no trial gets better any more.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::config::SelectBy;
use crate::fit::EpochRecord;
use crate::select::compare;
use crate::stacked::StackedProbes;

/// Which weights of a trial are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those after the last epoch.
    #[default]
    Last,
    /// Those after the epoch that validation likes best, by the metric that trials are chosen by.
    Best,
}

/// Index of the record of the epoch that validation likes best, of equals the first.
pub(crate) fn best_epoch(history: &[EpochRecord], select_by: SelectBy) -> usize {
    let mut best = 0;
    for (index, record) in history.iter().enumerate().skip(1) {
        let (new, old) = (Some(record.validation), Some(history[best].validation));
        if compare(new, old, select_by) == Ordering::Greater {
            best = index;
        }
    }
    best
}

/// Whether no trial of any group has had its best epoch within the last `patience` ones.
pub(crate) fn has_stalled(
    histories: &[Vec<Vec<EpochRecord>>],
    select_by: SelectBy,
    patience: usize,
) -> bool {
    let mut trials = histories.iter().flatten();
    patience > 0 && trials.all(|history| history.len() > patience + best_epoch(history, select_by))
}

/// The weights of the best epoch of every trial: for each stack its parts.
pub(crate) struct BestWeights {
    pub(crate) stacks: Vec<Vec<Vec<f32>>>,
}

impl BestWeights {
    /// The weights as they are.
    pub(crate) fn new(stacks: &[Box<dyn StackedProbes>]) -> Self {
        let parts = |stack: &dyn StackedProbes| -> Vec<Vec<f32>> {
            stack.stack().parts.iter().map(|part| part.params.clone()).collect()
        };
        Self { stacks: stacks.iter().map(|stack| parts(&**stack)).collect() }
    }

    /// Takes the weights of every trial whose last epoch is its best.
    pub(crate) fn update(
        &mut self,
        stacks: &[Box<dyn StackedProbes>],
        histories: &[Vec<Vec<EpochRecord>>],
        select_by: SelectBy,
    ) {
        for ((kept, stack), histories) in self.stacks.iter_mut().zip(stacks).zip(histories) {
            for (trial, history) in histories.iter().enumerate() {
                if best_epoch(history, select_by) + 1 != history.len() {
                    continue;
                }
                for (kept, part) in kept.iter_mut().zip(&stack.stack().parts) {
                    let per_trial = kept.len() / histories.len();
                    let own = trial * per_trial..(trial + 1) * per_trial;
                    kept[own.clone()].copy_from_slice(&part.params[own]);
                }
            }
        }
    }

    /// Puts the weights that were kept into the stacks.
    pub(crate) fn restore(self, stacks: &mut [Box<dyn StackedProbes>]) {
        for (kept, stack) in self.stacks.into_iter().zip(stacks) {
            for (kept, part) in kept.into_iter().zip(&mut stack.stack_mut().parts) {
                part.params = kept;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::Score;

    fn history(losses: &[f64]) -> Vec<EpochRecord> {
        let record = |(epoch, &loss): (usize, &f64)| EpochRecord {
            epoch: epoch + 1,
            train_loss: 0.0,
            validation: Score {
                loss,
                accuracy: 0.5,
                balanced_accuracy: 0.5,
                auroc: None,
                counts: None,
            },
        };
        losses.iter().enumerate().map(record).collect()
    }

    #[test]
    fn the_best_epoch_is_the_first_of_equals_and_never_one_without_a_number() {
        let best = |losses: &[f64]| best_epoch(&history(losses), SelectBy::Loss);
        assert_eq!(best(&[3.0, 1.0, 2.0, 1.0]), 1);
        assert_eq!(best(&[f64::NAN, 4.0, f64::NAN]), 1);
        assert_eq!(best(&[f64::NAN, f64::NAN]), 0);
        // Of equal accuracies the lower loss counts.
        assert_eq!(best_epoch(&history(&[3.0, 1.0]), SelectBy::BalancedAccuracy), 1);
    }

    #[test]
    fn one_trial_that_gets_better_keeps_all_going() {
        let stalled =
            |histories: &[Vec<Vec<EpochRecord>>]| has_stalled(histories, SelectBy::Loss, 2);
        let (good, bad) = (history(&[3.0, 2.0, 1.0]), history(&[1.0, 2.0, 3.0]));
        assert!(!stalled(&[vec![bad.clone()], vec![bad.clone(), good]]));
        assert!(stalled(&[vec![bad.clone()], vec![bad.clone()]]));
        assert!(!stalled(&[vec![history(&[1.0, 2.0])]]));
        assert!(!stalled(&[vec![Vec::new()]]));
        assert!(!has_stalled(&[vec![bad]], SelectBy::Loss, 0));
    }
}
