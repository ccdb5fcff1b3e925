//! What was found at a layer: evaluated and described.

use attention_probes_activations::{Place, Split};
use attention_probes_errors::listed;
use attention_probes_metrics::{ControlReport, ExampleCounts};
use attention_probes_models::LanguageModel;
use attention_probes_probes::{DataMetadata, ModelMetadata, ProbeMetadata};

use crate::SweepError;
use crate::config::{Components, DataConfig, HeldOut, Layers, SelectBy, SweepConfig};
use crate::data::data_run::DataRun;
use crate::judge::baseline::FittedBaselines;
use crate::judge::evaluation::{
    EvaluatedGroup, Evaluator, FittedOn, compare as compare_predictions,
};
use crate::judge::judged::Judged;
use crate::judge::unbalanced::unbalanced;
use crate::judge::underfit;
use crate::results::fitted::FittedArchitecture;
use crate::results::folder;
use crate::results::origin::Origin;
use crate::results::predictions::Predictions;
use crate::results::report::{ArchitectureReport, ExperimentReport, axis_spreads};
use crate::results::swept::SweptExperiment;
use crate::train::fit::GroupFit;
use crate::train::group::TrialGroup;
use crate::train::score::compare;
use crate::warning::{Warning, WarningKind};

/// What results are of.
pub(crate) struct Subject<'a> {
    pub(crate) config: &'a SweepConfig,
    /// The data set, and where its test examples are from.
    pub(crate) data: &'a DataConfig,
    pub(crate) origin: Origin,
    /// Metadata of a probe, as far as they are of model and data.
    pub(crate) describe: &'a dyn Fn(&mut ProbeMetadata),
    /// The configuration of the experiment of a place alone, TOML.
    pub(crate) resolved: &'a dyn Fn(Option<&Place>) -> Result<String, SweepError>,
    /// Texts or examples that were left out because of NaN or infinity.
    pub(crate) n_skipped: usize,
    /// What looks wrong in the data.
    pub(crate) warnings: &'a [Warning],
}

/// Everything that was trained on a data set, and what it says about the examples held out.
pub(crate) struct Trained {
    /// Architectures of a site side by side.
    pub(crate) groups: Vec<TrialGroup>,
    pub(crate) fits: Vec<GroupFit>,
    /// Controls of every group, or none at all.
    pub(crate) controls: Vec<ControlReport>,
    /// Of every group that has an exact solution but was trained by `AdamW`, the classes that the
    /// solution predicts on test.
    pub(crate) exact: Vec<Option<Vec<usize>>>,
    pub(crate) baselines: FittedBaselines,
    pub(crate) validation: Judged,
    /// What is said about examples set apart for thresholds and calibrators.
    pub(crate) set_apart: Option<Judged>,
    pub(crate) test: Judged,
}

/// What was trained on a data set, as it is described.
pub(crate) struct Findings<'a> {
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) classes: &'a [String],
    pub(crate) split: &'a Split,
    pub(crate) trained: &'a Trained,
}

