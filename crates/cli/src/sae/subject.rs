//! An autoencoder with the model and the texts that it is looked at with.

use std::path::PathBuf;

use anyhow::Result;
use attention_probes_models::{Dtype, HookPoint, LanguageModel, Placement, open_model};
use attention_probes_sae::{Contexts, Sae, read_sae};
use burn::tensor::Device;
use clap::Args;

use crate::device;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::sae::texts;

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

/// What the flags name.
pub(super) struct Subject {
    pub(super) sae: Sae,
    pub(super) model: LanguageModel,
    pub(super) device: Device,
    pub(super) contexts: Contexts,
    pub(super) hook: HookPoint,
}

impl Subject {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// If something cannot be read, or the autoencoder reads another hook.
    pub(super) fn open(args: &SubjectArgs) -> Result<Self> {
        let device = device::parse(&args.device)?;
        let sae = read_sae(&args.sae)?;
        let metadata = &sae.config.metadata;
        let missing =
            |what: &str| InputError(format!("the autoencoder names no {what}, give `--{what}`"));
        let known = metadata.model_name().map(str::to_owned);
        let name = args.model.clone().or(known).ok_or_else(|| missing("model"))?;
        let hook = match (metadata.hook_name(), args.hook.as_deref()) {
            (Some(known), Some(asked)) if known != asked => {
                let error = format!("the autoencoder reads `{known}`, not `{asked}`");
                return Err(InputError(error).into());
            }
            (known, asked) => asked.or(known).ok_or_else(|| missing("hook"))?,
        };
        let hook: HookPoint = hook.parse()?;
        let placement = Placement { device: device.clone(), dtype: Dtype::Auto };
        let model = open_model(&name, hub_access().as_ref(), placement)?;
        let context_size = metadata.context_size().unwrap_or(128).min(model.model.shape().n_ctx);
        let size = (context_size, metadata.prepend_bos().unwrap_or(true));
        let contexts = texts::contexts(&args.data, &args.text, size, &model)?;
        Ok(Self { sae, model, device, contexts, hook })
    }
}
