//! Sparse autoencoders: features of what a language model's attention computes.
//!
//! [`read_sae`] reads one in any of five forms and [`write_sae_lens`] writes it; [`Sae::encode`]
//! turns activations into [`SparseCodes`], [`Sae::decode`] turns those back.
//! [`SaeTrainer`] takes one step on one batch; [`SaeRun`] trains several autoencoders on what
//! [`ContextStream`] gives of a model, through a [`MixingBuffer`].
//! [`FeatureActivity`] says what features do on texts, [`eval`] how good an autoencoder is, and
//! [`synthetic`] makes activations whose features are known.

pub mod ablation;
mod codes;
mod config;
mod error;
mod error_kind;
pub mod eval;
mod follow;
mod formats;
pub mod fra;
mod guided;
mod run;
mod sae;
pub mod synthetic;
mod top_k;
mod train;

pub use codes::SparseCodes;
pub use config::{Architecture, Normalization, Reshape, SaeConfig, SaeDtype, SaeMetadata};
pub use error::SaeError;
pub use eval::{ActivityConfig, FeatureActivity, FeatureAt, FeaturePeak, attribute_to_sources};
pub use follow::{Follow, SaeEvent};
pub use formats::{
    ConvertOptions, EncodeOptions, EncodedNpz, PublishedSae, SaeFormat, SaeNote, SiteError,
    convert_sae, encode_npz, read_sae, read_sae_from, sae_facts, sae_files, write_sae_lens,
};
pub use guided::{
    AttentionLayers, AttentionStore, CONTEXT_LAYERS, ContextRows, GuidanceConfig, GuidanceLosses,
    GuidanceRecord, GuidanceSource, KeepAttention, LayerWeightHistory, LayerWeighting, PoolHeads,
    RunGuidance, attended_cosine, context_rows, read_guidance, temperature,
};
pub use run::{
    HistoryPoint, RunAttention, RunData, RunError, RunModel, RunProgress, RunTraining, SaeEntry,
    SaeRun, SaeRunConfig, SaeRunOptions, SaeRunOutline, SaeRunPlan, SaeRunTime, SaeTask,
    TrainedSae, TrainingMemory, check_sae_run, demo_fra_run, demo_sae_run, read_history, run_sae,
    run_sae_on,
};
pub use sae::{Encoded, Sae, SaeActivation};
pub use train::{
    CoefficientSchedule, ContextConfig, ContextStream, Contexts, LearningRateSchedule,
    MixingBuffer, ModelContexts, SaeTrainConfig, SaeTrainer, ScheduleShape, SourceTraining,
    StepReport, StreamPosition, TrainArchitecture, read_contexts,
};
