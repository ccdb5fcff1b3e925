//! Learning rates beyond the end of a grid whose best one lies there.

use std::cmp::Ordering;

use crate::config::SelectBy;
use crate::config::trial::{Trial, rates_of, three_digits};
use crate::train::early_stopping::best_epoch;
use crate::train::group::TrialGroup;
use crate::train::record::EpochRecord;
use crate::train::score::{compare, value_of};

/// The trials of the learning rate that a group is to try next, if its best one lies at an end of
/// those that it has tried: `√10` times the highest, or the lowest over `√10`, to three digits.
///
/// The first `n_grid` trials are those of the grid; what is added has their weight decays and seeds.
/// A rate whose score is only as good as that of another adds none, whatever its loss.
pub(crate) fn next_trials(
    group: &TrialGroup,
    histories: &[Vec<EpochRecord>],
    n_grid: usize,
    select_by: SelectBy,
) -> Vec<Trial> {
    let rates = rates_of(&group.trials);
    let n_added = rates.len() - rates_of(&group.trials[..n_grid]).len();
    if n_added >= group.method.growth || rates.len() == 1 {
        return Vec::new();
    }
    let score = |trial: usize| {
        let history = &histories[trial];
        history.get(best_epoch(history, select_by)).map(|record| record.validation)
    };
    let is_better =
        |a: usize, b: usize| compare(score(a), score(b), select_by) == Ordering::Greater;
    let best = (0..group.trials.len())
        .fold(0, |best, next| if is_better(next, best) { next } else { best });
    let value = value_of(score(best), select_by);
    let best = group.trials[best].learning_rate;
    let other = |&trial: &usize| group.trials[trial].learning_rate.to_bits() != best.to_bits();
    let others = (0..group.trials.len()).filter(other);
    let others = others.filter_map(|trial| value_of(score(trial), select_by)).reduce(f64::max);
    if value.zip(others).is_some_and(|(value, others)| value <= others) {
        return Vec::new();
    }
    let (lowest, highest) = (rates[0], rates[rates.len() - 1]);
    let grid = rates_of(&group.trials[..n_grid]);
    // From the end of the grid on, so that rounding does not add up.
    let next = if best >= highest {
        let above = rates.iter().filter(|rate| **rate >= grid[grid.len() - 1]).count();
        grid[grid.len() - 1] * 10.0_f64.powf(above as f64 / 2.0)
    } else if best <= lowest {
        let below = rates.iter().filter(|rate| **rate <= grid[0]).count();
        grid[0] * 10.0_f64.powf(below as f64 / -2.0)
    } else {
        return Vec::new();
    };
    let next = three_digits(next);
    let first = group.trials[0].learning_rate.to_bits();
    let of_one_rate =
        group.trials[..n_grid].iter().filter(|trial| trial.learning_rate.to_bits() == first);
    of_one_rate.map(|trial| Trial { learning_rate: next, ..*trial }).collect()
}

#[cfg(test)]
mod tests {
    use attention_probes_probes::{Linear, Loss, ProbeConfig};

    use super::*;
    use crate::train::early_stopping::tests::history;
    use crate::train::method::Method;

    fn group(rates: &[f64], growth: usize) -> TrialGroup {
        let trial = |&learning_rate: &f64| {
            [0.0, 0.1].map(|weight_decay| Trial { learning_rate, weight_decay, seed: 3 })
        };
        TrialGroup {
            site: 0,
            probe: ProbeConfig::new(Linear::default(), 2, 2),
            loss: Loss::CrossEntropy,
            method: Method { growth, ..Method::default() },
            trials: rates.iter().flat_map(trial).collect(),
        }
    }

    fn next(rates: &[f64], n_grid: usize, losses: &[f64], growth: usize) -> Vec<f64> {
        let histories: Vec<_> =
            losses.iter().flat_map(|&x| [history(&[x]), history(&[9.0])]).collect();
        let trials = next_trials(&group(rates, growth), &histories, 2 * n_grid, SelectBy::Loss);
        assert!(trials.is_empty() || trials.iter().map(|t| t.weight_decay).eq([0.0, 0.1]));
        rates_of(&trials)
    }

    #[test]
    fn a_grid_grows_beyond_the_end_that_is_best() {
        assert_eq!(next(&[0.1, 1.0], 2, &[2.0, 1.0], 4), [3.16]);
        assert_eq!(next(&[0.1, 1.0], 2, &[1.0, 2.0], 4), [0.0316]);
        assert!(next(&[0.1, 0.5, 1.0], 3, &[2.0, 1.0, 2.0], 4).is_empty());
        // What was added goes on being added to while it is better, and no more often than allowed.
        assert_eq!(next(&[0.1, 1.0, 3.16], 2, &[3.0, 2.0, 1.0], 4), [10.0]);
        assert_eq!(next(&[0.1, 1.0, 0.0316, 0.01], 2, &[3.0, 3.0, 2.0, 1.0], 4), [0.00316]);
        assert!(next(&[0.1, 1.0, 3.16], 2, &[3.0, 2.0, 2.0], 4).is_empty());
        assert!(next(&[0.1, 1.0, 3.16], 2, &[3.0, 2.0, 1.0], 1).is_empty());
        // One rate is no grid, and where the grid is given it stays.
        assert!(next(&[0.1], 1, &[2.0], 4).is_empty());
        assert!(next(&[0.1, 1.0], 2, &[2.0, 1.0], 0).is_empty());
    }

    #[test]
    fn a_rate_that_is_only_as_good_as_another_adds_none() {
        assert!(next(&[0.1, 0.5, 1.0], 3, &[2.0, 1.0, 1.0], 4).is_empty());
        assert!(next(&[0.1, 0.5, 1.0], 3, &[1.0, 2.0, 1.0], 4).is_empty());
    }

    #[test]
    fn where_everything_diverged_lower_rates_are_tried() {
        let histories = vec![history(&[f64::NAN]); 4];
        let trials = next_trials(&group(&[0.1, 1.0], 4), &histories, 4, SelectBy::Loss);
        assert_eq!(rates_of(&trials), [0.0316]);
    }
}
