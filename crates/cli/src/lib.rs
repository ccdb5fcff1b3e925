//! What the binaries share: commands, devices, progress bars, and exit codes.
//!
//! Each command parses, checks everything, calls one library function, and prints; results go to
//! stdout, progress and logs to stderr.

pub mod allocator;
mod classes;
pub mod data_args;
mod decisions;
pub mod device;
pub mod exit;
pub mod extract_args;
mod extract_file;
mod extract_folder;
mod extract_report;
mod extraction;
pub mod hub;
pub mod input;
pub mod probe;
pub mod progress;
mod readout;
mod source;
mod sweep_page;
pub mod table;
mod target_table;
mod tensor_file;
mod tensorboard;
mod text_line;
mod text_source;
mod token_rows;
pub mod tracking;
pub mod verdict;
pub mod word_args;
