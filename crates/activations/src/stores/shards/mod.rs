//! Activations of a corpus in a folder of files, written by one job or by many.
//!
//! `docs/formats.md` describes the files. What is in the folder is said once, in `manifest.json`;
//! each job, a shard of the rows, writes part files and a record of those that are whole.

mod error;
mod manifest;
mod part;
mod reader;
mod record;
mod shard;
mod writer;

pub use error::ShardError;
pub use manifest::{
    ShardData, ShardHook, ShardManifest, ShardModel, ShardTokenizer, is_shard_folder,
};
pub use part::{PartTokens, PartWriter};
pub use reader::{ShardFolder, ShardPart};
pub use record::PartRecord;
pub use shard::Shard;
pub use writer::ShardWriter;
