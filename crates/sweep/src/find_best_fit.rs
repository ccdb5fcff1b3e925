//! Training every trial of every group on each batch.

use std::path::Path;

use attention_probes_activations::{ActivationError, ActivationSource};
use attention_probes_probes::{FINETUNE_DEVIATION, ProbeState, finetune_start, n_out};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::adamw::Rate;
use crate::checkpoint::Checkpoint;
use crate::config::SelectBy;
use crate::cross_validation::CrossValidation;
use crate::early_stopping::{BestWeights, Keep, best_epoch, has_stalled};
use crate::fit::{
    EpochRecord, EpochReport, FitConfig, FitData, GroupFit, Leader, TrialFit, TrialGroup,
};
use crate::full_batch::FullFits;
use crate::mean_head::add_mean_heads;
use crate::method::{Method, Recipe};
use crate::plan::Trial;
use crate::select::{Score, choose, compare};
use crate::stacked::{RaggedBatch, StackedProbes, Targets, stack};
use crate::{SweepError, full_batch};

/// Epochs of every trial of every group.
type Histories = Vec<Vec<Vec<EpochRecord>>>;

/// Trains all trials of all groups and chooses the best of each group on validation, or, where its
/// method has folds, by cross-validation inside the training examples.
///
/// Groups of `AdamW` train together: each batch is read once, and every group takes its step on it.
/// The order of the examples depends on seed and epoch alone, so a trial ends as it would alone, up
/// to the rounding of products of another size. After every epoch `on_epoch` is told where training
/// stands, and then, with a checkpoint path, the state is saved; a run that was stopped at any
/// moment goes on from there to the same bits, and tells of no epoch less, but perhaps of one twice.
/// Then groups of L-BFGS train one after another, each on all examples at once; one that was
/// stopped begins again, to the same bits.
///
/// # Errors
///
/// - [`SweepError::Probe`] if shape, loss, or method of a group are out of range, or do not fit
/// - [`SweepError::Probe`] also if the training examples cannot be divided into the folds of one
/// - [`SweepError::Checkpoint`] if the checkpoint is of other trials or damaged
/// - [`SweepError::Activation`] if activations cannot be read
///
/// # Memory
///
/// Three numbers per parameter of every trial, one more where the best epoch is kept, the tokens of
/// one batch, and the logits of every trial on the validation examples. L-BFGS keeps what a group
/// reads of the training examples: a row of each for linear and MLP probes, and every token else.
pub fn find_best_fit(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &[TrialGroup],
    config: &FitConfig,
    checkpoint: Option<&Path>,
    on_epoch: &mut dyn FnMut(&EpochReport<'_>),
) -> Result<Vec<GroupFit>, SweepError> {
    for group in groups {
        group.probe.check()?;
        group.loss.check_probe(&group.probe)?;
        group.method.check(&group.probe)?;
    }
    let is_batched = |group: &&TrialGroup| group.method.is_batched();
    let batched: Vec<TrialGroup> = groups.iter().filter(is_batched).cloned().collect();
    let indices: Vec<usize> =
        (0..groups.len()).filter(|&index| is_batched(&&groups[index])).collect();
    let mut report = |epoch, histories: &Histories| {
        let groups = indices.iter().zip(&batched).zip(histories);
        let leaders: Vec<Leader> = groups
            .filter_map(|((&index, group), history)| {
                leader(index, &group.trials, history, config.select_by)
            })
            .collect();
        on_epoch(&EpochReport { epoch, leaders: &leaders });
    };
    let trained = train_batched(source, data, &batched, config, checkpoint, &mut report)?;
    let mut trained = trained.into_iter();
    let mut fits = Vec::with_capacity(groups.len());
    for group in groups {
        let trials = if is_batched(&group) { trained.next() } else { None };
        let (mut trials, cross_validation) = match trials {
            Some(trials) => (trials, None),
            None => train_full_batch(source, data, group, config)?,
        };
        if group.method.recipe == Some(Recipe::EnsembleMean) {
            let losses = add_mean_heads(source, data, group, &mut trials, config)?;
            record(source, data, group, &mut trials, &losses, config)?;
        }
        let probe = group.method.final_probe(&group.probe);
        let mut fit = choose(trials, probe, config.select_by);
        if let Some(found) = cross_validation {
            let decay = found.chosen().weight_decay.to_bits();
            let of_decay = |fit: &TrialFit| fit.trial.weight_decay.to_bits() == decay;
            fit.best = fit.trials.iter().position(of_decay).unwrap_or(fit.best);
            fit.cross_validation = Some(found);
        }
        fits.push(fit);
    }
    Ok(fits)
}

/// The trial of a group whose last epoch validation likes best; of equals the first.
fn leader(
    group: usize,
    trials: &[Trial],
    histories: &[Vec<EpochRecord>],
    select_by: SelectBy,
) -> Option<Leader> {
    let last = |(&trial, history): (&Trial, &Vec<EpochRecord>)| {
        history.last().map(|&record| Leader { group, trial, record })
    };
    trials.iter().zip(histories).filter_map(last).reduce(|best, next| {
        let [a, b] = [next, best].map(|one| Some(one.record.validation));
        if compare(a, b, select_by).is_gt() { next } else { best }
    })
}

/// Trains groups of `AdamW` together, epoch by epoch.
fn train_batched(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &[TrialGroup],
    config: &FitConfig,
    checkpoint: Option<&Path>,
    on_epoch: &mut dyn FnMut(usize, &Histories),
) -> Result<Vec<Vec<TrialFit>>, SweepError> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let saved = checkpoint.filter(|path| path.exists());
    let mut stacks = Vec::new();
    for group in groups {
        // What a checkpoint overwrites need not be found again.
        let begins = saved.is_none() && group.method.recipe == Some(Recipe::FinetuneAttn);
        let states = if begins { Some(starts(source, data, group, config)?) } else { None };
        stacks.push(stack_group(group, states, config.seed));
    }
    let mut histories: Histories =
        groups.iter().map(|group| vec![Vec::new(); group.trials.len()]).collect();
    let mut best = (config.keep == Keep::Best).then(|| BestWeights::new(&stacks));
    let mut first = 0;
    if let Some(path) = saved {
        let saved = Checkpoint::read(path)?;
        first = saved.restore(&mut stacks, &mut histories, best.as_mut(), path)?;
    }
    for epoch in first..config.epochs {
        if has_stalled(&histories, config.select_by, config.patience) {
            break;
        }
        let losses = train_epoch(source, data, groups, &mut stacks, config, epoch)?;
        let scores = validate(source, data, groups, &mut stacks, config.batch_size)?;
        for ((history, losses), scores) in histories.iter_mut().zip(losses).zip(scores) {
            for ((history, train_loss), validation) in history.iter_mut().zip(losses).zip(scores) {
                history.push(EpochRecord { epoch: epoch + 1, train_loss, validation });
            }
        }
        if let Some(best) = &mut best {
            best.update(&stacks, &histories, config.select_by);
        }
        on_epoch(epoch + 1, &histories);
        if let Some(path) = checkpoint {
            Checkpoint::new(epoch + 1, &stacks, &histories, best.as_ref()).write(path)?;
        }
    }
    if let Some(best) = best {
        best.restore(&mut stacks);
    }
    let fits = groups.iter().zip(stacks).zip(histories).map(|((group, stack), histories)| {
        let fit = |(trial, history): (usize, Vec<EpochRecord>)| {
            let kept = match config.keep {
                Keep::Last => history.len().saturating_sub(1),
                Keep::Best => best_epoch(&history, config.select_by),
            };
            let (trial, state) = (group.trials[trial], stack.state(trial));
            TrialFit { trial, state, history, kept, epochs: Some(kept + 1), converged: None }
        };
        histories.into_iter().enumerate().map(fit).collect()
    });
    Ok(fits.collect())
}

