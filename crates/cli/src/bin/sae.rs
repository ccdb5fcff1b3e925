//! Sparse autoencoders: train them on what a language model computes, and read those of others.

use std::process::ExitCode;

use attention_probes_cli::signals::GoOn;
use attention_probes_cli::{exit, flags, sae, start};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sparse autoencoders on what a language model computes.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(sae::demo::DemoArgs),
    Train(sae::train::TrainArgs),
    Info(sae::info::InfoArgs),
    Convert(sae::convert::ConvertArgs),
    Encode(sae::encode::EncodeArgs),
    Eval(sae::eval::EvalArgs),
    View(sae::view::ViewArgs),
    Ablate(sae::ablate::AblateArgs),
}

impl Command {
    /// How it is taken up again after it was stopped.
    fn go_on(&self) -> GoOn {
        match self {
            Self::Demo(_) | Self::Train(_) | Self::Ablate(_) => GoOn::Resume,
            _ => GoOn::Again,
        }
    }
}

fn main() -> ExitCode {
    let command = flags::parse::<Args>().command;
    start(command.go_on());
    exit::code(|| match command {
        Command::Demo(args) => sae::demo::run(&args),
        Command::Train(args) => sae::train::run(&args),
        Command::Info(args) => sae::info::run(&args),
        Command::Convert(args) => sae::convert::run(&args),
        Command::Encode(args) => sae::encode::run(&args),
        Command::Eval(args) => sae::eval::run(&args),
        Command::View(args) => sae::view::run(&args),
        Command::Ablate(args) => sae::ablate::run(&args),
    })
}
