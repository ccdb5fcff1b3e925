//! `sae encode`: activations in, features out.

use std::path::PathBuf;

use anyhow::Result;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::output;
use attention_probes_cli::stdout::print;
use attention_probes_cli_sae_words::say;
use attention_probes_sae::{EncodeOptions, EncodedNpz, PublishedSae, encode_npz, read_sae_from};
use clap::Args;

/// Encode activations into features, as compressed rows.
#[derive(Args, Debug)]
pub struct EncodeArgs {
    /// The autoencoder, in any known form.
    #[arg(long)]
    pub sae: PathBuf,
    /// An npz with `x`, `[..., d_in]`, or `[..., n_heads, d_head]` of an autoencoder on `hook_z`.
    #[arg(long)]
    pub activations: PathBuf,
    /// The npz to write: `indptr`, `features`, `values`, and `shape`, and `reconstruction` with
    /// `--reconstruct`.
    #[arg(long)]
    pub output: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Also write what the features decode to.
    #[arg(long)]
    pub reconstruct: bool,
}

/// Runs `sae encode`.
///
/// # Errors
///
/// If a file cannot be read or written, the width does not fit, or a number is not finite.
pub fn run(args: &EncodeArgs) -> Result<()> {
    output::check_file_beside(&args.output, [&*args.activations])?;
    output::check_absent(&args.output, args.overwrite)?;
    let sae = read_sae_from(&args.sae, hub_access().as_ref())?;
    say(&PublishedSae { path: &args.sae, sae: &sae }.scale_note());
    let options = EncodeOptions { reconstruct: args.reconstruct };
    let EncodedNpz { n_rows, n_active } =
        encode_npz(&sae, &args.activations, &args.output, options)?;
    let l0 = n_active as f64 / n_rows.max(1) as f64;
    print(&format!("{n_rows} rows, {l0:.2} features active on average\n"))
}
