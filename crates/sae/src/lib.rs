//! Sparse autoencoders: features of what a language model's attention computes.
//!
//! [`read_sae`] reads one in any of five forms and [`write_sae_lens`] writes it; [`Sae::encode`]
//! turns activations into [`SparseCodes`], [`Sae::decode`] turns those back.
//! [`SaeTrainer`] takes one step on one batch; [`SaeRun`] trains several autoencoders on what
//! [`ContextStream`] gives of a model, through a [`MixingBuffer`].
//! [`FeatureActivity`] says what features do on texts, [`eval`] how good an autoencoder is, and
//! [`synthetic`] makes activations whose features are known.

pub mod ablation;
mod activity;
mod attention_store;
mod codes;
mod config;
mod error;
pub mod eval;
mod formats;
pub mod fra;
mod guided;
mod run;
mod run_config;
mod sae;
mod stream;
pub mod synthetic;
mod top_k;
mod train;

pub use activity::{FeatureActivity, FeaturePeak, attribute_to_sources};
pub use attention_store::{AttentionLayers, AttentionStore, KeepAttention, PoolHeads};
pub use codes::SparseCodes;
pub use config::{Architecture, Normalization, Reshape, SaeConfig, SaeDtype, SaeMetadata};
pub use error::SaeError;
pub use formats::{SaeFormat, read_sae, write_sae_lens};
pub use guided::{
    CONTEXT_LAYERS, GuidanceConfig, GuidanceLosses, GuidanceRecord, GuidanceSource,
    LayerWeightHistory, LayerWeighting, RunGuidance, attended_cosine, context_rows, temperature,
};
pub use run::{RunProgress, SaeRun};
pub use run_config::{
    RunAttention, RunData, RunModel, RunTraining, SaeEntry, SaeRunConfig, SaeTask,
};
pub use sae::{Activation, Encoded, Sae};
pub use stream::{ContextStream, StreamPosition};
pub use train::{
    CoefficientSchedule, Contexts, LearningRateSchedule, MixingBuffer, SaeTrainConfig, SaeTrainer,
    ScheduleShape, StepReport, TrainArchitecture, TrainingMemory,
};
