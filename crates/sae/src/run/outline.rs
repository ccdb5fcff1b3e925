//! What a run would do.

use super::memory::TrainingMemory;

/// What a run does, or would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SaeRunOutline {
    /// Contexts that are trained on.
    pub n_contexts: usize,
    /// Tokens of a context.
    pub context_size: usize,
    /// Times that all contexts are read.
    pub epochs: f64,
    /// Steps of each autoencoder.
    pub n_steps: u64,
    /// Number of autoencoders.
    pub n_saes: usize,
    /// What the run keeps in memory beside the model.
    pub memory: TrainingMemory,
    /// An estimate of how long it takes, where one was made.
    pub time: Option<SaeRunTime>,
}

/// How long a run takes, from one filling of the buffer, or from some contexts whose attention is
/// extracted, and a few steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SaeRunTime {
    /// For the model, in seconds; where attention guides, for extracting it: each step runs the model
    /// too.
    pub model_s: f64,
    /// For training, in seconds.
    pub training_s: f64,
}
