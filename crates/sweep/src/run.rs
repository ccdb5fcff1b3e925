//! A whole sweep: data to tokens to activations to trials to files.

use std::path::PathBuf;

use attention_probes_activations::{
    ActivationSource, Capture, ExampleSet, ExternalActivations, MemoryActivations, Site, Split,
    StorageConfig, TokenizedDataset, class_weights, open_activations,
};
use attention_probes_metrics::{ConfusionMatrix, bootstrap_balanced_accuracy};
use attention_probes_models::{LanguageModel, open_model};
use attention_probes_probes::{DataMetadata, ModelMetadata, ProbeMetadata};
use burn::tensor::Device;

use crate::SweepError;
use crate::baseline::BagOfWords;
use crate::config::{DataConfig, Layers, SelectBy};
use crate::find_best_fit::{FitConfig, FitData, GroupFit, TrialGroup, find_best_fit, predict};
use crate::folder::{self, RunFolder};
use crate::input::{Texts, read_external, split};
use crate::plan::SweepPlan;
use crate::report::{
    ArchitectureReport, AxisSpread, BagOfWordsBaseline, Baselines, ExperimentReport, Origin,
    SweepReport,
};
use crate::results::{FittedArchitecture, Predictions, write_experiment};
use crate::tracker::{NoTracker, Tracker};

/// Most tokens of one forward pass of the model, padding included.
const TOKENS_PER_FORWARD: usize = 4096;

/// Most rows that a note lists.
const MAX_LISTED: usize = 20;

/// Runs a sweep and writes its results.
///
/// The model runs once over each data set (or, recomputing, once per batch), for all layers; every
/// architecture and all trials train on each batch together. With `resume`, what is complete is
/// kept, and what is not goes on from its last epoch.
///
/// # Errors
///
/// - [`SweepError::Exists`] if there is such a run already and `resume` is not set
/// - [`SweepError::OtherConfig`] if it was made with another configuration
/// - [`SweepError::Busy`] if another process is at it
/// - any other [`SweepError`] if the model, a data set, or the disk is at fault; what is wrong with
///   the model or the data shows before the folder is made
pub fn run_sweep(
    plan: &SweepPlan,
    resume: bool,
    device: &Device,
    tracker: &mut dyn Tracker,
) -> Result<SweepReport, SweepError> {
    let config = plan.config();
    folder::check(config, resume)?;
    let model = model_of(plan, device)?;
    let runs = data_runs(plan, device);
    let mut inputs = Vec::new();
    for run in &runs {
        inputs.push(run.input(model.as_ref(), true, tracker)?);
    }
    let folder = RunFolder::claim(config)?;
    let mut experiments = Vec::new();
    for (run, input) in runs.iter().zip(inputs) {
        experiments.extend(run.run(input, model.as_ref(), tracker)?);
    }
    folder.remove_checkpoints()?;
    Ok(SweepReport { folder: folder.path, experiments })
}

/// Checks everything that [`run_sweep`] would check before it trains: model, layers, data, and
/// folder. Writes nothing.
///
/// # Errors
///
/// As [`run_sweep`].
pub fn check_sweep(plan: &SweepPlan, resume: bool, device: &Device) -> Result<(), SweepError> {
    folder::check(plan.config(), resume)?;
    let model = model_of(plan, device)?;
    for run in data_runs(plan, device) {
        run.input(model.as_ref(), false, &mut NoTracker)?;
    }
    Ok(())
}

fn model_of(plan: &SweepPlan, device: &Device) -> Result<Option<LanguageModel>, SweepError> {
    if !plan.needs_model() {
        return Ok(None);
    }
    let model = open_model(&plan.config().model.name, device)?;
    plan.layers(model.model.shape().n_layers)?;
    Ok(Some(model))
}

fn data_runs<'a>(plan: &'a SweepPlan, device: &'a Device) -> Vec<DataRun<'a>> {
    let run = |data| DataRun { plan, data, folder: folder::path_of(plan.config()), device };
    (0..plan.config().data.len()).map(run).collect()
}

/// One data set of a run.
struct DataRun<'a> {
    plan: &'a SweepPlan,
    data: usize,
    folder: PathBuf,
    device: &'a Device,
}

/// A data set that has been checked.
enum Input {
    /// An earlier run has finished it.
    Complete(Vec<ExperimentReport>),
    /// Texts, ready for the model.
    Texts(Texts),
    /// Activations, read again when their turn comes: those of several data sets need not fit into
    /// memory together.
    Activations,
}

