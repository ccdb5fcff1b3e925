//! Language models whose activations can be read at named places.

mod attention_weights;
mod batch;
mod centred;
pub mod demo;
mod device_name;
mod dtype;
mod error;
mod error_kind;
mod families;
pub mod files;
mod hooked;
mod hooks;
mod host;
mod hub;
mod layers;
mod lens;
mod load_options;
mod loading;
mod mapped;
mod memory;
mod open;
pub mod save;
mod tokenizer;

/// Reading a checkpoint in Hugging Face layout.
pub mod load {
    pub use crate::loading::{
        checkpoint_hash, gemma_from_bytes, gpt2_from_bytes, load_gemma, load_gpt2, load_model,
        model_from_bytes,
    };
}

pub use attention_weights::{AttentionWeights, NormKind, NormWeights};
pub use batch::{PaddingSide, TokenBatch};
pub use centred::CentredModel;
pub use device_name::DeviceName;
pub use dtype::{Dtype, Placement};
pub use error::ModelError;
pub use families::{Gemma, GemmaConfig, GemmaGeneration, Gpt2, Gpt2Config, LayerKind};
pub use files::{MAX_DESCRIPTION_BYTES, is_lfs_pointer, read_description};
pub use hooked::{Convention, HookedModel, ModelOutput, ModelShape};
pub use hooks::{
    Activation, ActivationCache, Edit, ForwardRequest, HookPoint, HookSet, Intervention, Positions,
};
pub use host::{host_values, is_host};
pub use hub::{
    DownloadProgress, HubAccess, HubAddress, HubCache, HubError, HubId, HubProxies, NoDownload,
    Token,
};
pub use layers::activation::ActivationFunction;
pub use layers::rope::{Rope, RopeAngles};
pub use lens::{direct_logit_attribution, logits_from_resid, next_token_losses};
pub use load_options::LoadOptions;
pub use memory::memory_limit_bytes;
pub use open::{LanguageModel, ModelAlone, open_model, open_model_alone};
pub use tokenizer::{CutEncoding, Encoding, Tokenizer, compatibility_form};
