//! `sae convert`: an autoencoder of any form as a folder of `SAELens`.

use std::path::PathBuf;

use anyhow::Result;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::{in_flags, say};
use attention_probes_sae::{ConvertOptions, SaeDtype, convert_sae, sae_files};
use clap::Args;

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
    /// Type of the weights in the file, `f32`, `bf16`, or `f16`, instead of the one they were read in.
    #[arg(long)]
    pub dtype: Option<SaeDtype>,
}

/// Runs `sae convert`.
///
/// # Errors
///
/// If the autoencoder cannot be read, or the folder holds one.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let options = ConvertOptions { overwrite: args.overwrite, dtype: args.dtype };
    let sae = sae_files(&args.sae, hub_access().as_ref())?;
    say(&convert_sae(&sae, &args.output, options).map_err(in_flags)?);
    print(&format!("wrote {}\n", args.output.display()))
}
