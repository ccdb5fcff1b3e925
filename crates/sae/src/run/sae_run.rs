//! Several autoencoders that learn from one stream of activations.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::write_atomically;
use attention_probes_errors::{FileError, ValueError};
use attention_probes_models::HookPoint;
use safetensors::SafeTensors;

use super::config::{RunTraining, SaeTask};
use crate::error::plain;
use crate::guided::{GuidedRun, RunGuidance, contexts_per_step};
use crate::train::{
    CheckpointArrays, CheckpointFile, ContextStream, MixingBuffer, SaeTrainer, StepReport,
    StreamPosition,
};
use crate::{GuidanceRecord, Sae, SaeError};

/// All autoencoders of a run, their stream, and its buffer.
pub struct SaeRun<'a> {
    stream: ContextStream<'a>,
    buffer: MixingBuffer,
    tasks: Vec<SaeTask>,
    trainers: Vec<SaeTrainer>,
    /// Which place of the stream each task reads.
    places: Vec<usize>,
    /// What rows of each place are multiplied by.
    scales: Vec<f32>,
    normalize: bool,
    n_steps: u64,
    batch: Vec<Vec<f32>>,
    guided: Option<GuidedRun>,
}

/// What a step of a run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct RunProgress {
    /// Steps taken, this one among them.
    pub step: u64,
    /// Steps in all.
    pub n_steps: u64,
    /// The report of each autoencoder, in the order of the tasks.
    pub reports: Vec<StepReport>,
}

impl<'a> SaeRun<'a> {
    /// The hooks of some tasks, each once.
    pub fn hooks(tasks: &[SaeTask]) -> Vec<HookPoint> {
        let mut hooks: Vec<HookPoint> = Vec::new();
        for task in tasks {
            if !hooks.contains(&task.hook) {
                hooks.push(task.hook);
            }
        }
        hooks
    }

    /// Begins a run; the stream must have the hooks of [`SaeRun::hooks`] in that order.
    ///
    /// # Errors
    ///
    /// - the errors of [`SaeTrainer::new`].
    /// - [`SaeError::Hyperparameter`] if there is no memory for the buffer.
    pub fn new(
        stream: ContextStream<'a>,
        tasks: Vec<SaeTask>,
        train: &RunTraining,
        (n_steps, seed): (u64, u64),
    ) -> Result<Self, SaeError> {
        let hooks = Self::hooks(&tasks);
        let place = |task: &SaeTask| hooks.iter().position(|hook| *hook == task.hook).unwrap_or(0);
        let places: Vec<usize> = tasks.iter().map(place).collect();
        let new = |(task, place): (&SaeTask, &usize)| {
            SaeTrainer::new(task.config.clone(), stream.widths()[*place], task.seed)
        };
        let trainers = tasks.iter().zip(&places).map(new).collect::<Result<Vec<_>, _>>()?;
        let capacity = train.buffer_batches.saturating_mul(train.batch_size);
        let widest = stream.widths().iter().max().copied().unwrap_or(0);
        if Vec::<f32>::new().try_reserve_exact(capacity.saturating_mul(widest)).is_err() {
            let (name, value) = ("train.buffer_batches", train.buffer_batches as f64);
            let expected = "fewer batches, there is no memory for their rows";
            return Err(ValueError::new(name, value, expected).into());
        }
        let sizes = (capacity, train.batch_size);
        let buffer = MixingBuffer::new(stream.widths().to_vec(), sizes, train.mix_fraction, seed);
        let scales = vec![1.0; stream.widths().len()];
        let normalize = train.normalize;
        let (batch, guided) = (Vec::new(), None);
        Ok(Self {
            stream,
            buffer,
            tasks,
            trainers,
            places,
            scales,
            normalize,
            n_steps,
            batch,
            guided,
        })
    }

    /// The layers of the model whose attention guides some tasks, in rising order.
    ///
    /// # Errors
    ///
    /// The errors of [`crate::GuidanceConfig::check`].
    pub fn layers(tasks: &[SaeTask]) -> Result<Vec<usize>, SaeError> {
        let mut layers = BTreeSet::new();
        for task in tasks {
            if let Some(guidance) = &task.guidance {
                layers.extend(guidance.check(task.hook)?);
            }
        }
        Ok(layers.into_iter().collect())
    }

    /// Checks what a guided run asks for, before anything is extracted.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hyperparameter`] if a batch holds too few contexts, or the model, of `n_layers`,
    ///   lacks a layer.
    /// - the errors of [`crate::GuidanceConfig::check`].
    pub fn check_guidance(
        tasks: &[SaeTask],
        train: &RunTraining,
        (n_text_tokens, n_layers): (usize, usize),
    ) -> Result<(), SaeError> {
        let layers = Self::layers(tasks)?;
        if layers.is_empty() {
            return Ok(());
        }
        if let Some(layer) = layers.iter().find(|layer| **layer >= n_layers) {
            let (name, value) = ("guidance.layers", *layer as f64);
            let expected = "layers that the model has, counted from the hook's";
            return Err(ValueError::new(name, value, expected).into());
        }
        contexts_per_step(tasks, train, n_text_tokens).map(drop)
    }

