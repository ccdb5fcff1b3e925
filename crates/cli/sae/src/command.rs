//! Sparse autoencoders: train them on what a language model computes, and read those of others.

use std::ffi::OsString;

use attention_probes_cli::flags;
use attention_probes_cli::signals::GoOn;
use attention_probes_cli_sae_words::LIBRARIES;
use clap::{Parser, Subcommand};

use crate::{ablate, convert, demo, encode, eval, info, train, view};

/// Sparse autoencoders on what a language model computes.
#[derive(Parser)]
#[command(name = "sae", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Train(train::TrainArgs),
    Info(info::InfoArgs),
    Convert(convert::ConvertArgs),
    Encode(encode::EncodeArgs),
    Eval(eval::EvalArgs),
    View(view::ViewArgs),
    Ablate(ablate::AblateArgs),
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

/// Runs `sae` with the arguments of a command line, the first of which is its name, and returns
/// its exit code: 0, 2 for a wrong input, or 1 for a fault of its own.
///
/// Results go to stdout, everything else to stderr. It is meant for a process of its own, which it
/// tells where logs go, what a panic prints, and what SIGINT and SIGTERM do; it can be called again.
///
/// # Examples
///
/// ```
/// let args = ["sae", "--version"].map(Into::into);
/// assert_eq!(attention_probes_cli_sae::main(args), 0);
/// let args = ["sae", "no-such-command"].map(Into::into);
/// assert_eq!(attention_probes_cli_sae::main(args), 2);
/// ```
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let command = match flags::parse::<Args>(args) {
        Ok(Args { command }) => command,
        Err(code) => return code,
    };
    attention_probes_cli::run(command.go_on(), &LIBRARIES, || match command {
        Command::Demo(args) => demo::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Encode(args) => encode::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::View(args) => view::run(&args),
        Command::Ablate(args) => ablate::run(&args),
    })
}
