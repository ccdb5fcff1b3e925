//! Signs that training did not find what is there: the best value at the end of its list, a loss that
//! still falls, a linear probe that is worse than the exact solution.

use attention_probes_activations::ActivationSource;
use attention_probes_metrics::{Comparison, predicted_class};
use attention_probes_probes::{Optimizer, ProbeState, probabilities_from_logits};

use crate::SweepError;
use crate::config::{ArchitectureConfig, GridConfig, SelectBy};
use crate::early_stopping::{Keep, best_epoch};
use crate::find_best_fit::find_best_fit;
use crate::fit::{FitConfig, FitData, GroupFit, TrialFit, TrialGroup};
use crate::method::Method;
use crate::passes::predict_logits;
use crate::plan::Trial;
use crate::warning::{Warning, WarningKind};

/// How much worse the neighbour of the best value must be, if that lies at the end of its list.
const WORSE: f64 = 0.005;

/// Share of the validation loss that the last epochs may bring.
const FALL: f64 = 0.01;

/// How many epochs are the last ones.
const LAST_EPOCHS: usize = 3;

/// The best value of a list, where it lies at the list's end and its neighbour is clearly worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    best: f64,
    is_lowest: bool,
    neighbour: f64,
    pub(crate) worse_by: f64,
}

impl End {
    /// Looks at values and their scores, the higher the better, in any order.
    pub(crate) fn of(scores: &[(f64, f64)], best: f64) -> Option<Self> {
        let mut scores = scores.to_vec();
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = scores.iter().position(|(value, _)| value.to_bits() == best.to_bits())?;
        let is_lowest = place == 0;
        let neighbour = if is_lowest {
            scores.get(1)?
        } else if place + 1 == scores.len() {
            &scores[place - 1]
        } else {
            return None;
        };
        let worse_by = scores[place].1 - neighbour.1;
        // A neighbour without a number is worse by any measure.
        let is_level = worse_by <= WORSE;
        (!is_level).then_some(Self { best, is_lowest, neighbour: neighbour.0, worse_by })
    }

    /// The warning about a probe, of which `what` was chosen from a list that `remedy` extends.
    pub(crate) fn warning(&self, config_name: &str, (what, list): (&str, &str)) -> Warning {
        let (end, more) = if self.is_lowest { ("lowest", "lower") } else { ("highest", "higher") };
        let worse = if self.worse_by.is_finite() {
            format!("is worse by {:.3}", self.worse_by)
        } else {
            "diverged".to_owned()
        };
        let message = format!(
            "the best {what}, {}, is the {end} that was tried, and its neighbour, {}, {worse} on \
             validation; add {more} ones to {list}",
            short(self.best),
            short(self.neighbour)
        );
        Warning::of_architecture(WarningKind::EndOfList, config_name, &message)
    }
}

/// A number with at most three digits: `5e-3`, `1.58e-2`.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.2e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
}

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
    let is_like = |other: Trial| {
        other.seed == chosen.seed && other.weight_decay.to_bits() == chosen.weight_decay.to_bits()
    };
    let scores = along(fit, select_by, |trial| trial.learning_rate, is_like);
    let list = if architecture.learning_rates.is_some() {
        "the probe's `learning_rates`"
    } else {
        "`sweep.learning_rates`"
    };
    Some((End::of(&scores, chosen.learning_rate)?, ("learning rate", list)))
}

/// Values and scores of some trials.
fn along(
    fit: &GroupFit,
    select_by: SelectBy,
    value: impl Fn(Trial) -> f64,
    is_wanted: impl Fn(Trial) -> bool,
) -> Vec<(f64, f64)> {
    let wanted = fit.trials.iter().filter(|one| is_wanted(one.trial));
    let score = |one: &TrialFit| one.score().and_then(|score| score.value(select_by));
    wanted.map(|one| (value(one.trial), score(one).unwrap_or(f64::NAN))).collect()
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
    let config = FitConfig { patience: 0, keep: Keep::Last, race: None, ..*config };
    let fits = find_best_fit(source, data, &exact, &config, None, &mut |_| {})?;
    let chosen: Vec<(TrialGroup, Vec<ProbeState>)> = exact
        .into_iter()
        .zip(&fits)
        .map(|(group, fit)| {
            let best = &fit.trials[fit.best];
            (TrialGroup { trials: vec![best.trial], ..group }, vec![best.state.clone()])
        })
        .collect();
    let examples: Vec<_> = test.iter().map(|&example| data.examples[example]).collect();
    let logits = predict_logits(source, &examples, &chosen, config.batch_size)?;
    for (index, logits) in indices.into_iter().zip(logits) {
        if logits.iter().all(|logit| logit.is_finite()) {
            let rows = probabilities_from_logits(&logits, data.n_classes);
            let classes = rows.chunks(data.n_classes).map(|row| predicted_class(row, 0.5));
            predicted[index] = Some(classes.collect());
        }
    }
    Ok(predicted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::early_stopping::tests::history;

    #[test]
    fn an_end_counts_where_its_neighbour_is_clearly_worse() {
        let scores = [(1.0, 0.7), (10.0, 0.72), (0.1, 0.5)];
        let end = End::of(&scores, 10.0).unwrap();
        let message = end.warning("mlp", ("learning rate", "`sweep.learning_rates`")).message;
        assert_eq!(
            message,
            "`mlp`: the best learning rate, 1e1, is the highest that was tried, and its neighbour, 1e0, is \
             worse by 0.020 on validation; add higher ones to `sweep.learning_rates`"
        );
        assert_eq!(End::of(&scores, 1.0), None);
        assert!(End::of(&[(1.0, 0.7), (2.0, 0.6)], 1.0).unwrap().is_lowest);
        // A flat end, and a list of one, are no ends.
        assert_eq!(End::of(&[(1.0, 0.7), (2.0, 0.704)], 2.0), None);
        assert_eq!(End::of(&[(1.0, 0.7)], 1.0), None);
        let diverged = End::of(&[(1.0, 0.7), (2.0, f64::NAN)], 1.0).unwrap();
        assert!(diverged.warning("a", ("penalty", "it")).message.contains("2e0, diverged on"));
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        assert_eq!([5e-3, 0.0158, 1.0].map(short), ["5e-3", "1.58e-2", "1e0"]);
    }

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
