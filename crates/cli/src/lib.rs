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
pub mod fra;
pub mod hub;
pub mod input;
pub mod probe;
pub mod progress;
mod readout;
pub mod sae;
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
mod warnings;
pub mod word_args;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What every binary does first: memory that is freed stays with the process, and messages go to
/// stderr, as many as `RUST_LOG` asks for.
pub fn start() {
    allocator::keep_freed_memory();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_target(false)
        .without_time()
        .init();
}
