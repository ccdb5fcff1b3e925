//! What an extraction has written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attention_probes_models::Convention;
use serde::Serialize;

/// What an extraction has written, or would write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExtractReport {
    /// File or folder that was written.
    pub output: PathBuf,
    /// Name of the model.
    pub model: String,
    /// Hash of its weights.
    pub revision: String,
    /// Which numbers the activations are.
    pub convention: Convention,
    /// Shape of every tensor in the file; of a folder, axes of a token, or heads of a pair.
    pub tensors: BTreeMap<String, Vec<usize>>,
    /// What was written.
    #[serde(flatten)]
    pub written: ExtractWritten,
    /// Whether nothing was run.
    pub dry_run: bool,
}

/// What was written, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ExtractWritten {
    /// One file.
    File {
        /// Bytes of all tensors.
        size_bytes: u64,
        /// Texts, by row, whose activations hold NaN or infinity.
        non_finite_texts: Vec<usize>,
    },
    /// A shard of a folder.
    Shard(ShardReport),
}

/// What a shard holds after a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// Which shard, `I/N`.
    pub shard: String,
    /// First row, and the row after the last one.
    pub rows: [usize; 2],
    /// Part files that this run wrote.
    pub n_written: usize,
    /// Part files that were whole already.
    pub n_found: usize,
    /// Tokens in all part files.
    pub n_tokens: usize,
    /// Bytes of all part files.
    pub size_bytes: u64,
    /// Rows with NaN or infinity.
    pub non_finite_texts: Vec<usize>,
}
