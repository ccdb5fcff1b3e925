//! One data set of a run: read, and its activations opened.

use std::fs::File;
use std::path::PathBuf;

use attention_probes_activations::{
    ActivationSource, Capture, Example, ExampleSet, Labels, MemoryActivations, Place, PlaceSites,
    Split, Storage, StorageConfig, TokenizedDataset, open_activations,
};
use attention_probes_errors::Stop;
use attention_probes_models::LanguageModel;
use attention_probes_probes::{DataMetadata, TrainedOn};
use burn::tensor::Device;

use crate::SweepError;
use crate::config::plan::SweepPlan;
use crate::config::{DataConfig, SelectBy};
use crate::data::activation_sites::{ActivationSites, LeftOut, tokens_of};
use crate::data::held_out::Sources;
use crate::data::input::{LabelledActivations, Texts};
use crate::results::origin::Origin;
use crate::results::report::ExperimentReport;
use crate::results::target_report::TargetReport;
use crate::tracker::Tracker;
use crate::warning::Warning;

/// Most rows that a note lists.
const MAX_LISTED: usize = 20;

/// One data set of a run.
pub(crate) struct DataRun<'a> {
    pub(crate) plan: &'a SweepPlan,
    /// Its index in the configuration.
    pub(crate) data: usize,
    pub(crate) sources: Sources,
    /// What it brings instead of texts.
    pub(crate) activations: Option<ActivationSites>,
    /// Folder of the run.
    pub(crate) folder: PathBuf,
    pub(crate) device: &'a Device,
    /// Whether what an earlier run has finished is kept.
    pub(crate) keeps_complete: bool,
    /// Memory that there is, where somebody says it.
    pub(crate) memory_bytes: Option<u64>,
    /// Asked once a batch, a block of a forward pass, and a pass of L-BFGS.
    pub(crate) stop: Stop,
}

/// What was found about a data set: classes, or labels that are none.
#[derive(Default)]
pub(crate) struct Reports {
    pub(crate) experiments: Vec<ExperimentReport>,
    pub(crate) targets: Vec<TargetReport>,
}

/// A data set that has been checked.
pub(crate) enum Input {
    /// An earlier run has finished it.
    Complete(Reports),
    /// Texts, ready for the model.
    Texts(Box<Texts>),
    /// Activations, read again when their turn comes: those of several data sets, or layers, need
    /// not fit into memory together. These rows of them are left out.
    Activations(LeftOut),
}

/// Examples ready to train on.
pub(crate) struct Prepared<'a> {
    pub(crate) source: Box<dyn ActivationSource + 'a>,
    pub(crate) examples: ExampleSet,
    pub(crate) split: Split,
    /// Label of each example.
    pub(crate) labels: Labels,
    /// Row of each sequence in its file.
    pub(crate) rows: Vec<usize>,
    /// Number of each sequence that equal texts, or equal activations, share.
    pub(crate) keys: Vec<u64>,
    /// Hash of the data.
    pub(crate) hash: String,
    /// Texts or examples that were left out because of NaN or infinity.
    pub(crate) n_skipped: usize,
    /// What looks wrong in the data.
    pub(crate) warnings: Vec<Warning>,
}

impl Prepared<'_> {
    /// The data, as the probes' metadata describe them.
    pub(crate) fn describe(&self, name: &str) -> DataMetadata {
        let Split { train, validation, test } = &self.split;
        let key = |example: &usize| self.keys[self.examples.examples[*example].sequence];
        DataMetadata {
            name: name.to_owned(),
            hash: Some(self.hash.clone()),
            n_train: train.len(),
            n_validation: validation.len(),
            n_test: test.len(),
            trained_on: TrainedOn::new(train.iter().chain(validation).map(key)),
        }
    }
}

