//! Texts, and what saved probes say about each of their tokens.

use attention_probes_activations::{
    ActivationSource, Capture, Dataset, LabelKind, Place, PlaceActivations, PlaceSites,
    StorageConfig, TOKENS_PER_FORWARD, TokenizeConfig, TokenizedDataset, open_activations,
    tokenize,
};
use attention_probes_errors::Stop;
use attention_probes_metrics::predicted_class;
use attention_probes_models::{LanguageModel, Tokenizer};
use attention_probes_probes::{
    ModelChoice, Outputs, Prefixes, ProbeError, ProbeFile, ProbeMetadata, Reading, TokenReader,
    apply_probe,
};
use attention_probes_report::{
    PageOutputs, PageProbe, PageToken, TokenPage, TokenReading, TokenText, measured,
};
use burn::tensor::Device;

use crate::PageError;

/// What a page of texts shows.
#[derive(Clone, Copy)]
pub struct TokenPageConfig<'a> {
    /// Heading of the page.
    pub title: &'a str,
    /// The texts, with labels where there are any.
    pub dataset: &'a Dataset,
    /// Most tokens of a text, at most the model's context. Where there is none, as many as in the
    /// training of the first probe, or 256.
    pub max_tokens: Option<usize>,
    /// What is said of the model where a probe does not say it.
    pub given: &'a ModelChoice,
    /// The model of all probes.
    pub model: &'a LanguageModel,
    /// Its device.
    pub device: &'a Device,
    /// Asked before each block of a forward pass and each batch of a probe.
    pub stop: &'a Stop,
}

/// A page of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct TextsPage {
    /// The page.
    pub page: TokenPage,
    /// Texts that are left out, since their activations have NaN or infinity.
    pub n_skipped: usize,
}

/// Runs the model once on all texts, and takes down what each probe says about every token.
///
/// Probes that differ in their layer alone share a slider. A text whose activations have NaN or
/// infinity is left out. `progress` is told how many of how many texts the model has read.
///
/// # Errors
///
/// - [`PageError::Probe`] if a probe is not one of the model
/// - [`PageError::Activation`] if the texts cannot be tokenized, or the model fails
/// - [`PageError::Stopped`] if [`TokenPageConfig::stop`] is given
///
/// # Panics
///
/// If there is no probe.
///
/// # Memory
///
/// As [`open_activations`], of the default [`StorageConfig`], and the page.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{Component, Dataset, DatasetConfig, Place};
/// use attention_probes::errors::Stop;
/// use attention_probes::models::{Convention, open_model};
/// use attention_probes::pages::probes::{TokenPageConfig, token_page};
/// use attention_probes::probes::{
///     Linear, ModelChoice, ProbeConfig, ProbeFile, ProbeMetadata, SavedProbe,
/// };
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let model = open_model("demo-gpt2", None, &device)?;
/// let place = Place::new([2], Component::ResidPost, Convention::Raw);
/// let width = place.width(model.model.shape());
/// let config = ProbeConfig::new(Linear::default(), width, 2);
/// let classes = vec!["no".to_owned(), "yes".to_owned()];
/// let metadata = ProbeMetadata::new(config.clone(), classes).with_place(&model, &place);
/// let folder = tempfile::tempdir()?;
/// let saved = SavedProbe { state: config.init_state(1), metadata };
/// let files = [ProbeFile::open(&saved.save(folder.path(), "linear")?, &device)?];
///
/// let texts = folder.path().join("texts.csv");
/// std::fs::write(&texts, "text\nOnce upon a time\nThe end.\n")?;
/// let dataset = Dataset::read("texts", &texts, &DatasetConfig::default(), false)?;
/// let given = ModelChoice::default();
/// let config = TokenPageConfig {
///     title: "Two texts",
///     dataset: &dataset,
///     max_tokens: None,
///     given: &given,
///     model: &model,
///     device: &device,
///     stop: &Stop::never(),
/// };
/// let found = token_page(&files, &config, &mut |_, _| {})?;
/// assert_eq!((found.page.texts.len(), found.n_skipped), (2, 0));
/// assert!(found.page.to_html()?.starts_with("<!doctype html>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn token_page(
    files: &[ProbeFile],
    config: &TokenPageConfig<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<TextsPage, PageError> {
    let TokenPageConfig { dataset, model, device, .. } = *config;
    let place = |file: &ProbeFile| {
        file.saved.place_in(model, config.given).map_err(|error| file.in_file(error))
    };
    let places = files.iter().map(place).collect::<Result<Vec<_>, ProbeError>>()?;
    let (otherwise, n_ctx) = (TokenizeConfig::default().max_tokens, model.model.shape().n_ctx);
    let max_tokens = files[0].saved.max_tokens(config.max_tokens, otherwise, n_ctx);
    let tokens = tokenize(dataset, &model.tokenizer, &TokenizeConfig { max_tokens, cache: None })?;
    let sites = PlaceSites::new(&places);
    let capture = Capture {
        model: &*model.model,
        tokens: &tokens,
        sites: sites.sites(),
        device,
        max_tokens_per_batch: TOKENS_PER_FORWARD,
        stop: config.stop.clone(),
    };
    let sequences: Vec<usize> = (0..tokens.len()).collect();
    let mut source = open_activations(capture, &sequences, &StorageConfig::default(), progress)?;
    let mut page = TokenPage {
        title: config.title.to_owned(),
        model: model.name.clone(),
        probes: describe(files, &places),
        texts: texts(dataset, &tokens, &model.tokenizer, source.skipped()),
    };
    for (index, file) in files.iter().enumerate() {
        let mut source = PlaceActivations::new(Box::new(&mut *source), &sites.only(index));
        let readings = read(file, &mut source, &tokens, config)?;
        for (text, reading) in page.texts.iter_mut().zip(readings) {
            text.readings.push(reading);
        }
    }
    Ok(TextsPage { page, n_skipped: source.skipped().len() })
}

