//! How good a saved probe is on labelled data.

use attention_probes_activations::{
    ActivationSource, Capture, Dataset, Example, ExampleConfig, ExampleSet, ExternalActivations,
    Labels, MemoryActivations, PlaceActivations, PlaceSites, StorageConfig, TOKENS_PER_FORWARD,
    TokenizeConfig, examples, open_activations, tokenize,
};
use attention_probes_errors::Stop;
use attention_probes_metrics::{
    Bootstrap, ClassScores, ClassificationReport, ConfusionMatrix, MetricError, PairAccuracy,
    predicted_class,
};
use burn::tensor::Device;
use serde::Serialize;

use super::classes::remove_unknown_tags;
use super::decisions::Decisions;
use super::error::ApplyError;
use super::probe_file::ProbeFile;
use super::reading::{Prefixes, apply_probe};
use super::site::ProbedModel;
use crate::{Outputs, ProbeError, SideReport, n_out};

/// How a saved probe is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluateConfig {
    /// Most tokens of a text, at most the model's context. Default none: as many as in training, or
    /// 256 where the probe does not say.
    pub max_tokens: Option<usize>,
    /// Tasks about one target: draw as many negatives as positives. Default true.
    pub balance: bool,
    /// Token tasks: most positions that are taken from a text. Default 8.
    pub examples_per_text: usize,
    /// Seed of the positions that are drawn and of the bootstrap. Default 42.
    pub seed: u64,
    /// Asked before each block of a forward pass and each batch of the probe. Default never.
    pub stop: Stop,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            max_tokens: None,
            balance: true,
            examples_per_text: 8,
            seed: 42,
            stop: Stop::never(),
        }
    }
}

/// Labelled texts, and the model that is run on them.
#[derive(Clone, Copy)]
pub struct LabelledTexts<'a> {
    /// The texts, with labels of the kind that [`SavedProbe::label_kind`] says.
    ///
    /// [`SavedProbe::label_kind`]: crate::SavedProbe::label_kind
    pub dataset: &'a Dataset,
    /// The probe's model.
    pub probed: &'a ProbedModel,
}

/// Stored activations with labels.
#[derive(Clone, Debug)]
pub struct LabelledRows<'a> {
    /// The activations, at the probe's own place.
    pub activations: ExternalActivations,
    /// What they are called in errors: their path.
    pub data: &'a str,
    /// Device of the probe.
    pub device: &'a Device,
}

/// What was found about a saved probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SavedEvaluation<'a> {
    /// Of a classifier.
    Classes(Box<ClassEvaluation<'a>>),
    /// Of a probe whose outputs are no classes.
    Outputs(Box<OutputEvaluation<'a>>),
}

/// How good a classifier is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassEvaluation<'a> {
    /// Names of the classes, in the order of the confusion matrix.
    pub classes: &'a [String],
    /// Number of sequences that were left out because of NaN or infinity.
    pub n_skipped: usize,
    /// Everything, deciding between two classes at probability 1/2.
    #[serde(flatten)]
    pub report: ClassificationReport,
    /// How often the good text of a minimal pair scores higher, where the data are pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair_accuracy: Option<PairAccuracy>,
    /// The decisions at the threshold of the probe, if that is another one than 1/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_threshold: Option<AtThreshold>,
    /// What was fitted for the probe, on these examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
}

/// The decisions of a binary probe at its own threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtThreshold {
    /// Probability of class 1 from which on it is the label.
    pub threshold: f64,
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean recall over both classes.
    pub balanced_accuracy: f64,
    /// F1 of class 1.
    pub f1: f64,
    /// Examples by true and predicted class.
    pub confusion: ConfusionMatrix,
}

/// How good a probe of a number or of several labels is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputEvaluation<'a> {
    /// What the outputs are.
    pub outputs: Outputs,
    /// Name of the number, or of each label.
    pub names: &'a [String],
    /// Number of examples.
    pub n_examples: usize,
    /// Number of sequences that were left out because of NaN or infinity.
    pub n_skipped: usize,
    /// Everything, under the name of the outputs.
    #[serde(flatten)]
    pub report: SideReport,
}

/// Examples with their activations.
struct Prepared<'s> {
    /// Name of the data.
    data: &'s str,
    source: &'s mut dyn ActivationSource,
    examples: ExampleSet,
    /// Labels other than classes, one for each example.
    targets: Option<Labels>,
    n_skipped: usize,
    device: &'s Device,
}

