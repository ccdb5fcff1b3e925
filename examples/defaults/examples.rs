//! Labelled examples at the middle layer of a model, divided as a sweep divides them.

use std::error::Error;
use std::path::Path;

use attention_probes::activations::{
    ActivationSource, Capture, Component, Dataset, DatasetConfig, ExampleConfig, ExampleSet,
    MemoryActivations, NpzArray, PairConfig, Site, Split, SplitConfig, TOKENS_PER_FORWARD, Task,
    TokenizeConfig, TokenizedDataset, class_weights, examples, stratified_split, tokenize,
    write_npz,
};
use attention_probes::errors::Stop;
use attention_probes::metrics::{ConfusionMatrix, predicted_class};
use attention_probes::models::{Convention, LanguageModel};
use attention_probes::probes::{Labels, probabilities_from_logits};
use attention_probes::sweep::{FitData, SweepConfig};
use burn::tensor::Device;

/// Texts as tokens, their examples, and the sides of these.
pub(crate) struct Texts {
    tokens: TokenizedDataset,
    examples: ExampleSet,
    split: Split,
    is_token_task: bool,
}

impl Texts {
    /// Reads the data set of a configuration that has one.
    pub(crate) fn read(
        config: &SweepConfig,
        model: &LanguageModel,
    ) -> Result<Self, Box<dyn Error>> {
        let plan = config.clone().check()?;
        let data = &plan.config().data[0];
        let task = plan.task(0).cloned().unwrap_or(Task::Sequence);
        let paths = [data.path.clone()];
        let (group, format) = (data.group.clone(), data.format());
        let dataset = if let Some(columns) = &data.pair {
            let columns = PairConfig { columns: columns.clone(), group, format };
            Dataset::read_pairs(&data.name, &paths, &columns)?
        } else {
            let (text, label) = (data.text.clone(), data.label.clone());
            let columns = DatasetConfig { text, label, group, format };
            Dataset::read_files(&data.name, &paths, &columns, task == Task::Sequence)?
        };
        let max_tokens = data.max_tokens.min(model.model.shape().n_ctx);
        let tokenizing = TokenizeConfig { max_tokens, cache: None };
        let tokens = tokenize(&dataset, &model.tokenizer, &tokenizing)?;
        let is_token_task = task != Task::Sequence;
        let drawing = ExampleConfig {
            task,
            balance: data.balance.unwrap_or(true),
            examples_per_text: data.examples_per_text,
            seed: config.seed,
        };
        let examples = examples(&dataset, &tokens, &model.tokenizer, &drawing)?;
        let shares = SplitConfig {
            validation: data.validation.share(),
            test: data.test.share(),
            seed: config.seed,
        };
        let split = stratified_split(&examples.labels(), examples.groups.as_deref(), &shares)?;
        Ok(Self { tokens, examples, split, is_token_task })
    }
}

/// Examples with their activations.
pub(crate) struct Examples<'a> {
    texts: &'a Texts,
    source: MemoryActivations,
    prefixes: Vec<(usize, usize)>,
    labels: Labels,
    weights: Vec<f32>,
}

impl<'a> Examples<'a> {
    /// Runs the model over the texts.
    pub(crate) fn new(
        texts: &'a Texts,
        model: &LanguageModel,
        device: &Device,
    ) -> Result<Self, Box<dyn Error>> {
        let layer = model.model.shape().n_layers / 2;
        let site = Site { layer, component: Component::ResidPost, convention: Convention::Raw };
        let capture = Capture {
            model: &*model.model,
            tokens: &texts.tokens,
            sites: &[site],
            device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
            stop: Stop::never(),
        };
        let sequences = texts.examples.sequences();
        let source = MemoryActivations::capture(&capture, &sequences, &mut |_, _| {})?;
        let examples = &texts.examples.examples;
        let labels = Labels::of_classes(texts.examples.labels(), texts.examples.classes.clone());
        let train: Vec<usize> = texts.split.train.iter().map(|&i| labels.classes()[i]).collect();
        let n_classes = texts.examples.classes.len();
        let weights = if texts.is_token_task {
            class_weights(&train, n_classes)
        } else {
            vec![1.0; n_classes]
        };
        let prefixes = examples.iter().map(|one| (one.sequence, one.end)).collect();
        Ok(Self { texts, source, prefixes, labels, weights })
    }

    /// What trials learn from, and where the activations are.
    pub(crate) fn parts(&mut self) -> (&mut dyn ActivationSource, FitData<'_>) {
        let Split { train, validation, .. } = &self.texts.split;
        let data = FitData {
            examples: &self.prefixes,
            labels: &self.labels,
            class_weights: &self.weights,
            groups: self.texts.examples.groups.as_deref(),
            train,
            validation,
        };
        (&mut self.source, data)
    }

    /// Width of the activations, and number of classes.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.source.d_model(), self.texts.examples.classes.len())
    }

    /// Sequence and number of tokens of every test example.
    pub(crate) fn test(&self) -> Vec<(usize, usize)> {
        self.texts.split.test.iter().map(|&example| self.prefixes[example]).collect()
    }

    /// Mean recall over the classes of logits of the test examples.
    pub(crate) fn balanced_accuracy(&self, logits: &[f32]) -> Result<f64, Box<dyn Error>> {
        let (_, n_classes) = self.sizes();
        let labels = self.labels.select(&self.texts.split.test);
        let rows = probabilities_from_logits(logits, n_classes);
        let predicted: Vec<usize> =
            rows.chunks(n_classes).map(|row| predicted_class(row, 0.5)).collect();
        Ok(ConfusionMatrix::new(labels.classes(), &predicted, n_classes)?.balanced_accuracy())
    }

    /// Writes the mean token of every example as `x [n, d_model]`, its class as `y [n]`, its weight
    /// in the loss as `weight [n]`, and as `side [n]` whether it is to train on (0), to choose by
    /// (1), or to test on (2).
    pub(crate) fn write_pooled(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        let (d_model, _) = self.sizes();
        let n = self.prefixes.len();
        let mut x = Vec::with_capacity(n * d_model);
        self.source.with_rows(&self.prefixes, &mut |sites| {
            for rows in &sites[0] {
                let n_tokens = (rows.len() / d_model) as f32;
                let mean = |feature: usize| {
                    rows.iter().skip(feature).step_by(d_model).sum::<f32>() / n_tokens
                };
                x.extend((0..d_model).map(mean));
            }
        })?;
        let mut side = vec![0_i64; n];
        for (number, examples) in [(1, &self.texts.split.validation), (2, &self.texts.split.test)] {
            for &example in examples {
                side[example] = number;
            }
        }
        let weight: Vec<f32> =
            self.labels.classes().iter().map(|&label| self.weights[label]).collect();
        let y: Vec<i64> = self.labels.classes().iter().map(|&label| label as i64).collect();
        let arrays = [
            ("x", NpzArray::new(vec![n, d_model], x)),
            ("y", NpzArray::new(vec![n], y)),
            ("weight", NpzArray::new(vec![n], weight)),
            ("side", NpzArray::new(vec![n], side)),
        ];
        Ok(write_npz(path, &arrays)?)
    }
}
