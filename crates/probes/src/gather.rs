//! Labelled activations from texts, from files, and from rows that are there already.

use attention_probes_activations::{
    ActivationSource, Capture, Dataset, ExternalActivations, Labels, MemoryActivations, Place,
    PlaceActivations, PlaceSites, SplitConfig, TOKENS_PER_FORWARD, TaskConfig, TokenizeConfig,
    TokenizedDataset, rows_key, stratified_split, task_examples, text_key, tokenize,
};
use attention_probes_errors::Stop;
use attention_probes_models::{LanguageModel, host_values};
use burn::tensor::{Device, Tensor, TensorData};

use crate::apply::Prefixes;
use crate::{
    DataMetadata, ModelMetadata, Outputs, ProbeConfig, ProbeError, ProbeMetadata, TrainedOn,
    TrainingData,
};

/// How texts become labelled activations.
#[derive(Clone, Debug)]
pub struct TextsConfig {
    /// Where in the model they are read.
    pub place: Place,
    /// Most tokens of a text; what follows is cut off. Default 256.
    pub max_tokens: usize,
    /// Asked before each forward pass. Never by default.
    pub stop: Stop,
}

impl TextsConfig {
    /// Reads at a place.
    pub fn new(place: Place) -> Self {
        Self { place, max_tokens: TokenizeConfig::default().max_tokens, stop: Stop::never() }
    }
}

/// Where labelled activations come from: what a probe that is trained on them knows of its data.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataOrigin {
    name: String,
    hash: Option<String>,
    model: Option<ModelMetadata>,
    place: Option<Place>,
    max_tokens: Option<usize>,
    task: Option<String>,
    /// A number of each example that equal ones share.
    keys: Vec<u64>,
}

impl DataOrigin {
    /// That of some examples.
    pub(crate) fn part(&self, examples: &[usize]) -> Self {
        let key = |&example: &usize| self.keys.get(example).copied();
        let keys = examples.iter().filter_map(key).collect();
        Self { keys, ..self.clone() }
    }
}

/// The sides of a division of labelled activations.
#[derive(Clone, Debug)]
pub struct DataSides {
    /// Examples to train on.
    pub train: TrainingData,
    /// Examples to choose by; `None` if none are wanted.
    pub validation: Option<TrainingData>,
    /// Examples that nothing is chosen by; `None` if none are wanted.
    pub test: Option<TrainingData>,
}

