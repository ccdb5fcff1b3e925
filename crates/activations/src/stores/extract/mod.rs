//! Activations of texts or token ids, at any hooks, into one file or a folder of shards.

mod config;
mod data;
mod error;
mod file;
mod folder;
mod format;
mod manifest;
mod plan;
mod report;
mod run;
mod token_rows;

pub use config::{ExtractConfig, ExtractInput, FolderConfig};
pub use data::ExtractData;
pub use error::{ExtractError, IdsFault};
pub use format::StoreFormat;
pub use report::{ExtractReport, ExtractWritten, ShardReport};
pub use run::extract;
pub use token_rows::TokenRows;
