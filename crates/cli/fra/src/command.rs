//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.

use std::ffi::OsString;

use attention_probes_cli::exit::Libraries;
use attention_probes_cli::flags;
use attention_probes_cli::signals::GoOn;
use attention_probes_cli_sae_words as sae_words;
use attention_probes_pages_sae::fra::FraRunError;
use clap::{Parser, Subcommand};

use crate::{accumulate, demo, sample};

/// The library of autoencoders, and runs of feature-resolved attention.
const LIBRARIES: Libraries = Libraries {
    kind_of: |cause| {
        sae_words::kind_of(cause).or_else(|| cause.downcast_ref().map(FraRunError::kind))
    },
    ..sae_words::LIBRARIES
};

/// Feature-resolved attention: what pairs of features add to the scores of a head.
#[derive(Parser)]
#[command(name = "fra", version)]
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
/// assert_eq!(attention_probes_cli_fra::main(args), 0);
/// let args = ["fra", "no-such-command"].map(Into::into);
/// assert_eq!(attention_probes_cli_fra::main(args), 2);
/// ```
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let command = match flags::parse::<Args>(args) {
        Ok(Args { command }) => command,
        Err(code) => return code,
    };
    attention_probes_cli::run(command.go_on(), &LIBRARIES, || match command {
        Command::Demo(args) => demo::run(&args),
        Command::Sample(args) => sample::run(&args),
        Command::Accumulate(args) => accumulate::run(&args),
    })
}
