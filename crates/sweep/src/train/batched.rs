//! Groups of `AdamW`, trained together on each batch: in rounds, of which the first has the trials
//! of the grid, and each later one those of the learning rates that were added.

use std::path::Path;

use attention_probes_activations::ActivationSource;
use attention_probes_probes::{FINETUNE_DEVIATION, ProbeState, finetune_start};

use crate::SweepError;
use crate::config::SelectBy;
use crate::config::selection::Keep;
use crate::config::trial::Trial;
use crate::train::checkpoint::Checkpoint;
use crate::train::course::{Course, Running, Training};
use crate::train::early_stopping::{best_epoch, has_stalled};
use crate::train::fit::TrialFit;
use crate::train::fit_config::FitConfig;
use crate::train::fit_data::FitData;
use crate::train::full_batch;
use crate::train::group::TrialGroup;
use crate::train::growth::next_trials;
use crate::train::method::Recipe;
use crate::train::passes::{StackedGroup, train_epoch, validate};
use crate::train::pooled_rows::PooledRows;
use crate::train::record::{EpochRecord, Leader};
use crate::train::score::compare;

/// Trains groups of `AdamW` together, epoch by epoch; the trials of each group, the added ones last.
///
/// `on_epoch` is told the round, the epoch, and the leading trial of each group that trains.
pub(crate) fn train_batched(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    groups: &[TrialGroup],
    config: &FitConfig,
    checkpoint: Option<&Path>,
    on_epoch: &mut dyn FnMut(usize, usize, &[Leader]),
) -> Result<Vec<(TrialGroup, Vec<TrialFit>)>, SweepError> {
    let mut training = if let Some(path) = checkpoint.filter(|path| path.exists()) {
        Checkpoint::read(path)?.restore(groups, &config.stack(), path)?
    } else {
        let mut training = Training::new(groups);
        for course in 0..groups.len() {
            training.begin(course, source, data, config)?;
        }
        training
    };
    let mut pooled = PooledRows::new(data, groups, source.d_model());
    loop {
        training.stop_finished(config);
        if training.running.is_empty() && !training.grow(source, data, config)? {
            break;
        }
        training.train_epoch(source, data, (config, &mut pooled))?;
        on_epoch(training.round, training.epoch, &training.leaders(config.select_by));
        if let Some(path) = checkpoint {
            Checkpoint::new(&training).write(path)?;
        }
    }
    Ok(training.courses.into_iter().map(|course| course.finish(config)).collect())
}

/// Trials of a group, before their first step.
fn begin_stack(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    group: TrialGroup,
    config: &FitConfig,
) -> Result<StackedGroup, SweepError> {
    let states = match group.method.recipe {
        Some(Recipe::FinetuneAttn) => {
            let states = full_batch::one_token_states(source, data, &group, config)?;
            let start = |(state, trial): (ProbeState, &Trial)| {
                finetune_start(state, FINETUNE_DEVIATION, trial.seed)
            };
            Some(states.into_iter().zip(&group.trials).map(start).collect())
        }
        _ => None,
    };
    Ok(StackedGroup::new(group, states, &config.stack()))
}

impl Training {
    /// Sets the trials of a group's round running.
    fn begin(
        &mut self,
        index: usize,
        source: &mut dyn ActivationSource,
        data: &FitData<'_>,
        config: &FitConfig,
    ) -> Result<(), SweepError> {
        let course = &mut self.courses[index];
        let trials: Vec<usize> = (course.first..course.group.trials.len()).collect();
        let stacked = begin_stack(source, data, course.part(&trials), config)?;
        let parts = &stacked.stack.stack().parts;
        course.kept.resize_with(parts.len(), Vec::new);
        for (kept, part) in course.kept.iter_mut().zip(parts) {
            kept.extend_from_slice(&part.params);
        }
        self.running.push(Running { course: index, trials });
        self.stacks.push(stacked);
        Ok(())
    }

    /// Takes out the groups that have trained long enough.
    fn stop_finished(&mut self, config: &FitConfig) {
        let courses = &self.courses;
        let goes_on: Vec<bool> = self
            .running
            .iter()
            .map(|running| {
                let course = &courses[running.course];
                let most = course.group.method.epochs.unwrap_or(config.epochs);
                let of_round = &course.histories[course.first..];
                self.epoch < most && !has_stalled(of_round, config.select_by, config.patience)
            })
            .collect();
        let mut flags = goes_on.iter();
        self.running.retain(|_| flags.next() == Some(&true));
        let mut flags = goes_on.iter();
        self.stacks.retain(|_| flags.next() == Some(&true));
    }

