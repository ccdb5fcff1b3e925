//! Feature-resolved attention: what pairs of an autoencoder's features add to a head's scores.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(attention_probes_cli_fra::main(std::env::args_os()))
}
