//! Autoencoders with the model whose attention reads them, from their files.

use std::path::PathBuf;

use attention_probes_models::{Dtype, HubAccess, LanguageModel, Placement, open_model};
use burn::tensor::Device;

use super::layer::FraLayer;
use super::reading::{FraReader, FraReaderConfig};
use super::site::hook_of;
use crate::formats::{PublishedSae, SaeNote, SiteError, read_sae_from};
use crate::{Sae, SaeError};

/// What the files of autoencoders do not say, or are not to decide.
#[derive(Clone, Copy, Debug)]
pub struct FraOpenOptions<'a> {
    /// Model, instead of the one that the autoencoders name.
    pub model: Option<&'a str>,
    /// Most tokens of a text, at most the model's context. By default as many as in the training of
    /// every autoencoder that says so, or 128.
    pub max_tokens: Option<usize>,
    /// Whether the numbers of the first FRA code are made, see [`FraLayer::published`]. Default no.
    pub published: bool,
    /// Where the model runs.
    pub device: &'a Device,
    /// Where models of the Hub are looked for.
    pub hub: Option<&'a HubAccess>,
}

impl<'a> FraOpenOptions<'a> {
    /// Everything as the autoencoders' files say it.
    pub fn new(device: &'a Device) -> Self {
        Self { model: None, max_tokens: None, published: false, device, hub: None }
    }
}

/// Autoencoders with the model whose attention reads them.
pub struct FraSubject {
    /// The autoencoders.
    pub saes: Vec<Sae>,
    /// The model, whose activations are as the autoencoders were trained on.
    pub model: LanguageModel,
    /// Where it runs.
    pub device: Device,
    /// How texts are read.
    pub texts: FraReaderConfig,
    /// What a person should know.
    pub notes: Vec<SaeNote>,
}

/// Reads autoencoders, in any known form, and opens the model that they name, in `f32`: the terms
/// are to add up to the scores within its rounding.
///
/// # Errors
///
/// - [`SaeError::Differ`] if the autoencoders name two models, and the options none, or begin texts
///   in two ways.
/// - [`SaeError::InModel`] if none names a model, or one reads other activations than those of a
///   model's hook.
/// - [`SaeError::ContextLength`] if `max_tokens` are more than the model reads.
/// - [`SaeError::Model`] if the model cannot be opened.
/// - the errors of [`read_sae_from`].
///
/// # Panics
///
/// If there is no path.
///
/// # Memory
///
/// The weights of the model and of all autoencoders.
///
/// # Examples
///
/// ```
/// use attention_probes::sae::fra::{FraOpenOptions, open_fra};
/// use attention_probes::sae::{Sae, SaeActivation, SaeConfig, write_sae_lens};
/// use burn::tensor::Device;
///
/// # let folder = tempfile::tempdir()?;
/// # let mut sae = Sae { config: SaeConfig::new(160, 2),
/// #     activation: SaeActivation::Standard { b_enc: vec![0.1; 2] },
/// #     encoder: vec![0.1; 320], decoder: vec![0.1; 320], b_dec: vec![0.0; 160] };
/// # sae.config.metadata.set("hook_name", "blocks.1.hook_resid_pre");
/// # sae.config.metadata.set("model_name", "demo-gpt2");
/// # write_sae_lens(&sae, folder.path())?;
/// let device = Device::default();
/// let subject = open_fra(&[folder.path().to_owned()], &FraOpenOptions::new(&device))?;
/// let layers = subject.layers()?;
/// assert_eq!((layers.len(), layers[0].layer()), (1, 1));
/// assert!(subject.reader().max_tokens() <= 128);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_fra(paths: &[PathBuf], options: &FraOpenOptions<'_>) -> Result<FraSubject, SaeError> {
    let read = |path: &PathBuf| read_sae_from(path, options.hub);
    let saes = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let published = || paths.iter().zip(&saes).map(|(path, sae)| PublishedSae { path, sae });
    let mut notes = Vec::new();
    for sae in published() {
        notes.extend(sae.check_site()?);
    }
    let name = match options.model {
        Some(name) => name.to_owned(),
        None => same(&saes, "models", |sae| model_name(sae).map(str::to_owned))?
            .ok_or(SiteError::Unnamed { what: "model", setting: "model" })?,
    };
    if let Some(other) = saes.iter().filter_map(model_name).find(|other| *other != name) {
        notes.push(SaeNote::OtherModel { of: other.to_owned(), model: name.clone() });
    }
    let has_bos = |sae: &Sae| Some(sae.config.metadata.prepend_bos()?.to_string());
    let has_bos = same(&saes, "ways to begin a text", has_bos)?.is_none_or(|says| says == "true");
    let placement = Placement { device: options.device.clone(), dtype: Dtype::F32 };
    let mut model = open_model(&name, options.hub, placement)?;
    let n_ctx = model.model.shape().n_ctx;
    let mut known = None;
    for sae in published() {
        if options.max_tokens.is_none() && sae.names_context_size() {
            let (size, note) = sae.context_size(&*model.model)?;
            notes.extend(note);
            known = Some(known.map_or(size, |known: usize| known.min(size)));
        }
        if let Some(hook) = sae.sae.config.metadata.hook_name() {
            let note;
            (model, note) = sae.follow_processing(model, hook.parse()?);
            notes.extend(note);
        }
    }
    let max_tokens = match options.max_tokens {
        Some(context_size) if context_size > n_ctx => {
            return Err(SaeError::ContextLength { context_size, model: name, n_ctx });
        }
        given => given.or(known).unwrap_or(FraReaderConfig::default().max_tokens).min(n_ctx),
    };
    let texts = FraReaderConfig { max_tokens, prepend_bos: has_bos, published: options.published };
    Ok(FraSubject { saes, model, device: options.device.clone(), texts, notes })
}

impl FraSubject {
    /// The layers that read the autoencoders, in the same order.
    ///
    /// # Errors
    ///
    /// As [`FraLayer::of`], or [`FraLayer::published`].
    pub fn layers(&self) -> Result<Vec<FraLayer<'_>>, SaeError> {
        let model = &*self.model.model;
        let layer = |sae| {
            if self.texts.published {
                return FraLayer::published(sae, model, hook_of(sae)?.layer().unwrap_or_default());
            }
            FraLayer::of(sae, model)
        };
        self.saes.iter().map(layer).collect()
    }

    /// The model with how its texts begin.
    pub fn reader(&self) -> FraReader<'_> {
        FraReader::new(&self.model, &self.device, self.texts)
    }
}

fn model_name(sae: &Sae) -> Option<&str> {
    sae.config.metadata.model_name()
}

/// What all autoencoders say.
fn same(
    saes: &[Sae],
    what: &'static str,
    of: impl Fn(&Sae) -> Option<String>,
) -> Result<Option<String>, SaeError> {
    let first = of(&saes[0]);
    let Some(other) = saes.iter().map(of).find(|other| *other != first) else {
        return Ok(first);
    };
    let shown = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
    Err(SaeError::Differ { what, first: shown(first), other: shown(other) })
}