/// Fits a group by L-BFGS or by a formula; the history of a trial is one record of its end.
fn train_full_batch(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    group: &TrialGroup,
    config: &FitConfig,
) -> Result<(Vec<TrialFit>, Option<CrossValidation>), SweepError> {
    let FullFits { fits, cross_validation } = full_batch::fit(source, data, group, config)?;
    let losses: Vec<f64> = fits.iter().map(|fit| fit.train_loss).collect();
    let mut trials: Vec<TrialFit> = group
        .trials
        .iter()
        .zip(fits)
        .map(|(&trial, fit)| TrialFit {
            trial,
            state: fit.state,
            history: Vec::new(),
            kept: 0,
            epochs: None,
            converged: Some(fit.converged),
        })
        .collect();
    let as_they_are = TrialGroup { method: Method::default(), ..group.clone() };
    record(source, data, &as_they_are, &mut trials, &losses, config)?;
    Ok((trials, cross_validation))
}

/// Adds a record of the weights as they are to the history of every trial.
fn record(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    group: &TrialGroup,
    trials: &mut [TrialFit],
    losses: &[f64],
    config: &FitConfig,
) -> Result<(), SweepError> {
    let probe = group.method.final_probe(&group.probe);
    let group = TrialGroup { probe, ..group.clone() };
    let states = trials.iter().map(|trial| trial.state.clone()).collect();
    let mut stacks = [stack_group(&group, Some(states), config.seed)];
    let groups = std::slice::from_ref(&group);
    let scores = validate(source, data, groups, &mut stacks, config.batch_size)?.swap_remove(0);
    for ((trial, &train_loss), validation) in trials.iter_mut().zip(losses).zip(scores) {
        let epoch = trial.history.last().map_or(0, |record| record.epoch) + 1;
        trial.kept = trial.history.len();
        trial.history.push(EpochRecord { epoch, train_loss, validation });
    }
    Ok(())
}

