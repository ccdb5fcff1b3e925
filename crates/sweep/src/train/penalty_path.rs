//! A probe over a path of penalties, of which validation chooses.

use attention_probes_errors::Stop;
use attention_probes_kernels::binary_cross_entropy;
use attention_probes_metrics::r_squared;
use attention_probes_probes::{
    Features, LabelKind, Labels, LinearReadout, LogisticConfig, LogisticData, LogisticFit,
    LogisticTargets, ProbeError, RidgeConfig, logistic_path, ridge_path, target_cross_entropies,
};

use crate::SweepError;
use crate::results::target_report::PenaltyMetrics;

/// The probe of an architecture.
pub(crate) struct FittedProbe {
    pub(crate) readout: LinearReadout,
    /// The chosen penalty: one for all outputs, or one for each label.
    pub(crate) penalties: Vec<f64>,
    /// Every penalty, and how validation likes it.
    pub(crate) path: Vec<PenaltyMetrics>,
}

/// One side of a split.
#[derive(Clone, Copy)]
pub(crate) struct FitSide<'a> {
    pub(crate) features: Features<'a>,
    pub(crate) targets: &'a Labels,
}

/// Solves the problem of every penalty on the training side, and chooses on the validation side.
///
/// A number is chosen by R², labels each by itself and distributions by log loss. Of equals the
/// highest penalty is chosen, and never a fit that did not converge.
pub(crate) fn fit(
    config_name: &str,
    train: FitSide<'_>,
    validation: FitSide<'_>,
    (penalties, stop): (&[f64], &Stop),
) -> Result<FittedProbe, SweepError> {
    match train.targets.kind() {
        LabelKind::Class | LabelKind::Number => {
            fit_number(config_name, train, validation, penalties)
        }
        LabelKind::Labels | LabelKind::Distribution => {
            fit_logits(config_name, train, validation, (penalties, stop))
        }
    }
}

fn fit_number(
    config_name: &str,
    train: FitSide<'_>,
    validation: FitSide<'_>,
    penalties: &[f64],
) -> Result<FittedProbe, SweepError> {
    let config = RidgeConfig { penalties: penalties.to_vec(), ..RidgeConfig::default() };
    let mut path = Vec::new();
    let mut best: Option<(f64, f64, LinearReadout)> = None;
    for fit in ridge_path(train.features, &as_f32(train.targets.numbers()), &config)? {
        let outputs = fit.readout.outputs(validation.features)?;
        let outputs: Vec<f64> = outputs.iter().map(|output| f64::from(*output)).collect();
        let score = r_squared(validation.targets.numbers(), &outputs)?;
        path.push(PenaltyMetrics {
            config_name: config_name.to_owned(),
            output: None,
            penalty: fit.penalty,
            validation: score,
            converged: true,
        });
        let is_better = best.as_ref().is_none_or(|(penalty, known, _)| {
            score.total_cmp(known).then(fit.penalty.total_cmp(penalty)).is_gt()
        });
        if is_better {
            best = Some((fit.penalty, score, fit.readout));
        }
    }
    // A plan has at least one penalty.
    let (penalty, _, readout) = best.ok_or(SweepError::Empty { key: "sweep.penalties" })?;
    Ok(FittedProbe { readout, penalties: vec![penalty], path })
}

/// Solves the problem once more with the penalties that were chosen; `None` if the solver did not
/// come to the minimum.
pub(crate) fn fit_again(
    train: FitSide<'_>,
    penalties: &[f64],
    stop: &Stop,
) -> Result<Option<LinearReadout>, SweepError> {
    if matches!(train.targets.kind(), LabelKind::Class | LabelKind::Number) {
        let config = RidgeConfig { penalties: penalties.to_vec(), ..RidgeConfig::default() };
        let mut fits = ridge_path(train.features, &as_f32(train.targets.numbers()), &config)?;
        return Ok(fits.pop().map(|fit| fit.readout));
    }
    let mut different = penalties.to_vec();
    different.sort_by(f64::total_cmp);
    different.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let fits = logistic_fits(train, &different, stop)?;
    let mut readouts = Vec::new();
    for (label, penalty) in penalties.iter().enumerate() {
        let is_wanted = |fit: &&LogisticFit| {
            fit.label == label && fit.penalty.total_cmp(penalty).is_eq() && fit.converged
        };
        let Some(fit) = fits.iter().find(is_wanted) else { return Ok(None) };
        readouts.push(&fit.readout);
    }
    Ok(Some(LinearReadout::joined(readouts)?))
}

fn as_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The fits of all labels and penalties, converged or not.
fn logistic_fits(
    train: FitSide<'_>,
    penalties: &[f64],
    stop: &Stop,
) -> Result<Vec<LogisticFit>, SweepError> {
    let config = LogisticConfig {
        penalties: penalties.to_vec(),
        keep_unconverged: true,
        stop: stop.clone(),
        ..LogisticConfig::default()
    };
    let targets = LogisticTargets::of_labels(train.targets)?;
    let data = LogisticData { features: train.features, targets: &targets, weights: None };
    Ok(logistic_path(data, &config)?)
}

