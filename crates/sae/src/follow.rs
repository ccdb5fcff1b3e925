//! Following long work, and ending it early.

use std::fmt;
use std::path::Path;

use attention_probes_errors::Stop;
use attention_probes_models::HookPoint;

use crate::SaeError;
use crate::run::{RunProgress, SaeRunOutline};

/// What long work tells of itself while it runs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SaeEvent<'a> {
    /// A run was complete before anything was done.
    AlreadyComplete {
        /// Folder of the run.
        folder: &'a Path,
    },
    /// A run was checked, and begins.
    Checked {
        /// What it does.
        outline: &'a SaeRunOutline,
    },
    /// Attention of `done` of `total` contexts has been extracted.
    Attention {
        /// Contexts that are done.
        done: usize,
        /// All of them.
        total: usize,
    },
    /// Attention has been extracted and is written to a file.
    AttentionKept {
        /// The layers.
        layers: &'a [usize],
        /// Size of the file.
        size_bytes: usize,
    },
    /// A run that was stopped goes on.
    Resumed {
        /// Steps taken before.
        step: u64,
    },
    /// A step of training was taken.
    Step {
        /// What it measured.
        progress: &'a RunProgress,
        /// Tokens that each autoencoder saw in it.
        tokens_per_step: usize,
        /// Features of the first autoencoder.
        d_sae: usize,
    },
    /// Contexts were left out of a training, because an activation was not finite.
    ContextsSkipped {
        /// How many.
        n_contexts: u64,
    },
    /// The model has read `done` of `total` texts, words, or contexts.
    Read {
        /// What it reads, in plural.
        what: &'static str,
        /// How many are done.
        done: usize,
        /// All of them.
        total: usize,
    },
    /// Texts were left out: no token but special ones, or an activation that is not finite.
    TextsLeftOut {
        /// How many.
        n_texts: usize,
        /// Where the activations are.
        hook: HookPoint,
    },
    /// Words were left out: an activation is not finite.
    WordsLeftOut {
        /// How many.
        n_words: usize,
        /// Where the activations are.
        hook: HookPoint,
    },
    /// An arm of an ablation is measured.
    Arm {
        /// Its number, from 1 on.
        number: usize,
        /// How many there are.
        n_arms: usize,
        /// What it is called in tables.
        label: &'a str,
    },
}

/// Who follows long work, and who may end it.
///
/// By default nobody.
#[derive(Clone)]
pub struct Follow<'a> {
    /// Called with each event, between two batches.
    pub progress: &'a dyn Fn(SaeEvent<'_>),
    /// Asked once a batch, and before each block of a forward pass; given, the work ends with
    /// [`SaeError::Stopped`], and what was written can be used.
    pub stop: Stop,
}

impl Default for Follow<'_> {
    fn default() -> Self {
        Self { progress: &|_| (), stop: Stop::never() }
    }
}

impl fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Follow<'_> {
    pub(crate) fn tell(&self, event: SaeEvent<'_>) {
        (self.progress)(event);
    }

    /// # Errors
    ///
    /// [`SaeError::Stopped`] if the work is to end.
    pub(crate) fn check(&self) -> Result<(), SaeError> {
        Ok(self.stop.check()?)
    }
}
