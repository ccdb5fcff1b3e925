//! What was found at a layer where labels are not classes: evaluated and described.

use attention_probes_activations::{ExampleSet, LabelKind, Labels, NpzArray, Place, Split};
use attention_probes_metrics::{Bootstrap, ExampleCounts};
use attention_probes_probes::engine::Targets;
use attention_probes_probes::{
    Outputs, ProbeConfig, ProbeMetadata, SavedProbe, SideReport, probe_file_stem,
};

use crate::SweepError;
use crate::config::{ArchitectureConfig, GridConfig, SelectBy};
use crate::judge::coarse_numbers::coarse_numbers;
use crate::judge::findings::{Subject, diverged_warning, joined_layers, unfinished_warning};
use crate::judge::grid_end::End;
use crate::judge::underfit;
use crate::results::history::HistoryRecord;
use crate::results::swept_targets::SweptTargets;
use crate::results::target_report::{
    ChosenTrial, PenaltyMetrics, TargetBaselines, TargetMetrics, TargetProbe, TargetReport,
    TrialLosses,
};
use crate::train::fit::GroupFit;
use crate::train::group::TrialGroup;
use crate::train::penalty_path::FittedProbe;
use crate::warning::Warning;

/// A linear probe of a site with the penalties that validation chose.
pub(crate) struct Solved {
    /// Index of the architecture.
    pub(crate) architecture: usize,
    pub(crate) site: usize,
    pub(crate) probe: FittedProbe,
    /// What it says of each side, `[n, n_out]`.
    pub(crate) validation: Vec<f32>,
    pub(crate) test: Vec<f32>,
    /// The same on shuffled labels.
    pub(crate) control: Option<SideReport>,
}

/// The trials of an architecture at a site.
pub(crate) struct Tried {
    /// Index of the architecture.
    pub(crate) architecture: usize,
    pub(crate) group: TrialGroup,
    pub(crate) fit: GroupFit,
    /// What all trials say of each side, `[n_trials, n, n_out]`.
    pub(crate) validation: Vec<f32>,
    pub(crate) test: Vec<f32>,
    /// The chosen setting on shuffled labels.
    pub(crate) control: Option<SideReport>,
}

/// Everything that was trained on a data set.
pub(crate) struct TrainedTargets {
    pub(crate) solved: Vec<Solved>,
    pub(crate) tried: Vec<Tried>,
    pub(crate) baselines: TargetBaselines,
    pub(crate) validation: HeldOutLabels,
    pub(crate) test: HeldOutLabels,
}

/// The examples of a side with their labels.
pub(crate) struct HeldOutLabels {
    labels: Labels,
    rows: Vec<i64>,
    n_tokens: Vec<i64>,
    groups: Option<Vec<usize>>,
}

impl HeldOutLabels {
    /// Some examples; `rows` are those of the sequences.
    pub(crate) fn new(
        examples: &ExampleSet,
        labels: &Labels,
        side: &[usize],
        rows: &[usize],
    ) -> Self {
        let of = |value: &dyn Fn(usize) -> usize| side.iter().map(|&i| value(i) as i64).collect();
        Self {
            labels: labels.select(side),
            rows: of(&|i| rows[examples.examples[i].sequence]),
            n_tokens: of(&|i| examples.examples[i].end),
            groups: examples.groups.as_ref().map(|all| side.iter().map(|&i| all[i]).collect()),
        }
    }

    /// The arrays of `predictions.npz` but for what probes say.
    fn arrays(&self, side: &str) -> Vec<(String, NpzArray)> {
        let shape = vec![self.labels.len(), self.labels.n_columns()];
        let integers = |values: &Vec<i64>| NpzArray::new(vec![values.len()], values.clone());
        let mut arrays = vec![
            (format!("{side}/targets"), NpzArray::new(shape, self.labels.numbers().to_vec())),
            (format!("{side}/rows"), integers(&self.rows)),
            (format!("{side}/n_tokens"), integers(&self.n_tokens)),
        ];
        arrays.extend(self.groups.as_ref().map(|groups| {
            let groups = groups.iter().map(|&group| group as i64).collect();
            (format!("{side}/groups"), integers(&groups))
        }));
        arrays
    }

