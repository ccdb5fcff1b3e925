//! Which files of a repository make a model.

use std::path::Path;

use crate::ModelError;
use crate::loading::checkpoint::{INDEX, WEIGHTS, shard_names};
#[cfg(feature = "hub")]
use crate::{HubError, loading::checkpoint::ADAPTER, tokenizer::ADDED_TOKENS};

const CONFIG: &str = "config.json";

/// What a tokenizer may be made of, the first choice first.
const TOKENIZERS: [&[&str]; 2] = [&["tokenizer.json"], &["vocab.json", "merges.txt"]];

/// The first file that a model needs and a folder lacks.
///
/// # Errors
///
/// As [`shard_names`].
pub(crate) fn missing_file(folder: &Path) -> Result<Option<String>, ModelError> {
    let lacks = |file: &str| !folder.join(file).is_file();
    if lacks(CONFIG) {
        return Ok(Some(CONFIG.to_owned()));
    }
    let weights = match folder.join(INDEX) {
        // One whole file is what the loader takes first.
        index if lacks(WEIGHTS) && index.is_file() => shard_names(&index)?.into_iter().collect(),
        _ => vec![WEIGHTS.to_owned()],
    };
    if let Some(file) = weights.into_iter().find(|file| lacks(file)) {
        return Ok(Some(file));
    }
    let is_there = |files: &&[&str]| !files.iter().any(|file| lacks(file));
    Ok((!TOKENIZERS.iter().any(is_there)).then(|| TOKENIZERS[0][0].to_owned()))
}

/// Downloads what the cache lacks of a model, the weights last.
#[cfg(feature = "hub")]
pub(crate) fn download_model(
    access: &crate::HubAccess,
    id: &crate::HubId,
) -> Result<std::path::PathBuf, ModelError> {
    let mut download = crate::hub::download::Download::new(access, id)?;
    let config = download.file(CONFIG).or_else(|error| match error {
        // A repository without it may be that of an adapter.
        ModelError::Hub(HubError::File { .. }) => match download.file_if_there(ADAPTER)? {
            Some(path) => Err(ModelError::Adapter { path }),
            None => Err(error),
        },
        error => Err(error),
    })?;
    crate::loading::check_config(&config)?;
    download.first_of(&TOKENIZERS)?;
    if !config.with_file_name(TOKENIZERS[0][0]).is_file() {
        for file in ADDED_TOKENS {
            download.file_if_there(file)?;
        }
    }
    let snapshot = config.parent().unwrap_or(&config).to_owned();
    let index = snapshot.join(INDEX);
    let is_whole = || snapshot.join(WEIGHTS).is_file();
    if !is_whole() && !index.is_file() {
        download.first_of(&[&[WEIGHTS], &[INDEX]])?;
    }
    if !is_whole() && index.is_file() {
        for shard in shard_names(&index)? {
            download.file(&shard)?;
        }
    }
    Ok(snapshot)
}
