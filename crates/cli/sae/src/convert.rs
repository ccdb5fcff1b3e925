//! `sae convert`: an autoencoder of any form as a folder of `SAELens`.

use std::path::PathBuf;

use anyhow::Result;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::{in_flags, say};
use attention_probes_sae::{ConvertOptions, SaeDtype, convert_sae};
use clap::{Args, ValueEnum};

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
    let dtype = args.dtype.map(|dtype| match dtype {
        FileDtype::F32 => SaeDtype::Float32,
        FileDtype::Bf16 => SaeDtype::Bfloat16,
        FileDtype::F16 => SaeDtype::Float16,
    });
    let options = ConvertOptions { overwrite: args.overwrite, dtype };
    say(&convert_sae(&args.sae, &args.output, options).map_err(in_flags)?);
    print(&format!("wrote {}\n", args.output.display()))
}
