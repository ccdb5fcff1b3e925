//! Training every trial of every group on each batch.

use std::path::Path;

use attention_probes_activations::ActivationSource;
use attention_probes_probes::{Pool, ProbeConfig, ProbeError};

use crate::SweepError;
use crate::config::SelectBy;
use crate::train::asking::Asking;
use crate::train::batched::train_batched;
use crate::train::cross_validation::CrossValidation;
use crate::train::fit::{GroupFit, TrialFit};
use crate::train::fit_config::FitConfig;
use crate::train::fit_data::FitData;
use crate::train::full_batch;
use crate::train::full_batch::FullFits;
use crate::train::group::TrialGroup;
use crate::train::mean_head::add_mean_heads;
use crate::train::method::{Method, Recipe};
use crate::train::passes::{StackedGroup, validate};
use crate::train::record::{EpochRecord, EpochReport, FitEvent, Leader, PassReport};
use crate::train::select::choose;
use crate::train::training_rows::TrainingRows;

/// What [`find_best_fit`] trains, on what, and how.
#[derive(Clone, Copy, Debug)]
pub struct FitRun<'a> {
    /// Examples to learn from and to choose by.
    pub data: &'a FitData<'a>,
    /// The trials, by probe and site.
    pub groups: &'a [TrialGroup],
    /// How long and in which steps they train.
    pub config: &'a FitConfig,
    /// Where the state is saved after every epoch, and gone on from where it is there.
    pub checkpoint: Option<&'a Path>,
}

