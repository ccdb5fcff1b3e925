//! Passes over examples: one of training, and the logits of every trial on a side.

use attention_probes_activations::{ActivationError, ActivationSource};
use attention_probes_models::ModelError;
use attention_probes_probes::engine::{RaggedBatch, Rate, Targets, Trials, TrialsConfig};
use attention_probes_probes::{ProbeError, ProbeState};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::SweepError;
use crate::config::trial::Trial;
use crate::train::fit_config::{FitConfig, PredictConfig, StackConfig};
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::pooled_rows::PooledRows;
use crate::train::score::Score;

/// The trials of a group with their weights, ready to train or to predict.
pub(crate) struct StackedGroup {
    pub(crate) group: TrialGroup,
    pub(crate) stack: Trials,
}

impl StackedGroup {
    /// Trials with given weights, or with those that each seed draws.
    pub(crate) fn new(
        group: TrialGroup,
        states: Option<Vec<ProbeState>>,
        config: &StackConfig,
    ) -> Self {
        let drawn =
            || group.trials.iter().map(|trial| group.probe.init_state(trial.seed)).collect();
        let states = states.unwrap_or_else(drawn);
        let rate = |trial: &Trial| Rate {
            learning_rate: trial.learning_rate,
            weight_decay: trial.weight_decay,
        };
        let rates = group.trials.iter().map(rate).collect();
        let StackConfig { seed, ref device } = *config;
        let (probe, loss) = (&group.probe, group.loss);
        let of_trials = TrialsConfig { probe, loss, seed, device, by_definition: false };
        let stack = Trials::new(&of_trials, &states, rates);
        Self { group, stack }
    }

    /// Those trials alone that are at these places, at the step where they are.
    pub(crate) fn part(&self, places: &[usize], config: &StackConfig) -> Self {
        let trials = places.iter().map(|&place| self.group.trials[place]).collect();
        let states = places.iter().map(|&place| self.stack.state(place)).collect();
        let group = TrialGroup { trials, ..self.group.clone() };
        let mut part = Self::new(group, Some(states), config);
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

/// Outputs of every trial of every group on some examples: logits, or numbers.
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
    config: &PredictConfig,
) -> Result<Vec<Vec<f32>>, SweepError> {
    let of_stack = StackConfig { seed: 0, device: config.device.clone() };
    let mut stacked = Vec::with_capacity(groups.len());
    for (group, states) in groups {
        for state in states {
            group.probe.check_shapes(state)?;
        }
        let found = (states.len(), group.trials.len());
        if found.0 != found.1 {
            let (what, found, expected) = ("the number of states", found.0, found.1);
            return Err(ProbeError::SizeMismatch { what, found, expected }.into());
        }
        stacked.push(StackedGroup::new(group.clone(), Some(states.clone()), &of_stack));
    }
    logits(source, examples, &mut stacked, config.batch_size)
}

/// One pass over the training examples; mean loss of each trial of each group.
pub(crate) fn train_epoch(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &mut [StackedGroup],
    (config, pooled): (&FitConfig, &mut PooledRows),
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
        config.stop.check()?;
        let labels = data.labels.select(batch);
        let targets = Targets::of_labels(&labels, data.class_weights);
        let examples: Vec<_> = batch.iter().map(|&example| data.examples[example]).collect();
        let mut steps: Vec<Step<'_>> = groups.iter_mut().zip(&mut sums).map(Step::new).collect();
        differentiate_pooled(&mut steps, pooled, (batch, &targets))?;
        if steps.iter().any(|step| !step.is_done) {
            let mut differentiated = Ok(());
            with_batches(source, &examples, |sites| {
                pooled.fill(batch, sites);
                differentiated = differentiate_pooled(&mut steps, pooled, (batch, &targets))
                    .and_then(|()| differentiate(&mut steps, sites, &targets));
            })?;
            differentiated?;
        }
        for step in steps {
            step.stack.update();
        }
        n_batches += 1.0;
    }
    for sums in &mut sums {
        for sum in sums {
            *sum /= n_batches;
        }
    }
    Ok(sums)
}

/// A group that takes its step on a batch.
struct Step<'a> {
    group: &'a TrialGroup,
    stack: &'a mut Trials,
    sums: &'a mut [f64],
    /// Whether it has its gradients.
    is_done: bool,
}

impl<'a> Step<'a> {
    fn new((one, sums): (&'a mut StackedGroup, &'a mut Vec<f64>)) -> Self {
        Self { group: &one.group, stack: &mut one.stack, sums, is_done: false }
    }
}

/// Gradients of the groups that read pooled rows, where these are kept.
fn differentiate_pooled(
    steps: &mut [Step<'_>],
    pooled: &PooledRows,
    (examples, targets): (&[usize], &Targets<'_>),
) -> Result<(), ModelError> {
    for step in steps.iter_mut().filter(|step| !step.is_done) {
        if let Some(rows) = pooled.batch(step.group, examples) {
            step.stack.differentiate(&rows, targets, step.sums)?;
            step.is_done = true;
        }
    }
    Ok(())
}

/// Gradients of all groups that have none yet; those of a site read its tokens together.
fn differentiate(
    steps: &mut [Step<'_>],
    sites: &[RaggedBatch<'_>],
    targets: &Targets<'_>,
) -> Result<(), ModelError> {
    for (site, batch) in sites.iter().enumerate() {
        let here = steps.iter_mut().filter(|step| !step.is_done && step.group.site == site);
        let mut groups: Vec<(&mut Trials, &mut [f64])> =
            here.map(|step| (&mut *step.stack, &mut *step.sums)).collect();
        Trials::differentiate_all(&mut groups, batch, targets)?;
    }
    Ok(())
}

/// Scores of each trial of each group on the validation examples.
pub(crate) fn validate(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &mut [StackedGroup],
    batch_size: usize,
) -> Result<Vec<Vec<Score>>, SweepError> {
    let examples: Vec<_> = data.validation.iter().map(|&i| data.examples[i]).collect();
    let labels = data.labels.select(data.validation);
    let logits = logits(source, &examples, groups, batch_size)?;
    let targets = Targets::of_labels(&labels, data.class_weights);
    let score_group = |(logits, one): (Vec<f32>, &StackedGroup)| {
        let probe = &one.group.probe;
        let targets = targets.with_scale(probe.output_scale());
        let score = |logits: &[f32]| Score::new(logits, &targets, data.n_classes());
        let trials = logits.chunks(labels.len() * probe.n_out());
        trials.map(score).collect::<Result<Vec<_>, SweepError>>()
    };
    logits.into_iter().zip(groups.iter()).map(score_group).collect()
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
    let width = |one: &StackedGroup| one.group.probe.n_out();
    let mut logits: Vec<Vec<f32>> = groups
        .iter()
        .map(|one| vec![0.0; one.group.trials.len() * examples.len() * width(one)])
        .collect();
    let mut from = 0;
    for batch in examples.chunks(batch_size) {
        let mut read = Ok(());
        with_batches(source, batch, |sites| {
            for (one, logits) in groups.iter_mut().zip(&mut logits) {
                let width = width(one);
                let found = match one.stack.logits(&sites[one.group.site]) {
                    Ok(found) => found,
                    Err(error) => return read = Err(error),
                };
                let (per_batch, per_trial) = (batch.len() * width, examples.len() * width);
                let from = from * width;
                for (found, logits) in found.chunks(per_batch).zip(logits.chunks_mut(per_trial)) {
                    logits[from..from + per_batch].copy_from_slice(found);
                }
            }
        })?;
        read?;
        from += batch.len();
    }
    Ok(logits)
}
