//! Notes about the grid of a data set: learning rates that were added, axes that bought nothing.

use attention_probes_metrics::AxisSpread;

use crate::config::ArchitectureConfig;
use crate::judge::grid_end::short;
use crate::results::report::axis_spreads;
use crate::train::fit::{GroupFit, TrialFit};
use crate::train::group::TrialGroup;

/// Balanced accuracy on validation that an axis must be worth to count.
const NOTHING: f64 = 0.002;

/// What a person may want to know about the grids of a data set, architecture by architecture.
///
/// Groups and fits are those of every site, architectures side by side.
pub(crate) fn grid_notes(
    data: &str,
    architectures: &[ArchitectureConfig],
    (groups, fits): (&[TrialGroup], &[GroupFit]),
) -> Vec<String> {
    let mut notes = Vec::new();
    for (place, architecture) in architectures.iter().enumerate() {
        let name = &architecture.config_name;
        let of_architecture = || groups.iter().zip(fits).skip(place).step_by(architectures.len());
        let mut added: Vec<f64> = Vec::new();
        let mut n_grown = 0;
        for (group, fit) in of_architecture() {
            let more = &fit.trials[group.trials.len()..];
            added.extend(more.iter().map(|one| one.trial.learning_rate));
            n_grown += usize::from(!more.is_empty());
        }
        added.sort_by(f64::total_cmp);
        added.dedup();
        if !added.is_empty() {
            let rates: Vec<String> = added.iter().map(|rate| short(*rate)).collect();
            notes.push(format!(
                "`{data}`: the best learning rate of `{name}` lay at an end of the default list in \
                 {n_grown} of {} experiments; tried {} as well",
                of_architecture().count(),
                rates.join(", ")
            ));
        }
        let mut scores = of_architecture().flat_map(|(_, fit)| &fit.trials).map(TrialFit::score);
        if !scores.any(|score| score.is_some_and(|score| score.balanced_accuracy.is_some())) {
            continue; // labels are not classes, and losses have no common scale
        }
        let spreads: Vec<Vec<AxisSpread>> =
            of_architecture().map(|(_, fit)| axis_spreads(fit)).collect();
        for (index, axis) in spreads.first().into_iter().flatten().enumerate() {
            let of_axis = spreads.iter().filter_map(|spreads| spreads.get(index));
            let most = of_axis.map(|spread| spread.balanced_accuracy).fold(0.0, f64::max);
            if axis.n_values > 1 && axis.axis != "seed" && most <= NOTHING {
                notes.push(format!(
                    "`{data}`: {} values of `{}` change the balanced accuracy of `{name}` by {most:.3} \
                     at most; one would do",
                    axis.n_values, axis.axis
                ));
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use attention_probes_probes::{Linear, Loss, ProbeConfig, ProbeState};

    use super::*;
    use crate::config::SelectBy;
    use crate::config::trial::Trial;
    use crate::train::early_stopping::tests::history;
    use crate::train::method::Method;
    use crate::train::select::choose;

    #[test]
    fn what_was_added_and_what_bought_nothing_is_told_once_for_all_layers() {
        let trial = |learning_rate| {
            [0.0, 0.1].map(|weight_decay| Trial { learning_rate, weight_decay, seed: 0 })
        };
        let grid: Vec<Trial> = [0.1, 0.2].into_iter().flat_map(trial).collect();
        let group = TrialGroup {
            site: 0,
            probe: ProbeConfig::new(Linear::default(), 2, 2),
            loss: Loss::CrossEntropy,
            method: Method::default(),
            trials: grid.clone(),
        };
        let fit = |trials: &[Trial]| {
            let fit = |(index, trial): (usize, &Trial)| {
                let mut history = history(&[1.0]);
                history[0].validation.balanced_accuracy = Some(0.5 + 0.1 * (index / 2) as f64);
                let (trial, state) = (*trial, ProbeState::default());
                TrialFit { trial, state, history, kept: 0, epochs: Some(1), converged: None }
            };
            let fits = trials.iter().enumerate().map(fit).collect();
            choose(fits, group.probe.clone(), SelectBy::BalancedAccuracy)
        };
        let grown: Vec<Trial> = grid.iter().copied().chain(trial(0.5)).collect();
        let architecture =
            ArchitectureConfig { config_name: "mlp".to_owned(), ..ArchitectureConfig::default() };
        let groups = [group.clone(), group.clone()];
        let found = grid_notes("texts", &[architecture], (&groups, &[fit(&grid), fit(&grown)]));
        let expected = [
            "`texts`: the best learning rate of `mlp` lay at an end of the default list in 1 of 2 \
             experiments; tried 5e-1 as well",
            "`texts`: 2 values of `weight_decay` change the balanced accuracy of `mlp` by 0.000 at \
             most; one would do",
        ];
        assert_eq!(found, expected);
    }
}
