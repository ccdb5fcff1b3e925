//! Flags about a run that is there already.

use attention_probes_activations::EarlierRun;
use clap::Args;

/// What becomes of a run that is there already.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct EarlierArgs {
    /// Go on with a run that was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace a run that is there already; other files stay.
    #[arg(long)]
    pub overwrite: bool,
}

impl EarlierArgs {
    /// What the flags say.
    pub fn earlier(self) -> EarlierRun {
        match self {
            Self { resume: true, .. } => EarlierRun::Resume,
            Self { overwrite: true, .. } => EarlierRun::Overwrite,
            _ => EarlierRun::Refuse,
        }
    }
}
