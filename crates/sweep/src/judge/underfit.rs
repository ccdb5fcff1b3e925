//! Signs that training did not find what is there: the best value at the end of its list, a loss that
//! still falls, a linear probe that is worse than the exact solution.

use attention_probes_activations::ActivationSource;
use attention_probes_metrics::{Comparison, predicted_class};
use attention_probes_probes::{Optimizer, ProbeState, probabilities_from_logits};

use crate::SweepError;
use crate::config::selection::Keep;
use crate::config::trial::Trial;
use crate::config::{ArchitectureConfig, GridConfig, SelectBy};
use crate::judge::grid_end::{End, best_of_each};
use crate::train::early_stopping::best_epoch;
use crate::train::find_best_fit::{FitRun, find_best_fit};
use crate::train::fit::{GroupFit, TrialFit};
use crate::train::fit_config::FitConfig;
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::method::Method;
use crate::train::passes::predict_logits;
use crate::warning::{Warning, WarningKind};

/// Share of the validation loss that the last epochs may bring.
const FALL: f64 = 0.01;

/// How many epochs are the last ones.
const LAST_EPOCHS: usize = 3;

/// Everything about the training of a chosen trial that a person should know.
pub(crate) fn warnings(
    architecture: &ArchitectureConfig,
    grid: &GridConfig,
    fit: &GroupFit,
) -> Vec<Warning> {
    let name = &architecture.config_name;
    let end = end_of_list(architecture, grid.select_by, fit).map(|(end, of)| end.warning(name, of));
    let falling = falling_loss(&fit.trials[fit.best], grid)
        .map(|message| Warning::of_architecture(WarningKind::FallingLoss, name, &message));
    end.into_iter().chain(falling).collect()
}

/// The chosen learning rate of `AdamW`, or penalty of an exact solution, if it lies at an end; what it
/// is, and where others are added.
fn end_of_list(
    architecture: &ArchitectureConfig,
    select_by: SelectBy,
    fit: &GroupFit,
) -> Option<(End, (&'static str, &'static str))> {
    let chosen = fit.trials[fit.best].trial;
    if architecture.is_exact() {
        let scores = match &fit.cross_validation {
            Some(found) => {
                let score = |one: &crate::CrossValidationScore| match select_by {
                    SelectBy::Loss => -one.log_loss,
                    _ => one.balanced_accuracy,
                };
                found.scores.iter().map(|one| (one.weight_decay, score(one))).collect()
            }
            None => {
                along(fit, select_by, |trial| trial.weight_decay, |other| other.seed == chosen.seed)
            }
        };
        let end = End::of(&scores, chosen.weight_decay)?;
        return Some((end, ("penalty", "the probe's `weight_decays`")));
    }
    fit.trials[fit.best].epochs?;
    let is_like = |other: Trial| other.seed == chosen.seed;
    let scores = along(fit, select_by, |trial| trial.learning_rate, is_like);
    let list = if architecture.learning_rates.is_some() {
        "the probe's `learning_rates`"
    } else {
        "`sweep.learning_rates`"
    };
    Some((End::of(&scores, chosen.learning_rate)?, ("learning rate", list)))
}

/// The values of some trials, each with its best score.
fn along(
    fit: &GroupFit,
    select_by: SelectBy,
    value: impl Fn(Trial) -> f64,
    is_wanted: impl Fn(Trial) -> bool,
) -> Vec<(f64, f64)> {
    let wanted = fit.trials.iter().filter(|one| is_wanted(one.trial));
    let score = |one: &TrialFit| one.score().and_then(|score| score.value(select_by));
    best_of_each(wanted.map(|one| (value(one.trial), score(one).unwrap_or(f64::NAN))))
}

/// What is wrong with a trial that trained to the last epoch that it was allowed, and was still
/// getting better; nothing if validation ended its training.
fn falling_loss(chosen: &TrialFit, grid: &GridConfig) -> Option<String> {
    let n = chosen.history.len();
    chosen.epochs?;
    if n <= LAST_EPOCHS || n < grid.most_epochs() {
        return None;
    }
    let loss = |index: usize| chosen.history[index].validation.loss;
    let (before, after) = (loss(n - 1 - LAST_EPOCHS), loss(n - 1));
    let fall = (before - after) / before;
    let is_falling = fall > FALL && best_epoch(&chosen.history, SelectBy::Loss) + 1 == n;
    let remedy = match grid.epochs {
        Some(_) => "leave out `sweep.epochs`, or raise it",
        None => "write a higher `sweep.epochs`",
    };
    is_falling.then(|| {
        format!(
            "validation loss still fell by {:.1} % over the last {LAST_EPOCHS} of {n} epochs; {remedy}",
            100.0 * fall
        )
    })
}

