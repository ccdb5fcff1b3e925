//! Language models whose activations can be read at named places.

mod activation;
mod batch;
mod cache;
mod checkpoint;
pub mod demo;
mod error;
mod file;
mod fused;
mod gemma;
mod gpt2;
mod hook;
mod hooked;
mod host;
mod hub;
mod intervention;

mod lens;
pub mod load;
mod open;
mod pass;
mod request;
mod rms_norm;
mod rope;
pub mod save;
mod tokenizer;

pub use activation::{ActivationFunction, exp};
pub use batch::{PaddingSide, TokenBatch};
pub use cache::{Activation, ActivationCache};
pub use error::ModelError;
pub use gemma::{Gemma, GemmaConfig, GemmaGeneration, LayerKind};
pub use gpt2::{Gpt2, Gpt2Config};
pub use hook::{HookPoint, HookSet, edit_distance};
pub use hooked::{Convention, HookedModel, ModelOutput, ModelShape};
pub use host::{host_values, is_host};
pub use hub::{HubCache, HubId};
pub use intervention::{Edit, Intervention, Positions};
pub use lens::{direct_logit_attribution, logits_from_resid, next_token_losses};
pub use open::{LanguageModel, open_model};
pub use request::ForwardRequest;
pub use rope::Rope;
pub use tokenizer::{Encoding, Tokenizer};
