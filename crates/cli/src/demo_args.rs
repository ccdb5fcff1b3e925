//! Flags of the demos of `sae` and `fra`.

use std::path::PathBuf;

use attention_probes_activations::EarlierRun;
use clap::Args;

/// How a demo is run.
#[derive(Args, Debug)]
pub struct DemoRunArgs {
    /// Folder that holds the runs.
    #[arg(long, default_value = "results")]
    pub output: PathBuf,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Go on with a demo that was stopped.
    #[arg(long)]
    pub resume: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

impl DemoRunArgs {
    /// What becomes of a demo that is there already.
    pub fn earlier(&self) -> EarlierRun {
        if self.resume { EarlierRun::Resume } else { EarlierRun::Refuse }
    }
}