impl TrainingData {
    /// Runs a model over labelled texts and keeps the activations of a place.
    ///
    /// Texts without a token and texts with NaN or infinity are left out; [`TrainingData::kept`] says
    /// which texts the examples are.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] if a text cannot be tokenized or the model fails.
    /// - [`ProbeError::Stopped`] if [`TextsConfig::stop`] is given.
    /// - as [`TrainingData::new`].
    ///
    /// # Memory
    ///
    /// The activations twice, once padded to the longest text.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_activations::{Component, Dataset, DatasetConfig, Place};
    /// use attention_probes_models::{Convention, open_model};
    /// use attention_probes_probes::{TextsConfig, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("mood.csv");
    /// std::fs::write(&path, "text,label\nA happy dog.,good\nA sad storm.,bad\n")?;
    /// let device = Device::default();
    /// let model = open_model("demo-gpt2", None, &device)?;
    /// let texts = Dataset::read("mood", &path, &DatasetConfig::default(), true)?;
    /// let place = Place::new([2], Component::ResidPost, Convention::Raw);
    /// let data = TrainingData::from_texts(&texts, &model, &TextsConfig::new(place), &device)?;
    /// assert_eq!((data.n_examples(), data.d_model()), (2, 160));
    /// assert_eq!(data.class_names(), ["bad", "good"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_texts(
        texts: &Dataset,
        model: &LanguageModel,
        config: &TextsConfig,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        let gathered = Gathered::new(texts, model, config, device)?;
        let ends: Vec<(usize, usize)> = gathered
            .kept()
            .map(|sequence| (sequence, gathered.tokens.sequence(sequence).len()))
            .collect();
        let rows: Vec<usize> =
            ends.iter().map(|&(sequence, _)| gathered.tokens.text_rows[sequence]).collect();
        let labels = texts_labels(texts).select(&rows);
        gathered.data(&ends, labels, "sequence")
    }

    /// Runs a model over texts and keeps the activations of a place before each position that a task
    /// of yours asks about, with the class that is right there.
    ///
    /// An example is the beginning of a text, as far as the task's place. Texts with NaN or infinity are
    /// left out; [`TrainingData::kept`] says which texts the examples are of, and
    /// [`TrainingData::split`] keeps those of one text on one side.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] as [`task_examples`], or if the model fails.
    /// - [`ProbeError::Stopped`] if [`TextsConfig::stop`] is given.
    /// - as [`TrainingData::new`].
    ///
    /// # Memory
    ///
    /// The activations of the texts, and those of each example, padded to the longest.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_activations::{
    ///     Component, Dataset, Place, TaskConfig, TaskPlace, TaskText, TextTask,
    /// };
    /// use attention_probes_models::{Convention, open_model};
    /// use attention_probes_probes::{TextsConfig, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// /// Whether a token begins a word.
    /// struct BeginsWord;
    ///
    /// impl TextTask for BeginsWord {
    ///     fn name(&self) -> &str {
    ///         "begins_word"
    ///     }
    ///
    ///     fn classes(&self) -> Vec<String> {
    ///         vec!["inside".to_owned(), "begins".to_owned()]
    ///     }
    ///
    ///     fn places(&self, text: &TaskText<'_>) -> Vec<TaskPlace> {
    ///         let class = |piece: &String| usize::from(piece.starts_with(' '));
    ///         let places = text.pieces.iter().map(class).enumerate();
    ///         places.map(|(index, class)| TaskPlace { n_tokens: index + 1, class }).collect()
    ///     }
    /// }
    ///
    /// let device = Device::default();
    /// let model = open_model("demo-gpt2", None, &device)?;
    /// let texts = vec!["Unbelievable things happened yesterday.".to_owned()];
    /// let texts = Dataset::from_parts("things", texts, &[], Vec::new(), None)?;
    /// let place = TextsConfig::new(Place::new([2], Component::ResidPost, Convention::Raw));
    /// let task = TaskConfig::new(&BeginsWord);
    /// let data = TrainingData::from_task(&texts, &model, (&task, &place), &device)?;
    /// assert_eq!(data.class_names(), ["inside", "begins"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_task(
        texts: &Dataset,
        model: &LanguageModel,
        (task, config): (&TaskConfig<'_>, &TextsConfig),
        device: &Device,
    ) -> Result<Self, ProbeError> {
        let gathered = Gathered::new(texts, model, config, device)?;
        let mut asked = task_examples(texts, &gathered.tokens, &model.tokenizer, task)?;
        asked.remove_sequences(gathered.source.skipped());
        let ends: Vec<(usize, usize)> =
            asked.examples.iter().map(|example| (example.sequence, example.end)).collect();
        let labels = Labels::of_classes(asked.labels(), asked.classes);
        gathered.data(&ends, labels, task.task.name())
    }

    /// Takes activations that another program made.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if they have no labels.
    /// - as [`TrainingData::new`].
    ///
    /// # Memory
    ///
    /// The activations, padded to the longest example.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_activations::{ExternalActivations, NpzArray, write_npz};
    /// use attention_probes_probes::TrainingData;
    /// use burn::tensor::Device;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("mine.npz");
    /// let x = NpzArray::new(vec![2, 3], vec![0.5_f32, 1.0, -1.0, 0.25, -0.5, 2.0]);
    /// write_npz(&path, &[("x", x), ("y", NpzArray::new(vec![2], vec![1_i64, 0]))])?;
    /// let data = TrainingData::from_external(&ExternalActivations::read(&path)?, &Device::default())?;
    /// assert_eq!((data.n_examples(), data.d_model(), data.classes()), (2, 3, &[1, 0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_external(
        activations: &ExternalActivations,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        let lengths: Vec<usize> =
            activations.offsets.windows(2).map(|ends| ends[1] - ends[0]).collect();
        let labels = activations.targets.clone().unwrap_or_else(|| {
            let classes = activations.labels.clone().unwrap_or_default();
            Labels::of_classes(classes, activations.classes.clone())
        });
        let data = Self::from_rows(&activations.x, &lengths, labels, device)?;
        let origin = DataOrigin {
            hash: Some(activations.hash.clone()),
            model: activations
                .origin
                .model
                .clone()
                .map(|name| ModelMetadata { name, revision: activations.origin.revision.clone() }),
            ..data.origin.clone()
        };
        let n_left_out = activations.skipped.len();
        Ok(data.of_rows(&activations.source_rows, n_left_out).with_origin(origin))
    }

    /// Takes rows, the tokens of one example after those of the other.
    ///
    /// # Shapes
    ///
    /// - `rows`: `[n_tokens, d_model]`, row-major
    /// - `lengths`: `[n_examples]`, the tokens of each example, at least 1
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if the rows are not as many as the lengths say.
    /// - [`ProbeError::NoRealToken`] if a length is 0.
    /// - as [`TrainingData::new`].
    ///
    /// # Memory
    ///
    /// The rows, padded to the longest example.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_probes::{Labels, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// // Two tokens, then one token, each two wide.
    /// let rows = [0.5, 1.0, -1.0, 0.25, -0.5, 2.0];
    /// let labels = Labels::numbered(vec![1, 0], 2);
    /// let data = TrainingData::from_rows(&rows, &[2, 1], labels, &Device::default())?;
    /// assert_eq!((data.d_model(), data.lengths()), (2, &[2, 1][..]));
    /// # Ok::<(), attention_probes_probes::ProbeError>(())
    /// ```
    pub fn from_rows(
        rows: &[f32],
        lengths: &[usize],
        labels: Labels,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        if let Some(example) = lengths.iter().position(|&length| length == 0) {
            return Err(ProbeError::NoRealToken { example });
        }
        let n_tokens: usize = lengths.iter().sum();
        let d_model = rows.len().checked_div(n_tokens).unwrap_or(0);
        let (found, expected) = (rows.len(), n_tokens * d_model);
        if found != expected || d_model == 0 {
            let what = "the number of values";
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut x = Vec::with_capacity(lengths.len() * longest * d_model);
        let mut padding = Vec::with_capacity(lengths.len() * longest);
        let (mut rest, mut keys) = (rows, Vec::with_capacity(lengths.len()));
        for length in lengths {
            let (own, others) = rest.split_at(length * d_model);
            rest = others;
            keys.push(rows_key(own));
            x.extend_from_slice(own);
            x.resize(x.len() + (longest - length) * d_model, 0.0);
            padding.extend((0..longest).map(|position| position >= *length));
        }
        let x = TensorData::new(x, [lengths.len(), longest, d_model]);
        let padding = TensorData::new(padding, [lengths.len(), longest]);
        let (x, padding) = (Tensor::from_data(x, device), Tensor::from_data(padding, device));
        let data = Self::new(x, padding, labels)?;
        let keys = data.kept().iter().map(|&example| keys[example]).collect();
        Ok(data.with_origin(DataOrigin { keys, ..DataOrigin::default() }))
    }

    /// Divides the examples by class; equal ones are on one side.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] if the shares are out of range, or there are too few examples.
    /// - as [`TrainingData::new`], if a side is left with one class.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_activations::SplitConfig;
    /// use attention_probes_probes::{Labels, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// let rows: Vec<f32> = (0..20).map(|i| i as f32).collect();
    /// let labels = Labels::numbered((0..20).map(|i| i % 2).collect(), 2);
    /// let data = TrainingData::from_rows(&rows, &[1; 20], labels, &Device::default())?;
    /// let sides = data.split(&SplitConfig { validation: 0.0, test: 0.2, seed: 1 })?;
    /// let test = sides.test.ok_or("a fifth was asked for")?;
    /// assert_eq!((sides.train.n_examples(), test.n_examples()), (16, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(&self, config: &SplitConfig) -> Result<DataSides, ProbeError> {
        let split = stratified_split(&self.labels().strata(), self.groups().as_deref(), config)?;
        let side = |examples: &[usize]| (!examples.is_empty()).then(|| self.select(examples));
        Ok(DataSides {
            train: self.select(&split.train),
            validation: side(&split.validation),
            test: side(&split.test),
        })
    }

    /// The examples on the host without padding, as a file of activations holds them:
    /// [`MemoryActivations`] of them are a source for sweeps and autoencoders.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Device`] if the device does not hand over the activations.
    ///
    /// # Memory
    ///
    /// The activations once more.
    pub fn to_external(&self) -> Result<ExternalActivations, ProbeError> {
        let padded = host_values(self.x().clone())?;
        let (d_model, lengths) = (self.d_model(), self.lengths());
        let per_example = padded.len() / lengths.len();
        let mut x = Vec::with_capacity(padded.len());
        for (example, &length) in padded.chunks_exact(per_example).zip(lengths) {
            x.extend_from_slice(&example[..length * d_model]);
        }
        let external = ExternalActivations::from_rows(x, lengths, self.labels())?;
        Ok(ExternalActivations {
            groups: self.groups(),
            source_rows: self.kept().to_vec(),
            ..external
        })
    }

    /// Group of each example, of which equal texts, or equal rows, are one; `None` if none are equal.
    pub fn groups(&self) -> Option<Vec<usize>> {
        let keys = &self.origin.keys;
        (keys.len() == self.n_examples()).then(|| groups_of(keys)).flatten()
    }

    /// Where in a model the activations were read; `None` if that is not known.
    pub fn place(&self) -> Option<&Place> {
        self.origin.place.as_ref()
    }

    /// Metadata of a probe that is trained on these examples: what it is, and where it reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_probes::{Labels, Linear, ProbeConfig, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// let labels = Labels::numbered(vec![1, 0], 2);
    /// let data = TrainingData::from_rows(&[1.0, -1.0], &[1, 1], labels, &Device::default())?;
    /// let metadata = data.metadata(&ProbeConfig::new(Linear::default(), 1, 2));
    /// assert_eq!(metadata.class_names, ["0", "1"]);
    /// assert_eq!(metadata.data.map(|data| data.n_train), Some(2));
    /// # Ok::<(), attention_probes_probes::ProbeError>(())
    /// ```
    pub fn metadata(&self, config: &ProbeConfig) -> ProbeMetadata {
        let DataOrigin { name, hash, model, place, max_tokens, task, keys } = &self.origin;
        let mut metadata = ProbeMetadata::new(config.clone(), self.class_names().to_vec());
        metadata.outputs = Outputs::of(self.labels().kind());
        let mut metadata = match place {
            Some(place) => metadata.reading(place),
            None => metadata,
        };
        metadata.model.clone_from(model);
        metadata.max_tokens = *max_tokens;
        metadata.task.clone_from(task);
        metadata.data = Some(DataMetadata {
            name: name.clone(),
            hash: hash.clone(),
            n_train: self.n_examples(),
            n_validation: 0,
            n_test: 0,
            trained_on: TrainedOn::new(keys.iter().copied()),
        });
        metadata
    }
}

