//! `sae view`: a page of what the features of an autoencoder do.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_cli::output;
use attention_probes_errors::Stop;
use attention_probes_pages_sae::{SaePageConfig, sae_page};
use attention_probes_report::SaePage;
use attention_probes_sae::PublishedSae;
use clap::Args;
use tracing::info;

use crate::subject::{SubjectArgs, open_with_texts};

/// Write a page of what the features of a sparse autoencoder do.
#[derive(Args, Debug)]
pub struct ViewArgs {
    /// What is looked at, and with what.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// The page to write.
    #[arg(long)]
    pub output: PathBuf,
    /// Most contexts that are read.
    #[arg(long, default_value_t = 1000)]
    pub max_contexts: usize,
    /// Most features that are shown, those with the strongest texts for how rare they are.
    #[arg(long, default_value_t = 200)]
    pub features: usize,
}

/// Runs `sae view`.
///
/// # Errors
///
/// If the autoencoder, the model, or the texts are at fault, or do not fit each other.
pub fn run(args: &ViewArgs) -> Result<()> {
    output::check_page(&args.output, [])?;
    let (opened, contexts) = open_with_texts(&args.subject)?;
    let subject = PublishedSae { path: &args.subject.sae, sae: &opened.sae };
    let config = SaePageConfig {
        max_contexts: args.max_contexts,
        n_features: args.features,
        stop: Stop::never(),
    };
    write_page(&sae_page(&opened.site(), subject, &contexts, &config)?, &args.output)
}

/// Writes the page of an autoencoder.
pub(super) fn write_page(page: &SaePage, output: &Path) -> Result<()> {
    let html = page.to_html()?;
    write_atomically(output, |file| file.write_all(html.as_bytes()))?;
    let size = html.len() as f64 / f64::from(1 << 20);
    info!("wrote `{}` ({size:.2} MiB): {} features", output.display(), page.features.len());
    Ok(())
}
