//! Flags about the texts, or the activations, that probes are applied to.

use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{DatasetConfig, ExternalStore, LabelKind, TextSource};
use attention_probes_cli::exit::InputError;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_models::HubAccess;
use attention_probes_probes::{ProbeFile, ProbedActivations, ProbedConfig};
use clap::Args;

use crate::input::{MODEL_FLAGS, ModelArgs, with_flags};

/// Texts, or activations instead of them. A command that has these flags has
/// [`ModelArgs`] too.
#[derive(Args, Debug)]
pub struct DataArgs {
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long, conflicts_with = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of text: an `.npz` with `x` and perhaps `mask` and `input_ids`, what
    /// `probe extract` writes, or a MOSAIC folder.
    #[arg(long, conflicts_with_all = MODEL_FLAGS)]
    pub activations: Option<PathBuf>,
    /// Which hook of the activations, where the probe does not say which it reads; or
    /// `<model>_<layer>` of a MOSAIC folder.
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
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
}

impl DataArgs {
    /// Reads the activations that each probe reads, with labels if a kind is given; refuses those
    /// that are not what a probe was trained on.
    pub(crate) fn read_activations(
        &self,
        path: &Path,
        labels: Option<LabelKind>,
        (probes, model): (&[ProbeFile], &ModelArgs),
    ) -> Result<ProbedActivations> {
        let store = ExternalStore::open(path)?;
        let config = ProbedConfig {
            hook: self.hook.clone(),
            labels,
            pad_token_id: self.pad_token_id,
            allow_other_revision: model.allow_other_revision,
        };
        ProbedActivations::read(&store, probes, &config).map_err(with_flags)
    }
}

impl TextArgs {
    /// The column of the text, in files of the format that the flags say.
    pub(crate) fn columns(&self) -> Result<DatasetConfig, InputError> {
        self.table.columns(&self.text)
    }

    /// The texts of a file or data set.
    pub(crate) fn source<'a>(
        &'a self,
        path: &'a Path,
        hub: Option<&'a HubAccess>,
    ) -> TextSource<'a> {
        TextSource { path, split: &self.split, hub }
    }
}
