//! Choosing the penalty of a logistic regression: by cross-validation, or on a validation side.

use attention_probes_kernels::cross_entropy;
use attention_probes_metrics::{ConfusionMatrix, predicted_class};

use super::folds::Folds;
use super::logistic::{LogisticConfig, LogisticData, LogisticFit, Prepared, logistic_path};
use super::problem::Problem;
use super::targets::LogisticTargets;
use crate::{ProbeError, probabilities_from_logits};

/// By what a penalty is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectPenaltyBy {
    /// Highest balanced accuracy; the log loss breaks ties. Soft labels count as their likeliest
    /// class.
    #[default]
    BalancedAccuracy,
    /// Lowest log loss.
    LogLoss,
}

/// How good a penalty is on examples that it was not trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PenaltyScore {
    /// The penalty.
    pub penalty: f64,
    /// Mean over the classes of the share that is recognised.
    pub balanced_accuracy: f64,
    /// Mean cross-entropy, in nats.
    pub log_loss: f64,
}

/// The penalty that was chosen for a label.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticSelection {
    /// Which of independent labels, 0 if there is one.
    pub label: usize,
    /// Score of each penalty, in the order of the config.
    pub scores: Vec<PenaltyScore>,
    /// Index of the chosen penalty.
    pub best: usize,
    /// The fit with that penalty on all training examples.
    pub fit: LogisticFit,
}

/// Chooses a penalty for each label by cross-validation, and fits it on all examples.
///
/// All folds and penalties are solved in the same products: a fold's problems give its examples no
/// weight. What one fold gives for an example that it held out counts once, so a score is over
/// every example. With `standardize`, each fold has the scale of its own training examples. The
/// fit on all examples starts at the mean of the folds. Of equal penalties the highest is chosen.
///
/// # Memory
///
/// As [`logistic_path`], and the logits of every example in every fold and penalty.
///
/// # Errors
///
/// As [`logistic_path`], and [`ProbeError::SizeMismatch`] if the folds are not of these examples.
pub fn cross_validate_logistic(
    data: LogisticData<'_>,
    folds: &Folds,
    config: &LogisticConfig,
    select_by: SelectPenaltyBy,
) -> Result<Vec<LogisticSelection>, ProbeError> {
    follow_cross_validation(data, folds, (config, select_by), &mut |_| {})
}

/// As [`cross_validate_logistic`]; `on_pass` is told how many passes over the features are done, of
/// the folds and then of the fit on all examples.
///
/// # Errors
///
/// As [`cross_validate_logistic`].
pub fn follow_cross_validation(
    data: LogisticData<'_>,
    folds: &Folds,
    (config, select_by): (&LogisticConfig, SelectPenaltyBy),
    on_pass: &mut dyn FnMut(usize),
) -> Result<Vec<LogisticSelection>, ProbeError> {
    config.check()?;
    let (found, expected) = (folds.of().len(), data.features.n_examples());
    if found != expected {
        let what = "the number of examples in folds";
        return Err(ProbeError::SizeMismatch { what, found, expected });
    }
    let prepared = Prepared::new(data)?.with_folds(folds.of());
    let n_folds = folds.n_folds();
    let held_out: Vec<Option<u32>> = (0..n_folds as u32).map(Some).collect();
    let problems = prepared.problems(&held_out, config)?;
    let solutions = prepared.solve(&problems, (config, &mut *on_pass), None)?;
    let (n_labels, n_logits) = (data.targets.n_labels(), prepared.objective().n_logits());
    for (problem, solution) in problems.iter().zip(&solutions) {
        // Refuses what did not converge.
        prepared.fit(solution.clone(), config.penalties[problem.penalty], problem.label, config)?;
    }
    let params: Vec<Vec<f64>> = solutions.into_iter().map(|solution| solution.params).collect();
    let logits = prepared.objective().logits(&params);
    let n_columns = problems.len() * n_logits;
    let index =
        |penalty: usize, fold: usize, label: usize| (penalty * n_folds + fold) * n_labels + label;

    let mut scores = vec![Vec::new(); n_labels];
    for (label, scores) in scores.iter_mut().enumerate() {
        for (penalty, &value) in config.penalties.iter().enumerate() {
            let of_example = |(row, &fold): (&[f32], &u32)| {
                let from = index(penalty, fold as usize, label) * n_logits;
                row[from..from + n_logits].to_vec()
            };
            let rows = logits.chunks_exact(n_columns).zip(folds.of());
            let held_out: Vec<f32> = rows.flat_map(of_example).collect();
            scores.push(PenaltyScore::new(value, &held_out, data.targets, label)?);
        }
    }
    let best: Vec<usize> = scores.iter().map(|scores| best_of(scores, select_by)).collect();

    let mut refits: Vec<Problem> = Vec::new();
    let mut starts = Vec::new();
    let on_all = prepared.problems(&[None], config)?;
    for (label, &penalty) in best.iter().enumerate() {
        refits.push(on_all[penalty * n_labels + label].clone());
        let mut mean = vec![0.0; prepared.objective().n_params()];
        for fold in 0..n_folds {
            for (mean, value) in mean.iter_mut().zip(&params[index(penalty, fold, label)]) {
                *mean += value / n_folds as f64;
            }
        }
        starts.push(mean);
    }
    let solutions = prepared.solve(&refits, (config, on_pass), Some(starts))?;
    let selected = solutions.into_iter().zip(scores).zip(best).enumerate();
    selected
        .map(|(label, ((solution, scores), best))| {
            let fit = prepared.fit(solution, config.penalties[best], label, config)?;
            Ok(LogisticSelection { label, scores, best, fit })
        })
        .collect()
}

