//! Find out what a language model knows: train, evaluate, and apply probes.

use std::process::ExitCode;

use attention_probes_cli::extract_args::ExtractArgs;
use attention_probes_cli::signals::GoOn;
use attention_probes_cli::{exit, flags, probe, start};
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

impl Command {
    /// How it is taken up again after it was stopped.
    fn go_on(&self) -> GoOn {
        match self {
            Self::Demo(_) => GoOn::SameCommand,
            Self::Sweep(_) => GoOn::Resume,
            Self::Extract(args) => args.go_on(),
            _ => GoOn::Again,
        }
    }
}

fn main() -> ExitCode {
    let command = flags::parse::<Args>().command;
    start(command.go_on());
    exit::code(|| match command {
        Command::Demo(args) => probe::demo::run(&args),
        Command::Sweep(args) => probe::sweep::run(&args),
        Command::Extract(args) => probe::extract::run(&args),
        Command::Eval(args) => probe::eval::run(&args),
        Command::Score(args) => probe::score::run(&args),
        Command::View(args) => probe::view::run(&args),
        Command::Compare(args) => probe::compare::run(&args),
    })
}
