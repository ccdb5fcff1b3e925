//! Flags about the texts, or the activations, that probes are applied to.

use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{ExternalActivations, ExternalConfig, LabelKind};
use attention_probes_models::HubAccess;
use clap::Args;

use crate::input::{MODEL_FLAGS, ProbeFile};
use crate::text_source::TextSource;

/// Texts, or activations instead of them. A command that has these flags has
/// [`ModelArgs`](crate::input::ModelArgs) too.
#[derive(Args, Debug)]
pub struct DataArgs {
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long, conflicts_with = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of text: an `.npz` with `x`, `mask`, and perhaps `input_ids`, a folder of
    /// shards, or a MOSAIC folder.
    #[arg(long, conflicts_with_all = MODEL_FLAGS)]
    pub activations: Option<PathBuf>,
    /// Which hook of a folder of shards, or `<model>_<layer>` of a MOSAIC folder; it may be left out
    /// where there is only one.
    #[arg(long, requires = "activations")]
    pub hook: Option<String>,
    /// Token whose run at either end of an example of a MOSAIC folder is padding.
    #[arg(long, requires = "activations")]
    pub pad_token_id: Option<u32>,
    /// Where texts stand in their file.
    #[command(flatten)]
    pub texts: TextArgs,
}

/// Where texts stand in a file or a data set of the Hub.
#[derive(Args, Debug)]
pub struct TextArgs {
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Column of the text.
    #[arg(long, default_value = "text")]
    pub text: String,
}

impl DataArgs {
    /// Reads activations that are wide enough for all probes, with labels if a kind is given.
    pub(crate) fn read_activations(
        &self,
        path: &Path,
        labels: Option<LabelKind>,
        probes: &[ProbeFile],
    ) -> Result<ExternalActivations> {
        let external = ExternalActivations::read_with(
            path,
            &ExternalConfig {
                hook: self.hook.clone(),
                with_labels: labels.is_some(),
                label_kind: labels.unwrap_or_default(),
                pad_token_id: self.pad_token_id,
            },
        )?;
        for probe in probes {
            probe.check_width(external.d_model, &format!("`{}`", path.display()))?;
        }
        Ok(external)
    }
}

impl TextArgs {
    /// The texts of a file or data set.
    pub(crate) fn source<'a>(
        &'a self,
        path: &'a Path,
        hub: Option<&'a HubAccess>,
    ) -> TextSource<'a> {
        TextSource { path, split: &self.split, hub }
    }
}
