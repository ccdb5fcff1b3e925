//! Flags of `sae train` and `sae ablate`.

use std::path::PathBuf;

use attention_probes_cli::earlier_args::EarlierArgs;
use clap::Args;

/// How the runs of a configuration are made.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Folder that holds the runs, instead of the configuration's.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`, instead of the configuration's.
    #[arg(long)]
    pub device: Option<String>,
    /// Tokens that each autoencoder sees, instead of the configuration's.
    #[arg(long)]
    pub tokens: Option<u64>,
    /// What becomes of a run that is there already.
    #[command(flatten)]
    pub earlier: EarlierArgs,
    /// Check everything and print the plan, but train nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// Puts flags in the place of a configuration's output, device, and tokens.
    pub(crate) fn put(&self, output: &mut PathBuf, device: &mut String, tokens: &mut u64) {
        if let Some(given) = &self.output {
            output.clone_from(given);
        }
        if let Some(given) = &self.device {
            device.clone_from(given);
        }
        *tokens = self.tokens.unwrap_or(*tokens);
    }
}
