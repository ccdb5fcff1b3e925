//! Which of the trained trials is the best.

use attention_probes_probes::ProbeConfig;

use crate::config::SelectBy;
use crate::train::fit::{GroupFit, TrialFit};
use crate::train::score::compare;

/// Chooses among trained trials, of all and of every weight decay.
pub(crate) fn choose(trials: Vec<TrialFit>, probe: ProbeConfig, select_by: SelectBy) -> GroupFit {
    let best_of = |candidates: &[usize]| {
        let better = |a: &&usize, b: &&usize| {
            compare(trials[**a].score(), trials[**b].score(), select_by).then(b.cmp(a))
        };
        candidates.iter().max_by(better).copied().unwrap_or(0)
    };
    let all: Vec<usize> = (0..trials.len()).collect();
    let mut decays: Vec<f64> = Vec::new();
    for trial in &trials {
        if !decays.contains(&trial.trial.weight_decay) {
            decays.push(trial.trial.weight_decay);
        }
    }
    let of_decay = |decay: &f64| {
        let same = |i: &usize| trials[*i].trial.weight_decay.to_bits() == decay.to_bits();
        best_of(&all.iter().copied().filter(same).collect::<Vec<_>>())
    };
    let best_per_weight_decay = decays.iter().map(of_decay).collect();
    let best = best_of(&all);
    GroupFit { probe, trials, best, cross_validation: None, best_per_weight_decay }
}
