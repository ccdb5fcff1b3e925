//! `sae info`: what an autoencoder is.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_sae::{Activation, Sae, SaeConfig, SaeFormat, read_sae};
use clap::Args;
use serde_json::{Value, json};

use crate::input::ignore_broken_pipe;
use crate::table::aligned;

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
    let (format, _) = SaeFormat::of(&args.sae)?;
    let sae = read_sae(&args.sae)?;
    let facts = facts(format, &sae);
    let mut stdout = std::io::stdout().lock();
    if args.json {
        let object: Value = facts.into_iter().collect::<serde_json::Map<_, _>>().into();
        return ignore_broken_pipe(writeln!(stdout, "{object:#}").map_err(Into::into));
    }
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows: Vec<[String; 2]> =
        facts.iter().map(|(name, value)| [name.clone(), shown(value)]).collect();
    let mut text = String::new();
    aligned(&mut text, &rows);
    ignore_broken_pipe(write!(stdout, "{text}").map_err(Into::into))
}

/// The type of the weights, of each array where they differ.
fn dtype(config: &SaeConfig) -> Value {
    if config.mixed_dtypes.is_empty() { json!(config.dtype) } else { json!(config.mixed_dtypes) }
}

fn facts(format: SaeFormat, sae: &Sae) -> Vec<(String, Value)> {
    let config = &sae.config;
    let norms = sae.decoder_norms();
    let mean = norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / norms.len() as f64;
    let mut facts = vec![
        ("format", json!(format.as_str())),
        ("architecture", json!(sae.activation.architecture().as_str())),
        ("d_in", json!(config.d_in)),
        ("d_sae", json!(config.d_sae)),
    ];
    match &sae.activation {
        Activation::TopK { k, rescale_acts_by_decoder_norm, .. } => {
            facts.push(("k", json!(k)));
            facts.push(("rescale_acts_by_decoder_norm", json!(rescale_acts_by_decoder_norm)));
        }
        Activation::JumpRelu { threshold, .. } => {
            let sum: f64 = threshold.iter().map(|value| f64::from(*value)).sum();
            facts.push(("mean_threshold", json!(sum / threshold.len() as f64)));
        }
        Activation::Standard { .. } | Activation::Gated { .. } => {}
    }
    facts.extend([
        ("dtype", dtype(config)),
        ("apply_b_dec_to_input", json!(config.apply_b_dec_to_input)),
        ("normalize_activations", json!(config.normalize_activations)),
        ("reshape_activations", json!(config.reshape_activations)),
        ("mean_decoder_norm", json!(mean)),
    ]);
    let known = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    let metadata = config.metadata.iter().map(|(name, value)| (name.clone(), value.clone()));
    known.chain(metadata).collect()
}