/// Trains all trials of all groups and chooses the best of each group on validation, or, where its
/// method has folds, by cross-validation inside the training examples.
///
/// Where labels are not classes, probes get the outputs that these need, whatever those of their
/// groups are, and trials are chosen by the loss. Numbers are learned with mean 0 and standard
/// deviation 1 over the training examples.
///
/// Groups of `AdamW` train together: each batch is read once, and every group takes its step on it.
/// The order of the examples depends on seed and epoch alone, so a trial ends as it would alone, as
/// far as it is trained, up to the rounding of products of another size. A group trains as long as
/// the config says; one whose best learning rate lies at an end of those that it has tried goes on
/// with rates beyond that end, if its method lets it grow. After every epoch `told` hears
/// where training stands, as it does after every pass of what is solved; and then, with a checkpoint path, the state is saved; a run that was
/// stopped at any moment goes on from there to the same bits, and tells of no epoch less, but
/// perhaps of one twice. Then all other groups are solved, each on all examples at once; one that
/// was stopped begins again, to the same bits.
///
/// # Errors
///
/// - [`SweepError::Probe`] if shape, loss, or method of a group are out of range, or do not fit, or
///   are not for these labels
/// - [`SweepError::Probe`] also if the training examples cannot be divided into the folds of one
/// - [`SweepError::Checkpoint`] if the checkpoint is of other trials or damaged
/// - [`SweepError::Activation`] if activations cannot be read
/// - [`SweepError::Stopped`] if [`FitConfig::stop`] is given; the checkpoint of the last epoch stays
///
/// # Memory
///
/// Four numbers per parameter of every trial, the tokens of one batch, and the logits of every trial
/// on the validation examples. L-BFGS keeps what groups read of the training examples: a row of each
/// example for every site and pool of linear and MLP probes, and else every token, one group at a
/// time.
pub fn find_best_fit(
    source: &mut dyn ActivationSource,
    run: &FitRun<'_>,
    told: &mut dyn FnMut(&FitEvent<'_>),
) -> Result<Vec<GroupFit>, SweepError> {
    let FitRun { data, groups, config, checkpoint } = *run;
    let asking = &mut Asking { source: Box::new(source), stop: config.stop.clone() };
    let source: &mut dyn ActivationSource = asking;
    let groups = &groups
        .iter()
        .map(|group| group.for_data(data))
        .collect::<Result<Vec<_>, ProbeError>>()?[..];
    for group in groups {
        group.probe.check()?;
        group.probe.check_loss(&group.loss)?;
        group.method.check(&group.probe)?;
    }
    // Of labels that are not classes, the loss is all that is known of a trial after an epoch.
    let is_class = data.labels.kind().is_class();
    let select_by = if is_class { config.select_by } else { SelectBy::Loss };
    let config = &FitConfig { select_by, ..config.clone() };
    let (batched, others): (Vec<usize>, Vec<usize>) =
        (0..groups.len()).partition(|&index| groups[index].method.is_batched());
    let of = |indices: &[usize]| -> Vec<TrialGroup> {
        indices.iter().map(|&index| groups[index].clone()).collect()
    };
    let mut trained: Vec<Option<Trained>> = groups.iter().map(|_| None).collect();
    if !batched.is_empty() {
        let mut report = |round, epoch, leaders: &[Leader]| {
            let named = leaders.iter().map(|one| Leader { group: batched[one.group], ..*one });
            let leaders: Vec<Leader> = named.collect();
            told(&FitEvent::Epoch(EpochReport { round, epoch, leaders: &leaders }));
        };
        let fits = train_batched(source, data, &of(&batched), config, checkpoint, &mut report)?;
        for (&index, (group, trials)) in batched.iter().zip(fits) {
            trained[index] = Some(Trained { group, trials, cross_validation: None });
        }
    }
    let mut on_pass = |group: usize, n_passes| {
        told(&FitEvent::Pass(PassReport { group: others[group], n_passes }));
    };
    let solved = solve(source, data, &of(&others), (config, &mut on_pass))?;
    for (&index, solved) in others.iter().zip(solved) {
        trained[index] = Some(solved);
    }
    let mut fits = Vec::with_capacity(groups.len());
    for Trained { group, mut trials, cross_validation } in trained.into_iter().flatten() {
        if group.method.recipe == Some(Recipe::EnsembleMean) {
            let losses = add_mean_heads(source, data, &group, &mut trials, config)?;
            let probe = group.method.final_probe(&group.probe);
            let mut ended =
                [Ended { group: TrialGroup { probe, ..group.clone() }, trials, losses }];
            record(source, data, &mut ended, config)?;
            let [Ended { trials: recorded, .. }] = ended;
            trials = recorded;
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

/// A group with all its trials, trained.
struct Trained {
    group: TrialGroup,
    trials: Vec<TrialFit>,
    cross_validation: Option<CrossValidation>,
}

/// Fits groups by L-BFGS or by a formula; the history of a trial is one record of its end.
///
/// What several groups read pooled is read in one pass, as is the validation side.
fn solve(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &[TrialGroup],
    (config, on_pass): (&FitConfig, &mut dyn FnMut(usize, usize)),
) -> Result<Vec<Trained>, SweepError> {
    let mut keys: Vec<(usize, Pool)> = Vec::new();
    for group in groups {
        let key = pool_of(&group.probe).map(|pool| (group.site, pool));
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
    let pooled = TrainingRows::read_pooled(source, data, &keys, config.batch_size)?;
    let (mut ended, mut cross_validations) = (Vec::new(), Vec::new());
    for (index, group) in groups.iter().enumerate() {
        let on_pass = &mut |n_passes| on_pass(index, n_passes);
        let key = pool_of(&group.probe).map(|pool| (group.site, pool));
        let rows = key.and_then(|key| pooled.get(keys.iter().position(|other| *other == key)?));
        let FullFits { fits, cross_validation } = if let Some(rows) = rows {
            full_batch::fit(rows, data, group, (config, on_pass))?
        } else {
            let rows = TrainingRows::read(source, data, group.site, config.batch_size)?;
            full_batch::fit(&rows, data, group, (config, on_pass))?
        };
        let losses = fits.iter().map(|fit| fit.train_loss).collect();
        let trial = |(&trial, fit): (_, full_batch::FullFit)| TrialFit {
            trial,
            state: fit.state,
            history: Vec::new(),
            kept: 0,
            epochs: None,
            converged: Some(fit.converged),
        };
        let trials = group.trials.iter().zip(fits).map(trial).collect();
        let as_they_are = TrialGroup { method: Method::default(), ..group.clone() };
        ended.push(Ended { group: as_they_are, trials, losses });
        cross_validations.push(cross_validation);
    }
    record(source, data, &mut ended, config)?;
    let trained = groups.iter().zip(ended).zip(cross_validations);
    let trained = trained.map(|((group, ended), cross_validation)| Trained {
        group: group.clone(),
        trials: ended.trials,
        cross_validation,
    });
    Ok(trained.collect())
}

/// How a probe makes one token of many before all else: then examples are pooled once.
fn pool_of(probe: &ProbeConfig) -> Option<Pool> {
    probe.kind().reads().pool()
}

/// Trials of a group that have been fitted, and their training losses.
struct Ended {
    group: TrialGroup,
    trials: Vec<TrialFit>,
    losses: Vec<f64>,
}

/// Adds a record of the weights as they are to the history of every trial.
fn record(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &mut [Ended],
    config: &FitConfig,
) -> Result<(), SweepError> {
    if groups.is_empty() {
        return Ok(());
    }
    let stacked = |ended: &Ended| {
        let states = ended.trials.iter().map(|trial| trial.state.clone()).collect();
        StackedGroup::new(ended.group.clone(), Some(states), &config.stack())
    };
    let mut stacks: Vec<StackedGroup> = groups.iter().map(stacked).collect();
    let scores = validate(source, data, &mut stacks, config.batch_size)?;
    for (Ended { trials, losses, .. }, scores) in groups.iter_mut().zip(scores) {
        for ((trial, &train_loss), validation) in trials.iter_mut().zip(&*losses).zip(scores) {
            let epoch = trial.history.last().map_or(0, |record| record.epoch) + 1;
            trial.kept = trial.history.len();
            trial.history.push(EpochRecord { epoch, train_loss, validation });
        }
    }
    Ok(())
}
