//! Activations of contexts at several hooks, from one forward pass for all of them.

use std::ops::Range;

use attention_probes_activations::{
    Batching, CaptureHook, CaptureOptions, HookLayout, ModelCapture, NonFinitePolicy, Watch,
    capture_rows,
};
use attention_probes_errors::Stop;
use attention_probes_models::{HookPoint, HookedModel};
use burn::tensor::Device;

use super::contexts::Contexts;
use crate::SaeError;

/// A model, and the contexts that it reads.
#[derive(Clone, Copy)]
pub struct ModelContexts<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// Where it runs.
    pub device: &'a Device,
    /// The contexts.
    pub contexts: &'a Contexts,
    /// Most contexts of a forward pass; at least 1 is taken.
    pub contexts_per_forward: usize,
}

/// Runs a model over contexts in a random order and hands on the rows of every text token.
pub struct ContextStream<'a> {
    read: ModelContexts<'a>,
    hooks: Vec<CaptureHook>,
    widths: Vec<usize>,
    seed: u64,
    order: Vec<usize>,
    position: StreamPosition,
    stop: Stop,
}

/// How far a stream has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamPosition {
    /// Times that all contexts have been read.
    pub epoch: u64,
    /// Contexts of this epoch that have been read.
    pub context: usize,
    /// Contexts that were left out, because an activation was not finite.
    pub n_skipped: u64,
}

impl<'a> ContextStream<'a> {
    /// Begins at the first context of the first epoch; each hook is given once.
    ///
    /// # Errors
    ///
    /// - [`SaeError::NoContext`] if there is no context.
    /// - [`SaeError::Model`] if the model has no such hook, or contexts are too long for it.
    /// - [`SaeError::Hook`] if a hook has no row for each token.
    pub fn new(
        read: ModelContexts<'a>,
        hooks: Vec<HookPoint>,
        seed: u64,
    ) -> Result<Self, SaeError> {
        let ModelContexts { model, device, contexts, .. } = read;
        if contexts.is_empty() {
            return Err(SaeError::NoContext { length: contexts.length() });
        }
        let mut stream = Self {
            read,
            widths: Vec::new(),
            hooks: hooks.into_iter().map(CaptureHook::from).collect(),
            seed,
            order: contexts.order(seed, 0),
            position: StreamPosition::default(),
            stop: Stop::never(),
        };
        let no_rows = |hook: &&CaptureHook| HookLayout::of(hook.hook) == HookLayout::Pairs;
        if let Some(CaptureHook { hook, .. }) = stream.hooks.iter().find(no_rows) {
            return Err(SaeError::Hook { hook: hook.to_string() });
        }
        let options =
            CaptureOptions { non_finite: NonFinitePolicy::Keep, ..CaptureOptions::default() };
        let first = ModelCapture { model, device, hooks: &stream.hooks, options };
        let mut widths = Vec::new();
        capture_rows(&first, &[contexts.ids(0)], |rows| {
            widths = rows.values.iter().map(|values| values.len() / rows.n_tokens).collect();
            Ok::<(), SaeError>(())
        })?;
        stream.widths = widths;
        Ok(stream)
    }

    /// Asks a signal to stop before each block of a forward pass.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Values of a row at every hook.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Number of contexts.
    pub fn n_contexts(&self) -> usize {
        self.read.contexts.len()
    }

    /// Positions of a context that have rows: all but the token for its beginning.
    pub fn positions(&self) -> Range<usize> {
        self.read.contexts.length() - self.read.contexts.n_text_tokens()
            ..self.read.contexts.length()
    }

    /// Rows of other contexts of the same form at every hook, `[n, width]`.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model or its device fails.
    /// - [`SaeError::NotFinite`] if an activation is not finite.
    /// - [`SaeError::SizeMismatch`] if they are of another length, or begin in another way.
    pub fn rows_of(&self, contexts: &Contexts) -> Result<Vec<Vec<f32>>, SaeError> {
        for (found, expected) in [
            (contexts.length(), self.read.contexts.length()),
            (contexts.n_text_tokens(), self.read.contexts.n_text_tokens()),
        ] {
            if found != expected {
                let what = "the number of tokens of a context";
                return Err(SaeError::SizeMismatch { what, found, expected });
            }
        }
        let mut rows = vec![Vec::new(); self.hooks.len()];
        let all: Vec<usize> = (0..contexts.len()).collect();
        if !self.append(contexts, &all, &mut rows)?.is_empty() {
            return Err(SaeError::NotFinite { n_contexts: 1 });
        }
        Ok(rows)
    }