/// Examples ready to train on.
struct Prepared<'a> {
    source: Box<dyn ActivationSource + 'a>,
    examples: ExampleSet,
    split: Split,
    hash: String,
    /// Texts or examples that were left out because of NaN or infinity.
    n_skipped: usize,
}

impl DataRun<'_> {
    fn config(&self) -> &DataConfig {
        &self.plan.config().data[self.data]
    }

    /// Reads and checks the data set, unless it is complete.
    fn input(
        &self,
        model: Option<&LanguageModel>,
        keeps_tokens: bool,
        tracker: &mut dyn Tracker,
    ) -> Result<Input, SweepError> {
        if let Some(reports) = self.complete(&self.layers(model)?, model) {
            return Ok(Input::Complete(reports));
        }
        let seed = self.plan.config().seed;
        let (Some(task), Some(model)) = (self.plan.task(self.data), model) else {
            let (_, examples) = read_external(self.config(), seed)?;
            self.check_selection(examples.classes.len())?;
            return Ok(Input::Activations);
        };
        let cache = keeps_tokens.then(|| self.cache("tokens"));
        let texts = Texts::read(self.config(), task, seed, model, cache, tracker)?;
        self.check_selection(texts.examples.classes.len())?;
        Ok(Input::Texts(texts))
    }

    /// Refuses a metric that is not defined for so many classes.
    fn check_selection(&self, n_classes: usize) -> Result<(), SweepError> {
        if self.plan.config().sweep.select_by == SelectBy::Auroc && n_classes != 2 {
            return Err(SweepError::Contradiction {
                key: "sweep.select_by",
                reason: "is `auroc`, which needs two classes; use balanced_accuracy or loss",
            });
        }
        Ok(())
    }

    fn run(
        &self,
        input: Input,
        model: Option<&LanguageModel>,
        tracker: &mut dyn Tracker,
    ) -> Result<Vec<ExperimentReport>, SweepError> {
        let layers = self.layers(model)?;
        match (input, model) {
            (Input::Complete(reports), _) => {
                tracker.note(&format!("`{}` is complete already", self.config().name));
                Ok(reports)
            }
            (Input::Texts(texts), Some(model)) => {
                let sites: Vec<Site> = layers.iter().map(|&layer| self.site(layer)).collect();
                let capture = Capture {
                    model: &*model.model,
                    tokens: &texts.tokens,
                    sites: &sites,
                    device: self.device,
                    max_tokens_per_batch: TOKENS_PER_FORWARD,
                };
                let prepared = self.prepare(&texts, capture, model, tracker)?;
                self.fit(prepared, Some(&texts.tokens), &layers, Some(model), tracker)
            }
            _ => {
                let (external, examples) = read_external(self.config(), self.plan.config().seed)?;
                let prepared = self.prepare_external(external, examples, tracker)?;
                self.fit(prepared, None, &layers, None, tracker)
            }
        }
    }

    /// The layers to probe; none where the data are activations.
    fn layers(&self, model: Option<&LanguageModel>) -> Result<Vec<usize>, SweepError> {
        match (self.plan.task(self.data), model) {
            (Some(_), Some(model)) => self.plan.layers(model.model.shape().n_layers),
            _ => Ok(Vec::new()),
        }
    }

    /// Reports of every layer, if all are written and of this data, model, and version.
    fn complete(
        &self,
        layers: &[usize],
        model: Option<&LanguageModel>,
    ) -> Option<Vec<ExperimentReport>> {
        let origin = self.origin(model);
        let read = |name: String| {
            let text = std::fs::read(self.folder.join(name).join("best.json")).ok()?;
            let report: ExperimentReport = serde_json::from_slice(&text).ok()?;
            origin.allows(&report.origin).then_some(report)
        };
        self.experiments(layers).into_iter().map(|(_, name)| read(name)).collect()
    }

    /// What results depend on beside the configuration.
    fn origin(&self, model: Option<&LanguageModel>) -> Origin {
        let mut hasher = blake3::Hasher::new();
        let file = std::fs::File::open(&self.config().path);
        let is_read = file.and_then(|file| hasher.update_reader(file).map(|_| ())).is_ok();
        let needs_model = self.plan.task(self.data).is_some();
        Origin {
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_hash: is_read.then(|| hasher.finalize().to_hex().to_string()),
            model_revision: model.filter(|_| needs_model).map(|model| model.revision.clone()),
        }
    }

    /// Layer and name of every experiment.
    fn experiments(&self, layers: &[usize]) -> Vec<(Option<usize>, String)> {
        let data = &self.config().name;
        if layers.is_empty() {
            return vec![(None, data.clone())];
        }
        let component = self.plan.config().activations.component;
        let name = |&layer: &usize| (Some(layer), format!("{data}-L{layer:02}-{component}"));
        layers.iter().map(name).collect()
    }

    fn site(&self, layer: usize) -> Site {
        let config = self.plan.config();
        Site { layer, component: config.activations.component, convention: config.model.convention }
    }

    fn cache(&self, kind: &str) -> PathBuf {
        self.plan.config().output.join("cache").join(kind)
    }

    /// Computes or finds the activations, drops what is not finite, and divides the examples.
    fn prepare<'a>(
        &self,
        texts: &Texts,
        capture: Capture<'a>,
        model: &LanguageModel,
        tracker: &mut dyn Tracker,
    ) -> Result<Prepared<'a>, SweepError> {
        let config = &self.plan.config().activations;
        let storage = StorageConfig {
            storage: config.storage,
            memory_budget_bytes: (config.memory_budget_gib * f64::from(1 << 30)) as u64,
            folder: Some(self.cache("activations")),
            model_key: model.revision.clone(),
        };
        let name = &self.config().name;
        let mut progress = |done, total| tracker.extracted(name, done, total);
        let mut examples = texts.examples.clone();
        let source = open_activations(capture, &examples.sequences(), &storage, &mut progress)?;
        let n_skipped = source.skipped().len();
        if n_skipped > 0 {
            let rows: Vec<usize> =
                source.skipped().iter().map(|&sequence| texts.tokens.text_rows[sequence]).collect();
            tracker.note(&format!(
                "`{name}`: {n_skipped} texts skipped, their activations have NaN or infinity: {}",
                listed(&rows)
            ));
            examples.remove_sequences(source.skipped());
        }
        let split = split(self.config(), &examples, self.plan.config().seed)?;
        Ok(Prepared { source, examples, split, hash: texts.hash.clone(), n_skipped })
    }

    fn prepare_external(
        &self,
        external: ExternalActivations,
        examples: ExampleSet,
        tracker: &mut dyn Tracker,
    ) -> Result<Prepared<'static>, SweepError> {
        let config = self.config();
        let n_skipped = external.skipped.len();
        if n_skipped > 0 {
            tracker.note(&format!(
                "`{}`: {n_skipped} examples skipped, they have NaN, infinity, or no real token: {}",
                config.name,
                listed(&external.skipped)
            ));
        }
        let split = split(config, &examples, self.plan.config().seed)?;
        let hash = external.hash.clone();
        let source = Box::new(MemoryActivations::from(external));
        Ok(Prepared { source, examples, split, hash, n_skipped })
    }

    /// Trains, judges, and writes every layer.
    fn fit(
        &self,
        prepared: Prepared<'_>,
        tokens: Option<&TokenizedDataset>,
        layers: &[usize],
        model: Option<&LanguageModel>,
        tracker: &mut dyn Tracker,
    ) -> Result<Vec<ExperimentReport>, SweepError> {
        let Prepared { mut source, examples, split, hash, n_skipped } = prepared;
        let config = self.plan.config();
        let labels = examples.labels();
        let n_classes = examples.classes.len();
        let prefixes: Vec<(usize, usize)> =
            examples.examples.iter().map(|example| (example.sequence, example.end)).collect();
        let weights = self.class_weights(&labels, &split, n_classes);
        let data = FitData {
            examples: &prefixes,
            labels: &labels,
            n_classes,
            class_weights: &weights,
            train: &split.train,
            validation: &split.validation,
        };
        let experiments = self.experiments(layers);
        let groups = self.groups(experiments.len(), source.d_model(), n_classes);
        let fit_config = FitConfig {
            epochs: config.sweep.epochs,
            batch_size: config.sweep.batch_size,
            seed: config.seed,
            select_by: config.sweep.select_by,
        };
        let name = &self.config().name;
        // Named after what it was trained on, so that it is never continued on anything else.
        let revision = model.map_or("", |model| model.revision.as_str());
        let key = blake3::hash(format!("{hash} {revision}").as_bytes()).to_hex();
        let checkpoint = self.folder.join(format!("{name}-{}.checkpoint", &key[..16]));
        let mut on_epoch = |epoch| tracker.epoch(name, epoch, config.sweep.epochs);
        let fits = find_best_fit(
            &mut *source,
            &data,
            &groups,
            &fit_config,
            Some(&checkpoint),
            &mut on_epoch,
        )?;

        let judge = Judge { labels: &labels, prefixes: &prefixes, n_classes };
        let validation = judge.predict(&mut *source, &split.validation, &groups, &fits, config)?;
        let test = judge.predict(&mut *source, &split.test, &groups, &fits, config)?;
        let baselines = self.baselines(&examples, &split, tokens, &prefixes)?;
        let [validation_labels, test_labels] =
            [&split.validation, &split.test].map(|side| judge.labels_of(side));

        let mut reports = Vec::new();
        for (site, (layer, experiment)) in experiments.into_iter().enumerate() {
            let mut architectures = Vec::new();
            for (index, group) in groups.iter().enumerate().filter(|(_, group)| group.site == site)
            {
                let architecture = &config.architectures[index % config.architectures.len()];
                let mut metadata =
                    ProbeMetadata::new(group.probe.clone(), examples.classes.clone());
                self.describe(&mut metadata, layer, model, &split, &hash);
                let fitted = FittedArchitecture {
                    config_name: &architecture.config_name,
                    fit: &fits[index],
                    validation: judge.predictions(&validation[index], &validation_labels),
                    test: judge.predictions(&test[index], &test_labels),
                    metadata,
                    names_seed: config.sweep.seeds.len() > 1,
                };
                if fitted.diverged(fitted.fit.best) {
                    let config_name = architecture.config_name.clone();
                    return Err(SweepError::Diverged { config_name, experiment });
                }
                architectures.push(fitted);
            }
            let report = ExperimentReport {
                experiment: experiment.clone(),
                data: name.clone(),
                layer,
                origin: self.origin(model),
                classes: examples.classes.clone(),
                n_train: split.train.len(),
                n_validation: split.validation.len(),
                n_test: split.test.len(),
                n_skipped,
                baselines: baselines.clone(),
                architectures: architectures
                    .iter()
                    .map(|architecture| self.architecture_report(architecture))
                    .collect::<Result<_, _>>()?,
            };
            let resolved = self.resolved_config(layer)?;
            write_experiment(&self.folder.join(&experiment), &architectures, &resolved, &report)?;
            tracker.finished(&experiment);
            reports.push(report);
        }
        Ok(reports)
    }

    /// One group per site and architecture, architectures of a site side by side.
    fn groups(&self, n_sites: usize, d_model: usize, n_classes: usize) -> Vec<TrialGroup> {
        let n_architectures = self.plan.config().architectures.len();
        let group = |index: usize| TrialGroup {
            site: index / n_architectures,
            probe: self.plan.probe(index % n_architectures, d_model, n_classes),
            trials: self.plan.trials().to_vec(),
        };
        (0..n_sites * n_architectures).map(group).collect()
    }

    /// Token tasks weigh rare positives; other tasks weigh every class alike.
    fn class_weights(&self, labels: &[usize], split: &Split, n_classes: usize) -> Vec<f32> {
        let is_token_task = self.plan.task(self.data).is_some_and(|task| task.target().is_some());
        if !is_token_task {
            return vec![1.0; n_classes];
        }
        let train: Vec<usize> = split.train.iter().map(|&example| labels[example]).collect();
        class_weights(&train, n_classes)
    }

    /// Fills in where a probe comes from.
    fn describe(
        &self,
        metadata: &mut ProbeMetadata,
        layer: Option<usize>,
        model: Option<&LanguageModel>,
        split: &Split,
        hash: &str,
    ) {
        let config = self.plan.config();
        metadata.layer = layer;
        if let Some(model) = model {
            metadata.model = Some(ModelMetadata {
                name: model.name.clone(),
                revision: Some(model.revision.clone()),
            });
            metadata.component = Some(config.activations.component.to_string());
            let n_ctx = model.model.shape().n_ctx;
            metadata.max_tokens = Some(self.config().max_tokens.min(n_ctx));
            metadata.convention = serde_json::to_value(config.model.convention)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned));
        }
        if let Some(task) = self.plan.task(self.data) {
            metadata.task = Some(task.to_string());
            metadata.target = task.target().map(str::to_owned);
        }
        metadata.epochs = Some(config.sweep.epochs);
        metadata.batch_size = Some(config.sweep.batch_size);
        metadata.split_seed = Some(config.seed);
        metadata.data = Some(DataMetadata {
            name: self.config().name.clone(),
            hash: Some(hash.to_owned()),
            n_train: split.train.len(),
            n_validation: split.validation.len(),
            n_test: split.test.len(),
        });
    }

    fn architecture_report(
        &self,
        architecture: &FittedArchitecture<'_>,
    ) -> Result<ArchitectureReport, SweepError> {
        let fit = architecture.fit;
        let chosen = &fit.trials[fit.best];
        let select_by = self.plan.config().sweep.select_by;
        let score = chosen.score();
        let reason = match score {
            Some(score) => format!(
                "validation {}: balanced accuracy {:.4}, loss {:.4}",
                serde_json::to_string(&select_by).unwrap_or_default().trim_matches('"'),
                score.balanced_accuracy,
                score.loss
            ),
            None => "nothing to choose from".to_owned(),
        };
        Ok(ArchitectureReport {
            config_name: architecture.config_name.to_owned(),
            n_trials: fit.trials.len(),
            learning_rate: chosen.trial.learning_rate,
            weight_decay: chosen.trial.weight_decay,
            seed: chosen.trial.seed,
            file: format!("{}_state.npz", architecture.stem(chosen)),
            selected_by: reason,
            validation: architecture.validation.report(fit.best, chosen.trial.seed)?,
            test: architecture.test.report(fit.best, chosen.trial.seed)?,
            axes: AxisSpread::of(fit),
        })
    }

    /// Most frequent class and bag of words, trained on the training and judged on the test side.
    fn baselines(
        &self,
        examples: &ExampleSet,
        split: &Split,
        tokens: Option<&TokenizedDataset>,
        prefixes: &[(usize, usize)],
    ) -> Result<Baselines, SweepError> {
        let labels = examples.labels();
        let n_classes = examples.classes.len();
        let mut counts = vec![0; n_classes];
        for &example in &split.train {
            counts[labels[example]] += 1;
        }
        let majority = (0..n_classes).max_by_key(|&class| (counts[class], n_classes - class));
        let test: Vec<usize> = split.test.iter().map(|&example| labels[example]).collect();
        let always = vec![majority.unwrap_or(0); test.len()];
        let majority = ConfusionMatrix::new(&test, &always, n_classes)?;
        let bag_of_words = match tokens {
            Some(tokens) => {
                let texts =
                    prefixes.iter().map(|&(sequence, end)| &tokens.sequence(sequence)[..end]);
                let bag = BagOfWords::new(texts);
                let predictions = bag.predict(&labels, n_classes, &split.train, &split.test);
                let found = ConfusionMatrix::new(&test, &predictions, n_classes)?;
                let interval = bootstrap_balanced_accuracy(
                    &test,
                    &predictions,
                    n_classes,
                    1000,
                    0.95,
                    self.plan.config().seed,
                )?;
                Some(BagOfWordsBaseline { balanced_accuracy: found.balanced_accuracy(), interval })
            }
            None => None,
        };
        Ok(Baselines {
            majority_accuracy: majority.accuracy(),
            majority_balanced_accuracy: majority.balanced_accuracy(),
            bag_of_words,
        })
    }

    /// The configuration of one experiment alone.
    fn resolved_config(&self, layer: Option<usize>) -> Result<String, SweepError> {
        let mut config = self.plan.config().clone();
        config.data = vec![self.config().clone()];
        if let Some(layer) = layer {
            config.activations.layers = Layers::List(vec![layer]);
        }
        folder::to_toml(&config, &self.folder)
    }
}

