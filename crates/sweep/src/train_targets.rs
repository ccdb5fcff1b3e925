//! Training on labels that are not classes: penalties of linear probes, and grids of all others, at
//! all sites, with controls and baselines.

use attention_probes_activations::{LabelKind, Labels};
use attention_probes_probes::{Features, Pool, ProbeState};
use rand::seq::SliceRandom;

use crate::SweepError;
use crate::config::ArchitectureConfig;
use crate::config::data_plan::{LearnsBy, PENALTIES};
use crate::data::sides::varying;
use crate::judge::bag_of_words::{BagOfWords, FitFollower};
use crate::judge::control::{shuffle_rng, shuffled_outputs};
use crate::judge::grid_notes::grid_notes;
use crate::judge::label_baselines::baselines;
use crate::judge::target_findings::{HeldOutLabels, Solved, TrainedTargets, Tried};
use crate::material::Material;
use crate::tracker::Tracker;
use crate::train::find_best_fit::{FitRun, find_best_fit};
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::passes::predict_logits;
use crate::train::penalty_path::{FitSide, fit, fit_again};
use crate::train::pooled_examples::{pooled, rows as rows_of};
use crate::train::record::FitEvent;
use crate::train_classes::Told;

impl Material<'_> {
    /// Leaves out labels that every training example has, or none.
    pub(crate) fn leave_out_constant_labels(&mut self, tracker: &mut dyn Tracker) {
        if self.labels.kind() != LabelKind::Labels {
            return;
        }
        let kept = varying(&self.labels.select(&self.split.train));
        if kept.len() == self.labels.n_columns() {
            return;
        }
        let removed: Vec<&str> = (0..self.labels.n_columns())
            .filter(|column| !kept.contains(column))
            .map(|column| self.labels.names[column].as_str())
            .collect();
        tracker.note(&format!(
            "`{}`: labels left out, every training example has them, or none: {}",
            self.data.name,
            removed.join(", ")
        ));
        self.labels = self.labels.columns(&kept);
    }

    /// Trains every architecture at every site, with controls and baselines, and asks all trials
    /// about the sides held out.
    pub(crate) fn train_targets(
        &mut self,
        tracker: &mut dyn Tracker,
    ) -> Result<TrainedTargets, SweepError> {
        let (config, name) = (self.plan.config(), &*self.data.name);
        let kind = self.labels.kind();
        let ways: Vec<LearnsBy> =
            config.architectures.iter().map(|one| one.way_of_targets(kind)).collect();
        let n_idle = ways.iter().filter(|way| **way == LearnsBy::Idle).count();
        if n_idle > 0 {
            tracker.note(&format!(
                "`{name}`: {n_idle} architectures left out, they learn classes only"
            ));
        }
        let prefixes: Vec<(usize, usize)> =
            self.examples.examples.iter().map(|example| (example.sequence, example.end)).collect();
        let held_out =
            |side: &[usize]| HeldOutLabels::new(self.examples, &self.labels, side, self.rows);
        let (validation, test) = (held_out(&self.split.validation), held_out(&self.split.test));
        let solved = self.solve(&ways, &prefixes, &test)?;
        let tried = self.try_trials(&ways, &prefixes, &test, tracker)?;
        let words = self.tokens.map(|tokens| {
            BagOfWords::new(
                prefixes.iter().map(|&(sequence, end)| &tokens.sequence(sequence)[..end]),
            )
        });
        let folder = self.folder.map(|(folder, _)| folder);
        let follower = FitFollower { data: name, folder, stop: &self.fit_config.stop, tracker };
        let drawn_by = (&test.resamples(config.seed), follower);
        let baselines = baselines(&self.labels, self.split, words.as_ref(), drawn_by)?;
        Ok(TrainedTargets { solved, tried, baselines, validation, test })
    }

    /// Solves the problems of linear probes at every site, over their penalties.
    fn solve(
        &mut self,
        ways: &[LearnsBy],
        prefixes: &[(usize, usize)],
        held_out: &HeldOutLabels,
    ) -> Result<Vec<Solved>, SweepError> {
        let config = self.plan.config();
        let stop = &self.fit_config.stop;
        let architectures: Vec<(usize, &ArchitectureConfig)> = config
            .architectures
            .iter()
            .enumerate()
            .filter(|(index, _)| ways[*index] == LearnsBy::Solved)
            .collect();
        if architectures.is_empty() {
            return Ok(Vec::new());
        }
        let pools: Vec<Pool> = architectures.iter().map(|(_, one)| one.pool).collect();
        let d_model = self.source.d_model();
        let features = pooled(&mut *self.source, prefixes, &pools, config.sweep.batch_size)?;
        let penalties = config.sweep.penalties.as_deref().unwrap_or(&PENALTIES);
        let sides = [&self.split.train, &self.split.validation, &self.split.test];
        let labels = sides.map(|side| self.labels.select(side));
        let shuffled = shuffled(&labels[0], config.seed);
        let mut solved = Vec::new();
        for (site, features) in features.into_iter().enumerate() {
            for (&(architecture, of), features) in architectures.iter().zip(&features) {
                stop.check()?;
                let values = sides.map(|side| rows_of(features, d_model, side));
                let side = |index: usize| {
                    let features = Features::new(&values[index], d_model)?;
                    Ok::<_, SweepError>(FitSide { features, targets: &labels[index] })
                };
                let (train, validation, test) = (side(0)?, side(1)?, side(2)?);
                let probe = fit(&of.config_name, train, validation, (penalties, stop))?;
                let control = match config.evaluation.shuffled_labels {
                    0 => None,
                    _ => {
                        fit_again(FitSide { targets: &shuffled, ..train }, &probe.penalties, stop)?
                            .map(|readout| readout.outputs(test.features))
                            .transpose()?
                            .map(|outputs| held_out.report(&outputs, config.seed))
                            .transpose()?
                    }
                };
                let outputs = |side: FitSide<'_>| probe.readout.outputs(side.features);
                let (validation, test) = (outputs(validation)?, outputs(test)?);
                solved.push(Solved { architecture, site, probe, validation, test, control });
            }
        }
        Ok(solved)
    }

    /// Trains the grids of all other probes at every site together.
    fn try_trials(
        &mut self,
        ways: &[LearnsBy],
        prefixes: &[(usize, usize)],
        held_out: &HeldOutLabels,
        tracker: &mut dyn Tracker,
    ) -> Result<Vec<Tried>, SweepError> {
        let (config, name) = (self.plan.config(), &*self.data.name);
        let tried = |index: &usize| ways[*index] == LearnsBy::Tried;
        let indices: Vec<usize> = (0..ways.len()).filter(tried).collect();
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let data = FitData {
            examples: prefixes,
            labels: &self.labels,
            class_weights: &[],
            groups: self.examples.groups.as_deref(),
            train: &self.split.train,
            validation: &self.split.validation,
        };
        let (d_model, n_sites) = (self.source.d_model(), self.experiments.len());
        let group = |place: usize| {
            let (site, index) = (place / indices.len(), indices[place % indices.len()]);
            // Outputs are those that the labels need, whatever is written here.
            self.plan.group(index, site, (d_model, 2)).for_data(&data)
        };
        let groups = (0..n_sites * indices.len()).map(group).collect::<Result<Vec<_>, _>>()?;
        let architectures: Vec<ArchitectureConfig> =
            indices.iter().map(|&index| config.architectures[index].clone()).collect();
        let names = architectures.iter().map(|one| &*one.config_name).collect();
        let n_epochs = config.sweep.most_epochs();
        let told =
            Told { data: name, n_epochs, names, experiments: self.experiments, groups: &groups };
        let checkpoint = self.folder.map(|(_, checkpoint)| checkpoint);
        let source = &mut *self.source;
        let mut tell = |event: &FitEvent<'_>| told.tell(event, tracker);
        let fits = find_best_fit(
            &mut *source,
            &FitRun { data: &data, groups: &groups, config: &self.fit_config, checkpoint },
            &mut tell,
        )?;
        for note in grid_notes(name, &architectures, (&groups, &fits)) {
            tracker.note(&note);
        }
        let controls = if config.evaluation.shuffled_labels == 0 {
            vec![None; groups.len()]
        } else {
            tracker.control(name, 0, 1);
            let chosen = (&groups[..], &fits[..]);
            let of_test = (&self.split.test[..], 0);
            let outputs = shuffled_outputs(&mut *source, &data, chosen, &self.fit_config, of_test)?;
            tracker.control(name, 1, 1);
            let report = |outputs: Vec<f32>| {
                let is_finite = outputs.iter().all(|output| output.is_finite());
                is_finite.then(|| held_out.report(&outputs, config.seed)).transpose()
            };
            outputs.into_iter().map(report).collect::<Result<Vec<_>, _>>()?
        };
        let trained: Vec<(TrialGroup, Vec<ProbeState>)> =
            groups.iter().zip(&fits).map(|(group, fit)| fit.trained(group)).collect();
        let mut outputs = |side: &[usize]| {
            let side: Vec<(usize, usize)> = side.iter().map(|&example| prefixes[example]).collect();
            predict_logits(&mut *source, &side, &trained, &self.fit_config.prediction())
        };
        let validation = outputs(&self.split.validation)?;
        let test = outputs(&self.split.test)?;
        let mut found = Vec::new();
        let outputs = validation.into_iter().zip(test).zip(controls);
        let all = groups.into_iter().zip(fits).zip(outputs).enumerate();
        for (place, ((group, fit), ((validation, test), control))) in all {
            let architecture = indices[place % indices.len()];
            found.push(Tried { architecture, group, fit, validation, test, control });
        }
        Ok(found)
    }
}

/// The same labels, shuffled among the examples.
fn shuffled(labels: &Labels, seed: u64) -> Labels {
    let mut examples: Vec<usize> = (0..labels.len()).collect();
    examples.shuffle(&mut shuffle_rng(seed, 0));
    labels.select(&examples)
}
