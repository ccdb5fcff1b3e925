//! Texts as contexts for a model, and directions as logits.

use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{DatasetConfig, LabelColumn, TableFormat, TextReader};
use attention_probes_models::{LanguageModel, host_values};
use attention_probes_sae::{Contexts, RunData};

use crate::exit::InputError;

/// The column of the texts of a run, and how their file is written.
pub(crate) fn columns_of_run(data: &RunData) -> Result<DatasetConfig> {
    let format = TableFormat { quoting: data.quoting, escape: data.escape };
    if let Some(fault) = format.fault() {
        return Err(InputError(format!("`data.escape` {fault}")).into());
    }
    Ok(DatasetConfig { text: data.text.clone(), format, ..DatasetConfig::default() })
}

/// Reads the texts of a file into contexts of one length.
pub(crate) fn contexts(
    path: &Path,
    columns: &DatasetConfig,
    size: (usize, bool),
    model: &LanguageModel,
) -> Result<Contexts> {
    contexts_of_files(&[path], columns, size, model)
}

/// Reads the texts of several files, whose rows follow each other, into contexts of one length.
pub(super) fn contexts_of_files(
    paths: &[impl AsRef<Path>],
    columns: &DatasetConfig,
    (context_size, prepend_bos): (usize, bool),
    model: &LanguageModel,
) -> Result<Contexts> {
    let n_ctx = model.model.shape().n_ctx;
    if context_size > n_ctx {
        let name = &model.name;
        let error =
            format!("`context_size` is {context_size}, but `{name}` reads {n_ctx} tokens at most");
        return Err(InputError(error).into());
    }
    let mut texts = Vec::new();
    for row in TextReader::open_files(paths, columns, LabelColumn::Ignored)? {
        texts.push(model.tokenizer.encode_without_special(&row?.text)?.ids);
    }
    let bos = model.tokenizer.beginning().filter(|_| prepend_bos);
    let contexts = Contexts::pack(texts.iter().map(Vec::as_slice), context_size, bos, None);
    if contexts.is_empty() {
        let shown: Vec<String> =
            paths.iter().map(|path| format!("`{}`", path.as_ref().display())).collect();
        let shown = shown.join(", ");
        let error = format!("{shown}: fewer tokens than one context of {context_size}");
        return Err(InputError(error).into());
    }
    Ok(contexts)
}

/// The direction of every token's logit in the residual stream, but for the scale of the final
/// norm: `[d_vocab, d_model]`.
pub(super) fn logit_directions(model: &LanguageModel) -> Result<Vec<f32>> {
    let n_tokens = model.model.shape().d_vocab as u32;
    let mut directions = Vec::with_capacity(n_tokens as usize * model.model.shape().d_model);
    for token in 0..n_tokens {
        directions.extend(host_values(model.model.unembed_direction(token))?);
    }
    Ok(directions)
}
