//! What files say about the activations in them.

use std::collections::BTreeMap;
use std::path::Path;

use attention_probes_models::{ModelError, Tokenizer};

use super::config::{ExtractConfig, ExtractInput};
use super::data::ExtractData;
use crate::{HookShape, ShardData, ShardHook, ShardManifest, ShardTokenizer};

/// What one file says about its tensors: safetensors keep strings alone, so a list is JSON in one.
pub(super) fn metadata(
    input: &ExtractInput<'_>,
    config: &ExtractConfig,
) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([
        ("model".to_owned(), input.identity.name.clone()),
        ("revision".to_owned(), input.identity.revision.clone()),
        ("dtype".to_owned(), input.identity.dtype.to_string()),
        ("convention".to_owned(), config.convention.to_string()),
        ("data".to_owned(), file_name(input.path)),
    ]);
    match input.data {
        ExtractData::Ids { hash, .. } => {
            metadata.insert("data_hash".to_owned(), hash.clone());
        }
        ExtractData::Texts { corpus, .. } => {
            metadata.insert("data_hash".to_owned(), corpus.hash.clone());
            let max_tokens = input.data.max_tokens(input.model).to_string();
            metadata.insert("max_tokens".to_owned(), max_tokens);
        }
    }
    let classes = input.data.class_names();
    if !classes.is_empty() {
        metadata.insert("class_names".to_owned(), serde_json::json!(classes).to_string());
    }
    metadata
}

/// What the files of a folder have in common.
pub(super) fn manifest(
    input: &ExtractInput<'_>,
    config: &ExtractConfig,
    shapes: &[HookShape],
) -> Result<ShardManifest, ModelError> {
    let hook = |hook: &HookShape| ShardHook {
        name: hook.hook.to_string(),
        layout: hook.layout,
        shape: hook.shape.clone(),
    };
    let name = file_name(input.path);
    let (data, tokenizer) = match input.data {
        ExtractData::Ids { rows, hash } => {
            let (hash, n_rows, classes) = (hash.clone(), rows.len(), Vec::new());
            (ShardData { name, hash, n_rows, text: None, label: None, classes }, None)
        }
        ExtractData::Texts { corpus, tokenizer, .. } => {
            let columns = corpus.columns();
            let data = ShardData {
                name,
                hash: corpus.hash.clone(),
                n_rows: corpus.n_rows,
                text: Some(columns.text.clone()),
                label: (!corpus.classes.is_empty()).then(|| columns.label.clone()),
                classes: corpus.classes.clone(),
            };
            (data, Some(described(tokenizer, input.data.max_tokens(input.model))?))
        }
    };
    Ok(ShardManifest {
        format_version: 1,
        model: input.identity.clone(),
        convention: config.convention,
        dtype: config.dtype,
        hooks: shapes.iter().map(hook).collect(),
        data,
        tokenizer,
        n_shards: config.folder.shard.n_shards(),
        rows_per_part: config.folder.rows_per_part,
    })
}

fn described(tokenizer: &Tokenizer, max_tokens: usize) -> Result<ShardTokenizer, ModelError> {
    let bare = tokenizer.encode_without_special("a")?.ids;
    Ok(ShardTokenizer {
        hash: tokenizer.hash().to_owned(),
        max_tokens,
        special_tokens: tokenizer.encode("a")?.ids != bare,
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
