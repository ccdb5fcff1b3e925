//! Which epoch of a trial counts, when a group of trials gets no better, and which trials go on.

use std::cmp::Ordering;

use crate::config::SelectBy;
use crate::config::trial::Trial;
use crate::train::record::EpochRecord;
use crate::train::score::{compare, value_of};

/// Which trials of a group go on training after some epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// Epochs that every trial trains.
    pub after: usize,
    /// How many learning rates of each weight decay and seed go on: the best so far.
    pub n_best: usize,
}

impl Default for Race {
    fn default() -> Self {
        Self { after: 10, n_best: 3 }
    }
}

impl Race {
    /// Indices of the trials that go on, ascending.
    pub(crate) fn survivors(
        self,
        trials: &[Trial],
        histories: &[Vec<EpochRecord>],
        select_by: SelectBy,
    ) -> Vec<usize> {
        let score = |trial: usize| {
            let history = &histories[trial];
            history.get(best_epoch(history, select_by)).map(|record| record.validation)
        };
        let goes_on = |&trial: &usize| {
            let own = trials[trial];
            let is_rival = |&other: &usize| {
                trials[other].weight_decay.to_bits() == own.weight_decay.to_bits()
                    && trials[other].seed == own.seed
            };
            // Of equals the first goes on.
            let is_ahead = |other: &usize| match compare(score(*other), score(trial), select_by) {
                Ordering::Greater => true,
                Ordering::Equal => *other < trial,
                Ordering::Less => false,
            };
            (0..trials.len()).filter(is_rival).filter(is_ahead).count() < self.n_best
        };
        (0..trials.len()).filter(goes_on).collect()
    }
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

/// Whether the best score of a group's trials has not got better within the last `patience` epochs.
///
/// The metric alone counts: where it cannot get better any more, a loss may fall for ever.
pub(crate) fn has_stalled(
    histories: &[Vec<EpochRecord>],
    select_by: SelectBy,
    patience: usize,
) -> bool {
    let epochs = histories.iter().map(Vec::len).max().unwrap_or(0);
    patience > 0 && epochs >= patience + last_gain(histories, select_by)
}

/// The epoch in which the best score of all trials was reached, from 1; 0 before the first.
fn last_gain(histories: &[Vec<EpochRecord>], select_by: SelectBy) -> usize {
    let value = |record: &EpochRecord| {
        value_of(Some(record.validation), select_by).map(|value| (value, record.epoch))
    };
    let earlier_best = |a: (f64, usize), b: (f64, usize)| match a.0.total_cmp(&b.0) {
        Ordering::Less => b,
        Ordering::Equal if b.1 < a.1 => b,
        _ => a,
    };
    histories.iter().flatten().filter_map(value).reduce(earlier_best).map_or(0, |(_, epoch)| epoch)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::train::score::Score;

    pub(crate) fn history(losses: &[f64]) -> Vec<EpochRecord> {
        let record = |(epoch, &loss): (usize, &f64)| EpochRecord {
            epoch: epoch + 1,
            train_loss: 0.0,
            validation: Score {
                loss,
                accuracy: Some(0.5),
                balanced_accuracy: Some(0.5),
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
    fn only_the_best_trial_keeps_a_group_going() {
        let stalled = |histories: &[Vec<EpochRecord>]| has_stalled(histories, SelectBy::Loss, 2);
        let (best, slow) = (history(&[1.0, 2.0, 3.0]), history(&[9.0, 8.0, 7.0]));
        // A trial that still gets better, but is worse than the best ever was, changes nothing.
        assert!(stalled(&[slow.clone(), best.clone()]));
        assert!(!stalled(&[best.clone(), history(&[9.0, 8.0, 0.5])]));
        // A best that another trial only equals later is no gain.
        assert!(stalled(&[history(&[9.0, 8.0, 1.0]), best.clone()]));
        assert!(!stalled(&[history(&[1.0, 2.0])]));
        assert!(!stalled(&[Vec::new()]));
        assert!(!has_stalled(&[best], SelectBy::Loss, 0));
        // Of equal accuracies the lower loss is chosen, but it is no gain.
        let falling = history(&[3.0, 2.0, 1.0]);
        assert_eq!(best_epoch(&falling, SelectBy::BalancedAccuracy), 2);
        assert!(has_stalled(&[falling], SelectBy::BalancedAccuracy, 2));
        let never = history(&[f64::NAN, f64::NAN, f64::NAN]);
        assert!(stalled(&[never]));
        // Trials that left the race earlier do not count as the length of the group.
        assert!(stalled(&[history(&[1.0]), history(&[5.0, 4.0, 3.0])]));
    }

    #[test]
    fn the_best_rates_of_every_decay_go_on() {
        let trial = |learning_rate, weight_decay| Trial { learning_rate, weight_decay, seed: 0 };
        let trials: Vec<Trial> =
            [0.1, 0.2, 0.3].iter().flat_map(|&rate| [trial(rate, 0.0), trial(rate, 1.0)]).collect();
        let histories: Vec<_> =
            [5.0, 1.0, 4.0, 2.0, 6.0, f64::NAN].iter().map(|&loss| history(&[loss])).collect();
        let race =
            |n_best| Race { after: 1, n_best }.survivors(&trials, &histories, SelectBy::Loss);
        assert_eq!(race(1), [1, 2]);
        assert_eq!(race(2), [0, 1, 2, 3]);
        assert_eq!(race(3).len(), 6);
        // What a trial once reached counts, not what it is now; of equals the first goes on.
        let histories: Vec<_> =
            [[1.0, 9.0], [1.0, 9.0], [2.0, 2.0], [2.0, 1.0], [3.0, 3.0], [3.0, 3.0]]
                .iter()
                .map(|losses| history(losses))
                .collect();
        let race = Race { after: 1, n_best: 1 };
        assert_eq!(race.survivors(&trials, &histories, SelectBy::Loss), [0, 1]);
    }
}