/// The activations of texts at a place.
struct Gathered<'a> {
    texts: &'a Dataset,
    model: &'a LanguageModel,
    config: &'a TextsConfig,
    device: &'a Device,
    tokens: TokenizedDataset,
    max_tokens: usize,
    source: MemoryActivations,
}

impl<'a> Gathered<'a> {
    fn new(
        texts: &'a Dataset,
        model: &'a LanguageModel,
        config: &'a TextsConfig,
        device: &'a Device,
    ) -> Result<Self, ProbeError> {
        let max_tokens = config.max_tokens.min(model.model.shape().n_ctx);
        let how = TokenizeConfig { max_tokens, cache: None };
        let tokens = tokenize(texts, &model.tokenizer, &how)?;
        let places = PlaceSites::new(std::slice::from_ref(&config.place));
        let capture = Capture {
            model: &*model.model,
            tokens: &tokens,
            sites: places.sites(),
            device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
            stop: config.stop.clone(),
        };
        let sequences: Vec<usize> = (0..tokens.len()).collect();
        let source = MemoryActivations::capture(&capture, &sequences, &mut |_, _| {})?;
        Ok(Self { texts, model, config, device, tokens, max_tokens, source })
    }

    /// The sequences whose activations are finite.
    fn kept(&self) -> impl Iterator<Item = usize> {
        (0..self.tokens.len()).filter(|sequence| !self.source.skipped().contains(sequence))
    }

