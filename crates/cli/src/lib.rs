//! What the commands `probe`, `sae`, and `fra` share; each is a package of its own, and its `main` a
//! function of arguments to an exit code.
//!
//! A subcommand parses, checks everything, calls one library function, and prints: results go to
//! stdout, progress and logs to stderr. [`parse`](flags::parse) reads its flags, and [`run`] runs it
//! to an exit code: 0, 2 for a wrong input or a file that cannot be used, which one line names, or 1
//! for a fault of its own.

pub mod allocator;
pub mod demo_args;
pub mod device;
pub mod earlier_args;
pub mod exit;
mod flag_words;
pub mod flags;
pub mod hub;
pub mod output;
pub mod progress;
pub mod signals;
mod stderr;
pub mod stdout;
pub mod table_args;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::exit::Libraries;
use crate::signals::GoOn;
use crate::stderr::Stderr;

/// Runs a command of a program and returns its exit code.
///
/// Before that, memory that is freed stays with the process, messages go to stderr, as many as
/// `RUST_LOG` asks for, and a signal ends the command with a line that says how to go on. Where the
/// process logs already, messages go where it sends them.
pub fn run(go_on: GoOn, libraries: &Libraries, run: impl FnOnce() -> anyhow::Result<()>) -> u8 {
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
    exit::code(libraries, run)
}
