//! `sae info`: what an autoencoder is.

use std::path::PathBuf;

use anyhow::Result;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::stdout::print;
use attention_probes_report::aligned;
use attention_probes_sae::{SaeFormat, read_sae, sae_facts, sae_files};
use clap::Args;
use serde_json::Value;

/// Say what a sparse autoencoder is: its form, its shape, and where it reads.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// A folder with an autoencoder in any known form, or a `.pt` file beside its `_cfg.json`.
    pub sae: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
}

/// Runs `sae info`.
///
/// # Errors
///
/// If the autoencoder cannot be read.
pub fn run(args: &InfoArgs) -> Result<()> {
    let (format, path) = SaeFormat::of(sae_files(&args.sae, hub_access().as_ref())?)?;
    let sae = read_sae(path)?;
    let facts = sae_facts(format, &sae);
    if args.json {
        let object: Value = facts.into_iter().collect::<serde_json::Map<_, _>>().into();
        return print(&format!("{object:#}\n"));
    }
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows: Vec<[String; 2]> =
        facts.iter().map(|(name, value)| [name.clone(), shown(value)]).collect();
    let mut text = String::new();
    aligned(&mut text, &rows);
    print(&text)
}