    /// The beginnings of sequences, each with its label.
    fn data(
        self,
        ends: &[(usize, usize)],
        labels: Labels,
        task: &str,
    ) -> Result<TrainingData, ProbeError> {
        let Self { texts, model, config, device, tokens, max_tokens, source } = self;
        let n_left_out = texts.texts.len() - tokens.len() + source.skipped().len();
        let places = PlaceSites::new(std::slice::from_ref(&config.place));
        let mut source = PlaceActivations::new(Box::new(source), &places);
        let prefixes = Prefixes { source: &mut source, site: 0, ends, stop: &config.stop };
        let data = TrainingData::from_prefixes(prefixes, labels, device)?;
        let rows: Vec<usize> =
            ends.iter().map(|&(sequence, _)| tokens.text_rows[sequence]).collect();
        let origin = DataOrigin {
            name: texts.name.clone(),
            hash: Some(texts.hash.clone()),
            model: Some(ModelMetadata {
                name: model.name.clone(),
                revision: Some(model.revision.clone()),
            }),
            place: Some(config.place.clone()),
            max_tokens: Some(max_tokens),
            task: Some(task.to_owned()),
            keys: data.kept().iter().map(|&i| text_key(&texts.texts[rows[i]])).collect(),
        };
        Ok(data.of_rows(&rows, n_left_out).with_origin(origin))
    }
}