    /// A run that has not begun, with attention that guides some of its tasks: every step takes whole
    /// contexts, the same of all autoencoders.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hyperparameter`] if a batch holds no context, or there is no attention of a
    ///   layer.
    /// - [`SaeError::NoContext`] if no context is held out.
    /// - [`SaeError::NotFinite`] if an activation of a held-out context is not finite.
    pub fn with_guidance(
        mut self,
        train: &RunTraining,
        guidance: RunGuidance,
    ) -> Result<Self, SaeError> {
        let guided = GuidedRun::new(&self.stream, &self.tasks, train, guidance)?;
        let trained = self.trainers.iter_mut().zip(&self.tasks).zip(guided.n_context());
        for ((trainer, task), n_context) in trained {
            if n_context > 0 {
                let config = task.config.clone();
                *trainer = SaeTrainer::with_context(config, trainer.d_in(), n_context, task.seed)?;
            }
        }
        self.guided = Some(guided);
        Ok(self)
    }

    /// The autoencoders, in the order of their trainers.
    pub fn tasks(&self) -> &[SaeTask] {
        &self.tasks
    }

    /// The trainers.
    pub fn trainers(&self) -> &[SaeTrainer] {
        &self.trainers
    }

    /// How far the contexts have been read.
    pub fn position(&self) -> StreamPosition {
        self.stream.position()
    }

    /// Takes a step of every autoencoder on the next batch; `None` if the run is over.
    ///
    /// # Errors
    ///
    /// - the errors of [`ContextStream::rows`].
    /// - [`SaeError::Diverged`] if an autoencoder diverges.
    /// - [`SaeError::Stopped`] if the signal of the stream is given; no step was taken, and the next
    ///   call takes it.
    pub fn step(&mut self) -> Result<Option<RunProgress>, SaeError> {
        let step = self.trainers.first().map_or(self.n_steps, SaeTrainer::n_steps);
        if step >= self.n_steps {
            return Ok(None);
        }
        let contexts = if let Some(guided) = &self.guided {
            self.next_contexts(guided.contexts_per_step())?
        } else {
            self.fill()?;
            while !self.buffer.next_batch(&mut self.batch) {
                self.fill()?;
            }
            Vec::new()
        };
        for (batch, scale) in self.batch.iter_mut().zip(&self.scales) {
            for x in batch {
                *x *= scale;
            }
        }
        let reports = match &mut self.guided {
            None => {
                let trainers = self.trainers.iter_mut().zip(&self.places);
                trainers
                    .map(|(trainer, place)| trainer.step(&self.batch[*place]))
                    .collect::<Result<Vec<_>, _>>()?
            }
            Some(guided) => {
                let places = (&self.places[..], &self.scales[..]);
                guided.step(&mut self.trainers, &self.batch, places, contexts)?
            }
        };
        Ok(Some(RunProgress { step: step + 1, n_steps: self.n_steps, reports }))
    }

    /// Tokens that each autoencoder sees in a step.
    pub fn tokens_per_step(&self) -> usize {
        match &self.guided {
            Some(guided) => guided.contexts_per_step() * self.stream.positions().len(),
            None => self.buffer.batch_size(),
        }
    }

    /// Reads the contexts of a step.
    fn next_contexts(&mut self, n_contexts: usize) -> Result<Vec<usize>, SaeError> {
        let is_first = self.trainers.first().is_some_and(|trainer| trainer.n_steps() == 0);
        if is_first && self.normalize {
            let start = self.stream.position();
            let rows = self.stream.rows(self.buffer.n_wanted())?;
            self.stream.seek(start);
            self.set_scales(&rows);
        }
        let (contexts, rows) = self.stream.contexts(n_contexts)?;
        self.batch = rows;
        Ok(contexts)
    }

    fn set_scales(&mut self, rows: &[Vec<f32>]) {
        for ((scale, rows), width) in self.scales.iter_mut().zip(rows).zip(self.stream.widths()) {
            *scale = norm_scale(rows, *width);
        }
    }

    /// Fills the buffer where it is wanting.
    fn fill(&mut self) -> Result<(), SaeError> {
        let n_wanted = self.buffer.n_wanted();
        if n_wanted == 0 {
            return Ok(());
        }
        let mut rows = self.stream.rows(n_wanted)?;
        let is_first = self.trainers.first().is_some_and(|trainer| trainer.n_steps() == 0);
        if is_first && self.normalize {
            self.set_scales(&rows);
        }
        // A context may be longer than what is wanted.
        for (rows, width) in rows.iter_mut().zip(self.stream.widths()) {
            rows.truncate(n_wanted * width);
        }
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        self.buffer.fill(&rows);
        Ok(())
    }

