//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.

use std::process::ExitCode;

use attention_probes_cli::{exit, fra, start};
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

fn main() -> ExitCode {
    start();
    let result = match Args::parse().command {
        Command::Demo(args) => fra::demo::run(&args),
        Command::Sample(args) => fra::sample::run(&args),
        Command::Accumulate(args) => fra::accumulate::run(&args),
    };
    exit::code(result)
}
