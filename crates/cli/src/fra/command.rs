//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::fra::{accumulate, demo, sample};
use crate::signals::GoOn;
use crate::{exit, flags, start};

/// Feature-resolved attention: what pairs of features add to the scores of a head.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Sample(sample::SampleArgs),
    Accumulate(accumulate::AccumulateArgs),
}

impl Command {
    /// How it is taken up again after it was stopped.
    fn go_on(&self) -> GoOn {
        match self {
            Self::Demo(_) | Self::Accumulate(_) => GoOn::Resume,
            Self::Sample(_) => GoOn::Again,
        }
    }
}

/// Runs `fra` with the arguments of a command line, the first of which is its name, and returns
/// its exit code: 0, 2 for a wrong input, or 1 for a fault of its own.
///
/// Results go to stdout, everything else to stderr. It is meant for a process of its own, which it
/// tells where logs go, what a panic prints, and what SIGINT and SIGTERM do; it can be called again.
///
/// # Examples
///
/// ```
/// let args = ["fra", "--version"].map(Into::into);
/// assert_eq!(attention_probes_cli::fra::main(args), 0);
/// let args = ["fra", "no-such-command"].map(Into::into);
/// assert_eq!(attention_probes_cli::fra::main(args), 2);
/// ```
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let command = match flags::parse::<Args>(args) {
        Ok(Args { command }) => command,
        Err(code) => return code,
    };
    start(command.go_on());
    exit::code(|| match command {
        Command::Demo(args) => demo::run(&args),
        Command::Sample(args) => sample::run(&args),
        Command::Accumulate(args) => accumulate::run(&args),
    })
}
