//! One file for each family of models: its sizes, its weights, its forward pass.

mod gemma;
mod gemma_config;
mod gpt2;

pub use self::gemma::Gemma;
pub use self::gemma_config::{GemmaConfig, GemmaGeneration, LayerKind};
pub use self::gpt2::{Gpt2, Gpt2Config};
pub(crate) use self::{gemma::GemmaBlock, gpt2::Gpt2Block};
