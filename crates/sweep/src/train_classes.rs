//! Training on classes: the grids of all architectures at all sites, with controls and baselines.

use std::path::Path;

use attention_probes_activations::{
    ExampleSet, Place, Split, SplitConfig, class_weights, stratified_split,
};
use attention_probes_probes::ProbeState;

use crate::SweepError;
use crate::config::plan::SweepPlan;
use crate::config::{ClassWeights, SweepConfig};
use crate::data::held_out::unfit;
use crate::judge::bag_of_words::FitFollower;
use crate::judge::baseline::{BaselineTest, FittedBaselines};
use crate::judge::control::shuffled_label_controls;
use crate::judge::findings::Trained;
use crate::judge::grid_notes::grid_notes;
use crate::judge::judged::Judged;
use crate::judge::underfit::exact_predictions;
use crate::material::Material;
use crate::results::history::HistoryRecord;
use crate::results::predictions::HeldOutExamples;
use crate::tracker::{ExperimentSite, Tracker};
use crate::train::cross_validation::check_folds;
use crate::train::find_best_fit::{FitRun, find_best_fit};
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::passes::predict_logits;
use crate::train::record::FitEvent;

/// Share of the validation examples of two classes that is set apart for thresholds and
/// calibrators unless told.
const CALIBRATION: f64 = 0.3;

/// Negatives that this share must have: enough to promise 1 % false positives.
const NEGATIVES: usize = 100;

impl Material<'_> {
    /// Trains every architecture at every site, with controls and baselines, and asks all trials about
    /// the sides held out.
    pub(crate) fn train_classes(self, tracker: &mut dyn Tracker) -> Result<Trained, SweepError> {
        let Self { plan, source, examples, labels, split, rows, tokens, .. } = self;
        let (experiments, fit_config) = (self.experiments, self.fit_config);
        let (config, name) = (plan.config(), &*self.data.name);
        let n_classes = examples.classes.len();
        let prefixes: Vec<(usize, usize)> =
            examples.examples.iter().map(|example| (example.sequence, example.end)).collect();
        let default = if self.is_about_tokens { ClassWeights::Sqrt } else { ClassWeights::Equal };
        let how = self.data.class_weights.unwrap_or(default);
        let weights = weights_of(how, labels.classes(), split, n_classes);
        let (choosing, set_apart) = divide_validation(config, &self.data.path, examples, split)?;
        let data = FitData {
            examples: &prefixes,
            labels: &labels,
            class_weights: &weights,
            groups: examples.groups.as_deref(),
            train: &split.train,
            validation: &choosing,
        };
        for n_folds in config.architectures.iter().filter_map(|architecture| architecture.folds) {
            check_folds(&data, n_folds, config.seed, &self.data.path)?;
        }
        let groups = groups_of(plan, experiments.len(), (source.d_model(), n_classes));
        let names = config.architectures.iter().map(|one| &*one.config_name).collect();
        let n_epochs = config.sweep.most_epochs();
        let told = Told { data: name, n_epochs, names, experiments, groups: &groups };
        let mut tell = |event: &FitEvent<'_>| told.tell(event, tracker);
        let checkpoint = self.folder.map(|(_, checkpoint)| checkpoint);
        let fits = find_best_fit(
            &mut *source,
            &FitRun { data: &data, groups: &groups, config: &fit_config, checkpoint },
            &mut tell,
        )?;
        let chosen = (&groups[..], &fits[..]);
        let n_shuffles = config.evaluation.shuffled_labels;
        let controls = shuffled_label_controls(
            &mut *source,
            &data,
            chosen,
            (&fit_config, &mut |done, total| tracker.control(name, done, total)),
            (&split.test, n_shuffles),
        )?;

        let architectures = (&config.architectures[..], &groups[..]);
        let exact =
            exact_predictions(&mut *source, &data, architectures, &fit_config, &split.test)?;
        for note in grid_notes(name, &config.architectures, (&groups, &fits)) {
            tracker.note(&note);
        }

        let trained: Vec<(TrialGroup, Vec<ProbeState>)> =
            groups.iter().zip(&fits).map(|(group, fit)| fit.trained(group)).collect();
        let mut judge = |side: &[usize]| {
            let examples = held_out(examples, side, rows);
            let side: Vec<(usize, usize)> = side.iter().map(|&example| prefixes[example]).collect();
            let logits = predict_logits(&mut *source, &side, &trained, &fit_config.prediction())?;
            Ok::<_, SweepError>(Judged { logits, examples, n_classes })
        };
        let validation = judge(&choosing)?;
        let set_apart = if set_apart.is_empty() { None } else { Some(judge(&set_apart)?) };
        let test = judge(&split.test)?;
        let (indices, seed) = (&split.test[..], config.seed);
        let judged_on = BaselineTest { indices, examples: &test.examples, tokens, seed };
        let folder = self.folder.map(|(folder, _)| folder);
        let follower = FitFollower { data: name, folder, stop: &fit_config.stop, tracker };
        let baselines = FittedBaselines::new(&data, judged_on, follower)?;
        Ok(Trained { groups, fits, controls, exact, baselines, validation, set_apart, test })
    }
}

