//! Feature-resolved attention as pages and files.
//!
//! [`run_fra`] is a whole run over many texts in a folder; [`fra_sample_page`] draws one text, and
//! [`fra_corpus_pages`] the heads of a layer over many.

mod corpus_page;
mod demo;
mod error;
mod event;
mod feature;
mod files;
mod links;
mod package;
mod run;
mod sample_page;

pub use corpus_page::fra_corpus_pages;
pub use demo::{FraDemo, FraDemoConfig, run_fra_demo};
pub use error::FraRunError;
pub use event::FraRunEvent;
pub use feature::FraFeatures;
pub use files::{FraFiles, FraFilesConfig, FraFound, fra_files, fra_layer_files, write_fra_files};
pub use links::{FraLinks, file_stem};
pub use package::write_package;
pub use run::{FraRun, FraRunConfig, FraRunLayer, run_fra};
pub use sample_page::fra_sample_page;
