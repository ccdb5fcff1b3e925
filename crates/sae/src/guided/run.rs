//! A run whose autoencoders attention guides, step by step.

use std::ops::Range;

use attention_probes_errors::ValueError;

use super::tuning::{Guidance, GuidanceRecord, GuidedBatch, HeldOut};
use crate::guided::attention_store::AttentionLayers;
use crate::run::{RunTraining, SaeTask};
use crate::train::{
    Aids, CheckpointArrays, CheckpointFile, ContextStream, Contexts, Entry, SaeTrainer, StepReport,
};
use crate::{Sae, SaeError};

/// Attention that guides a run, and the contexts that no autoencoder of it is trained on.
#[derive(Clone, Debug)]
pub struct RunGuidance {
    /// Attention of the contexts that are trained on, followed by those that are held out.
    pub attention: AttentionLayers,
    /// Contexts from which the weights of layers are learned.
    pub held_out: Contexts,
}

/// What guides the autoencoders of a run.
pub(crate) struct GuidedRun {
    attention: AttentionLayers,
    held_out: HeldOut,
    /// One for each task; none of those that are trained alike but for it.
    guides: Vec<Option<Guidance>>,
    /// Positions of a context that have rows.
    positions: Range<usize>,
    contexts_per_step: usize,
}

/// Whole contexts in a step of a guided run, `n_text_tokens` rows each.
///
/// # Errors
///
/// [`SaeError::Hyperparameter`] if a batch holds none, or only one where `L_con` tells a context from
/// others.
pub(crate) fn contexts_per_step(
    tasks: &[SaeTask],
    train: &RunTraining,
    n_text_tokens: usize,
) -> Result<usize, SaeError> {
    let n = train.batch_size / n_text_tokens;
    let mut guidance = tasks.iter().filter_map(|task| task.guidance.as_ref());
    let (least, expected) = if guidance.any(|guidance| guidance.gamma > 0.0) {
        (2, "at least the tokens of two contexts, which `guidance.gamma` tells apart")
    } else {
        (1, "at least the tokens of one context, where attention guides")
    };
    if n < least {
        let (name, value) = ("train.batch_size", train.batch_size as f64);
        return Err(ValueError::new(name, value, expected).into());
    }
    Ok(n)
}

impl GuidedRun {
    /// Prepares what guides each task.
    ///
    /// # Errors
    ///
    /// Those of [`crate::SaeRun::with_guidance`].
    pub(crate) fn new(
        stream: &ContextStream<'_>,
        tasks: &[SaeTask],
        train: &RunTraining,
        guidance: RunGuidance,
    ) -> Result<Self, SaeError> {
        let RunGuidance { attention, held_out } = guidance;
        let positions = stream.positions();
        let contexts_per_step = contexts_per_step(tasks, train, positions.len())?;
        if held_out.is_empty() {
            return Err(SaeError::NoContext { length: held_out.length() });
        }
        let n_contexts = stream.n_contexts();
        let (found, expected) = (attention.n_contexts(), n_contexts + held_out.len());
        if found != expected {
            let what = "the number of contexts whose attention was extracted";
            return Err(SaeError::SizeMismatch { what, found, expected });
        }
        if attention.length() != positions.end {
            let (what, found) = ("the number of tokens of a context", attention.length());
            return Err(SaeError::SizeMismatch { what, found, expected: positions.end });
        }
        let contexts = n_contexts..n_contexts + held_out.len();
        let rows = stream.rows_of(&held_out)?;
        let held_out = HeldOut { contexts, rows };
        let guide = |task: &SaeTask| -> Result<Option<Guidance>, SaeError> {
            let Some(config) = &task.guidance else { return Ok(None) };
            let layers = config.check(task.hook)?;
            let n_contexts = held_out.contexts.end;
            Guidance::new(config, &layers, (&attention, n_contexts), task.seed).map(Some)
        };
        let guides = tasks.iter().map(guide).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { attention, held_out, guides, positions, contexts_per_step })
    }

    /// Contexts of a step.
    pub(crate) fn contexts_per_step(&self) -> usize {
        self.contexts_per_step
    }

    /// Blocks that the encoder of each task reads beside the activations.
    pub(crate) fn n_context(&self) -> impl Iterator<Item = usize> + '_ {
        self.guides.iter().map(|guide| guide.as_ref().map_or(0, Guidance::n_context))
    }

    /// Takes a step of every autoencoder on a batch of whole contexts.
    pub(crate) fn step(
        &mut self,
        trainers: &mut [SaeTrainer],
        batch: &[Vec<f32>],
        (places, scales): (&[usize], &[f32]),
        contexts: Vec<usize>,
    ) -> Result<Vec<StepReport>, SaeError> {
        let positions = &self.positions;
        let mut patterns = GuidedBatch::new(&self.attention, contexts, positions.clone());
        let mut reports = Vec::with_capacity(trainers.len());
        for ((trainer, &place), guide) in trainers.iter_mut().zip(places).zip(&mut self.guides) {
            let x = &batch[place];
            let Some(guide) = guide else {
                reports.push(trainer.step(x)?);
                continue;
            };
            let held_out = (&self.held_out, place, scales[place]);
            guide.learn_layers(trainer, held_out, (&self.attention, positions.clone()))?;
            let step = trainer.n_steps();
            let context = guide.context(&mut patterns, x, trainer.d_in(), step);
            let mut add = |rows: &mut [Vec<Entry>], norms: &[f32], variance: f64| {
                guide.add_gradients(&mut patterns, (rows, norms), (step, variance))
            };
            let aids = Aids { guide: Some(&mut add), context: &context };
            reports.push(trainer.step_with(x, aids)?);
        }
        Ok(reports)
    }

    /// Makes what a task learned of its layers part of its autoencoder.
    pub(crate) fn fold(&self, task: usize, sae: &mut Sae, step: u64) {
        if let Some(guide) = &self.guides[task] {
            guide.fold(sae, step);
        }
    }

    /// What guided each task.
    pub(crate) fn records(&self, trainers: &[SaeTrainer]) -> Vec<Option<GuidanceRecord>> {
        let each = self.guides.iter().zip(trainers);
        each.map(|(guide, trainer)| guide.as_ref().map(|guide| guide.record(trainer.n_steps())))
            .collect()
    }

    /// Writes everything that a step changes.
    pub(crate) fn save(&self, arrays: &mut CheckpointArrays) {
        for (i, guide) in self.guides.iter().enumerate() {
            if let Some(guide) = guide {
                guide.save(arrays, &format!("guide{i}"));
            }
        }
    }

    /// Goes back to what was saved; `None` if an array is missing or of another size.
    pub(crate) fn load(&mut self, file: &CheckpointFile<'_>) -> Option<()> {
        for (i, guide) in self.guides.iter_mut().enumerate() {
            if let Some(guide) = guide {
                guide.load(file, &format!("guide{i}"))?;
            }
        }
        Some(())
    }
}
