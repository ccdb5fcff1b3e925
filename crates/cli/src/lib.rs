//! The commands `probe`, `sae`, and `fra` as functions of their arguments: [`probe::main`],
//! [`sae::main`], and [`fra::main`], which the binaries of these names call.
//!
//! Each subcommand parses, checks everything, calls one library function, and prints; results go to
//! stdout, progress and logs to stderr.

pub mod allocator;
pub mod device;
pub mod exit;
mod flag_words;
pub mod flags;
pub mod fra;
pub mod hub;
mod output;
pub mod probe;
pub mod progress;
pub mod sae;
mod sae_progress;
mod sae_words;
pub mod signals;
mod stderr;
pub mod stdout;
pub mod table_args;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::signals::GoOn;
use crate::stderr::Stderr;

/// What every command does first: memory that is freed stays with the process, messages go to
/// stderr, as many as `RUST_LOG` asks for, and a signal ends the command with a line that says how
/// to go on. Where the process logs already, messages go where it sends them.
fn start(go_on: GoOn) {
    allocator::keep_freed_memory();
    exit::report_panics();
    signals::handle(go_on);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_writer(Stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_target(false)
        .without_time()
        .try_init();
}
