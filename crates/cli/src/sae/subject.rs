//! An autoencoder with the model and the texts that it is looked at with.

use std::path::{Path, PathBuf};
use std::slice;

use anyhow::Result;
use attention_probes_models::{Dtype, HookPoint, LanguageModel, Placement, open_model};
use attention_probes_sae::{CONTEXT_LAYERS, Contexts, Sae, SaeError, read_sae};
use burn::tensor::Device;
use clap::Args;

use crate::data_args::TableArgs;
use crate::device;
use crate::exit::InputError;
use crate::hub::hub_access;
use crate::sae::kept::Kept;
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
        Self::of_files(args, slice::from_ref(&args.data))
    }

    /// As [`Subject::open`], with the texts of some files in place of that of the flags.
    pub(super) fn of_files(args: &SubjectArgs, files: &[PathBuf]) -> Result<Self> {
        let place = ModelPlace {
            model: args.model.as_deref(),
            hook: args.hook.as_deref(),
            device: &args.device,
            dtype: Dtype::Auto,
        };
        let SaeInModel { sae, model, device, hook, context_size } =
            SaeInModel::open(&args.sae, place)?;
        let columns = args.table.columns(&args.text)?;
        let size = (context_size, sae.config.metadata.prepend_bos().unwrap_or(true));
        let contexts = texts::contexts_of_files(files, &columns, size, &model)?;
        Ok(Self { sae, model, device, contexts, hook })
    }
}

/// An autoencoder with the model whose activations it reads.
pub(super) struct SaeInModel {
    pub(super) sae: Sae,
    pub(super) model: LanguageModel,
    pub(super) device: Device,
    pub(super) hook: HookPoint,
    /// Tokens of a context: those that the autoencoder was trained on, where its file says so.
    pub(super) context_size: usize,
}

/// Flags about the model.
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

impl SaeInModel {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or the autoencoder reads another hook, or what no hook of a model
    /// gives.
    pub(super) fn open(path: &Path, place: ModelPlace<'_>) -> Result<Self> {
        let device = device::parse(place.device)?;
        let sae = read_sae(path)?;
        let metadata = &sae.config.metadata;
        if metadata.get(CONTEXT_LAYERS).is_some() {
            let error = format!(
                "`{}` was trained with `context_encoder`: it reads what a token attends to beside \
                 the activation, and only `sae ablate` gives it that",
                path.display()
            );
            return Err(InputError(error).into());
        }
        let kept = Kept { path, sae: &sae };
        kept.check_site()?;
        let missing =
            |what: &str| InputError(format!("the autoencoder names no {what}, give `--{what}`"));
        let name = place.model.or(metadata.model_name()).ok_or_else(|| missing("model"))?;
        // A name that no model here has gives way to the flag.
        let known = metadata.hook_name();
        let known = known.filter(|name| place.hook.is_none() || name.parse::<HookPoint>().is_ok());
        let hook = match (known, place.hook) {
            (Some(known), Some(asked)) if known != asked => {
                let error = format!("the autoencoder reads `{known}`, not `{asked}`");
                return Err(InputError(error).into());
            }
            (known, asked) => asked.or(known).ok_or_else(|| missing("hook"))?,
        };
        let hook: HookPoint = hook.parse()?;
        let placement = Placement { device: device.clone(), dtype: place.dtype };
        let model = open_model(name, hub_access().as_ref(), placement)?;
        let context_size = kept.context_size(&*model.model)?;
        let model = kept.follow_processing(model, hook);
        Ok(Self { sae, model, device, hook, context_size })
    }
}

/// Refuses an autoencoder of other rows than those of a hook, which have this width.
pub(super) fn check_width(sae: &Sae, hook: HookPoint, width: usize) -> Result<(), SaeError> {
    if sae.config.d_in == width {
        return Ok(());
    }
    Err(SaeError::Site {
        reads: format!("rows of {}", sae.config.d_in),
        asked: format!("`{hook}` of this model, whose rows have {width}"),
    })
}