impl ProbeFile {
    /// Runs the model on labelled texts, applies the probe, and compares with the labels.
    ///
    /// `progress` is told how many of how many texts the model has read.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] if the texts cannot be tokenized, give no examples, or the model fails
    /// - [`ProbeError::Stopped`] if [`EvaluateConfig::stop`] is given
    /// - as [`ProbeFile::evaluate_activations`]
    ///
    /// # Memory
    ///
    /// As [`open_activations`], of the default [`StorageConfig`].
    pub fn evaluate_texts(
        &self,
        texts: LabelledTexts<'_>,
        config: &EvaluateConfig,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<SavedEvaluation<'_>, ProbeError> {
        let LabelledTexts { dataset, probed } = texts;
        let file_error = ProbeError::from;
        let data = dataset.name.as_str();
        let model = &probed.model;
        let (otherwise, n_ctx) = (TokenizeConfig::default().max_tokens, model.model.shape().n_ctx);
        let max_tokens = self.saved.max_tokens(config.max_tokens, otherwise, n_ctx);
        let tokenizing = TokenizeConfig { max_tokens, cache: None };
        let tokens = tokenize(dataset, &model.tokenizer, &tokenizing).map_err(file_error)?;
        for (n, what) in [
            (dataset.skipped_empty, "empty texts skipped"),
            (tokens.empty_rows.len(), "texts without a token skipped"),
            (tokens.n_truncated, "texts cut to the longest length allowed"),
        ] {
            if n > 0 {
                tracing::info!("`{data}`: {n} {what}");
            }
        }
        let drawing = ExampleConfig {
            task: self.saved.task().map_err(|error| self.in_file(error))?,
            balance: config.balance,
            examples_per_text: config.examples_per_text,
            seed: config.seed,
        };
        let drawn = examples(dataset, &tokens, &model.tokenizer, &drawing);
        let mut examples = drawn.map_err(file_error)?;
        if self.saved.label_kind().is_class() {
            remove_unknown_tags(&mut examples, &self.saved, data)?;
        }

        let sites = PlaceSites::new(std::slice::from_ref(&probed.place));
        let capture = Capture {
            model: &*model.model,
            tokens: &tokens,
            sites: sites.sites(),
            device: &probed.device,
            max_tokens_per_batch: TOKENS_PER_FORWARD,
            stop: config.stop.clone(),
        };
        let storage = StorageConfig::default();
        let source = open_activations(capture, &examples.sequences(), &storage, progress);
        let mut source = PlaceActivations::new(source.map_err(file_error)?, &sites);
        let n_skipped = source.skipped().len();
        examples.remove_sequences(source.skipped());
        let targets = dataset.targets.as_ref().map(|targets| {
            let row = |example: &Example| tokens.text_rows[example.sequence];
            targets.select(&examples.examples.iter().map(row).collect::<Vec<_>>())
        });
        let (source, device) = (&mut source, &probed.device);
        self.evaluate(Prepared { data, source, examples, targets, n_skipped, device }, config)
    }

