//! What is extracted, and where it goes.

use std::path::{Path, PathBuf};

use attention_probes_models::{Convention, HookSet, HookedModel};
use burn::tensor::Device;

use super::data::ExtractData;
use crate::{Shard, ShardModel, StoreDtype, TOKENS_PER_FORWARD};

/// Rows of a part file: some hundred megabytes of a small model's layer.
const ROWS_PER_PART: usize = 1024;

/// A model, and what it is run on.
#[derive(Clone, Copy)]
pub struct ExtractInput<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// What the files say of it.
    pub identity: &'a ShardModel,
    /// Device of the model.
    pub device: &'a Device,
    /// Texts or token ids.
    pub data: &'a ExtractData,
    /// File that they come from; its name goes into the files, and into messages.
    pub path: &'a Path,
}

/// What is extracted, and where it goes.
#[derive(Clone, Debug)]
pub struct ExtractConfig {
    /// The hooks.
    pub hooks: HookSet,
    /// Where to write: `.safetensors`, `.npz`, or a folder, whose name has no ending.
    pub output: PathBuf,
    /// Which numbers. Default [`Convention::Raw`].
    pub convention: Convention,
    /// Type of the activations in the file; an npz has no bf16. Default [`StoreDtype::F32`].
    pub dtype: StoreDtype,
    /// Most tokens of one forward pass, padding included. Default [`TOKENS_PER_FORWARD`].
    pub batch_tokens: usize,
    /// Whether activations with NaN or infinity are written too, instead of refused. Default no.
    pub allow_non_finite: bool,
    /// Whether everything is checked, but nothing runs. Default no.
    pub dry_run: bool,
    /// What is written into a folder; of a file it says nothing.
    pub folder: FolderConfig,
}

/// What is written into a folder of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderConfig {
    /// Which rows. Default all.
    pub shard: Shard,
    /// Most rows of a part file. Default 1024.
    pub rows_per_part: usize,
    /// Whether the activations of a folder that holds others are replaced. Default no.
    pub overwrite: bool,
}

impl Default for FolderConfig {
    fn default() -> Self {
        Self { shard: Shard::WHOLE, rows_per_part: ROWS_PER_PART, overwrite: false }
    }
}

impl ExtractConfig {
    /// Everything but the hooks and the output is the default.
    pub fn new(hooks: HookSet, output: impl Into<PathBuf>) -> Self {
        Self {
            hooks,
            output: output.into(),
            convention: Convention::Raw,
            dtype: StoreDtype::F32,
            batch_tokens: TOKENS_PER_FORWARD,
            allow_non_finite: false,
            dry_run: false,
            folder: FolderConfig::default(),
        }
    }
}
