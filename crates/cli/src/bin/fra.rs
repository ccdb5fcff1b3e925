//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.

use std::process::ExitCode;

use attention_probes_cli::signals::GoOn;
use attention_probes_cli::{exit, flags, fra, start};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Feature-resolved attention: what pairs of features add to the scores of a head.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(fra::demo::DemoArgs),
    Sample(fra::sample::SampleArgs),
    Accumulate(fra::accumulate::AccumulateArgs),
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

fn main() -> ExitCode {
    let command = flags::parse::<Args>().command;
    start(command.go_on());
    exit::code(|| match command {
        Command::Demo(args) => fra::demo::run(&args),
        Command::Sample(args) => fra::sample::run(&args),
        Command::Accumulate(args) => fra::accumulate::run(&args),
    })
}
