//! Labelled activations from texts, each as a whole or where a task asks.

use attention_probes_activations::{
    ActivationSource, Capture, Dataset, Labels, MemoryActivations, Place, PlaceActivations,
    PlaceSites, TOKENS_PER_FORWARD, TaskConfig, TokenizeConfig, TokenizedDataset, task_examples,
    text_key, tokenize,
};
use attention_probes_errors::Stop;
use attention_probes_models::LanguageModel;
use burn::tensor::Device;

use crate::apply::Prefixes;
use crate::gather::DataOrigin;
use crate::{ModelMetadata, ProbeError, TrainingData};

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
    /// use attention_probes::activations::{Component, Dataset, DatasetConfig, Place};
    /// use attention_probes::models::{Convention, open_model};
    /// use attention_probes::probes::{TextsConfig, TrainingData};
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
    /// use attention_probes::activations::{
    ///     Component, Dataset, Place, TaskConfig, TaskPlace, TaskText, TextTask,
    /// };
    /// use attention_probes::models::{Convention, open_model};
    /// use attention_probes::probes::{TextsConfig, TrainingData};
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
    /// let texts = Dataset::from_parts("things", texts)?;
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