    /// How far it has been read.
    pub fn position(&self) -> StreamPosition {
        self.position
    }

    /// Goes to where a stream of the same contexts was.
    pub fn seek(&mut self, position: StreamPosition) {
        self.position = position;
        self.order = self.read.contexts.order(self.seed, position.epoch);
    }

    /// Rows of whole contexts at every hook, `[n, width]`, with at most `n_wanted` rows; of one
    /// context at least.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model or its device fails.
    /// - [`SaeError::NotFinite`] if every context of an epoch has NaN or infinity.
    /// - [`SaeError::Stopped`] if the signal to stop is given; the stream is where it was.
    pub fn rows(&mut self, n_wanted: usize) -> Result<Vec<Vec<f32>>, SaeError> {
        self.contexts((n_wanted / self.read.contexts.n_text_tokens()).max(1)).map(|(_, rows)| rows)
    }

    /// The next `n_contexts` contexts whose activations are finite, and their rows at every hook.
    ///
    /// # Errors
    ///
    /// As [`ContextStream::rows`].
    pub fn contexts(&mut self, n_contexts: usize) -> Result<(Vec<usize>, Vec<Vec<f32>>), SaeError> {
        let start = self.position;
        let found = self.next_contexts(n_contexts);
        if found.is_err() {
            self.seek(start);
        }
        found
    }

    fn next_contexts(
        &mut self,
        n_contexts: usize,
    ) -> Result<(Vec<usize>, Vec<Vec<f32>>), SaeError> {
        let mut rows = vec![Vec::new(); self.hooks.len()];
        let (mut read, mut n_skipped) = (Vec::with_capacity(n_contexts), 0);
        while read.len() < n_contexts {
            let n = (n_contexts - read.len()).min(self.read.contexts_per_forward.max(1));
            let batch: Vec<usize> = (0..n).map(|_| self.next_context()).collect();
            let skipped = self.append(self.read.contexts, &batch, &mut rows)?;
            for (i, &context) in batch.iter().enumerate() {
                if !skipped.contains(&i) {
                    read.push(context);
                    continue;
                }
                n_skipped += 1;
                self.position.n_skipped += 1;
                if n_skipped > self.read.contexts.len() {
                    return Err(SaeError::NotFinite { n_contexts: n_skipped });
                }
            }
        }
        Ok((read, rows))
    }

    fn next_context(&mut self) -> usize {
        if self.position.context == self.order.len() {
            self.position.epoch += 1;
            self.position.context = 0;
            self.order = self.read.contexts.order(self.seed, self.position.epoch);
        }
        let context = self.order[self.position.context];
        self.position.context += 1;
        context
    }

    /// Appends the rows of some contexts at every hook, but the first where it stands for the
    /// beginning; returns which of them, by index, are left out because one is not finite.
    fn append(
        &self,
        contexts: &Contexts,
        which: &[usize],
        rows: &mut [Vec<f32>],
    ) -> Result<Vec<usize>, SaeError> {
        let ids: Vec<&[u32]> = which.iter().map(|i| contexts.ids(*i)).collect();
        let options = CaptureOptions {
            batching: Batching::InOrder { max_sequences: self.read.contexts_per_forward.max(1) },
            n_before: self.positions().start,
            watch: Watch { progress: None, stop: self.stop.clone() },
            ..CaptureOptions::default()
        };
        let ModelContexts { model, device, .. } = self.read;
        let capture = ModelCapture { model, device, hooks: &self.hooks, options };
        let summary = capture_rows(&capture, &ids, |found| {
            for (rows, values) in rows.iter_mut().zip(&found.values) {
                rows.extend_from_slice(values);
            }
            Ok::<(), SaeError>(())
        })?;
        Ok(summary.non_finite.iter().map(|found| found.sequence).collect())
    }
}