/// What the page says of each probe. Probes that differ in their layer alone are one series.
fn describe(files: &[ProbeFile], places: &[Place]) -> Vec<PageProbe> {
    let short = |file: &ProbeFile| {
        let stem = file.name();
        stem.split_once("_probe_").map_or(stem.clone(), |(name, _)| name.to_owned())
    };
    let named: Vec<(String, &Place)> =
        files.iter().zip(places).map(|(file, place)| (short(file), place)).collect();
    let is_alone = |one: &(String, &Place)| named.iter().filter(|other| *other == one).count() == 1;
    let all_alone = named.iter().all(is_alone);
    let describe = |(file, place): (&ProbeFile, &Place)| {
        let metadata = &file.saved.metadata;
        let series = if all_alone { short(file) } else { file.name() };
        PageProbe {
            label: match place.layer() {
                Some(layer) => format!("{series}, layer {layer}"),
                None => format!("{series}, {place}"),
            },
            series: match place.layer() {
                Some(_) => format!("{series}, {}", place.component()),
                None => format!("{series}, {place}"),
            },
            kind: file.saved.config().kind().name().to_owned(),
            layer: place.layer(),
            component: place.component().to_string(),
            task: match (&metadata.task, &metadata.target) {
                (Some(task), Some(target)) => format!("{task} {:?}", target.to_string()),
                (task, _) => task.clone().unwrap_or_default(),
            },
            outputs: match metadata.outputs {
                Outputs::Classes => PageOutputs::Classes,
                Outputs::Labels => PageOutputs::Labels,
                Outputs::Number => PageOutputs::Number,
            },
            classes: file.class_names().to_vec(),
            n_heads: file.saved.config().kind().token_weights().map_or(0, |found| found.n_heads),
            threshold: metadata.threshold,
            file: file.path.display().to_string(),
        }
    };
    files.iter().zip(places).map(describe).collect()
}