/// Numbers separated by commas, cut to what a person reads.
fn listed(rows: &[usize]) -> String {
    let shown: Vec<String> = rows.iter().take(MAX_LISTED).map(usize::to_string).collect();
    let more = if rows.len() > MAX_LISTED { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Judges trained trials on one side of the split.
struct Judge<'a> {
    labels: &'a [usize],
    prefixes: &'a [(usize, usize)],
    n_classes: usize,
}

impl<'a> Judge<'a> {
    fn labels_of(&self, side: &[usize]) -> Vec<usize> {
        side.iter().map(|&example| self.labels[example]).collect()
    }

    fn predictions(&self, probabilities: &'a [f64], labels: &'a [usize]) -> Predictions<'a> {
        Predictions { probabilities, labels, n_classes: self.n_classes }
    }

    /// Probabilities of every group, `[n_trials, n_examples, n_classes]`.
    fn predict(
        &self,
        source: &mut dyn ActivationSource,
        side: &[usize],
        groups: &[TrialGroup],
        fits: &[GroupFit],
        config: &crate::SweepConfig,
    ) -> Result<Vec<Vec<f64>>, SweepError> {
        let examples: Vec<(usize, usize)> = side.iter().map(|&i| self.prefixes[i]).collect();
        let trained: Vec<_> = groups
            .iter()
            .zip(fits)
            .map(|(group, fit)| {
                let states = fit.trials.iter().map(|trial| trial.state.clone()).collect();
                (group.clone(), states)
            })
            .collect();
        predict(source, &examples, &trained, config.sweep.batch_size)
    }
}
