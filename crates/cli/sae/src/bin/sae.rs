//! Sparse autoencoders: train them on what a language model computes, and read those of others.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(attention_probes_cli_sae::main(std::env::args_os()))
}