/// The texts of the page, still without what the probes say.
fn texts(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
    tokenizer: &Tokenizer,
    skipped: &[usize],
) -> Vec<TokenText> {
    let token = |(position, &id): (usize, &u32)| PageToken {
        text: tokenizer.token_text(id).unwrap_or_default(),
        id: Some(i64::from(id)),
        position,
    };
    let text = |sequence: usize| {
        let row = tokens.text_rows[sequence];
        TokenText {
            row: dataset.source_rows[row] as u64,
            label: shown_label(dataset, row),
            tokens: tokens.sequence(sequence).iter().enumerate().map(token).collect(),
            readings: Vec::new(),
        }
    };
    (0..tokens.len()).filter(|sequence| !skipped.contains(sequence)).map(text).collect()
}

/// The label of a text in words: its class, the likeliest of a distribution, labels separated by
/// commas, or the number.
fn shown_label(dataset: &Dataset, row: usize) -> Option<String> {
    let class = || dataset.labels.get(row).map(|&label| dataset.classes[label].clone());
    let Some(labels) = &dataset.targets else { return class() };
    let n = labels.n_columns();
    let values = &labels.numbers()[row * n..(row + 1) * n];
    match labels.kind() {
        LabelKind::Number => Some(measured(values[0])),
        LabelKind::Labels => {
            let there = labels.names.iter().zip(values).filter(|(_, value)| **value > 0.5);
            let there: Vec<&str> = there.map(|(name, _)| name.as_str()).collect();
            Some(if there.is_empty() { "none".to_owned() } else { there.join(", ") })
        }
        LabelKind::Class | LabelKind::Distribution => class(),
    }
}

/// What a probe says about every text that has activations, in order.
fn read(
    file: &ProbeFile,
    source: &mut dyn ActivationSource,
    tokens: &TokenizedDataset,
    config: &TokenPageConfig<'_>,
) -> Result<Vec<TokenReading>, ProbeError> {
    let prefixes: Vec<(usize, usize)> = (0..tokens.len())
        .filter(|sequence| !source.skipped().contains(sequence))
        .map(|sequence| (sequence, tokens.sequence(sequence).len()))
        .collect();
    let reader = TokenReader::new(&file.saved)?;
    let metadata = &file.saved.metadata;
    let mut readings = vec![TokenReading::default(); prefixes.len()];
    let prefixes = Prefixes { source, site: 0, ends: &prefixes, stop: config.stop };
    apply_probe(&file.probe, prefixes, config.device, |index, reading| {
        readings[index] = token_reading(&reader, reading, metadata);
    })?;
    Ok(readings)
}

fn token_reading(
    reader: &TokenReader<'_>,
    reading: &Reading<'_>,
    metadata: &ProbeMetadata,
) -> TokenReading {
    let ProbeMetadata { outputs, threshold, .. } = *metadata;
    let probabilities = match outputs {
        Outputs::Classes => reading.probabilities.to_vec(),
        Outputs::Labels => outputs.values(reading.logits, 0),
        Outputs::Number => Vec::new(),
    };
    let is_finite = probabilities.iter().all(|probability| probability.is_finite());
    let predicted = match outputs {
        Outputs::Classes if is_finite => predicted_class(&probabilities, threshold),
        Outputs::Labels if is_finite => likeliest(&probabilities),
        _ => 0,
    };
    // Of two classes everything is about class 1, of more about the predicted one.
    let is_binary = reading.logits.len() == 1 && outputs.are_classes();
    let (class, logit) = if is_binary { (1, 0) } else { (predicted, predicted) };
    let running = reader.running_probabilities(reading);
    let contributions = reader.contributions(reading);
    let doubles = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
    TokenReading {
        probabilities,
        logits: doubles(reading.logits),
        predicted,
        pattern: reading.pattern.iter().flatten().map(|head| doubles(head)).collect(),
        prefix_probabilities: Some(running.iter().map(|p| p[class]).collect()),
        contributions: contributions
            .map(|all| all.iter().map(|scores| f64::from(scores[logit])).collect()),
    }
}

/// Index of the highest of some probabilities, of equals the first.
fn likeliest(probabilities: &[f64]) -> usize {
    let higher = |best: usize, next: usize| {
        if probabilities[next] > probabilities[best] { next } else { best }
    };
    (1..probabilities.len()).fold(0, higher)
}
