//! Find out what a language model knows: train, evaluate, and apply probes.

use std::process::ExitCode;

use attention_probes_cli::extract_args::ExtractArgs;
use attention_probes_cli::{exit, probe, start};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Find out what a language model knows.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(probe::demo::DemoArgs),
    Sweep(probe::sweep::SweepArgs),
    Extract(ExtractArgs),
    Eval(probe::eval::EvalArgs),
    Score(probe::score::ScoreArgs),
    View(probe::view::ViewArgs),
    Compare(probe::compare::CompareArgs),
}

fn main() -> ExitCode {
    start();
    let result = match Args::parse().command {
        Command::Demo(args) => probe::demo::run(&args),
        Command::Sweep(args) => probe::sweep::run(&args),
        Command::Extract(args) => probe::extract::run(&args),
        Command::Eval(args) => probe::eval::run(&args),
        Command::Score(args) => probe::score::run(&args),
        Command::View(args) => probe::view::run(&args),
        Command::Compare(args) => probe::compare::run(&args),
    };
    exit::code(result)
}
