//! Guidance of a training by attention: tokens that attend to each other are to have features in
//! common.

mod attended;
pub(crate) mod attention_store;
mod codes;
mod config;
mod context;
mod layer_weights;
mod losses;
mod patterns;
mod record;
mod run;
mod tuning;

pub use attended::attended_cosine;
pub use attention_store::{AttentionLayers, AttentionStore, KeepAttention, PoolHeads};
pub use config::{GuidanceConfig, GuidanceSource, LayerWeighting};
pub use context::{CONTEXT_LAYERS, ContextRows, context_rows};
pub use layer_weights::{LayerWeightHistory, temperature};
pub use losses::GuidanceLosses;
pub(crate) use record::GUIDANCE_FILE;
pub use record::read_guidance;
pub use run::RunGuidance;
pub(crate) use run::{GuidedRun, contexts_per_step};
pub use tuning::GuidanceRecord;
