//! Feature-resolved attention as pages and files.

mod corpus_page;
mod feature;
mod files;
mod links;
mod package;
mod sample_page;

pub use corpus_page::fra_corpus_pages;
pub use feature::FraFeatures;
pub use files::{FraFiles, fra_layer_files, write_fra_files};
pub use links::{FraLinks, file_stem};
pub use package::write_package;
pub use sample_page::fra_sample_page;
