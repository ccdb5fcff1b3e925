//! Labelled text to tokens to activations: in memory, recomputed, or on disk.
//!
//! Everything here comes from outside, so every reader checks before it allocates, and what is
//! wrong with a file is an [`ActivationError`] that names the file, the place, and the remedy.

mod atomic;
mod batch;
mod capture;
mod checked_file;
mod class_names;
mod copies;
mod corpus;
mod dataset;
mod delimited;
mod disk;
mod draw;
mod error;
mod external;
mod failing_once;
mod file_hash;
mod file_map;
mod folder_lock;
mod haystack;
mod json_lines;
mod location;
mod memory;
mod npy;
mod npy_dtype;
mod npy_error;
mod npy_header;
mod npz;
mod own_files;
mod packed;
mod pairs;
#[cfg(feature = "parquet")]
mod parquet_column;
#[cfg(feature = "parquet")]
mod parquet_pages;
#[cfg(feature = "parquet")]
mod parquet_strings;
#[cfg(feature = "parquet")]
mod parquet_table;
mod place;
mod random;
mod recomputed;
mod safetensors_file;
mod shards;
mod split;
mod split_files;
mod store;
mod stores;
mod stream;
mod table;
mod table_error;
mod table_format;
mod table_syntax;
mod tagged;
mod target;
mod target_label;
mod targets;
mod task;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod testing;
mod tokens;
mod wording;
mod words;

pub use atomic::{check_output, write_atomically};
pub use batch::length_buckets;
pub use capture::{
    Batching, CaptureHook, CaptureOptions, CaptureOrder, CaptureSummary, HookLayout, HookShape,
    ModelCapture, NonFinite, NonFinitePolicy, SequenceRows, TOKENS_PER_FORWARD, Watch,
    capture_rows, hook_shapes,
};
pub use class_names::{ClassDoubt, class_doubts, look_like_numbers};
pub use copies::{contradictions, rows_key, text_key};
pub use corpus::{Corpus, CorpusTokens};
pub use dataset::{Dataset, DatasetConfig};
pub use disk::DiskActivations;
pub use error::ActivationError;
pub use external::{
    ActivationOrigin, ExternalActivations, ExternalConfig, ExternalError, ExternalSite,
    ExternalStore, has_fractional_labels, is_array_file,
};
pub use file_hash::hash_file;
pub use folder_lock::FolderLock;
pub use haystack::{
    HaystackConfig, HaystackError, HaystackFamily, HaystackFolder, is_datasets_folder,
};
pub use location::{data_files, data_name, is_on_hub};
pub use memory::MemoryActivations;
pub use npy_error::NpyError;
pub use npz::{NpzArray, NpzData, finish_as_npz, read_npz, read_npz_arrays, write_npz};
pub use own_files::remove_own_files;
pub use packed::PackedActivations;
pub use pairs::PairConfig;
pub use place::{Place, PlaceActivations, PlaceSites};
pub use recomputed::RecomputedActivations;
pub use safetensors_file::{SafetensorsWriter, StoreDtype, TensorDtype, TensorSpec};
pub use shards::{
    PartRecord, PartTokens, PartWriter, Shard, ShardData, ShardError, ShardFolder, ShardHook,
    ShardManifest, ShardModel, ShardPart, ShardTokenizer, ShardWriter, is_shard_folder,
};
pub use split::{Side, Split, SplitConfig, SplitError, stratified_split};
pub use split_files::SplitFault;
pub use store::{ActivationSource, SiteRows, Storage, StorageConfig, open_activations};
pub use stores::{
    ExtractConfig, ExtractData, ExtractError, ExtractInput, ExtractReport, ExtractWritten,
    FolderConfig, IdsFault, ShardReport, StoreFormat, TokenRows, extract,
};
pub use stream::{Capture, Component, Site, StreamReport, stream_activations};
pub use table::{LabelColumn, TextReader, TextRow};
pub use table_error::TableError;
pub use table_format::{Quoting, TableFormat};
pub use tagged::{TaggedConfig, Word};
pub use target::Target;
pub use targets::{LabelKind, Targets};
pub use task::{Example, ExampleConfig, ExampleSet, Task, class_weights, examples};
pub use tokens::{EncodeConfig, TokenizeConfig, TokenizedDataset, encode_texts, tokenize};
