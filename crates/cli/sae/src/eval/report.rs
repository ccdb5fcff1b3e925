//! The result as a table, and as an object in the layout of `SAEBench`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_cli::stdout::print;
use attention_probes_pages_sae::text::sae_evaluation_text;
use attention_probes_sae::eval::{EvalFindings, EvalRun};

use super::ResultArgs;

/// What stands above the table.
pub(super) struct Title<'a> {
    /// `SAEBench`'s name.
    pub(super) evaluation: &'static str,
    /// The autoencoder.
    pub(super) sae: &'a Path,
    /// Texts or activations, where there are any.
    pub(super) from: Option<String>,
}

/// Prints the findings, and writes them to `--output`.
pub(super) fn write(title: &Title<'_>, args: &ResultArgs, found: &EvalFindings) -> Result<()> {
    let mut text = format!("{:#}\n", found.pooled()?.to_json());
    if let Some(path) = &args.output {
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if !args.json {
        text = sae_evaluation_text(found)?;
        let mut above = format!("{} of {}", title.evaluation, title.sae.display());
        if let Some(from) = &title.from {
            let _ = write!(above, " on {from}");
        }
        text.insert_str(0, &format!("{above}: {}\n", found.on));
    }
    print(&text)
}

/// The run as `SAEBench` names one.
pub(super) fn eval_run(sae: &Path) -> EvalRun {
    EvalRun::now(sae.display().to_string())
}