impl Findings<'_> {
    /// Evaluates the architectures of a site.
    pub(crate) fn at(
        &self,
        site: usize,
        place: Option<&Place>,
        experiment: String,
    ) -> Result<SweptExperiment, SweepError> {
        let config = self.subject.config;
        let fitted = self.fitted(site, place);
        let (diverged, sound): (Vec<_>, Vec<_>) =
            fitted.iter().partition(|architecture| architecture.diverged(architecture.fit.best));
        let diverged: Vec<String> =
            diverged.into_iter().map(|one| one.config_name.to_owned()).collect();
        let architectures = self.architecture_reports(&sound)?;
        let mut warnings = self.warnings_of(&diverged, &sound)?;
        warnings.extend(architectures.iter().filter_map(|one| unbalanced(one, self.subject.data)));
        let report = ExperimentReport {
            experiment,
            data: self.subject.data.name.clone(),
            layer: place.and_then(Place::layer),
            layers: joined_layers(place).unwrap_or_default(),
            component: place.map(|place| place.component().to_string()),
            origin: self.subject.origin.clone(),
            classes: self.classes.to_vec(),
            counts: ExampleCounts {
                n_train: self.split.train.len(),
                n_validation: self.trained.validation.examples.labels.len(),
                n_calibration: Some(
                    self.trained.set_apart.as_ref().map_or(0, |side| side.examples.labels.len()),
                ),
                n_test: self.split.test.len(),
                n_skipped: self.subject.n_skipped,
            },
            baselines: self.trained.baselines.report.clone(),
            architectures,
            diverged,
            warnings,
        };
        let chosen = || sound.iter().map(|one| (one.config_name, one.group, one.fit.best));
        let predictions = Predictions {
            validation: self.trained.validation.predictions(chosen()),
            calibration: self.trained.set_apart.as_ref().map(|side| side.predictions(chosen())),
            test: self.trained.test.predictions(chosen()),
        };
        let (mut trials, mut history, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        for architecture in &fitted {
            trials.extend(architecture.trial_metrics()?);
            history.extend(architecture.history());
            probes.extend(architecture.probes(&config.evaluation)?);
        }
        let config = (self.subject.resolved)(place)?;
        Ok(SweptExperiment { report, trials, history, predictions, probes, config })
    }

    /// What looks wrong in the data, then in what was trained.
    fn warnings_of(
        &self,
        diverged: &[String],
        sound: &[&FittedArchitecture<'_>],
    ) -> Result<Vec<Warning>, SweepError> {
        let config = self.subject.config;
        let mut warnings = self.subject.warnings.to_vec();
        warnings.extend(few_test_examples(
            &self.trained.test.examples.labels,
            self.classes,
            &self.subject.data.test,
        ));
        warnings.extend(diverged.iter().map(|name| diverged_warning(name)));
        let unfinished =
            sound.iter().filter(|one| one.fit.trials[one.fit.best].converged == Some(false));
        warnings.extend(unfinished.map(|one| unfinished_warning(one.config_name)));
        for one in sound {
            let architecture = &config.architectures[one.group % config.architectures.len()];
            warnings.extend(underfit::warnings(architecture, &config.sweep, one.fit));
            if let Some(exact) = &self.trained.exact[one.group] {
                let trained = one.test.predicted(one.fit.best);
                let difference = compare_predictions(one.test, [exact, &trained], config.seed)?;
                warnings.extend(underfit::worse_than_exact(one.config_name, &difference));
            }
        }
        Ok(warnings)
    }

    /// Every architecture of a site.
    fn fitted(&self, site: usize, place: Option<&Place>) -> Vec<FittedArchitecture<'_>> {
        let config = self.subject.config;
        let groups = self.trained.groups.iter().enumerate().filter(|(_, group)| group.site == site);
        groups
            .map(|(index, group)| {
                let architecture = &config.architectures[index % config.architectures.len()];
                let mut metadata = ProbeMetadata::new(
                    self.trained.fits[index].probe.clone(),
                    self.classes.to_vec(),
                );
                (self.subject.describe)(&mut metadata);
                group.method.describe(group.loss, &mut metadata);
                if group.method.is_batched() {
                    metadata.batch_size = Some(config.sweep.batch_size);
                }
                metadata.layer = place.and_then(Place::layer);
                metadata.layers = joined_layers(place);
                metadata.component = place.map(|place| place.component().to_string());
                FittedArchitecture {
                    config_name: &architecture.config_name,
                    group: index,
                    fit: &self.trained.fits[index],
                    validation: self.trained.validation.group(index),
                    calibration: self
                        .trained
                        .set_apart
                        .as_ref()
                        .unwrap_or(&self.trained.validation)
                        .group(index),
                    test: self.trained.test.group(index),
                    metadata,
                    names_seed: config.sweep.seeds.len() > 1,
                }
            })
            .collect()
    }

    /// Reports of the architectures of a site that did not diverge.
    fn architecture_reports(
        &self,
        sound: &[&FittedArchitecture<'_>],
    ) -> Result<Vec<ArchitectureReport>, SweepError> {
        let config = self.subject.config;
        let selected_by = config.sweep.select_by;
        let evaluator = Evaluator {
            config: &config.evaluation,
            fitted_on: match self.trained.set_apart {
                Some(_) => FittedOn::Calibration,
                None => FittedOn::Validation,
            },
            bag_of_words: self.trained.baselines.bag_of_words.as_deref(),
            best: best_of(sound, selected_by)
                .map(|best| (best.group, best.test.predicted(best.fit.best))),
            seed: config.seed,
        };
        let report = |architecture: &&FittedArchitecture<'_>| {
            let fit = architecture.fit;
            let chosen = &fit.trials[fit.best];
            let group = EvaluatedGroup {
                index: architecture.group,
                fit,
                calibration: architecture.calibration,
                test: architecture.test,
            };
            let control = self.trained.controls.get(architecture.group).copied();
            Ok(ArchitectureReport {
                config_name: architecture.config_name.to_owned(),
                n_trials: fit.trials.len(),
                optimizer: architecture.metadata.optimizer,
                learning_rate: chosen.trial.learning_rate,
                weight_decay: chosen.trial.weight_decay,
                seed: chosen.trial.seed,
                file: format!("{}_state.npz", architecture.stem(chosen)),
                selected_by,
                selected_value: fit.selected_value(selected_by),
                cross_validation: fit.cross_validation.clone(),
                validation: architecture.validation.report(fit.best, chosen.trial.seed)?,
                test: architecture.test.report(fit.best, chosen.trial.seed)?,
                pair_accuracy: architecture.test.pair_accuracy(fit.best)?,
                evaluation: evaluator.evaluate(group, control)?,
                axes: axis_spreads(fit),
            })
        };
        sound.iter().map(report).collect()
    }
}

/// The warning about an architecture of which no trial ended with numbers.
pub(crate) fn diverged_warning(config_name: &str) -> Warning {
    let message = "every trial diverged; lower its `learning_rates`, or raise the `weight_decays` of \
                   an exact fit";
    Warning::of_architecture(WarningKind::Diverged, config_name, message)
}

