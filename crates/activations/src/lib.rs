//! Labelled text to tokens to activations: in memory, recomputed, or on disk.
//!
//! Everything here comes from outside, so every reader checks before it allocates, and what is
//! wrong with a file is an [`ActivationError`] that names the file, the place, and the remedy.

mod capture;
mod data;
pub mod demo;
mod error;
mod error_kind;
mod failing_once;
mod files;
mod npy;
mod npy_dtype;
mod npy_error;
mod npy_header;
mod npz;
mod npz_array;
mod npz_write;
mod stores;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod testing;
mod wording;

pub use capture::{
    Batching, Capture, CaptureHook, CaptureOptions, CaptureOrder, CaptureSummary, Component,
    HookLayout, HookShape, ModelCapture, NonFinite, NonFinitePolicy, SequenceRows, Site,
    StreamReport, TOKENS_PER_FORWARD, Watch, capture_rows, hook_shapes, length_buckets,
    stream_activations,
};
pub use data::{
    ClassDoubt, Corpus, CorpusTokens, Dataset, DatasetConfig, DatasetParts, EncodeConfig, Example,
    ExampleConfig, ExampleSet, HaystackConfig, HaystackError, HaystackFamily, HaystackFolder,
    LabelColumn, LabelField, LabelKind, LabelReader, LabelValues, Labels, PairConfig, PlainLabels,
    Quoting, Side, Split, SplitConfig, SplitError, SplitFault, TableError, TableFormat,
    TaggedConfig, Target, Task, TaskConfig, TaskPlace, TaskText, TextLabel, TextReader, TextRow,
    TextSource, TextTask, TokenizeConfig, TokenizedDataset, Word, class_doubts, class_weights,
    contradictions, data_files, data_name, encode_texts, examples, is_datasets_folder, is_on_hub,
    look_like_numbers, rows_key, stratified_split, task_examples, text_key, tokenize,
};
pub use error::ActivationError;
pub use files::{
    EarlierRun, FolderLock, SafetensorsWriter, StoreDtype, TensorDtype, TensorSpec, check_output,
    hash_file, remove_own_files, write_atomically,
};
pub use npy_error::NpyError;
pub use npz::{read_npz, read_npz_arrays};
pub use npz_array::{NpzArray, NpzData};
pub use npz_write::{finish_as_npz, write_npz};
pub use stores::{
    ActivationOrigin, ActivationSource, DiskActivations, DiskCache, ExternalActivations,
    ExternalConfig, ExternalError, ExternalSite, ExternalStore, ExtractConfig, ExtractData,
    ExtractError, ExtractInput, ExtractReport, ExtractWritten, FolderConfig, IdsFault,
    MemoryActivations, PackedActivations, PartRecord, PartTokens, PartWriter, Place,
    PlaceActivations, PlaceSites, RecomputedActivations, RowValues, RowsSource, Shard, ShardData,
    ShardError, ShardFolder, ShardHook, ShardManifest, ShardModel, ShardPart, ShardReport,
    ShardTokenizer, ShardWriter, SiteRows, Storage, StorageChoice, StorageConfig, StoreFormat,
    TokenRows, extract, has_fractional_labels, is_array_file, is_shard_folder, open_activations,
    stored_rows,
};
