//! The weight decay of a linear probe, chosen by cross-validation inside the training examples.

use std::collections::BTreeSet;

use attention_probes_errors::ValueError;
use attention_probes_probes::{
    Folds, LogisticConfig, LogisticData, PenaltyScore, ProbeError, SelectPenaltyBy,
    follow_cross_validation,
};
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::SelectBy;
use crate::train::fit_data::FitData;

/// What cross-validation said about weight decays, and which one it chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Number of folds.
    pub n_folds: usize,
    /// Score of every weight decay, in ascending order, but for those whose fit on all training
    /// examples does not converge.
    pub scores: Vec<CrossValidationScore>,
    /// Index of the chosen one.
    pub best: usize,
}

/// How good a weight decay is on every training example, each judged by the fit that did not see
/// its fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidationScore {
    /// The weight decay.
    pub weight_decay: f64,
    /// The same as a penalty on the sum of the losses, scikit-learn's `1 / C`: the weight decay
    /// times the weight of all training examples.
    pub penalty: f64,
    /// Mean recall over the classes.
    pub balanced_accuracy: f64,
    /// Mean cross-entropy in nats, without class weights.
    pub log_loss: f64,
}

impl CrossValidation {
    /// Judges weight decays, and chooses the best; of equals the highest.
    ///
    /// A decay is the same penalty on the sum of the losses in every fold, as scikit-learn's `C` is.
    pub(crate) fn new(
        examples: LogisticData<'_>,
        weight_decays: &[f64],
        (config, select_by): (&LogisticConfig, SelectBy),
        folds: &Folds,
        on_pass: &mut dyn FnMut(usize),
    ) -> Result<Self, ProbeError> {
        let select_by = penalty_selection(select_by).ok_or(NOT_SELECTABLE)?;
        let settings = (config, select_by);
        let found = follow_cross_validation(examples, folds, settings, on_pass)?.swap_remove(0);
        let score = |(&weight_decay, score): (&f64, &PenaltyScore)| CrossValidationScore {
            weight_decay,
            penalty: score.penalty,
            balanced_accuracy: score.balanced_accuracy,
            log_loss: score.log_loss,
        };
        let scores = weight_decays.iter().zip(&found.scores).map(score).collect();
        Ok(Self { n_folds: folds.n_folds(), scores, best: found.best })
    }

    /// The chosen weight decay.
    pub fn chosen(&self) -> &CrossValidationScore {
        &self.scores[self.best]
    }
}

/// Refusal of a metric that cannot choose here.
const NOT_SELECTABLE: ProbeError = ProbeError::Recipe {
    name: "select_by",
    reason: "must be `balanced_accuracy` or `loss` with folds",
};

/// How a metric of the sweep chooses a penalty, if it can.
pub(crate) fn penalty_selection(select_by: SelectBy) -> Option<SelectPenaltyBy> {
    match select_by {
        SelectBy::BalancedAccuracy => Some(SelectPenaltyBy::BalancedAccuracy),
        SelectBy::Loss => Some(SelectPenaltyBy::LogLoss),
        SelectBy::Accuracy | SelectBy::Auroc => None,
    }
}

/// Divides the training examples into folds, with the classes in proportion and groups kept whole.
pub(crate) fn folds_of(data: &FitData<'_>, n_folds: usize, seed: u64) -> Result<Folds, ProbeError> {
    let of_train = |values: &[usize]| data.train.iter().map(|&i| values[i]).collect::<Vec<_>>();
    let groups = data.groups.map(of_train);
    if n_folds > n_groups(data) {
        let expected = "at most the number of groups to train on";
        let value = n_folds as f64;
        return Err(ValueError::new("folds", value, expected).into());
    }
    Folds::stratified(&of_train(&data.labels.strata()), groups.as_deref(), n_folds, seed)
}

/// Number of groups of the training examples, each of which is one if there are none.
fn n_groups(data: &FitData<'_>) -> usize {
    match data.groups {
        Some(groups) => data.train.iter().map(|&i| groups[i]).collect::<BTreeSet<_>>().len(),
        None => data.train.len(),
    }
}

/// Refuses folds that the training examples of a data set cannot be divided into.
pub(crate) fn check_folds(
    data: &FitData<'_>,
    n_folds: usize,
    seed: u64,
    path: &std::path::Path,
) -> Result<(), SweepError> {
    folds_of(data, n_folds, seed).map(drop).map_err(|source| SweepError::Folds {
        path: path.to_owned(),
        n_folds,
        n_examples: data.train.len(),
        n_groups: n_groups(data),
        source: Box::new(source),
    })
}
