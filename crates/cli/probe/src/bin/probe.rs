//! Find out what a language model knows: train, evaluate, and apply probes.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(attention_probes_cli_probe::main(std::env::args_os()))
}