    /// The autoencoders as they are now, for activations as they come, with their hooks.
    pub fn saes(&self) -> Vec<Sae> {
        let of_task = |(i, (trainer, task)): (usize, (&SaeTrainer, &SaeTask))| {
            let mut sae = trainer.sae_of_scaled(self.scales[self.places[i]]);
            if let Some(guided) = &self.guided {
                guided.fold(i, &mut sae, trainer.n_steps());
            }
            sae.set_hook(task.hook);
            sae
        };
        self.trainers.iter().zip(&self.tasks).enumerate().map(of_task).collect()
    }

    /// What guided each autoencoder, in the order of the tasks; `None` where nothing did.
    pub fn guidance(&self) -> Vec<Option<GuidanceRecord>> {
        match &self.guided {
            Some(guided) => guided.records(&self.trainers),
            None => vec![None; self.tasks.len()],
        }
    }

    /// Writes everything that the next step depends on.
    ///
    /// # Errors
    ///
    /// [`SaeError::Activation`] if the file cannot be written.
    ///
    /// # Memory
    ///
    /// The file.
    pub fn save(&self, path: &Path, digest: &str) -> Result<(), SaeError> {
        let mut arrays = CheckpointArrays::default();
        for (i, trainer) in self.trainers.iter().enumerate() {
            trainer.save(&mut arrays, &format!("sae{i}"));
        }
        match &self.guided {
            Some(guided) => guided.save(&mut arrays),
            None => self.buffer.save(&mut arrays),
        }
        arrays.put_f32("scales".to_owned(), &self.scales);
        let StreamPosition { epoch, context, n_skipped } = self.stream.position();
        arrays.put_u64("stream".to_owned(), &[epoch, context as u64, n_skipped]);
        arrays.put_u64("digest".to_owned(), &digest_numbers(digest));
        let bytes = arrays.to_bytes().map_err(|source| SaeError::Checkpoint {
            path: path.to_owned(),
            reason: plain(&source),
        })?;
        Ok(write_atomically(path, |file| file.write_all(&bytes))?)
    }

    /// Goes on from a file that [`SaeRun::save`] wrote with the same digest.
    ///
    /// # Errors
    ///
    /// [`SaeError::File`], or [`SaeError::Checkpoint`] if it is damaged or of another run.
    pub fn load(&mut self, path: &Path, digest: &str) -> Result<(), SaeError> {
        let bytes = fs::read(path).map_err(FileError::read(path))?;
        let error = |reason: String| SaeError::Checkpoint { path: path.to_owned(), reason };
        let file = SafeTensors::deserialize(&bytes).map_err(|source| error(plain(&source)))?;
        let file = CheckpointFile(file);
        let found = file.u64("digest", Some(4)).unwrap_or_default();
        if found != digest_numbers(digest) {
            return Err(error("it was made with other settings, data, or model".to_owned()));
        }
        let damaged = || error("an array is missing or has another size".to_owned());
        for (i, trainer) in self.trainers.iter_mut().enumerate() {
            trainer.load(&file, &format!("sae{i}")).ok_or_else(damaged)?;
        }
        match &mut self.guided {
            Some(guided) => guided.load(&file).ok_or_else(damaged)?,
            None => self.buffer.load(&file).ok_or_else(damaged)?,
        }
        self.scales = file.f32("scales", Some(self.scales.len())).ok_or_else(damaged)?;
        let stream = file.u64("stream", Some(3)).ok_or_else(damaged)?;
        let (epoch, context, n_skipped) = (stream[0], stream[1] as usize, stream[2]);
        self.stream.seek(StreamPosition { epoch, context, n_skipped });
        Ok(())
    }
}

/// `√width / mean ‖x‖`: what brings rows to the norm of a standard normal.
fn norm_scale(rows: &[f32], width: usize) -> f32 {
    let norms = rows.chunks_exact(width).map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt());
    let sum: f64 = norms.map(f64::from).sum();
    let mean = sum / (rows.len() / width).max(1) as f64;
    if mean > 0.0 { ((width as f64).sqrt() / mean) as f32 } else { 1.0 }
}

/// A hash as numbers: 32 bytes of BLAKE3.
fn digest_numbers(digest: &str) -> [u64; 4] {
    let mut numbers = [0; 4];
    let hash = blake3::hash(digest.as_bytes());
    for (number, bytes) in numbers.iter_mut().zip(hash.as_bytes().as_chunks().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    numbers
}