impl DataRun<'_> {
    /// The configuration of the data set.
    pub(crate) fn config(&self) -> &DataConfig {
        &self.plan.config().data[self.data]
    }

    /// Reads and checks the data set, unless it is complete.
    pub(crate) fn input(
        &self,
        model: Option<&LanguageModel>,
        keeps_tokens: bool,
        tracker: &mut dyn Tracker,
    ) -> Result<Input, SweepError> {
        let places = self.places(model)?;
        if self.keeps_complete
            && let Some(reports) = self.complete(&places, model)
        {
            return Ok(Input::Complete(reports));
        }
        let seed = self.plan.config().seed;
        if let Some(sites) = &self.activations {
            if !sites.idle().is_empty() {
                tracker.note(&format!(
                    "`{}`: left out, they are no component of a layer that is asked for: {}; name \
                     one with `data.hook`",
                    self.config().name,
                    sites.idle().join(", ")
                ));
            }
            let left_out = sites.left_out(self.config())?;
            let found = LabelledActivations::read(self.config(), (sites, 0), left_out, seed)?;
            self.check_selection(found.examples.classes.len())?;
            // Layers are trained one after the other.
            let sizes = (found.external.d_model, 1);
            self.check_feasible((&found.examples, &found.split), sizes)?;
            return Ok(Input::Activations(left_out.clone()));
        }
        let (Some(task), Some(model)) = (self.plan.task(self.data), model) else {
            return Err(SweepError::Contradiction { key: "model", reason: "is missing" });
        };
        let cache = keeps_tokens.then(|| self.cache("tokens"));
        let texts = Texts::read(self.config(), &self.sources, task, seed, model, cache, tracker)?;
        self.check_selection(texts.examples.classes.len())?;
        let split = texts.split(self.config(), &texts.examples, seed)?;
        let places = self.plan.places(model.model.shape())?;
        let width = places.first().map_or(0, |place| place.width(model.model.shape()));
        self.check_feasible((&texts.examples, &split), (width, places.len()))?;
        Ok(Input::Texts(Box::new(texts)))
    }

    /// Refuses a metric that is not defined for so many classes.
    fn check_selection(&self, n_classes: usize) -> Result<(), SweepError> {
        let is_asked = self.config().label_kind().is_class();
        if is_asked && self.plan.config().sweep.select_by == SelectBy::Auroc && n_classes != 2 {
            return Err(SweepError::Contradiction {
                key: "sweep.select_by",
                reason: "is `auroc`, which needs two classes; use balanced_accuracy or loss",
            });
        }
        Ok(())
    }

    /// What is captured of texts: every place, on the device of the run.
    pub(crate) fn capture<'b>(
        &'b self,
        texts: &'b Texts,
        model: &'b LanguageModel,
        sites: &'b PlaceSites,
    ) -> Capture<'b> {
        Capture {
            model: &*model.model,
            tokens: &texts.tokens,
            sites: sites.sites(),
            device: self.device,
            max_tokens_per_batch: self.plan.config().activations.batch_tokens,
            stop: self.stop.clone(),
        }
    }

    /// Where probes read the model; nowhere if the data are activations that do not say it.
    pub(crate) fn places(&self, model: Option<&LanguageModel>) -> Result<Vec<Place>, SweepError> {
        match (&self.activations, model) {
            (Some(sites), _) => Ok(sites.places()),
            (None, Some(model)) => self.plan.places(model.model.shape()),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Reports of every place, if all are written and of this data, model, and version.
    fn complete(&self, places: &[Place], model: Option<&LanguageModel>) -> Option<Reports> {
        let origin = self.origin(model);
        let mut reports = Reports::default();
        for (_, name) in self.experiments(places) {
            let text = std::fs::read(self.folder.join(name).join("best.json")).ok()?;
            let found = if self.config().label_kind().is_class() {
                reports.experiments.push(serde_json::from_slice(&text).ok()?);
                reports.experiments.last().map(|report| &report.origin)
            } else {
                reports.targets.push(serde_json::from_slice(&text).ok()?);
                reports.targets.last().map(|report| &report.origin)
            };
            found.filter(|found| origin.allows(found))?;
        }
        Some(reports)
    }

    /// What results depend on beside the configuration.
    pub(crate) fn origin(&self, model: Option<&LanguageModel>) -> Origin {
        let mut hasher = blake3::Hasher::new();
        let is_read = self.sources.all().all(|path| {
            File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ())).is_ok()
        });
        let needs_model = self.plan.task(self.data).is_some();
        Origin {
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_hash: is_read.then(|| hasher.finalize().to_hex().to_string()),
            model_revision: model.filter(|_| needs_model).map(LanguageModel::fingerprint),
        }
    }

    /// Place and name of every experiment.
    pub(crate) fn experiments(&self, places: &[Place]) -> Vec<(Option<Place>, String)> {
        let data = &self.config().name;
        if places.is_empty() {
            return vec![(None, data.clone())];
        }
        let name = |place: &Place| (Some(place.clone()), format!("{data}-{place}"));
        places.iter().map(name).collect()
    }

    /// The checkpoint of the data set, named after what it was trained on, so that it is never
    /// continued on anything else.
    pub(crate) fn checkpoint(&self, hash: &str, model: Option<&LanguageModel>) -> PathBuf {
        let model_key = model.map(LanguageModel::fingerprint).unwrap_or_default();
        let key = blake3::hash(format!("{hash} {model_key}").as_bytes()).to_hex();
        self.folder.join(format!("{}-{}.checkpoint", self.config().name, &key[..16]))
    }

    pub(crate) fn cache(&self, kind: &str) -> PathBuf {
        self.plan.config().output.join("cache").join(kind)
    }

    /// How activations of texts are kept.
    pub(crate) fn storage(&self, model: &LanguageModel) -> StorageConfig {
        let config = &self.plan.config().activations;
        let bytes = |gib: f64| (gib * f64::from(1 << 30)) as u64;
        StorageConfig {
            storage: config.storage,
            memory_budget_bytes: bytes(config.memory_budget_gib),
            disk_budget_bytes: bytes(config.disk_budget_gib),
            folder: Some(self.cache("activations")),
            model_key: model.fingerprint(),
        }
    }

    /// Computes or finds the activations, drops what is not finite, and divides the examples.
    pub(crate) fn prepare<'b>(
        &self,
        texts: &Texts,
        capture: Capture<'b>,
        model: &LanguageModel,
        tracker: &mut dyn Tracker,
    ) -> Result<Prepared<'b>, SweepError> {
        let storage = self.storage(model);
        let name = &self.config().name;
        let mut progress = |done, total| tracker.extracted(name, done, total);
        let mut examples = texts.examples.clone();
        let sequences = examples.sequences();
        let choice = storage.choose(&capture, &sequences)?;
        let source = open_activations(capture, &sequences, &storage, &mut progress)?;
        if storage.storage == Storage::Auto {
            tracker.note(&format!("`{name}`: {choice}"));
        }
        let n_skipped = source.skipped().len();
        if n_skipped > 0 {
            let rows: Vec<usize> =
                source.skipped().iter().map(|&sequence| texts.rows[sequence]).collect();
            tracker.note(&format!(
                "`{name}`: {n_skipped} texts skipped, their activations have NaN or infinity: {}",
                listed(&rows)
            ));
            examples.remove_sequences(source.skipped());
        }
        let split = texts.split(self.config(), &examples, self.plan.config().seed)?;
        let labels = match &texts.targets {
            Some(targets) => {
                let row = |example: &Example| texts.tokens.text_rows[example.sequence];
                targets.select(&examples.examples.iter().map(row).collect::<Vec<_>>())
            }
            None => classes_of(&examples),
        };
        let (hash, rows, keys) = (texts.hash.clone(), texts.rows.clone(), texts.keys.clone());
        let warnings = texts.warnings.clone();
        Ok(Prepared { source, examples, split, labels, rows, keys, hash, n_skipped, warnings })
    }

    /// Reads activations of one site that have been computed before, and the tokens they bring.
    pub(crate) fn prepare_activations(
        &self,
        (sites, site): (&ActivationSites, usize),
        left_out: &LeftOut,
        tracker: &mut dyn Tracker,
    ) -> Result<(Prepared<'static>, Option<TokenizedDataset>), SweepError> {
        let config = self.config();
        let LabelledActivations { mut external, examples, split, keys, warnings, .. } =
            LabelledActivations::read(config, (sites, site), left_out, self.plan.config().seed)?;
        let n_skipped = external.skipped.len();
        if n_skipped > 0 && site == 0 {
            tracker.note(&format!(
                "`{}`: {n_skipped} examples skipped, they have NaN, infinity, no real token, or no label: \
                 {}",
                config.name,
                listed(&external.skipped)
            ));
        }
        let hash = external.hash.clone();
        let labels = external.targets.take().unwrap_or_else(|| classes_of(&examples));
        let tokens = tokens_of(&external);
        let rows = external.source_rows.clone();
        let source = Box::new(MemoryActivations::from(external));
        let prepared =
            Prepared { source, examples, split, labels, rows, keys, hash, n_skipped, warnings };
        Ok((prepared, tokens))
    }
}

/// The classes of examples, as labels.
fn classes_of(examples: &ExampleSet) -> Labels {
    Labels::of_classes(examples.labels(), examples.classes.clone())
}

/// Numbers separated by commas, cut to what a person reads.
fn listed(rows: &[usize]) -> String {
    let shown: Vec<String> = rows.iter().take(MAX_LISTED).map(usize::to_string).collect();
    let more = if rows.len() > MAX_LISTED { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
