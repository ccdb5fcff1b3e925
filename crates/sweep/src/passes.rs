//! Passes over examples: one of training, and the logits of every trial on a side.

use attention_probes_activations::{ActivationError, ActivationSource};
use attention_probes_probes::{ProbeState, n_out};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::SweepError;
use crate::adamw::Rate;
use crate::fit::{FitConfig, FitData, TrialGroup};
use crate::plan::Trial;
use crate::select::Score;
use crate::stacked::{RaggedBatch, StackedProbes, Targets, stack};

/// The trials of a group with their weights, ready to train or to predict.
pub(crate) struct StackedGroup {
    pub(crate) group: TrialGroup,
    pub(crate) stack: Box<dyn StackedProbes>,
}

impl StackedGroup {
    /// Trials with given weights, or with those that each seed draws; `seed` is that of dropout.
    pub(crate) fn new(group: TrialGroup, states: Option<Vec<ProbeState>>, seed: u64) -> Self {
        let drawn =
            || group.trials.iter().map(|trial| group.probe.init_state(trial.seed)).collect();
        let states = states.unwrap_or_else(drawn);
        let rate = |trial: &Trial| Rate {
            learning_rate: trial.learning_rate,
            weight_decay: trial.weight_decay,
        };
        let rates = group.trials.iter().map(rate).collect();
        let stack = stack(&group.probe, group.loss, &states, rates, seed);
        Self { group, stack }
    }

    /// Those trials alone that are at these places, at the step where they are.
    pub(crate) fn part(&self, places: &[usize], seed: u64) -> Self {
        let trials = places.iter().map(|&place| self.group.trials[place]).collect();
        let states = places.iter().map(|&place| self.stack.state(place)).collect();
        let group = TrialGroup { trials, ..self.group.clone() };
        let mut part = Self::new(group, Some(states), seed);
        let n_trials = self.group.trials.len();
        let pick = |from: &[f32], into: &mut [f32]| {
            let per_trial = from.len() / n_trials;
            for (into, &place) in into.chunks_mut(per_trial.max(1)).zip(places) {
                into.copy_from_slice(&from[place * per_trial..][..per_trial]);
            }
        };
        let (old, new) = (self.stack.stack(), part.stack.stack_mut());
        new.step = old.step;
        for (new, old) in new.parts.iter_mut().zip(&old.parts) {
            pick(&old.params, &mut new.params);
            pick(&old.moments.first, &mut new.moments.first);
            pick(&old.moments.second, &mut new.moments.second);
        }
        part
    }
}

/// Logits of every trial of every group on some examples.
///
/// # Shapes
///
/// For each group `[n_trials, n_examples, n_out]`, row-major; `n_out` is 1 for two classes.
///
/// # Errors
///
/// [`SweepError`] if a state does not fit its group or activations cannot be read.
///
/// # Memory
///
/// The result, four bytes per number, and the tokens of one batch.
pub fn predict_logits(
    source: &mut dyn ActivationSource,
    examples: &[(usize, usize)],
    groups: &[(TrialGroup, Vec<ProbeState>)],
    batch_size: usize,
) -> Result<Vec<Vec<f32>>, SweepError> {
    let stacked = |(group, states): &(TrialGroup, Vec<ProbeState>)| {
        StackedGroup::new(group.clone(), Some(states.clone()), 0)
    };
    let mut groups: Vec<StackedGroup> = groups.iter().map(stacked).collect();
    logits(source, examples, &mut groups, batch_size)
}

/// One pass over the training examples; mean loss of each trial of each group.
pub(crate) fn train_epoch(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &mut [StackedGroup],
    config: &FitConfig,
    epoch: usize,
) -> Result<Vec<Vec<f64>>, SweepError> {
    let mut order = data.train.to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    // Stream 0 draws the initial weights.
    rng.set_stream(epoch as u64 + 1);
    order.shuffle(&mut rng);
    let mut sums: Vec<Vec<f64>> =
        groups.iter().map(|one| vec![0.0; one.group.trials.len()]).collect();
    let mut n_batches = 0.0;
    for batch in order.chunks(config.batch_size) {
        let labels: Vec<usize> = batch.iter().map(|&example| data.labels[example]).collect();
        let targets = Targets::new(&labels, data.class_weights);
        let examples: Vec<_> = batch.iter().map(|&example| data.examples[example]).collect();
        with_batches(source, &examples, |sites| {
            for (one, sums) in groups.iter_mut().zip(&mut sums) {
                one.stack.train_step(&sites[one.group.site], &targets, sums);
            }
        })?;
        n_batches += 1.0;
    }
    for sums in &mut sums {
        for sum in sums {
            *sum /= n_batches;
        }
    }
    Ok(sums)
}

/// Scores of each trial of each group on the validation examples.
pub(crate) fn validate(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &mut [StackedGroup],
    batch_size: usize,
) -> Result<Vec<Vec<Score>>, SweepError> {
    let examples: Vec<_> = data.validation.iter().map(|&i| data.examples[i]).collect();
    let labels: Vec<usize> = data.validation.iter().map(|&i| data.labels[i]).collect();
    let logits = logits(source, &examples, groups, batch_size)?;
    let targets = Targets::new(&labels, data.class_weights);
    let score_group = |logits: Vec<f32>| {
        let per_trial = labels.len() * n_out(data.n_classes);
        let score = |logits: &[f32]| Score::new(logits, &targets, data.n_classes);
        logits.chunks(per_trial).map(score).collect::<Result<Vec<_>, SweepError>>()
    };
    logits.into_iter().map(score_group).collect()
}

/// Hands on the rows of some examples, one batch per site.
pub(crate) fn with_batches(
    source: &mut dyn ActivationSource,
    examples: &[(usize, usize)],
    mut use_batches: impl FnMut(&[RaggedBatch<'_>]),
) -> Result<(), ActivationError> {
    let d_model = source.d_model();
    source.with_rows(examples, &mut |sites| {
        let batches: Vec<RaggedBatch<'_>> =
            sites.iter().map(|rows| RaggedBatch { rows: rows.clone(), d_model }).collect();
        use_batches(&batches);
    })
}

/// Logits of every group, `[n_trials, n_examples, n_out]`.
fn logits(
    source: &mut dyn ActivationSource,
    examples: &[(usize, usize)],
    groups: &mut [StackedGroup],
    batch_size: usize,
) -> Result<Vec<Vec<f32>>, SweepError> {
    let width = |one: &StackedGroup| n_out(one.group.probe.n_classes());
    let mut logits: Vec<Vec<f32>> = groups
        .iter()
        .map(|one| vec![0.0; one.group.trials.len() * examples.len() * width(one)])
        .collect();
    let mut from = 0;
    for batch in examples.chunks(batch_size) {
        with_batches(source, batch, |sites| {
            for (one, logits) in groups.iter_mut().zip(&mut logits) {
                let width = width(one);
                let found = one.stack.logits(&sites[one.group.site]);
                let (per_batch, per_trial) = (batch.len() * width, examples.len() * width);
                let from = from * width;
                for (found, logits) in found.chunks(per_batch).zip(logits.chunks_mut(per_trial)) {
                    logits[from..from + per_batch].copy_from_slice(found);
                }
            }
        })?;
        from += batch.len();
    }
    Ok(logits)
}
