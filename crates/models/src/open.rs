//! From a model's name to a model with its tokenizer.

use std::path::{Path, PathBuf};

use crate::demo::{self, DemoModel};
use crate::loading::checkpoint::check_no_adapter;
use crate::loading::hash_until;
use crate::{Dtype, HookedModel, HubAccess, HubId, LoadOptions, ModelError, Tokenizer, load};

/// A model that can read text.
pub struct LanguageModel {
    /// The name it was asked for by.
    pub name: String,
    /// Hash of configuration and weights, which tells two versions apart.
    pub revision: String,
    /// The number format it computes in.
    pub dtype: Dtype,
    /// The model.
    pub model: Box<dyn HookedModel>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

/// A model without its tokenizer, for token ids that are there already.
pub struct ModelAlone {
    /// The name it was asked for by.
    pub name: String,
    /// Hash of configuration and weights, which tells two versions apart.
    pub revision: String,
    /// The number format it computes in.
    pub dtype: Dtype,
    /// The model.
    pub model: Box<dyn HookedModel>,
    files: Files,
}

/// Where the files of a model are.
enum Files {
    Embedded(DemoModel),
    Folder(PathBuf),
}

impl ModelAlone {
    /// Reads the tokenizer, which lies beside the weights.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::from_dir`].
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        match &self.files {
            Files::Embedded(demo) => demo.tokenizer(),
            Files::Folder(dir) => Tokenizer::from_dir(dir),
        }
    }
}

impl LanguageModel {
    /// What tells its activations from those of any other model: the revision, and the number
    /// format where it is not `f32`.
    pub fn fingerprint(&self) -> String {
        match self.dtype {
            Dtype::Auto | Dtype::F32 => self.revision.clone(),
            dtype => format!("{} {dtype}", self.revision),
        }
    }
}

/// Opens an embedded model by name, a directory in Hugging Face layout, or, where there is `hub`, a
/// model of the Hub: out of the cache, and downloaded if it is not there.
///
/// # Errors
///
/// - [`ModelError::UnknownModel`] if `name` is none of these
/// - [`ModelError::NoHubAccess`] if it may be a model of the Hub, and there is no `hub`
/// - [`ModelError::Stopped`] if a signal to stop is given, that of the options while the model is
///   loaded, that of the [access](HubAccess::with_stop) while it is downloaded
/// - as [`HubAccess::model`], [`load::load_model`], and [`Tokenizer::from_dir`]
///
/// # Memory
///
/// As [`load::load_model`].
///
/// # Examples
///
/// ```
/// use attention_probes::models::open_model;
/// use burn::tensor::Device;
///
/// let model = open_model("demo-gpt2", None, &Device::default())?;
/// assert_eq!(model.model.shape().n_ctx, 256);
/// # Ok::<(), attention_probes::models::ModelError>(())
/// ```
pub fn open_model(
    name: &str,
    hub: Option<&HubAccess>,
    options: impl Into<LoadOptions>,
) -> Result<LanguageModel, ModelError> {
    let alone = open_model_alone(name, hub, options)?;
    let tokenizer = alone.tokenizer()?;
    let ModelAlone { name, revision, dtype, model, .. } = alone;
    Ok(LanguageModel { name, revision, dtype, model, tokenizer })
}

/// As [`open_model`], without reading a tokenizer.
///
/// # Errors
///
/// As [`open_model`], but for those of [`Tokenizer::from_dir`].
///
/// # Memory
///
/// As [`load::load_model`].
pub fn open_model_alone(
    name: &str,
    hub: Option<&HubAccess>,
    options: impl Into<LoadOptions>,
) -> Result<ModelAlone, ModelError> {
    let options = options.into().resolve()?;
    let (name, dtype) = (name.to_owned(), options.placement.dtype);
    if let Some(demo) = DemoModel::named(&name) {
        let (revision, model) = (demo.hash(), demo.load(options)?);
        return Ok(ModelAlone { name, revision, dtype, model, files: Files::Embedded(demo) });
    }
    let dir = directory(&name, hub)?;
    let (revision, model) = (hash_until(&dir, &options.stop)?, load::load_model(&dir, options)?);
    Ok(ModelAlone { name, revision, dtype, model, files: Files::Folder(dir) })
}

/// The directory that a name stands for.
fn directory(name: &str, hub: Option<&HubAccess>) -> Result<PathBuf, ModelError> {
    let dir = Path::new(name);
    if dir.join("config.json").is_file() {
        return Ok(dir.to_owned());
    }
    check_no_adapter(dir)?;
    let unknown = || ModelError::UnknownModel { name: name.to_owned(), embedded: demo::NAMES };
    // A folder that is there, but holds no model, is no name of the Hub either; nor is a misspelt
    // embedded model.
    let is_local = dir.exists() || name.starts_with("demo-");
    if !is_local && let Some(repository) = crate::hub::repository(name) {
        // Where somebody has put it into the cache under that very name, it is no mistake.
        let cached = hub.zip(name.parse::<HubId>().ok());
        let cached = cached.and_then(|(hub, id)| hub.cached_model(&id).ok());
        return cached.ok_or_else(|| ModelError::OtherName { name: name.to_owned(), repository });
    }
    if is_local {
        return Err(unknown());
    }
    let id: HubId = name.parse().map_err(|_| unknown())?;
    let no_access = || ModelError::NoHubAccess { name: name.to_owned(), embedded: demo::NAMES };
    hub.ok_or_else(no_access)?.model(&id)
}
