//! Reading a checkpoint in Hugging Face layout: one file or folder for each family, which alone
//! knows its tensor names and the defaults of its `config.json`.

pub(crate) mod checkpoint;
mod config_file;
mod gemma;
mod gpt2;
mod harmless;
mod load;

#[cfg(feature = "hub")]
pub(crate) use self::load::check_config;
pub(crate) use self::load::hash_until;
pub use self::load::{
    checkpoint_hash, gemma_from_bytes, gpt2_from_bytes, load_gemma, load_gpt2, load_model,
    model_from_bytes,
};