/// The warning about a chosen fit whose solver stopped early.
pub(crate) fn unfinished_warning(config_name: &str) -> Warning {
    let message = "the chosen fit did not reach its minimum; raise its `weight_decays`";
    Warning::of_architecture(WarningKind::NotConverged, config_name, message)
}

/// Fewest test examples of a class of which its recall says something.
const ENOUGH: usize = 10;

/// Names the class with the fewest test examples, if these are too few.
fn few_test_examples(labels: &[usize], classes: &[String], test: &HeldOut) -> Option<Warning> {
    let mut counts = vec![0_usize; classes.len()];
    for &label in labels {
        counts[label] += 1;
    }
    let n_rare = counts.iter().filter(|count| **count < ENOUGH).count();
    let (rarest, n) = counts.iter().enumerate().min_by_key(|(_, count)| **count)?;
    let name = listed(std::slice::from_ref(&classes[rarest]));
    let remedy = match test {
        HeldOut::Share(_) => "raise `data.test`, or give more examples",
        HeldOut::File(_) => "add examples to the test file",
    };
    let what = match n_rare {
        0 => return None,
        1 => format!("class {name} has {n} test examples"),
        _ => format!(
            "{n_rare} of {} classes have fewer than {ENOUGH} test examples, {name} has {n}",
            classes.len()
        ),
    };
    let message = format!("{what}, too few for a reliable recall; {remedy}");
    Some(Warning::of_data(WarningKind::FewTestExamples, message))
}

/// The architecture whose chosen trial validation likes best.
fn best_of<'a, 'b>(
    architectures: &[&'a FittedArchitecture<'b>],
    select_by: SelectBy,
) -> Option<&'a FittedArchitecture<'b>> {
    let score = |one: &FittedArchitecture<'_>| one.fit.trials[one.fit.best].score();
    // Of equals the first.
    let better = |a: &&&FittedArchitecture<'_>, b: &&&FittedArchitecture<'_>| {
        compare(score(a), score(b), select_by).then(b.group.cmp(&a.group))
    };
    architectures.iter().max_by(better).copied()
}

/// Fills in where the probes of a data set come from.
pub(crate) fn describe(
    metadata: &mut ProbeMetadata,
    run: &DataRun<'_>,
    model: Option<&LanguageModel>,
    data: &DataMetadata,
) {
    let config = run.plan.config();
    if let Some(model) = model {
        metadata.model = Some(ModelMetadata {
            name: model.name.clone(),
            revision: Some(model.revision.clone()),
        });
        let n_ctx = model.model.shape().n_ctx;
        metadata.max_tokens = Some(run.config().max_tokens.min(n_ctx));
        metadata.convention = Some(config.model.convention.to_string());
    }
    if let Some(sites) = &run.activations {
        sites.describe(metadata);
    }
    if let Some(task) = run.plan.task(run.data) {
        metadata.task = Some(task.to_string());
        metadata.target = task.target().cloned();
    }
    metadata.split_seed = Some(config.seed);
    metadata.data = Some(data.clone());
}

/// The layers of a place that joins several.
pub(crate) fn joined_layers(place: Option<&Place>) -> Option<Vec<usize>> {
    place.filter(|place| place.layers().len() > 1).map(|place| place.layers().to_vec())
}

/// The configuration of one experiment alone.
pub(crate) fn resolved_config(
    run: &DataRun<'_>,
    place: Option<&Place>,
) -> Result<String, SweepError> {
    let mut config = run.plan.config().clone();
    config.data = vec![run.config().clone()];
    if let Some(sites) = &run.activations {
        let hook = sites.hook_at(place).map(str::to_owned);
        config.data[0].hook = config.data[0].hook.take().or(hook);
    } else if let Some(place) = place {
        config.activations.layers =
            Layers::List(place.layers().iter().map(|&layer| layer as i64).collect());
        config.activations.component = Components::One(place.component());
    }
    folder::to_toml(&config, &run.folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_nine_test_examples_is_warned_of() {
        let classes = ["no", "yes", "maybe"].map(str::to_owned);
        let labels = |counts: [usize; 3]| -> Vec<usize> {
            counts.iter().enumerate().flat_map(|(c, n)| std::iter::repeat_n(c, *n)).collect()
        };
        let test = HeldOut::Share(0.2);
        assert_eq!(few_test_examples(&labels([10, 12, 90]), &classes, &test), None);
        let message = |counts| few_test_examples(&labels(counts), &classes, &test).unwrap().message;
        assert_eq!(
            message([10, 9, 90]),
            "class `yes` has 9 test examples, too few for a reliable recall; raise `data.test`, or \
             give more examples"
        );
        assert!(message([3, 9, 0]).starts_with(
            "3 of 3 classes have fewer than 10 test examples, `maybe` has 0, too few"
        ));
        let file =
            few_test_examples(&labels([10, 9, 90]), &classes, &HeldOut::File("t.csv".into()));
        assert!(file.unwrap().message.ends_with("add examples to the test file"));
    }
}