    /// Evaluates what a probe says of the examples; whole groups are drawn for the intervals.
    pub(crate) fn report(&self, outputs: &[f32], seed: u64) -> Result<SideReport, SweepError> {
        Ok(SideReport::new(&self.labels, outputs, &self.resamples(seed))?)
    }

    /// How resamples of the examples are drawn.
    pub(crate) fn resamples(&self, seed: u64) -> Bootstrap<'_> {
        Bootstrap { seed, ..Bootstrap::default() }.of_groups(self.groups.as_deref())
    }
}

/// What was trained on a data set, as it is described.
pub(crate) struct TargetFindings<'a> {
    pub(crate) subject: &'a Subject<'a>,
    /// Labels of all examples.
    pub(crate) labels: &'a Labels,
    pub(crate) split: &'a Split,
    pub(crate) trained: &'a TrainedTargets,
}

impl TargetFindings<'_> {
    /// Evaluates the architectures of a site.
    pub(crate) fn at(
        &self,
        site: usize,
        place: Option<&Place>,
        experiment: String,
    ) -> Result<SweptTargets, SweepError> {
        let mut swept = SweptTargets {
            report: self.report(place, experiment),
            metrics: Vec::new(),
            history: Vec::new(),
            predictions: self.trained.validation.arrays("validation"),
            probes: Vec::new(),
            config: (self.subject.resolved)(place)?,
        };
        swept.predictions.extend(self.trained.test.arrays("test"));
        for (index, architecture) in self.subject.config.architectures.iter().enumerate() {
            let is_here = |one: usize, at: usize| one == index && at == site;
            let mut solved = self.trained.solved.iter();
            if let Some(solved) = solved.find(|one| is_here(one.architecture, one.site)) {
                self.add_solved(&mut swept, architecture, solved, place)?;
            }
            let mut tried = self.trained.tried.iter();
            if let Some(tried) = tried.find(|one| is_here(one.architecture, one.group.site)) {
                self.add_tried(&mut swept, architecture, tried, place)?;
            }
        }
        Ok(swept)
    }

    /// The report before any probe.
    fn report(&self, place: Option<&Place>, experiment: String) -> TargetReport {
        let mut warnings = self.subject.warnings.to_vec();
        warnings.extend(coarse_numbers(&self.labels.select(&self.split.train)));
        TargetReport {
            experiment,
            data: self.subject.data.name.clone(),
            layer: place.and_then(Place::layer),
            layers: joined_layers(place).unwrap_or_default(),
            component: place.map(|place| place.component().to_string()),
            origin: self.subject.origin.clone(),
            label_kind: self.labels.kind(),
            names: self.labels.names.clone(),
            counts: ExampleCounts {
                n_train: self.split.train.len(),
                n_validation: self.split.validation.len(),
                n_calibration: None,
                n_test: self.split.test.len(),
                n_skipped: self.subject.n_skipped,
            },
            baselines: self.trained.baselines.clone(),
            probes: Vec::new(),
            warnings,
        }
    }

    /// Metadata of a probe but for what tells one trial from another.
    fn metadata(&self, config: ProbeConfig, place: Option<&Place>) -> ProbeMetadata {
        let mut metadata = ProbeMetadata::new(config, self.labels.names.clone());
        (self.subject.describe)(&mut metadata);
        metadata.outputs = Outputs::of(self.labels.kind());
        metadata.layer = place.and_then(Place::layer);
        metadata.layers = joined_layers(place);
        metadata.component = place.map(|place| place.component().to_string());
        metadata
    }

    /// Evaluates what a probe says of both sides, and adds it to its metadata.
    fn evaluate(
        &self,
        metadata: &mut ProbeMetadata,
        [validation, test]: [&[f32]; 2],
    ) -> Result<(SideReport, SideReport), SweepError> {
        let seed = self.subject.config.seed;
        let validation = self.trained.validation.report(validation, seed)?;
        let test = self.trained.test.report(test, seed)?;
        metadata.metrics.validation = validation.likeliest();
        metadata.metrics.test = test.likeliest();
        metadata.metrics.outputs = SideReport::output_metrics(&validation, &test);
        Ok((validation, test))
    }

    /// A probe that was solved exactly.
    fn add_solved(
        &self,
        swept: &mut SweptTargets,
        architecture: &ArchitectureConfig,
        solved: &Solved,
        place: Option<&Place>,
    ) -> Result<(), SweepError> {
        let (name, config) = (&architecture.config_name, self.subject.config);
        let FittedProbe { readout, penalties, path } = &solved.probe;
        let (probe_config, state) = match self.labels.kind() {
            LabelKind::Distribution => {
                readout.to_linear_probe(self.labels.names.len(), architecture.pool)?
            }
            _ => readout.to_output_probe(architecture.pool),
        };
        let mut metadata = self.metadata(probe_config, place);
        metadata.seed = config.seed;
        metadata.penalties.clone_from(penalties);
        let outputs = [&solved.validation[..], &solved.test[..]];
        let (validation, test) = self.evaluate(&mut metadata, outputs)?;
        add_outputs(swept, name, outputs, readout.n_out());
        let stem = format!("{name}_probe");
        swept.report.warnings.extend(end_of_list(name, &solved.probe, self.labels));
        swept.metrics.extend(path.iter().cloned().map(TargetMetrics::Penalty));
        swept.report.probes.push(TargetProbe {
            config_name: name.clone(),
            pool: Some(architecture.pool),
            n_penalties: path.len() / penalties.len(),
            penalties: penalties.clone(),
            trial: None,
            file: format!("{stem}_state.npz"),
            validation,
            test,
            shuffled_labels: solved.control.clone(),
        });
        swept.probes.push((stem, SavedProbe { state, metadata }));
        Ok(())
    }

    /// The trials of a probe that was trained over the grid.
    fn add_tried(
        &self,
        swept: &mut SweptTargets,
        architecture: &ArchitectureConfig,
        tried: &Tried,
        place: Option<&Place>,
    ) -> Result<(), SweepError> {
        let (name, config) = (&architecture.config_name, self.subject.config);
        let Tried { group, fit, control, .. } = tried;
        swept.metrics.extend(self.trial_losses(name, tried));
        for trial in &fit.trials {
            let record = |record| HistoryRecord::new(name, trial.trial, record);
            swept.history.extend(trial.history.iter().map(record));
        }
        if tried.diverged(fit.best) {
            swept.report.warnings.push(diverged_warning(name));
            return Ok(());
        }
        let chosen = &fit.trials[fit.best];
        if chosen.converged == Some(false) {
            swept.report.warnings.push(unfinished_warning(name));
        }
        let grid = GridConfig { select_by: SelectBy::Loss, ..config.sweep.clone() };
        swept.report.warnings.extend(underfit::warnings(architecture, &grid, fit));
        let mut kept = fit.best_per_weight_decay.clone();
        kept.push(fit.best);
        kept.retain(|&index| !tried.diverged(index));
        kept.sort_unstable();
        kept.dedup();
        for index in kept {
            let trial = &fit.trials[index];
            let mut metadata = self.metadata(fit.probe.clone(), place);
            group.method.describe(group.loss, &mut metadata);
            metadata.batch_size = group.method.is_batched().then_some(config.sweep.batch_size);
            metadata.learning_rate = Some(trial.trial.learning_rate);
            metadata.weight_decay = Some(trial.trial.weight_decay);
            metadata.seed = trial.trial.seed;
            metadata.epochs = trial.epochs;
            metadata.metrics.final_loss = trial.train_loss();
            let outputs = tried.outputs_of(index);
            let (validation, test) = self.evaluate(&mut metadata, outputs)?;
            let named = match config.sweep.seeds.len() {
                0 | 1 => name.clone(),
                _ => format!("{name}-s{}", trial.trial.seed),
            };
            let stem = probe_file_stem(&named, trial.trial.learning_rate, trial.trial.weight_decay);
            if index == fit.best {
                add_outputs(swept, name, outputs, fit.probe.n_out());
                swept.report.probes.push(TargetProbe {
                    config_name: name.clone(),
                    pool: None,
                    n_penalties: 0,
                    penalties: Vec::new(),
                    trial: Some(ChosenTrial {
                        n_trials: fit.trials.len(),
                        optimizer: group.method.optimizer,
                        learning_rate: trial.trial.learning_rate,
                        weight_decay: trial.trial.weight_decay,
                        seed: trial.trial.seed,
                        validation_loss: trial.score().map(|score| score.loss),
                    }),
                    file: format!("{stem}_state.npz"),
                    validation,
                    test,
                    shuffled_labels: control.clone(),
                });
            }
            let state = trial.state.clone();
            swept.probes.push((stem, SavedProbe { state, metadata }));
        }
        Ok(())
    }

    /// The losses of every trial.
    fn trial_losses(&self, name: &str, tried: &Tried) -> Vec<TargetMetrics> {
        let scale = tried.fit.probe.output_scale();
        let loss = |side: &HeldOutLabels, outputs: &[f32]| {
            Targets::of_labels(&side.labels, &[]).with_scale(scale).plain_loss(outputs)
        };
        let of_trial = |(index, trial): (usize, &crate::TrialFit)| {
            let [validation, test] = tried.outputs_of(index);
            let loss = |side, outputs| (!tried.diverged(index)).then(|| loss(side, outputs));
            TargetMetrics::Trial(TrialLosses {
                config_name: name.to_owned(),
                learning_rate: trial.trial.learning_rate,
                weight_decay: trial.trial.weight_decay,
                seed: trial.trial.seed,
                validation_loss: loss(&self.trained.validation, validation),
                test_loss: loss(&self.trained.test, test),
            })
        };
        tried.fit.trials.iter().enumerate().map(of_trial).collect()
    }
}