/// The labels of texts.
fn texts_labels(texts: &Dataset) -> Labels {
    let classes = || Labels::of_classes(texts.labels.clone(), texts.classes.clone());
    texts.targets.clone().unwrap_or_else(classes)
}

/// Numbers of groups, in which equal examples are together; `None` if none are equal.
fn groups_of(keys: &[u64]) -> Option<Vec<usize>> {
    let mut known = std::collections::HashMap::new();
    let groups: Vec<usize> = keys
        .iter()
        .map(|key| {
            let next = known.len();
            *known.entry(*key).or_insert(next)
        })
        .collect();
    (known.len() < keys.len()).then_some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> TrainingData {
        let rows: Vec<f32> = (0..24).map(|i| (i / 2) as f32).collect();
        let labels = Labels::numbered((0..24).map(|i| i / 2 % 2).collect(), 2);
        TrainingData::from_rows(&rows, &[1; 24], labels, &Device::flex()).unwrap()
    }

    #[test]
    fn equal_examples_are_on_one_side() {
        let sides = data().split(&SplitConfig::default()).unwrap();
        let values = |data: &TrainingData| -> Vec<u32> {
            let x = attention_probes_models::host_values(data.x().clone()).unwrap();
            x.into_iter().map(|value| value as u32).collect()
        };
        let (train, test) = (values(&sides.train), values(&sides.test.unwrap()));
        assert!(!test.is_empty() && test.iter().all(|value| !train.contains(value)));
        assert_eq!(test.len() % 2, 0);
    }

    #[test]
    fn rows_that_do_not_fit_their_lengths_are_refused() {
        let labels = || Labels::numbered(vec![0, 1], 2);
        let from = |rows: &[f32], lengths: &[usize]| {
            TrainingData::from_rows(rows, lengths, labels(), &Device::flex()).unwrap_err()
        };
        assert_eq!(from(&[1.0; 5], &[1, 1]).to_string(), "the number of values is 5, expected 4");
        assert!(matches!(from(&[1.0; 4], &[2, 0]), ProbeError::NoRealToken { example: 1 }));
        assert!(matches!(from(&[], &[1, 1]), ProbeError::SizeMismatch { .. }));
    }
}
