//! Language models whose activations can be read at named places.

mod batch;
mod cache;
mod checkpoint;
pub mod demo;
mod error;
mod file;
mod gpt2;
mod hook;
mod hooked;
mod host;
mod layers;
pub mod load;
mod open;
pub mod save;
mod tokenizer;

pub use batch::{PaddingSide, TokenBatch};
pub use cache::{Activation, ActivationCache};
pub use error::ModelError;
pub use gpt2::{Gpt2, Gpt2Config};
pub use hook::{HookPoint, HookSet, edit_distance};
pub use hooked::{Convention, HookedModel, ModelOutput, ModelShape};
pub use host::{host_values, is_host};
pub use layers::{ActivationFunction, exp};
pub use open::{LanguageModel, open_model};
pub use tokenizer::{Encoding, Tokenizer};
