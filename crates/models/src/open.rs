//! From a model's name to a model with its tokenizer.

use std::path::Path;

use burn::tensor::Device;

use crate::{HookedModel, ModelError, Tokenizer, demo, load};

/// A model that can read text.
pub struct LanguageModel {
    /// The name it was asked for by.
    pub name: String,
    /// Hash of configuration and weights, which tells two versions apart.
    pub revision: String,
    /// The model.
    pub model: Box<dyn HookedModel>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

/// Opens an embedded model by name, or a directory in Hugging Face layout.
///
/// # Errors
///
/// - [`ModelError::UnknownModel`] if `name` is neither
/// - as [`load::load_model`] and [`Tokenizer::from_dir`]
///
/// # Memory
///
/// One copy of the weights in `f32`.
///
/// # Examples
///
/// ```
/// use attention_probes_models::open_model;
/// use burn::tensor::Device;
///
/// let model = open_model("demo-gpt2", &Device::default())?;
/// assert_eq!(model.model.shape().n_ctx, 256);
/// # Ok::<(), attention_probes_models::ModelError>(())
/// ```
pub fn open_model(name: &str, device: &Device) -> Result<LanguageModel, ModelError> {
    if name == "demo-gpt2" {
        let demo = demo::gpt2()?;
        return Ok(LanguageModel {
            name: name.to_owned(),
            revision: demo.hash(),
            model: Box::new(demo.load(device)?),
            tokenizer: demo.tokenizer,
        });
    }
    let dir = Path::new(name);
    if !dir.join("config.json").is_file() {
        return Err(ModelError::UnknownModel { name: name.to_owned(), embedded: demo::NAMES });
    }
    let model = load::load_model(dir, device)?;
    Ok(LanguageModel {
        name: name.to_owned(),
        revision: load::checkpoint_hash(dir)?,
        model,
        tokenizer: Tokenizer::from_dir(dir)?,
    })
}
