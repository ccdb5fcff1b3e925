//! Find out what a language model knows: train, evaluate, and apply probes.

use std::io::IsTerminal;
use std::process::ExitCode;

use attention_probes_cli::extract_args::ExtractArgs;
use attention_probes_cli::{allocator, exit, probe};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

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
    allocator::keep_freed_memory();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_target(false)
        .without_time()
        .init();
    let result = match Args::parse().command {
        Command::Demo(args) => probe::demo::run(&args),
        Command::Sweep(args) => probe::sweep::run(&args),
        Command::Extract(args) => probe::extract::run(&args),
        Command::Eval(args) => probe::eval::run(&args),
        Command::Score(args) => probe::score::run(&args),
        Command::View(args) => probe::view::run(&args),
        Command::Compare(args) => probe::compare::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
