//! `sae convert`: an autoencoder of any form as a folder of `SAELens`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_sae::{SaeDtype, SaeFormat, read_sae, write_sae_lens};
use clap::{Args, ValueEnum};
use tracing::info;

use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::sae::kept::Kept;

/// Write a sparse autoencoder of any known form as a folder that `sae_lens` loads.
#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// A folder with an autoencoder in any known form, or a `.pt` file beside its `_cfg.json`.
    pub sae: PathBuf,
    /// The folder to write; it must not hold an autoencoder already, unless with `--overwrite`.
    #[arg(long)]
    pub output: PathBuf,
    /// Replace an autoencoder of the same form.
    #[arg(long)]
    pub overwrite: bool,
    /// Type of the weights in the file, instead of the one they were read in.
    #[arg(long, value_enum)]
    pub dtype: Option<FileDtype>,
}

/// Type of the weights in a file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileDtype {
    /// 32 bits.
    F32,
    /// The upper 16 bits of those.
    Bf16,
    /// IEEE half precision.
    F16,
}

/// Runs `sae convert`.
///
/// # Errors
///
/// If the autoencoder cannot be read, or the folder holds one.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let mut sae = read_sae(&args.sae)?;
    let earlier = SaeFormat::of(&args.output).ok().map(|(format, _)| format);
    if earlier.is_some_and(|earlier| !args.overwrite || earlier != SaeFormat::SaeLens) {
        let output = args.output.display();
        let error = format!(
            "`{output}` holds an autoencoder already; name another folder{}",
            if earlier == Some(SaeFormat::SaeLens) {
                ", or replace it with `--overwrite`"
            } else {
                ""
            }
        );
        return Err(InputError(error).into());
    }
    Kept { path: &args.sae, sae: &sae }.warn_of_scale();
    if args.dtype.is_none() && !sae.config.mixed_dtypes.is_empty() {
        info!("the arrays are of several types: all are written as float32, which holds each");
    }
    if let Some(dtype) = args.dtype {
        sae.config.dtype = match dtype {
            FileDtype::F32 => SaeDtype::Float32,
            FileDtype::Bf16 => SaeDtype::Bfloat16,
            FileDtype::F16 => SaeDtype::Float16,
        };
    }
    write_sae_lens(&sae, &args.output)?;
    let mut stdout = std::io::stdout().lock();
    let line = writeln!(stdout, "wrote {}", args.output.display());
    ignore_broken_pipe(line.map_err(Into::into))
}
