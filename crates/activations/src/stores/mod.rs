//! Where activations are kept: in memory, on disk, in shards, or in files that others wrote.

mod disk;
mod external;
mod extract;
mod memory;
mod packed;
mod place;
mod recomputed;
mod rows;
mod shards;
mod source;
mod store;

pub use disk::{DiskActivations, DiskCache};
pub use external::{
    ActivationOrigin, ExternalActivations, ExternalConfig, ExternalError, ExternalSite,
    ExternalStore, has_fractional_labels, is_array_file, stored_rows,
};
pub use extract::{
    ExtractConfig, ExtractData, ExtractError, ExtractInput, ExtractReport, ExtractWritten,
    FolderConfig, IdsFault, ShardReport, StoreFormat, TokenRows, extract,
};
pub use memory::MemoryActivations;
pub use packed::PackedActivations;
pub use place::{Place, PlaceActivations, PlaceSites};
pub use recomputed::RecomputedActivations;
pub use rows::{RowValues, RowsSource};
pub use shards::{
    PartRecord, PartTokens, PartWriter, Shard, ShardData, ShardError, ShardFolder, ShardHook,
    ShardManifest, ShardModel, ShardPart, ShardTokenizer, ShardWriter, is_shard_folder,
};
pub use source::{ActivationSource, SiteRows};
pub use store::{Storage, StorageChoice, StorageConfig, open_activations};
