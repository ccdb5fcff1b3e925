//! Find out what a language model knows: train, evaluate, and apply probes.

use std::ffi::OsString;

use attention_probes_cli::flags;
use attention_probes_cli::signals::GoOn;
use clap::{Parser, Subcommand};

use crate::extract_args::ExtractArgs;
use crate::libraries::LIBRARIES;
use crate::{compare, demo, eval, extract, score, sweep, view};

/// Find out what a language model knows.
#[derive(Parser)]
#[command(name = "probe", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Sweep(sweep::SweepArgs),
    Extract(ExtractArgs),
    Eval(eval::EvalArgs),
    Score(score::ScoreArgs),
    View(view::ViewArgs),
    Compare(compare::CompareArgs),
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

/// Runs `probe` with the arguments of a command line, the first of which is its name, and returns
/// its exit code: 0, 2 for a wrong input, or 1 for a fault of its own.
///
/// Results go to stdout, everything else to stderr. It is meant for a process of its own, which it
/// tells where logs go, what a panic prints, and what SIGINT and SIGTERM do; it can be called again.
///
/// # Examples
///
/// ```
/// let args = ["probe", "--version"].map(Into::into);
/// assert_eq!(attention_probes_cli_probe::main(args), 0);
/// let args = ["probe", "no-such-command"].map(Into::into);
/// assert_eq!(attention_probes_cli_probe::main(args), 2);
/// ```
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let command = match flags::parse::<Args>(args) {
        Ok(Args { command }) => command,
        Err(code) => return code,
    };
    attention_probes_cli::run(command.go_on(), &LIBRARIES, || match command {
        Command::Demo(args) => demo::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Extract(args) => extract::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Score(args) => score::run(&args),
        Command::View(args) => view::run(&args),
        Command::Compare(args) => compare::run(&args),
    })
}
