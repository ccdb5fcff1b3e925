//! Flags that name an autoencoder, a model, and texts.

use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::data_files;
use attention_probes_cli::device;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::table_args::TableArgs;
use attention_probes_cli_sae_words::{in_flags, say};
use attention_probes_models::Dtype;
use attention_probes_sae::eval::{SaeInModel, SaeModelOptions, open_sae_in_model};
use attention_probes_sae::{Contexts, read_contexts};
use clap::Args;

/// Flags that name an autoencoder, a model, and texts.
#[derive(Args, Debug)]
pub struct SubjectArgs {
    /// The autoencoder, in any known form.
    #[arg(long)]
    pub sae: PathBuf,
    /// Texts: a `.csv`, `.tsv`, or `.jsonl` file.
    #[arg(long)]
    pub data: PathBuf,
    /// Its column of texts.
    #[arg(long, default_value = "text")]
    pub text: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
    /// Model, instead of the one that the autoencoder names.
    #[arg(long)]
    pub model: Option<String>,
    /// Hook, where the autoencoder names none.
    #[arg(long)]
    pub hook: Option<String>,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// Flags about the model, as they are written.
#[derive(Clone, Copy)]
pub(super) struct ModelPlace<'a> {
    /// Model, instead of the one that the autoencoder names.
    pub(super) model: Option<&'a str>,
    /// Hook, where the autoencoder names none.
    pub(super) hook: Option<&'a str>,
    /// As the flag says it.
    pub(super) device: &'a str,
    /// Number format that it computes in.
    pub(super) dtype: Dtype,
}

/// Reads an autoencoder and the model that it reads.
///
/// # Errors
///
/// If one cannot be read, or they do not fit each other.
pub(super) fn open(path: &Path, place: ModelPlace<'_>) -> Result<SaeInModel> {
    let (device, hub) = (device::parse(place.device)?, hub_access());
    let options = SaeModelOptions {
        model: place.model,
        hook: place.hook,
        device: &device,
        dtype: place.dtype,
        hub: hub.as_ref(),
    };
    let subject = open_sae_in_model(path, &options).map_err(in_flags)?;
    say(&subject.notes);
    Ok(subject)
}

/// Reads everything that the flags name.
///
/// # Errors
///
/// If something cannot be read, or the autoencoder reads another hook.
pub(super) fn open_with_texts(args: &SubjectArgs) -> Result<(SaeInModel, Contexts)> {
    let place = ModelPlace {
        model: args.model.as_deref(),
        hook: args.hook.as_deref(),
        device: &args.device,
        dtype: Dtype::Auto,
    };
    let subject = open(&args.sae, place)?;
    let columns = args.table.columns(&args.text)?;
    let files = data_files(&args.data, "train", hub_access().as_ref())?;
    let contexts = read_contexts(&files, &columns, subject.context(), &subject.model)?;
    Ok((subject, contexts))
}
