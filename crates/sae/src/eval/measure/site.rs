//! Where autoencoders read, and an autoencoder with the model that it reads.

use std::path::Path;

use attention_probes_models::{Dtype, HookPoint, HubAccess, LanguageModel, Placement, open_model};
use burn::tensor::Device;

use crate::formats::{PublishedSae, SaeNote, read_sae_from};
use crate::guided::CONTEXT_LAYERS;
use crate::train::ContextConfig;
use crate::{Sae, SaeError, SiteError};

/// Where autoencoders read: a model, one of its hooks, and how texts are given to it.
#[derive(Clone, Copy)]
pub struct SaeSite<'a> {
    /// The model.
    pub model: &'a LanguageModel,
    /// Where it runs.
    pub device: &'a Device,
    /// The hook whose activations are encoded.
    pub hook: HookPoint,
    /// Most tokens of a text, with that for the beginning.
    pub context_size: usize,
    /// Whether texts begin with the token for it, where the model has one.
    pub prepend_bos: bool,
}

impl SaeSite<'_> {
    /// The token that every text begins with, if it begins with one.
    pub(crate) fn bos(&self) -> Option<u32> {
        self.model.tokenizer.beginning().filter(|_| self.prepend_bos)
    }

    /// Refuses an autoencoder of other rows than those of the hook, which have this width.
    pub(crate) fn check_width(&self, sae: &Sae, width: usize) -> Result<(), SaeError> {
        if sae.config.d_in == width {
            return Ok(());
        }
        Err(SaeError::Site {
            reads: format!("rows of {}", sae.config.d_in),
            asked: format!("`{}` of this model, whose rows have {width}", self.hook),
        })
    }
}

/// What an autoencoder's file does not say, or is not to decide.
#[derive(Clone, Copy, Debug)]
pub struct SaeModelOptions<'a> {
    /// Model, instead of the one that the autoencoder names.
    pub model: Option<&'a str>,
    /// Hook, where the autoencoder names none.
    pub hook: Option<&'a str>,
    /// Where the model runs.
    pub device: &'a Device,
    /// Number format that it computes in. Default `auto`.
    pub dtype: Dtype,
    /// Where models of the Hub are looked for.
    pub hub: Option<&'a HubAccess>,
}

impl<'a> SaeModelOptions<'a> {
    /// Everything as the autoencoder's file says it.
    pub fn new(device: &'a Device) -> Self {
        Self { model: None, hook: None, device, dtype: Dtype::Auto, hub: None }
    }
}

/// An autoencoder with the model whose activations it reads.
pub struct SaeInModel {
    /// The autoencoder.
    pub sae: Sae,
    /// The model, whose activations are as the autoencoder was trained on.
    pub model: LanguageModel,
    /// Where it runs.
    pub device: Device,
    /// The hook that the autoencoder reads.
    pub hook: HookPoint,
    /// Tokens of a context: those that the autoencoder was trained on, where its file says so.
    pub context_size: usize,
    /// What a person should know.
    pub notes: Vec<SaeNote>,
}

impl SaeInModel {
    /// Where it reads.
    pub fn site(&self) -> SaeSite<'_> {
        SaeSite {
            model: &self.model,
            device: &self.device,
            hook: self.hook,
            context_size: self.context_size,
            prepend_bos: self.context().prepend_bos,
        }
    }

    /// How its texts become contexts.
    pub fn context(&self) -> ContextConfig {
        let prepend_bos = self.sae.config.metadata.prepend_bos().unwrap_or(true);
        ContextConfig { context_size: self.context_size, prepend_bos }
    }
}

/// Reads an autoencoder, of this machine or of the Hub, and opens the model that it names.
///
/// # Errors
///
/// - [`SiteError`] if its file names no model or hook, another hook than the caller, or activations
///   that no hook of a model gives.
/// - the errors of [`read_sae_from`], and [`SaeError::Model`] if the model cannot be opened.
///
/// # Memory
///
/// The weights of both.
///
/// # Examples
///
/// ```
/// use attention_probes::sae::eval::{SaeModelOptions, open_sae_in_model};
/// use attention_probes::sae::{Sae, SaeActivation, SaeConfig, write_sae_lens};
/// use burn::tensor::Device;
///
/// # let folder = tempfile::tempdir()?;
/// let mut sae = Sae { config: SaeConfig::new(160, 1),
///     activation: SaeActivation::Standard { b_enc: vec![0.0] },
///     encoder: vec![0.1; 160], decoder: vec![0.1; 160], b_dec: vec![0.0; 160] };
/// sae.config.metadata.set("hook_name", "blocks.1.hook_resid_post");
/// write_sae_lens(&sae, folder.path())?;
/// let device = Device::default();
/// let options = SaeModelOptions { model: Some("demo-gpt2"), ..SaeModelOptions::new(&device) };
/// let subject = open_sae_in_model(folder.path(), &options)?;
/// assert_eq!((subject.site().hook.layer(), subject.context_size), (Some(1), 128));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_sae_in_model(
    path: &Path,
    options: &SaeModelOptions<'_>,
) -> Result<SaeInModel, SaeError> {
    let sae = read_sae_from(path, options.hub)?;
    let metadata = &sae.config.metadata;
    if metadata.get(CONTEXT_LAYERS).is_some() {
        return Err(SiteError::ReadsContext { path: path.to_owned() }.into());
    }
    let published = PublishedSae { path, sae: &sae };
    let mut notes = published.check_site()?;
    let missing = |what| SiteError::Unnamed { what, setting: what };
    let name = options.model.or(metadata.model_name()).ok_or_else(|| missing("model"))?;
    // A name that no model here has gives way to that of the caller.
    let known = metadata.hook_name();
    let known = known.filter(|name| options.hook.is_none() || name.parse::<HookPoint>().is_ok());
    let hook = match (known, options.hook) {
        (Some(known), Some(asked)) if known != asked => {
            let (reads, asked) = (known.to_owned(), asked.to_owned());
            return Err(SiteError::OtherHook { reads, asked }.into());
        }
        (known, asked) => asked.or(known).ok_or_else(|| missing("hook"))?,
    };
    let hook: HookPoint = hook.parse()?;
    let placement = Placement { device: options.device.clone(), dtype: options.dtype };
    let model = open_model(name, options.hub, placement)?;
    let (context_size, note) = published.context_size(&*model.model)?;
    notes.extend(note);
    let (model, note) = published.follow_processing(model, hook);
    notes.extend(note);
    Ok(SaeInModel { sae, model, device: options.device.clone(), hook, context_size, notes })
}