fn fit_logits(
    config_name: &str,
    train: FitSide<'_>,
    validation: FitSide<'_>,
    (penalties, stop): (&[f64], &Stop),
) -> Result<FittedProbe, SweepError> {
    // What does not converge is left out below, since the other penalties may do without it.
    let fits = logistic_fits(train, penalties, stop)?;
    let kind = train.targets.kind();
    let n_labels = if kind == LabelKind::Labels { train.targets.n_columns() } else { 1 };
    let mut best: Vec<Option<(f64, LogisticFit)>> = vec![None; n_labels];
    let mut path = Vec::new();
    let mut worst = 0.0_f64;
    for fit in fits {
        let logits = fit.readout.outputs(validation.features)?;
        let score = -mean_log_loss(&logits, validation.targets, fit.label);
        let is_label = kind == LabelKind::Labels;
        path.push(PenaltyMetrics {
            config_name: config_name.to_owned(),
            output: is_label.then(|| train.targets.names[fit.label].clone()),
            penalty: fit.penalty,
            validation: score,
            converged: fit.converged,
        });
        if !fit.converged {
            worst = worst.max(fit.gradient_norm);
            continue;
        }
        let known = &mut best[fit.label];
        let is_better = known.as_ref().is_none_or(|(known, other)| {
            score.total_cmp(known).then(fit.penalty.total_cmp(&other.penalty)).is_gt()
        });
        if is_better {
            *known = Some((score, fit));
        }
    }
    let (mut readouts, mut chosen) = (Vec::new(), Vec::new());
    for best in best {
        let Some((_, fit)) = best else {
            let config = LogisticConfig::default();
            return Err(ProbeError::Unconverged {
                penalty: penalties[0],
                gradient_norm: worst,
                n_iterations: config.max_iterations,
                tolerance: config.tolerance,
            }
            .into());
        };
        chosen.push(fit.penalty);
        readouts.push(fit.readout);
    }
    Ok(FittedProbe { readout: LinearReadout::joined(&readouts)?, penalties: chosen, path })
}

/// Mean cross-entropy in nats of the logits of one label, or of all classes.
pub(crate) fn mean_log_loss(logits: &[f32], targets: &Labels, label: usize) -> f64 {
    let n_columns = targets.n_columns();
    let losses: Vec<f64> = if targets.kind() == LabelKind::Labels {
        let rows = targets.numbers().chunks_exact(n_columns).zip(logits);
        rows.map(|(row, logit)| binary_cross_entropy(f64::from(*logit), row[label])).collect()
    } else {
        target_cross_entropies(logits, targets)
    };
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn validation_chooses_the_penalty_of_a_number() {
        // y = 2 x + 1 exactly, so the weakest penalty is best.
        let (x, y) = ([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0]);
        let targets = Labels::of_numbers(y.to_vec(), "y");
        let side = FitSide { features: Features::new(&x, 1).unwrap(), targets: &targets };
        let found = fit("linear", side, side, (&[1.0, 1e-6, 100.0], &Stop::never())).unwrap();
        assert_eq!((found.penalties, found.path.len()), (vec![1e-6], 3));
        approx::assert_abs_diff_eq!(found.readout.weight()[0], 2.0, epsilon = 1e-4);
        // Ridge of one feature in closed form: w = Sxy / (Sxx + penalty).
        let w = 10.0 / (5.0 + 1.0);
        let residual: f64 = x.iter().map(|x| ((2.0 - w) * (f64::from(*x) - 1.5)).powi(2)).sum();
        approx::assert_abs_diff_eq!(
            found.path[0].validation,
            1.0 - residual / 20.0,
            epsilon = 1e-5
        );
    }

    #[test]
    fn each_label_has_a_penalty_of_its_own() {
        // The first label is the sign of the feature; the second has nothing to do with it.
        let x = [-2.0, -1.0, 1.0, 2.0];
        let values = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0];
        let targets = Labels::of_labels(values.to_vec(), names(&["a", "b"]));
        let side = FitSide { features: Features::new(&x, 1).unwrap(), targets: &targets };
        let found = fit("linear", side, side, (&[1e-2, 1e4], &Stop::never())).unwrap();
        assert_eq!((found.readout.n_out(), found.path.len()), (2, 4));
        approx::assert_abs_diff_eq!(found.penalties[0], 1e-2);
        assert!(found.readout.weight()[0] > 1.0);
        let of_b = found.path.iter().filter(|score| score.output.as_deref() == Some("b"));
        let best = of_b.max_by(|a, b| a.validation.total_cmp(&b.validation)).unwrap();
        approx::assert_abs_diff_eq!(best.penalty, found.penalties[1]);
    }

    #[test]
    fn a_constant_probe_of_soft_labels_says_their_mean() {
        let x = [1.0, -1.0, 1.0, -1.0];
        let values = [0.7, 0.3, 0.7, 0.3, 0.5, 0.5, 0.5, 0.5];
        let targets = Labels::of_distributions(values.to_vec(), names(&["no", "yes"]));
        let side = FitSide { features: Features::new(&x, 1).unwrap(), targets: &targets };
        let found = fit("linear", side, side, (&[1e6], &Stop::never())).unwrap();
        let bias = f64::from(found.readout.bias()[0]);
        approx::assert_abs_diff_eq!(bias, (0.4_f64 / 0.6).ln(), epsilon = 1e-3);
        let losses = target_cross_entropies(&[0.0; 4], &targets);
        approx::assert_abs_diff_eq!(losses[0], 2.0_f64.ln(), epsilon = 1e-12);
    }
}
