//! The data sets of Gurnee et al., *Finding Neurons in a Haystack* (2023): folders that the Python
//! library `datasets` saved, with the ids of tokens and labels of some of them.

#[cfg(feature = "arrow")]
mod arrow_stream;
#[cfg(feature = "arrow")]
mod cells;
mod config;
#[cfg(feature = "arrow")]
mod decode;
mod error;
mod folder;
mod read;
#[cfg(feature = "arrow")]
mod rows;
#[cfg(feature = "arrow")]
mod text;

pub use config::HaystackConfig;
pub use error::HaystackError;
pub use folder::{HaystackFamily, HaystackFolder, is_datasets_folder};