    /// Begins a round of the learning rates that groups are to try beyond their ends, if there are
    /// any.
    fn grow(
        &mut self,
        source: &mut dyn ActivationSource,
        data: &FitData<'_>,
        config: &FitConfig,
    ) -> Result<bool, SweepError> {
        for index in 0..self.courses.len() {
            let course = &mut self.courses[index];
            let (n_grid, by) = (course.n_grid, config.select_by);
            let next = next_trials(&course.group, &course.histories, n_grid, by);
            if next.is_empty() {
                continue;
            }
            course.first = course.group.trials.len();
            course.histories.extend(next.iter().map(|_| Vec::new()));
            course.group.trials.extend(next);
            self.begin(index, source, data, config)?;
        }
        if self.running.is_empty() {
            return Ok(false);
        }
        (self.round, self.epoch) = (self.round + 1, 0);
        Ok(true)
    }

    /// One pass over the training examples, and what it came to on validation.
    fn train_epoch(
        &mut self,
        source: &mut dyn ActivationSource,
        data: &FitData<'_>,
        (config, pooled): (&FitConfig, &mut PooledRows),
    ) -> Result<(), SweepError> {
        let losses = train_epoch(source, data, &mut self.stacks, (config, pooled), self.epoch)?;
        let scores = validate(source, data, &mut self.stacks, config.batch_size)?;
        self.epoch += 1;
        for ((running, losses), scores) in self.running.iter().zip(losses).zip(scores) {
            let course = &mut self.courses[running.course];
            for ((&trial, train_loss), validation) in running.trials.iter().zip(losses).zip(scores)
            {
                let record = EpochRecord { epoch: self.epoch, train_loss, validation };
                course.histories[trial].push(record);
            }
        }
        for (running, stacked) in self.running.iter().zip(&self.stacks) {
            self.courses[running.course].keep(running, stacked, config);
        }
        if config.race.is_some_and(|race| race.after == self.epoch) {
            self.race(config);
        }
        Ok(())
    }

    /// Takes out the trials that are too far behind.
    fn race(&mut self, config: &FitConfig) {
        let Some(race) = config.race else { return };
        for (running, stacked) in self.running.iter_mut().zip(&mut self.stacks) {
            let course = &self.courses[running.course];
            let histories: Vec<Vec<EpochRecord>> =
                running.trials.iter().map(|&trial| course.histories[trial].clone()).collect();
            let places = race.survivors(&stacked.group.trials, &histories, config.select_by);
            if places.len() == running.trials.len() {
                continue;
            }
            *stacked = stacked.part(&places, &config.stack());
            running.trials = places.iter().map(|&place| running.trials[place]).collect();
        }
    }

    /// Of every group that trains, the trial whose last epoch validation likes best; of equals the
    /// first.
    fn leaders(&self, select_by: SelectBy) -> Vec<Leader> {
        let leader = |running: &Running| {
            let course = &self.courses[running.course];
            let last = |&index: &usize| {
                let (group, trial) = (running.course, course.group.trials[index]);
                let record = *course.histories[index].last()?;
                Some(Leader { group, trial, record })
            };
            running.trials.iter().filter_map(last).reduce(|best, next| {
                let [a, b] = [next, best].map(|one| Some(one.record.validation));
                if compare(a, b, select_by).is_gt() { next } else { best }
            })
        };
        self.running.iter().filter_map(leader).collect()
    }
}

impl Course {
    /// Takes the weights of every running trial whose last epoch counts.
    fn keep(&mut self, running: &Running, stacked: &StackedGroup, config: &FitConfig) {
        let n_trials = self.group.trials.len();
        for (place, &trial) in running.trials.iter().enumerate() {
            let history = &self.histories[trial];
            let is_best = || best_epoch(history, config.select_by) + 1 == history.len();
            if config.keep == Keep::Best && !is_best() {
                continue;
            }
            for (kept, part) in self.kept.iter_mut().zip(&stacked.stack.stack().parts) {
                let per_trial = kept.len() / n_trials;
                kept[trial * per_trial..][..per_trial]
                    .copy_from_slice(&part.params[place * per_trial..][..per_trial]);
            }
        }
    }

    /// The trials with the weights that were kept.
    fn finish(self, config: &FitConfig) -> (TrialGroup, Vec<TrialFit>) {
        let mut stacked = StackedGroup::new(self.group, None, &config.stack());
        for (part, kept) in stacked.stack.stack_mut().parts.iter_mut().zip(self.kept) {
            part.params = kept;
        }
        let StackedGroup { group, stack } = stacked;
        let fit = |(index, history): (usize, Vec<EpochRecord>)| {
            let kept = match config.keep {
                Keep::Last => history.len().saturating_sub(1),
                Keep::Best => best_epoch(&history, config.select_by),
            };
            let (trial, state) = (group.trials[index], stack.state(index));
            TrialFit { trial, state, history, kept, epochs: Some(kept + 1), converged: None }
        };
        let fits = self.histories.into_iter().enumerate().map(fit).collect();
        (group, fits)
    }
}
