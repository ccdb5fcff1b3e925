//! The runs that a program can make of what comes with it.

use std::path::{Path, PathBuf};

use attention_probes_errors::parse_toml;

use super::config::SaeRunConfig;
use crate::SaeError;

/// A run of attention-output autoencoders of the embedded model, for demos without a network.
///
/// It reads `<output>/sae-demo/passages.jsonl`, which holds
/// [`PASSAGES`](attention_probes_activations::demo::PASSAGES) once the caller has written it.
///
/// # Errors
///
/// [`SaeError::Toml`] never: the run comes with this crate.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use attention_probes::sae::demo_sae_run;
///
/// let config = demo_sae_run(Path::new("results"))?;
/// assert_eq!((config.run.as_str(), config.saes.len()), ("sae-demo", 2));
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
pub fn demo_sae_run(output: &Path) -> Result<SaeRunConfig, SaeError> {
    let config = read(include_str!("../../demo/sae_demo.toml"), output)?;
    Ok(placed(config))
}

/// A run of one autoencoder on what the queries and keys of the first layer of an embedded model
/// read, for demos of feature-resolved attention without a network.
///
/// It reads `<output>/fra-<model>/passages.jsonl`, which the caller writes.
///
/// # Errors
///
/// [`SaeError::Toml`] never: the run comes with this crate.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use attention_probes::sae::demo_fra_run;
///
/// let config = demo_fra_run(Path::new("results"), "demo-gemma")?;
/// assert_eq!(config.run, "fra-demo-gemma");
/// assert_eq!(config.saes[0].hook, "blocks.0.ln1.hook_normalized");
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
pub fn demo_fra_run(output: &Path, model: &str) -> Result<SaeRunConfig, SaeError> {
    let mut config = read(include_str!("../../demo/fra_demo.toml"), output)?;
    model.clone_into(&mut config.model.name);
    config.run = format!("fra-{model}");
    Ok(placed(config))
}

fn read(text: &str, output: &Path) -> Result<SaeRunConfig, SaeError> {
    let config: SaeRunConfig = parse_toml(text).map_err(|source| SaeError::Toml {
        path: PathBuf::from("the demo's configuration"),
        source: Box::new(source),
    })?;
    Ok(SaeRunConfig { output: output.to_owned(), ..config })
}

/// The texts in the folder of the run.
fn placed(mut config: SaeRunConfig) -> SaeRunConfig {
    config.data.path = config.output.join(&config.run).join(&config.data.path);
    config
}