/// What a tracker is told about the fits of a data set.
pub(crate) struct Told<'a> {
    pub(crate) data: &'a str,
    /// Most epochs of a trial.
    pub(crate) n_epochs: usize,
    /// Names of the architectures, which are side by side in the groups of a site.
    pub(crate) names: Vec<&'a str>,
    /// Place and name of the experiment of each site.
    pub(crate) experiments: &'a [(Option<Place>, String)],
    pub(crate) groups: &'a [TrialGroup],
}

impl Told<'_> {
    /// Tells a tracker what a fit says of itself.
    pub(crate) fn tell(&self, event: &FitEvent<'_>, tracker: &mut dyn Tracker) {
        let site_of = |group: usize| {
            let (place, experiment) = &self.experiments[self.groups[group].site];
            ExperimentSite { data: self.data, place: place.as_ref(), experiment }
        };
        let config_name = |group: usize| self.names[group % self.names.len()];
        let report = match event {
            FitEvent::Epoch(report) => report,
            FitEvent::Pass(pass) => {
                let (site, config_name) = (site_of(pass.group), config_name(pass.group));
                return tracker.solving(&site, config_name, pass.n_passes);
            }
        };
        tracker.epoch(self.data, report.epoch, self.n_epochs);
        if report.round > 0 {
            return; // a curve that was told has no second beginning
        }
        for leader in report.leaders {
            let record =
                HistoryRecord::new(config_name(leader.group), leader.trial, &leader.record);
            tracker.leads(&site_of(leader.group), &record);
        }
    }
}

/// The validation examples that choose a trial, and those set apart for thresholds and calibrators.
fn divide_validation(
    config: &SweepConfig,
    path: &Path,
    examples: &ExampleSet,
    split: &Split,
) -> Result<(Vec<usize>, Vec<usize>), SweepError> {
    let undivided = || Ok((split.validation.clone(), Vec::new()));
    let share = match config.evaluation.calibration {
        Some(share) => share,
        None if examples.classes.len() == 2 => CALIBRATION,
        None => 0.0,
    };
    if share == 0.0 {
        return undivided();
    }
    let shares = SplitConfig { validation: share, test: 0.0, seed: config.seed };
    let of = |list: &[usize]| split.validation.iter().map(|&i| list[i]).collect::<Vec<_>>();
    let (labels, groups) = (of(&examples.labels()), examples.groups.as_deref().map(of));
    let divided = stratified_split(&labels, groups.as_deref(), &shares);
    if config.evaluation.calibration.is_none() {
        let n_negatives = |side: &[usize]| side.iter().filter(|&&i| labels[i] == 0).count();
        let is_enough = divided.as_ref().is_ok_and(|it| n_negatives(&it.validation) >= NEGATIVES);
        if !is_enough {
            return undivided();
        }
    }
    let divided = divided.map_err(unfit(path))?;
    let back = |side: &[usize]| side.iter().map(|&i| split.validation[i]).collect();
    Ok((back(&divided.train), back(&divided.validation)))
}

/// Examples of one side as they are reported; `rows` are those of the sequences.
fn held_out(examples: &ExampleSet, side: &[usize], rows: &[usize]) -> HeldOutExamples {
    let example = |&i: &usize| &examples.examples[i];
    HeldOutExamples {
        labels: side.iter().map(|i| example(i).label).collect(),
        rows: side.iter().map(|i| rows[example(i).sequence]).collect(),
        n_tokens: side.iter().map(|i| example(i).end).collect(),
        groups: examples.groups.as_ref().map(|groups| side.iter().map(|&i| groups[i]).collect()),
        pairs: examples.pairs.as_ref().map(|pairs| side.iter().map(|&i| pairs[i]).collect()),
    }
}

/// One group per site and architecture, architectures of a site side by side.
fn groups_of(plan: &SweepPlan, n_sites: usize, sizes: (usize, usize)) -> Vec<TrialGroup> {
    let n_architectures = plan.config().architectures.len();
    let group = |index| plan.group(index % n_architectures, index / n_architectures, sizes);
    (0..n_sites * n_architectures).map(group).collect()
}

/// What a class weighs.
fn weights_of(how: ClassWeights, labels: &[usize], split: &Split, n_classes: usize) -> Vec<f32> {
    let train: Vec<usize> = split.train.iter().map(|&example| labels[example]).collect();
    match how {
        ClassWeights::Equal => vec![1.0; n_classes],
        ClassWeights::Sqrt => class_weights(&train, n_classes),
        ClassWeights::Balanced => balanced_weights(&train, n_classes),
    }
}

/// Weights under which every class counts the same: `n / (n_classes · n of the class)`.
fn balanced_weights(labels: &[usize], n_classes: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; n_classes];
    for &label in labels {
        counts[label] += 1;
    }
    let weight = |&n: &usize| labels.len() as f32 / (n_classes * n.max(1)) as f32;
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_count_the_same_however_many_they_are() {
        let weights = balanced_weights(&[0, 0, 0, 1, 0, 2, 2, 0], 3);
        for (weight, n) in weights.iter().zip([5.0, 1.0, 2.0]) {
            approx::assert_abs_diff_eq!(weight * n, 8.0 / 3.0, epsilon = 1e-6);
        }
        assert_eq!(balanced_weights(&[0, 1, 1, 0], 2), [1.0, 1.0]);
    }
}
