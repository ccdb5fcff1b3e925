//! Where activations are kept.

mod extract;

pub use extract::{
    ExtractConfig, ExtractData, ExtractError, ExtractInput, ExtractReport, ExtractWritten,
    FolderConfig, IdsFault, ShardReport, StoreFormat, TokenRows, extract,
};
