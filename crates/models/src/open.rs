//! From a model's name to a model with its tokenizer.

use std::path::{Path, PathBuf};

use crate::demo::{self, DemoModel};
use crate::{Dtype, HookedModel, HubAccess, HubId, ModelError, Placement, Tokenizer, load};

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
/// - as [`HubAccess::model`], [`load::load_model`], and [`Tokenizer::from_dir`]
///
/// # Memory
///
/// As [`load::load_model`].
///
/// # Examples
///
/// ```
/// use attention_probes_models::open_model;
/// use burn::tensor::Device;
///
/// let model = open_model("demo-gpt2", None, &Device::default())?;
/// assert_eq!(model.model.shape().n_ctx, 256);
/// # Ok::<(), attention_probes_models::ModelError>(())
/// ```
pub fn open_model(
    name: &str,
    hub: Option<&HubAccess>,
    placement: impl Into<Placement>,
) -> Result<LanguageModel, ModelError> {
    let placement = placement.into().resolve()?;
    let dtype = placement.dtype;
    if let Some(demo) = DemoModel::named(name) {
        return Ok(LanguageModel {
            name: name.to_owned(),
            revision: demo.hash(),
            dtype,
            model: demo.load(placement)?,
            tokenizer: demo.tokenizer()?,
        });
    }
    let dir = directory(name, hub)?;
    Ok(LanguageModel {
        name: name.to_owned(),
        revision: load::checkpoint_hash(&dir)?,
        dtype,
        model: load::load_model(&dir, placement)?,
        tokenizer: Tokenizer::from_dir(&dir)?,
    })
}

/// The directory that a name stands for.
fn directory(name: &str, hub: Option<&HubAccess>) -> Result<PathBuf, ModelError> {
    let dir = Path::new(name);
    if dir.join("config.json").is_file() {
        return Ok(dir.to_owned());
    }
    let unknown = || ModelError::UnknownModel { name: name.to_owned(), embedded: demo::NAMES };
    // A folder that is there, but holds no model, is no name of the Hub either; nor is a misspelt
    // embedded model.
    let is_local = dir.exists() || name.starts_with("demo-");
    let (Some(hub), false) = (hub, is_local) else { return Err(unknown()) };
    let id: HubId = name.parse().map_err(|_| unknown())?;
    hub.model(&id)
}