/// Weights that fine-tuning begins with.
fn starts(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    group: &TrialGroup,
    config: &FitConfig,
) -> Result<Vec<ProbeState>, SweepError> {
    let states = full_batch::one_token_states(source, data, group, config)?;
    let start = |(state, trial): (ProbeState, &Trial)| {
        finetune_start(state, FINETUNE_DEVIATION, trial.seed)
    };
    Ok(states.into_iter().zip(&group.trials).map(start).collect())
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
    let mut stacks = groups
        .iter()
        .map(|(group, states)| stack(&group.probe, group.loss, states, rates(group), 0))
        .collect::<Vec<_>>();
    let groups: Vec<&TrialGroup> = groups.iter().map(|(group, _)| group).collect();
    logits(source, examples, &groups, &mut stacks, batch_size)
}

fn rates(group: &TrialGroup) -> Vec<Rate> {
    let rate = |trial: &Trial| Rate {
        learning_rate: trial.learning_rate,
        weight_decay: trial.weight_decay,
    };
    group.trials.iter().map(rate).collect()
}

/// A stack of given weights, or of those that each seed draws.
fn stack_group(
    group: &TrialGroup,
    states: Option<Vec<ProbeState>>,
    seed: u64,
) -> Box<dyn StackedProbes> {
    let drawn = || group.trials.iter().map(|trial| group.probe.init_state(trial.seed)).collect();
    let states = states.unwrap_or_else(drawn);
    stack(&group.probe, group.loss, &states, rates(group), seed)
}

/// One pass over the training examples; mean loss of each trial of each group.
fn train_epoch(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &[TrialGroup],
    stacks: &mut [Box<dyn StackedProbes>],
    config: &FitConfig,
    epoch: usize,
) -> Result<Vec<Vec<f64>>, SweepError> {
    let mut order = data.train.to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    // Stream 0 draws the initial weights.
    rng.set_stream(epoch as u64 + 1);
    order.shuffle(&mut rng);
    let mut sums: Vec<Vec<f64>> =
        groups.iter().map(|group| vec![0.0; group.trials.len()]).collect();
    let mut n_batches = 0.0;
    for batch in order.chunks(config.batch_size) {
        let labels: Vec<usize> = batch.iter().map(|&example| data.labels[example]).collect();
        let targets = Targets::new(&labels, data.class_weights);
        let examples: Vec<_> = batch.iter().map(|&example| data.examples[example]).collect();
        with_batches(source, &examples, |sites| {
            for ((group, stack), sums) in groups.iter().zip(stacks.iter_mut()).zip(&mut sums) {
                stack.train_step(&sites[group.site], &targets, sums);
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
    groups: &[&TrialGroup],
    stacks: &mut [Box<dyn StackedProbes>],
    batch_size: usize,
) -> Result<Vec<Vec<f32>>, SweepError> {
    let width = |group: &TrialGroup| n_out(group.probe.n_classes());
    let mut logits: Vec<Vec<f32>> = groups
        .iter()
        .map(|group| vec![0.0; group.trials.len() * examples.len() * width(group)])
        .collect();
    let mut from = 0;
    for batch in examples.chunks(batch_size) {
        with_batches(source, batch, |sites| {
            for ((group, stack), logits) in groups.iter().zip(stacks.iter_mut()).zip(&mut logits) {
                let found = stack.logits(&sites[group.site]);
                let (per_batch, per_trial) =
                    (batch.len() * width(group), examples.len() * width(group));
                let from = from * width(group);
                for (found, logits) in found.chunks(per_batch).zip(logits.chunks_mut(per_trial)) {
                    logits[from..from + per_batch].copy_from_slice(found);
                }
            }
        })?;
        from += batch.len();
    }
    Ok(logits)
}

/// Scores of each trial of each group on the validation examples.
fn validate(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &[TrialGroup],
    stacks: &mut [Box<dyn StackedProbes>],
    batch_size: usize,
) -> Result<Vec<Vec<Score>>, SweepError> {
    let examples: Vec<_> = data.validation.iter().map(|&i| data.examples[i]).collect();
    let labels: Vec<usize> = data.validation.iter().map(|&i| data.labels[i]).collect();
    let sites: Vec<&TrialGroup> = groups.iter().collect();
    let logits = logits(source, &examples, &sites, stacks, batch_size)?;
    let targets = Targets::new(&labels, data.class_weights);
    let score_group = |logits: Vec<f32>| {
        let per_trial = labels.len() * n_out(data.n_classes);
        let score = |logits: &[f32]| Score::new(logits, &targets, data.n_classes);
        logits.chunks(per_trial).map(score).collect::<Result<Vec<_>, SweepError>>()
    };
    logits.into_iter().map(score_group).collect()
}
