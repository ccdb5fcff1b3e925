//! Evaluations of labelled texts: sparse probing, TPP, and SCR.

use std::collections::BTreeSet;

use attention_probes_errors::Stop;

use super::classes::Classes;
use super::data::{ActivationData, LabelledData};
use super::file_batches::batches;
use super::findings::{EvalFindings, EvalSae};
use super::removal::{Mixes, PARTS};
use super::setting::{LabelledConfig, LabelledEvaluation, Provenance};
use super::site::SaeSite;
use super::texts::{EncodedBy, Tokenized, Wanted};
use crate::SaeError;
use crate::eval::error::EvalError;
use crate::eval::parts::draw_in_parts;
use crate::eval::texts::TextActivations;
use crate::follow::Follow;

impl LabelledEvaluation {
    /// Checks that there are enough texts, before a model is opened.
    ///
    /// # Errors
    ///
    /// [`EvalError`] if there are too few of a class or a mix, or a value that is named does not
    /// occur.
    pub fn check(&self, data: &LabelledData, config: &LabelledConfig) -> Result<(), SaeError> {
        Groups::of(data, self, config).map(drop)
    }
}

/// An evaluation of one autoencoder.
#[derive(Clone, Debug)]
pub struct LabelledJob<'a> {
    /// The autoencoder.
    pub subject: EvalSae<'a>,
    /// What is measured.
    pub evaluation: LabelledEvaluation,
    /// How.
    pub config: LabelledConfig,
}

/// Evaluates any number of autoencoders on labelled texts: sparse probing, TPP, and SCR, by the
/// definitions of `SAEBench` 0.6.0.
///
/// Every text runs through the model once, whatever the number of jobs and seeds; jobs of one
/// autoencoder (one address) encode it once. Texts are cut to the site's context, and special tokens
/// are in no mean. There is one finding for each job, in their order.
///
/// # Errors
///
/// - [`EvalError`] if there are too few texts for a job, or a value that it names does not occur.
/// - [`SaeError::Site`] if an autoencoder reads another width.
/// - [`SaeError::Stopped`] if the work was stopped.
/// - [`SaeError::Model`] if the model fails.
///
/// # Memory
///
/// The tokens of the texts, activations of one batch of 4096 tokens, and for each autoencoder and
/// text its mean and 16 bytes for each feature that is active anywhere in it.
///
/// # Examples
///
/// ```
/// use attention_probes::models::open_model;
/// use attention_probes::sae::eval::{
///     EvalRun, EvalSae, LabelledConfig, LabelledData, LabelledEvaluation, LabelledJob, LabelledText,
///     SaeSite, evaluate_labelled,
/// };
/// use attention_probes::sae::{Follow, Sae, SaeActivation, SaeConfig};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let model = open_model("demo-gpt2", None, &device)?;
/// let hook = "blocks.1.hook_resid_post".parse()?;
/// let site = SaeSite { model: &model, device: &device, hook, context_size: 16, prepend_bos: true };
/// let sae = Sae { config: SaeConfig::new(160, 2),
///     activation: SaeActivation::Standard { b_enc: vec![0.1; 2] },
///     encoder: vec![0.1; 320], decoder: vec![0.1; 320], b_dec: vec![0.0; 160] };
/// let text = |i: usize| {
///     let (animal, label) = [("bird", "flies"), ("fish", "swims")][i % 2];
///     let text = format!("The {animal} was {i} years old.");
///     LabelledText { text, label: label.to_owned(), attribute: String::new() }
/// };
/// let texts = (0..40).map(text).collect();
/// let data = LabelledData { from: "here".to_owned(), name: "animals".to_owned(), texts };
/// let job = LabelledJob {
///     subject: EvalSae { sae: &sae, run: EvalRun::default() },
///     evaluation: LabelledEvaluation::SparseProbing,
///     config: LabelledConfig { seeds: vec![1], ..LabelledConfig::default() },
/// };
/// let found = evaluate_labelled(&site, &data, &[job], &Follow::default())?;
/// assert_eq!(found[0].on, "2 classes, 16 training and 4 test texts of each");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate_labelled(
    site: &SaeSite<'_>,
    data: &LabelledData,
    jobs: &[LabelledJob<'_>],
    follow: &Follow<'_>,
) -> Result<Vec<EvalFindings>, SaeError> {
    let encoded = EncodedJobs::encode(site, data, jobs, follow)?;
    let measure = |job| {
        follow.check()?;
        encoded.measure(job, &follow.stop)
    };
    (0..jobs.len()).map(measure).collect()
}