impl Tried {
    /// What a trial says of validation and test, each `[n, n_out]`.
    fn outputs_of(&self, trial: usize) -> [&[f32]; 2] {
        [&self.validation, &self.test].map(|outputs| {
            let per_trial = outputs.len() / self.fit.trials.len();
            &outputs[trial * per_trial..(trial + 1) * per_trial]
        })
    }

    /// Whether a trial ended with weights or outputs that are no numbers.
    fn diverged(&self, trial: usize) -> bool {
        let mut arrays = self.fit.trials[trial].state.values();
        !arrays.all(|array| array.values.iter().all(|value| value.is_finite()))
            || !self.outputs_of(trial).iter().all(|side| side.iter().all(|value| value.is_finite()))
    }
}

/// Adds what a chosen probe says of every example held out.
fn add_outputs(swept: &mut SweptTargets, name: &str, outputs: [&[f32]; 2], n_out: usize) {
    for (side, outputs) in ["validation", "test"].into_iter().zip(outputs) {
        let array = NpzArray::new(vec![outputs.len() / n_out, n_out], outputs.to_vec());
        swept.predictions.push((format!("{side}/outputs/{name}"), array));
    }
}

/// The warning about penalties that lie at an end of their list, at most one of each probe: of the
/// label that would gain most.
fn end_of_list(name: &str, fitted: &FittedProbe, labels: &Labels) -> Option<Warning> {
    let end = |(output, chosen): (usize, &f64)| {
        let of_output = fitted
            .path
            .iter()
            .filter(|one| one.output.as_ref().is_none_or(|name| *name == labels.names[output]));
        let score = |one: &PenaltyMetrics| if one.converged { one.validation } else { f64::NAN };
        let scores: Vec<(f64, f64)> = of_output.map(|one| (one.penalty, score(one))).collect();
        End::of(&scores, *chosen)
    };
    let ends = fitted.penalties.iter().enumerate().filter_map(end);
    let worst = ends.max_by(|a, b| a.worse_by.total_cmp(&b.worse_by))?;
    Some(worst.warning(name, ("penalty", "`sweep.penalties`")))
}
