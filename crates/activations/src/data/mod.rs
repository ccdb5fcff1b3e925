//! Labelled text: readers, labels, splits, tasks, tokens.

mod checked_file;
mod class_names;
pub(crate) mod classes;
pub(crate) mod copies;
mod corpus;
mod dataset;
mod dataset_config;
mod delimited;
mod draw;
mod example;
mod haystack;
mod json_lines;
mod label_fault;
mod label_reader;
mod labels;
mod location;
mod pairs;
#[cfg(feature = "parquet")]
mod parquet_column;
#[cfg(feature = "parquet")]
mod parquet_pages;
#[cfg(feature = "parquet")]
mod parquet_strings;
#[cfg(feature = "parquet")]
mod parquet_table;
mod random;
mod read_targets;
mod row;
mod split;
mod split_error;
mod split_files;
mod table;
mod table_error;
mod table_format;
mod table_syntax;
mod tagged;
mod target;
mod target_label;
mod task;
mod text_source;
mod text_task;
mod tokens;
mod word;
mod words;

pub use class_names::{ClassDoubt, class_doubts, look_like_numbers};
pub use copies::{contradictions, rows_key, text_key};
pub use corpus::{Corpus, CorpusTokens};
pub use dataset::{Dataset, DatasetParts};
pub use dataset_config::DatasetConfig;
pub use example::Example;
pub use haystack::{
    HaystackConfig, HaystackError, HaystackFamily, HaystackFolder, is_datasets_folder,
};
pub use label_reader::{LabelField, LabelReader, TextLabel};
pub use labels::{LabelKind, LabelValues, Labels};
pub use location::{data_files, data_name, is_on_hub};
pub use pairs::PairConfig;
pub use row::TextRow;
pub use split::{Split, SplitConfig, stratified_split};
pub use split_error::{Side, SplitError};
pub use split_files::SplitFault;
pub use table::{LabelColumn, TextReader};
pub use table_error::TableError;
pub use table_format::{Quoting, TableFormat};
pub use tagged::TaggedConfig;
pub use target::Target;
pub use target_label::PlainLabels;
pub use task::{ExampleConfig, ExampleSet, Task, class_weights, examples};
pub use text_source::TextSource;
pub use text_task::{TaskConfig, TaskPlace, TaskText, TextTask, task_examples};
pub use tokens::{EncodeConfig, TokenizeConfig, TokenizedDataset, encode_texts, tokenize};
pub use word::Word;