/// Chooses a penalty for each label on a validation side.
///
/// Of equal penalties the highest is chosen. The weights of the validation side are not used.
///
/// # Errors
///
/// As [`logistic_path`], and [`ProbeError::SizeMismatch`] if the validation side has another width,
/// number of classes or of labels than the training side.
pub fn select_logistic(
    train: LogisticData<'_>,
    validation: LogisticData<'_>,
    config: &LogisticConfig,
    select_by: SelectPenaltyBy,
) -> Result<Vec<LogisticSelection>, ProbeError> {
    let n_examples = validation.features.n_examples();
    for (what, found, expected) in [
        ("the number of classes", validation.targets.n_classes(), train.targets.n_classes()),
        ("the number of labels", validation.targets.n_labels(), train.targets.n_labels()),
        ("the number of targets", validation.targets.n_examples(), n_examples),
        ("the width of the features", validation.features.d_model(), train.features.d_model()),
    ] {
        if found != expected {
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
    }
    let n_labels = train.targets.n_labels();
    let mut fits: Vec<Vec<LogisticFit>> = vec![Vec::new(); n_labels];
    for fit in logistic_path(train, config)? {
        fits[fit.label].push(fit);
    }
    let select = |(label, mut fits): (usize, Vec<LogisticFit>)| {
        let score = |fit: &LogisticFit| {
            let logits = fit.readout.outputs(validation.features)?;
            PenaltyScore::new(fit.penalty, &logits, validation.targets, label)
        };
        let scores = fits.iter().map(score).collect::<Result<Vec<_>, _>>()?;
        let best = best_of(&scores, select_by);
        Ok(LogisticSelection { label, scores, best, fit: fits.swap_remove(best) })
    };
    fits.into_iter().enumerate().map(select).collect()
}

impl PenaltyScore {
    /// Scores logits of a label, `[n_examples, n_logits]`.
    fn new(
        penalty: f64,
        logits: &[f32],
        targets: &LogisticTargets,
        label: usize,
    ) -> Result<Self, ProbeError> {
        let (n_classes, n_examples) = (targets.n_classes(), targets.n_examples());
        let probabilities = probabilities_from_logits(logits, n_classes);
        let mut loss = 0.0;
        let (mut labels, mut predictions) = (Vec::new(), Vec::new());
        for (example, row) in probabilities.chunks_exact(n_classes).enumerate() {
            labels.push(targets.class(example, label));
            predictions.push(predicted_class(row, 0.5));
            let target = targets.distribution(example, label);
            loss += cross_entropy(&target, row);
        }
        let confusion = ConfusionMatrix::new(&labels, &predictions, n_classes)
            .map_err(|source| ProbeError::Metrics { source })?;
        let balanced_accuracy = confusion.balanced_accuracy();
        Ok(Self { penalty, balanced_accuracy, log_loss: loss / n_examples as f64 })
    }
}

/// Index of the best score.
fn best_of(scores: &[PenaltyScore], select_by: SelectPenaltyBy) -> usize {
    let key = |score: &PenaltyScore| {
        let accuracy = match select_by {
            SelectPenaltyBy::BalancedAccuracy => score.balanced_accuracy,
            SelectPenaltyBy::LogLoss => 0.0,
        };
        [accuracy, -score.log_loss, score.penalty]
    };
    let is_better = |a: &PenaltyScore, b: &PenaltyScore| {
        let (a, b) = (key(a), key(b));
        let order = a.iter().zip(&b).map(|(a, b)| a.total_cmp(b));
        order.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).is_gt()
    };
    (0..scores.len()).fold(0, |best, i| if is_better(&scores[i], &scores[best]) { i } else { best })
}