/// Evaluates an autoencoder on activations with classes, without a model: sparse probing, or TPP.
///
/// # Errors
///
/// - [`EvalError`] if there are no labels, or too few examples of a class.
/// - [`SaeError::SizeMismatch`] if the activations are not as wide as the autoencoder reads.
/// - [`SaeError::Stopped`] if the signal to stop is given.
///
/// # Panics
///
/// If the evaluation is SCR, which needs a second column.
///
/// # Memory
///
/// As [`evaluate_labelled`], beside the activations.
pub fn evaluate_labelled_activations(
    data: &ActivationData,
    job: &LabelledJob<'_>,
    stop: &Stop,
) -> Result<EvalFindings, SaeError> {
    let LabelledJob { subject, evaluation, config } = job;
    assert!(!matches!(evaluation, LabelledEvaluation::Scr(_)), "SCR reads texts");
    let external = &data.activations;
    let Some(labels) = &external.labels else {
        return Err(EvalError::NoLabels { from: data.from.clone() }.into());
    };
    let groups = labels.iter().map(|label| Some(*label)).collect();
    let classes = Classes { names: external.classes.clone(), groups };
    classes.check(&data.from, config)?;
    let drawn =
        draw_in_parts(&classes.groups, &classes.parts(), config.max_texts, config.first_seed());
    let d_in = subject.sae.config.d_in;
    let mut offsets = vec![0];
    for &example in &drawn {
        let n = external.offsets[example + 1] - external.offsets[example];
        offsets.push(offsets[offsets.len() - 1] + n);
    }
    let mut encoded = EncodedBy::new(subject.sae);
    for batch in batches(&offsets) {
        stop.check()?;
        let (mut values, mut lengths) = (Vec::new(), Vec::new());
        for &example in &drawn[batch.clone()] {
            let rows = external.offsets[example]..external.offsets[example + 1];
            lengths.push(rows.len());
            values.extend_from_slice(&external.x[rows.start * d_in..rows.end * d_in]);
        }
        let activations = TextActivations::ragged(values, &lengths, d_in)?;
        encoded.push(subject.sae, &drawn[batch], &activations)?;
    }
    let texts = encoded.grouped(&drawn, &classes.groups);
    let from = Provenance { from: &data.from, name: &data.name, model: None };
    classes.measure(subject, &texts, (evaluation, config), &from, stop)
}

/// Texts that the autoencoders of some jobs have encoded.
pub(crate) struct EncodedJobs<'a> {
    data: &'a LabelledData,
    model: (String, usize),
    jobs: &'a [LabelledJob<'a>],
    groups: Vec<Groups>,
    /// Texts of each job, as they are read.
    drawn: Vec<Vec<usize>>,
    /// Which autoencoder each job is of.
    of_job: Vec<usize>,
    encoded: Vec<EncodedBy>,
}

/// What tells texts apart.
#[derive(Clone, PartialEq)]
enum Groups {
    Classes(Classes),
    Mixes(Mixes),
}

impl Groups {
    fn of(
        data: &LabelledData,
        evaluation: &LabelledEvaluation,
        config: &LabelledConfig,
    ) -> Result<Self, SaeError> {
        if let LabelledEvaluation::Scr(columns) = evaluation {
            return Ok(Self::Mixes(Mixes::of(data, columns, config)?));
        }
        let labels: Vec<&str> = data.texts.iter().map(|text| &text.label[..]).collect();
        Ok(Self::Classes(Classes::of_labels(&labels, &data.from, config)?))
    }

    fn of_texts(&self) -> &[Option<usize>] {
        match self {
            Self::Classes(classes) => &classes.groups,
            Self::Mixes(mixes) => &mixes.groups,
        }
    }

    fn draw(&self, config: &LabelledConfig) -> Vec<usize> {
        let parts = match self {
            Self::Classes(classes) => classes.parts(),
            Self::Mixes(_) => PARTS.to_vec(),
        };
        draw_in_parts(self.of_texts(), &parts, config.max_texts, config.first_seed())
    }
}

impl<'a> EncodedJobs<'a> {
    /// Draws the texts of every job, and runs the model once over each that some job needs.
    ///
    /// # Errors
    ///
    /// As [`evaluate_labelled`].
    pub(crate) fn encode(
        site: &SaeSite<'_>,
        data: &'a LabelledData,
        jobs: &'a [LabelledJob<'a>],
        follow: &Follow<'_>,
    ) -> Result<Self, SaeError> {
        let groups = jobs
            .iter()
            .map(|job| Groups::of(data, &job.evaluation, &job.config))
            .collect::<Result<Vec<_>, _>>()?;
        let mut drawn: Vec<Vec<usize>> =
            groups.iter().zip(jobs).map(|(groups, job)| groups.draw(&job.config)).collect();
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        let mut of_job = Vec::new();
        for (job, texts) in jobs.iter().zip(&drawn) {
            let sae = job.subject.sae;
            let known = wanted.iter().position(|one| std::ptr::eq(one.sae, sae));
            let place = known.unwrap_or_else(|| {
                wanted.push(Wanted { sae, texts: BTreeSet::new() });
                wanted.len() - 1
            });
            wanted[place].texts.extend(texts);
            of_job.push(place);
        }
        let tokenized = Tokenized::new(site, data, drawn.iter().flatten().copied())?;
        let encoded = tokenized.encode(site, &wanted, follow)?;
        for texts in &mut drawn {
            *texts = tokenized.by_length(texts);
        }
        let model = (site.model.name.clone(), site.context_size);
        Ok(Self { data, model, jobs, groups, drawn, of_job, encoded })
    }

    /// What a job finds.
    ///
    /// # Errors
    ///
    /// As [`evaluate_labelled`].
    pub(crate) fn measure(&self, job: usize, stop: &Stop) -> Result<EvalFindings, SaeError> {
        let (groups, encoded) = (&self.groups[job], &self.encoded[self.of_job[job]]);
        let texts = encoded.grouped(&self.drawn[job], groups.of_texts());
        let model = Some((&self.model.0[..], self.model.1));
        let from = Provenance { from: &self.data.from, name: &self.data.name, model };
        let LabelledJob { subject, evaluation, config } = &self.jobs[job];
        match groups {
            Groups::Classes(classes) => {
                classes.measure(subject, &texts, (evaluation, config), &from, stop)
            }
            Groups::Mixes(mixes) => mixes.measure(subject, &texts, config, &from, stop),
        }
    }
}
