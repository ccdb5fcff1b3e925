//! Attention of many texts in compressed rows, in memory or in a mapped file.

mod column;
mod layers;
mod store;

pub use layers::AttentionLayers;
pub use store::{AttentionStore, KeepAttention, PoolHeads};
