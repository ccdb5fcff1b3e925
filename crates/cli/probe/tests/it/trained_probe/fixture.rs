//! Twelve reviews, the embedded model, and probes trained on its activations.

use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_activations::{
    ActivationSource, Capture, Component, Dataset, DatasetConfig, ExampleConfig, ExampleSet,
    MemoryActivations, Site, Task, TokenizeConfig, TokenizedDataset, examples, tokenize,
};
use attention_probes_errors::Stop;
use attention_probes_models::{Convention, LanguageModel, open_model};
use attention_probes_probes::{
    Attention, Evaluation, Labels, ModelMetadata, ProbeConfig, ProbeMetadata, SavedProbe,
    TrainConfig, TrainingData, evaluate_probe, train_any_probe,
};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use crate::call;

pub(crate) const D_MODEL: usize = 160;

pub(crate) const LIKED: [&str; 6] = [
    "a warm and wonderful film",
    "the best movie of the year, funny and kind",
    "I loved every minute of it",
    "a good story, well told",
    "charming, bright, and full of joy",
    "great",
];

pub(crate) const DISLIKED: [&str; 6] = [
    "a dull and tedious film",
    "the worst movie of the year, loud and empty",
    "I hated every minute of it and left early",
    "a bad story, badly told",
    "boring, grey, and full of holes",
    "awful",
];

/// A folder with `reviews.csv`, the model, and its activations.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) model: LanguageModel,
    pub(crate) device: Device,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = LIKED
            .iter()
            .zip(DISLIKED)
            .map(|(liked, disliked)| format!("\"{liked}\",pos\n\"{disliked}\",neg"))
            .collect::<Vec<_>>()
            .join("\n");
        fs::write(folder.path().join("reviews.csv"), format!("text,label\n{rows}")).unwrap();
        let device = Device::flex();
        Self { folder, model: open_model("demo-gpt2", None, &device).unwrap(), device }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The tokens of a file, and the examples that are drawn from them.
    pub(crate) fn drawn(
        &self,
        file: &Path,
        config: &ExampleConfig,
    ) -> (TokenizedDataset, ExampleSet) {
        let is_sequence = config.task == Task::Sequence;
        let columns = DatasetConfig::default();
        let dataset = Dataset::read("data", file, &columns, is_sequence).unwrap();
        let tokens = tokenize(&dataset, &self.model.tokenizer, &TokenizeConfig::default()).unwrap();
        let set = examples(&dataset, &tokens, &self.model.tokenizer, config).unwrap();
        (tokens, set)
    }

    /// Examples of a task at layer 1, padded by this test's own code.
    pub(crate) fn examples(&self, file: &Path, config: &ExampleConfig) -> TrainingData {
        let (tokens, set) = self.drawn(file, config);
        let sites =
            [Site { layer: 1, component: Component::ResidPost, convention: Convention::Raw }];
        let capture = Capture {
            model: &*self.model.model,
            tokens: &tokens,
            sites: &sites,
            device: &self.device,
            max_tokens_per_batch: 4096,
            stop: Stop::never(),
        };
        let mut source =
            MemoryActivations::capture(&capture, &set.sequences(), &mut |_, _| {}).unwrap();
        let prefixes: Vec<_> = set.examples.iter().map(|e| (e.sequence, e.end)).collect();
        let (n, pos) = (prefixes.len(), prefixes.iter().map(|p| p.1).max().unwrap());
        let mut x = vec![0.0; n * pos * D_MODEL];
        let mut padding = vec![1.0; n * pos];
        source
            .with_rows(&prefixes, &mut |sites| {
                for (row, values) in sites[0].iter().enumerate() {
                    let start = row * pos * D_MODEL;
                    x[start..start + values.len()].copy_from_slice(values);
                    padding[row * pos..row * pos + values.len() / D_MODEL].fill(0.0);
                }
            })
            .unwrap();
        let x = Tensor::from_data(TensorData::new(x, [n, pos, D_MODEL]), &self.device);
        let padding = Tensor::<2>::from_data(TensorData::new(padding, [n, pos]), &self.device);
        let labels = Labels::of_classes(set.labels(), set.classes);
        TrainingData::new(x, padding.bool(), labels).unwrap()
    }

    pub(crate) fn reviews(&self) -> TrainingData {
        self.examples(&self.path().join("reviews.csv"), &ExampleConfig::default())
    }

    pub(crate) fn train(
        &self,
        data: &TrainingData,
        config: &ProbeConfig,
    ) -> (SavedProbe, Evaluation) {
        let training = TrainConfig { n_steps: 12, weight_decay: 0.01, ..TrainConfig::default() };
        let trained = train_any_probe(data, config, &training, &self.device).unwrap();
        let evaluation = evaluate_probe(&trained.probe, data, &self.device).unwrap();
        let mut metadata = ProbeMetadata::new(config.clone(), data.class_names().to_vec());
        metadata.model = Some(ModelMetadata {
            name: "demo-gpt2".to_owned(),
            revision: Some(self.model.revision.clone()),
        });
        metadata.layer = Some(1);
        metadata.component = Some("resid_post".to_owned());
        metadata.convention = Some("raw".to_owned());
        metadata.task = Some("sequence".to_owned());
        (SavedProbe::from_probe(&trained.probe, metadata).unwrap(), evaluation)
    }

    /// An attention probe with two heads, saved as `attention_state.npz`.
    pub(crate) fn attention(&self) -> (SavedProbe, Evaluation, TrainingData) {
        let data = self.reviews();
        let config = ProbeConfig::new(Attention { n_heads: 2, ..Attention::default() }, D_MODEL, 2);
        let (saved, evaluation) = self.train(&data, &config);
        self.save(&saved, "attention");
        (saved, evaluation, data)
    }

    pub(crate) fn save(&self, saved: &SavedProbe, stem: &str) -> PathBuf {
        saved.save(self.path(), stem).unwrap()
    }

    /// What a call prints to stdout.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        call::succeed(&mut call::command(self.path(), args)).0
    }

    /// What a call that is refused prints to stderr.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        call::refused(&mut call::command(self.path(), args))
    }

    pub(crate) fn eval(&self, args: &[&str]) -> Value {
        let args = [&["eval", "--json"], args].concat();
        serde_json::from_str(&self.succeed(&args)).unwrap()
    }
}