    /// Applies the probe to stored activations with labels, and compares.
    ///
    /// # Errors
    ///
    /// - [`ApplyError::UnknownClass`] or, as [`ProbeError::InFile`], [`ApplyError::UnknownLabel`] if
    ///   the data have a label that the probe does not know
    /// - [`ProbeError::Activation`] if the activations have no labels
    /// - [`ProbeError::Metrics`] if an output is not finite, or a metric is not defined
    /// - as [`apply_probe`]
    ///
    /// # Panics
    ///
    /// If the activations are not as wide as the probe reads.
    pub fn evaluate_activations(
        &self,
        rows: LabelledRows<'_>,
        config: &EvaluateConfig,
    ) -> Result<SavedEvaluation<'_>, ProbeError> {
        let LabelledRows { activations, data, device } = rows;
        let keys = activations.keys();
        let examples = ExampleSet::from_external(&activations, &keys).ok_or_else(|| {
            ProbeError::Activation { source: ExternalActivations::no_labels(data.as_ref()) }
        })?;
        let n_skipped = activations.skipped.len();
        let targets = activations.targets.clone();
        let source = &mut MemoryActivations::from(activations);
        self.evaluate(Prepared { data, source, examples, targets, n_skipped, device }, config)
    }

    /// Applies the probe to every example and compares with the labels.
    fn evaluate(
        &self,
        prepared: Prepared<'_>,
        config: &EvaluateConfig,
    ) -> Result<SavedEvaluation<'_>, ProbeError> {
        let ends: Vec<(usize, usize)> = {
            let examples = prepared.examples.examples.iter();
            examples.map(|example| (example.sequence, example.end)).collect()
        };
        let stop = &config.stop;
        if let Some(targets) = &prepared.targets {
            let known = self.known_targets(prepared.data, targets)?;
            let n_out = self.probe.config().n_out();
            let mut outputs = vec![0.0; ends.len() * n_out];
            let prefixes = Prefixes { source: prepared.source, site: 0, ends: &ends, stop };
            apply_probe(&self.probe, prefixes, prepared.device, |index, reading| {
                outputs[index * n_out..(index + 1) * n_out].copy_from_slice(reading.logits);
            })?;
            let groups = prepared.examples.groups.as_deref();
            let resamples = Bootstrap { seed: config.seed, ..Bootstrap::default() };
            let report = SideReport::new(&known, &outputs, &resamples.of_groups(groups));
            let report = report.map_err(metrics)?;
            return Ok(SavedEvaluation::Outputs(Box::new(OutputEvaluation {
                outputs: self.saved.metadata.outputs,
                names: self.class_names(),
                n_examples: ends.len(),
                n_skipped: prepared.n_skipped,
                report,
            })));
        }
        let Prepared { data, source, examples, n_skipped, device, .. } = prepared;
        let n_classes = self.class_names().len();
        let indices = self.saved.class_indices(data, &examples.classes)?;
        let labels: Vec<usize> =
            examples.examples.iter().map(|example| indices[example.label]).collect();
        let n_out = n_out(n_classes);
        let mut logits = vec![0.0; labels.len() * n_out];
        let prefixes = Prefixes { source, site: 0, ends: &ends, stop };
        apply_probe(&self.probe, prefixes, device, |index, reading| {
            for (kept, logit) in logits[index * n_out..][..n_out].iter_mut().zip(reading.logits) {
                *kept = f64::from(*logit);
            }
        })?;
        let evaluation = self.measured((&labels, &logits), &examples, config.seed);
        let evaluation = evaluation.map_err(metrics)?;
        Ok(SavedEvaluation::Classes(Box::new(ClassEvaluation { n_skipped, ..evaluation })))
    }

    /// Compares logits with classes, both of every example.
    fn measured(
        &self,
        (labels, logits): (&[usize], &[f64]),
        examples: &ExampleSet,
        seed: u64,
    ) -> Result<ClassEvaluation<'_>, MetricError> {
        let n_classes = self.class_names().len();
        let scores = ClassScores::from_logits(logits, n_classes)?;
        let pairs = examples.pairs.as_ref().filter(|_| n_classes == 2);
        let pair_accuracy =
            pairs.map(|pairs| PairAccuracy::new(logits, labels, pairs)).transpose()?.flatten();
        let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
        let bootstrap = bootstrap.of_groups(examples.groups.as_deref());
        Ok(ClassEvaluation {
            classes: self.class_names(),
            n_skipped: 0,
            report: ClassificationReport::new(labels, &scores, &bootstrap)?,
            pair_accuracy,
            at_threshold: at_threshold(self.saved.metadata.threshold, labels, &scores)?,
            decisions: Decisions::new(&self.saved.metadata, logits, labels)?,
        })
    }

    /// Labels of the data in the order of the probe's outputs.
    fn known_targets(&self, data: &str, targets: &Labels) -> Result<Labels, ProbeError> {
        let names = self.class_names().to_vec();
        let mut known = Labels { names, ..targets.select(&[]) };
        known.extend(targets).map_err(|label| {
            let (data, known) = (data.to_owned(), self.class_names().to_vec());
            self.in_file(ApplyError::UnknownLabel { data, label, known }.into())
        })?;
        Ok(known)
    }
}

/// The decisions at the threshold of a binary probe, if that is not 1/2.
fn at_threshold(
    threshold: f64,
    labels: &[usize],
    scores: &ClassScores,
) -> Result<Option<AtThreshold>, MetricError> {
    if scores.n_classes() != 2 || (threshold - 0.5).abs() < f64::EPSILON {
        return Ok(None);
    }
    let rows = scores.probabilities().chunks_exact(2);
    let predictions: Vec<usize> = rows.map(|row| predicted_class(row, threshold)).collect();
    let confusion = ConfusionMatrix::new(labels, &predictions, 2)?;
    Ok(Some(AtThreshold {
        threshold,
        accuracy: confusion.accuracy(),
        balanced_accuracy: confusion.balanced_accuracy(),
        f1: confusion.f1(1),
        confusion,
    }))
}

fn metrics(source: MetricError) -> ProbeError {
    ProbeError::Metrics { source }
}