/// The warning about a linear probe of `AdamW` that is worse than the exact solution, if it is.
pub(crate) fn worse_than_exact(config_name: &str, exact: &Comparison) -> Option<Warning> {
    (exact.interval.lower > 0.0).then(|| {
        let message = format!(
            "the exact linear solution has a balanced accuracy on test that is higher by {:.3} [{:.3}, \
             {:.3}]; leave out the probe's `optimizer` and `learning_rates`",
            exact.difference, exact.interval.lower, exact.interval.upper
        );
        Warning::of_architecture(WarningKind::WorseThanExact, config_name, &message)
    })
}

/// For every group, the classes that the exact solution predicts for some examples, if `AdamW` trains
/// a problem that has one.
///
/// The penalty is chosen on validation from those that a linear probe has by default.
pub(crate) fn exact_predictions(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    (architectures, groups): (&[ArchitectureConfig], &[TrialGroup]),
    config: &FitConfig,
    test: &[usize],
) -> Result<Vec<Option<Vec<usize>>>, SweepError> {
    let mut predicted: Vec<Option<Vec<usize>>> = vec![None; groups.len()];
    let mut indices = Vec::new();
    let mut exact = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let architecture = &architectures[index % architectures.len()];
        let Some(decays) = architecture.exact_alternative() else { continue };
        let seed = config.seed;
        let trial = |weight_decay| Trial { learning_rate: 1.0, weight_decay, seed };
        let method = Method { optimizer: Optimizer::Lbfgs, growth: 0, ..group.method };
        let trials = decays.into_iter().map(trial).collect();
        indices.push(index);
        exact.push(TrialGroup { method, trials, ..group.clone() });
    }
    if exact.is_empty() {
        return Ok(predicted);
    }
    let config = FitConfig { patience: 0, keep: Keep::Last, race: None, ..config.clone() };
    let fits = find_best_fit(
        source,
        &FitRun { data, groups: &exact, config: &config, checkpoint: None },
        &mut |_| {},
    )?;
    let chosen: Vec<(TrialGroup, Vec<ProbeState>)> = exact
        .into_iter()
        .zip(&fits)
        .map(|(group, fit)| {
            let best = &fit.trials[fit.best];
            (TrialGroup { trials: vec![best.trial], ..group }, vec![best.state.clone()])
        })
        .collect();
    let examples: Vec<_> = test.iter().map(|&example| data.examples[example]).collect();
    let logits = predict_logits(source, &examples, &chosen, &config.prediction())?;
    for (index, logits) in indices.into_iter().zip(logits) {
        if logits.iter().all(|logit| logit.is_finite()) {
            let rows = probabilities_from_logits(&logits, data.n_classes());
            let classes = rows.chunks(data.n_classes()).map(|row| predicted_class(row, 0.5));
            predicted[index] = Some(classes.collect());
        }
    }
    Ok(predicted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::early_stopping::tests::history;

    #[test]
    fn a_loss_that_falls_at_the_last_epoch_is_told() {
        let trial = |losses: &[f64]| TrialFit {
            trial: Trial { learning_rate: 0.1, weight_decay: 0.0, seed: 0 },
            state: ProbeState::default(),
            history: history(losses),
            kept: 0,
            epochs: Some(losses.len()),
            converged: None,
        };
        let of = |losses: &[f64], epochs| {
            falling_loss(&trial(losses), &GridConfig { epochs, ..GridConfig::default() })
        };
        let message = of(&[2.0, 1.0, 0.99, 0.98, 0.95], Some(5)).unwrap();
        assert_eq!(
            message,
            "validation loss still fell by 5.0 % over the last 3 of 5 epochs; leave out \
             `sweep.epochs`, or raise it"
        );
        assert_eq!(of(&[2.0, 1.0, 0.999, 0.998, 0.995], Some(5)), None);
        assert_eq!(of(&[2.0, 1.0, 0.9, 0.7, 0.8], Some(5)), None);
        assert_eq!(of(&[2.0, 1.0, 0.5], Some(3)), None);
        // It stopped by itself.
        assert_eq!(of(&[2.0, 1.0, 0.9, 0.8, 0.7], None), None);
        assert!(of(&vec![1.0; 200], None).is_none());
        let falling: Vec<f64> = (0..200).map(|i| 1.0 / f64::from(1 + i)).collect();
        assert!(of(&falling, None).unwrap().ends_with("write a higher `sweep.epochs`"));
        // L-BFGS has no epochs.
        let solved = TrialFit { epochs: None, ..trial(&[2.0, 1.0, 0.5, 0.1, 0.01]) };
        assert_eq!(falling_loss(&solved, &GridConfig::default()), None);
    }
}
