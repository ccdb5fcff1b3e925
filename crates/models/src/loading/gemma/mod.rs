//! Gemma: its `config.json`, and its tensors.

mod config;
mod rope;
mod tensors;

pub(super) use self::config::gemma_config;
pub(super) use self::tensors::gemma_from_tensors;
