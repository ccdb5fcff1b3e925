//! Texts as contexts for a model.

use std::path::{Path, PathBuf};

use attention_probes_activations::{
    DatasetConfig, EncodeConfig, LabelColumn, TextReader, encode_texts,
};
use attention_probes_models::LanguageModel;

use super::contexts::Contexts;
use crate::SaeError;

/// How texts become contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextConfig {
    /// Tokens of a context, at least 2.
    pub context_size: usize,
    /// Whether each context begins with the token for it, where the model has one.
    pub prepend_bos: bool,
}

/// Reads the texts of some files, whose rows follow each other, into contexts of one length.
///
/// # Errors
///
/// - [`SaeError::ContextLength`] if the model does not read contexts of this length.
/// - [`SaeError::ShortTexts`] if the texts have fewer tokens than one context.
/// - [`SaeError::Activation`] or [`SaeError::Model`] if a file cannot be read or tokenized.
///
/// # Memory
///
/// All texts, and their tokens twice.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::DatasetConfig;
/// use attention_probes::models::open_model;
/// use attention_probes::sae::{ContextConfig, read_contexts};
/// use burn::tensor::Device;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("texts.csv");
/// std::fs::write(&path, "text\nOnce upon a time there was a little bird.\n")?;
/// let model = open_model("demo-gpt2", None, &Device::default())?;
/// let size = ContextConfig { context_size: 8, prepend_bos: true };
/// let contexts = read_contexts(&[path], &DatasetConfig::default(), size, &model)?;
/// assert_eq!((contexts.len(), contexts.n_text_tokens()), (1, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_contexts(
    files: &[impl AsRef<Path>],
    columns: &DatasetConfig,
    size: ContextConfig,
    model: &LanguageModel,
) -> Result<Contexts, SaeError> {
    let ContextConfig { context_size, prepend_bos } = size;
    let n_ctx = model.model.shape().n_ctx;
    if context_size > n_ctx {
        let model = model.name.clone();
        return Err(SaeError::ContextLength { context_size, model, n_ctx });
    }
    let rows = TextReader::open_files(files, columns, LabelColumn::Ignored)?;
    let rows = rows.map(|row| Ok(row?.text)).collect::<Result<Vec<_>, SaeError>>()?;
    let config = EncodeConfig { special_tokens: false, ..EncodeConfig::default() };
    let texts = encode_texts(&rows, &model.tokenizer, config)
        .into_iter()
        .map(|encoded| Ok(encoded?.ids))
        .collect::<Result<Vec<_>, SaeError>>()?;
    let bos = model.tokenizer.beginning().filter(|_| prepend_bos);
    let contexts = Contexts::pack(texts.iter().map(Vec::as_slice), context_size, bos, None);
    if contexts.is_empty() {
        let files: Vec<PathBuf> = files.iter().map(|path| path.as_ref().to_owned()).collect();
        return Err(SaeError::ShortTexts { files, length: context_size });
    }
    Ok(contexts)
}
