//! Texts as contexts for a model.

use std::path::Path;

use anyhow::Result;
use attention_probes_activations::DatasetConfig;
use attention_probes_models::LanguageModel;
use attention_probes_sae::{ContextConfig, Contexts, RunData, read_contexts};

/// The column of the texts of a run, and how their file is written.
pub(crate) fn columns_of_run(data: &RunData) -> Result<DatasetConfig> {
    Ok(data.columns()?)
}

/// Reads the texts of a file into contexts of one length.
pub(crate) fn contexts(
    path: &Path,
    columns: &DatasetConfig,
    (context_size, prepend_bos): (usize, bool),
    model: &LanguageModel,
) -> Result<Contexts> {
    Ok(read_contexts(&[path], columns, ContextConfig { context_size, prepend_bos }, model)?)
}
