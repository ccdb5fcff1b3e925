//! `manifest.json`: what all the files of a folder have in common.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use attention_probes_errors::FileError;
use attention_probes_models::files::TemporaryFile;
use attention_probes_models::{Convention, Dtype, LanguageModel, ModelAlone};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ShardError;
use super::shard::MAX_SHARDS;
use crate::{ActivationError, HookLayout, StoreDtype};

/// Name of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";

/// Changes whenever a file of an older version could be misread.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Largest JSON file that is read, in bytes.
const MAX_JSON_BYTES: u64 = 1 << 28;

/// Most hooks of a folder, and most axes of one: more than any model has.
const MAX_HOOKS: usize = 1 << 16;
const MAX_AXES: usize = 4;

/// What a folder of shards holds: the same for every file in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardManifest {
    /// Version of the layout, 1.
    pub format_version: u32,
    /// The model that was run.
    pub model: ShardModel,
    /// Which numbers the activations are.
    pub convention: Convention,
    /// Type of the activations in the files.
    pub dtype: StoreDtype,
    /// The hooks, in the order in which their tensors lie in the files.
    pub hooks: Vec<ShardHook>,
    /// What the model was run on.
    pub data: ShardData,
    /// How texts became tokens. `None` if the data are token ids.
    pub tokenizer: Option<ShardTokenizer>,
    /// Number of jobs that share the rows.
    pub n_shards: usize,
    /// Rows of a part file; the last one of a shard may have fewer.
    pub rows_per_part: usize,
}

/// A model, and which version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardModel {
    /// The name it was asked for by.
    pub name: String,
    /// Hash of its configuration and weights.
    pub revision: String,
    /// Number format that it computed in.
    pub dtype: Dtype,
}

impl From<&LanguageModel> for ShardModel {
    fn from(model: &LanguageModel) -> Self {
        let LanguageModel { name, revision, dtype, .. } = model;
        Self { name: name.clone(), revision: revision.clone(), dtype: *dtype }
    }
}

impl From<&ModelAlone> for ShardModel {
    fn from(model: &ModelAlone) -> Self {
        let ModelAlone { name, revision, dtype, .. } = model;
        Self { name: name.clone(), revision: revision.clone(), dtype: *dtype }
    }
}

/// One hook of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardHook {
    /// Its name, which is that of the tensor too.
    pub name: String,
    /// How its values lie in a tensor.
    pub layout: HookLayout,
    /// Axes after the tokens, or `[n_heads]` where positions are related.
    pub shape: Vec<usize>,
}

/// The corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardData {
    /// Name of the file, without its folder.
    pub name: String,
    /// BLAKE3 of the file, as hex.
    pub hash: String,
    /// Number of its rows, empty ones included.
    pub n_rows: usize,
    /// Column of the text. `None` if the data are token ids.
    pub text: Option<String>,
    /// Column of the label. `None` if there are no labels.
    pub label: Option<String>,
    /// Names of the classes, in the order of their numbers; empty if there are no labels.
    pub classes: Vec<String>,
}

/// How texts became tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardTokenizer {
    /// Hash of the tokenizer.
    pub hash: String,
    /// Most tokens of a text; what follows is cut off.
    pub max_tokens: usize,
    /// Whether the tokenizer put special tokens, such as one for the beginning, into a text.
    pub special_tokens: bool,
}

/// Whether a path is a folder with a manifest.
pub fn is_shard_folder(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

impl ShardManifest {
    /// Reads the manifest of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, ActivationError> {
        let path = folder.join(MANIFEST);
        let manifest: Self = read_json(&path)?;
        manifest.check(&path)?;
        Ok(manifest)
    }

    /// Writes the manifest into a folder that has none; returns the one that is there then, which
    /// another job may have written meanwhile.
    pub(super) fn publish(&self, folder: &Path) -> Result<Self, ActivationError> {
        let path = folder.join(MANIFEST);
        let write = || {
            let mut temporary = TemporaryFile::create(&path)?;
            temporary.file.write_all(&serde_json::to_vec_pretty(self)?)?;
            temporary.finish_if_absent()
        };
        write().map_err(FileError::write(&path))?;
        Self::read(folder)
    }

    /// Refuses a folder of other activations.
    pub(super) fn check_same(&self, found: &Self, folder: &Path) -> Result<(), ShardError> {
        let dtype = |dtype: StoreDtype| format!("{dtype:?}").to_lowercase();
        let hooks = |manifest: &Self| {
            let names: Vec<&str> = manifest.hooks.iter().map(|hook| hook.name.as_str()).collect();
            names.join(",")
        };
        let max_tokens = |manifest: &Self| {
            manifest.tokenizer.as_ref().map_or(0, |tokenizer| tokenizer.max_tokens).to_string()
        };
        let column = |column: &Option<String>| column.clone().unwrap_or_else(|| "none".to_owned());
        let parts = [
            ("model", found.model.revision.clone(), self.model.revision.clone()),
            (
                "number format of the model",
                found.model.dtype.to_string(),
                self.model.dtype.to_string(),
            ),
            ("data file", found.data.hash.clone(), self.data.hash.clone()),
            ("column of the text", column(&found.data.text), column(&self.data.text)),
            ("column of the label", column(&found.data.label), column(&self.data.label)),
            ("list of hooks", hooks(found), hooks(self)),
            ("convention", format!("{:?}", found.convention), format!("{:?}", self.convention)),
            ("type in files", dtype(found.dtype), dtype(self.dtype)),
            ("longest text in tokens", max_tokens(found), max_tokens(self)),
            ("number of shards", found.n_shards.to_string(), self.n_shards.to_string()),
            (
                "number of rows per file",
                found.rows_per_part.to_string(),
                self.rows_per_part.to_string(),
            ),
        ];
        let path = || folder.to_owned();
        for (what, found, expected) in parts {
            if found != expected {
                return Err(ShardError::Other { path: path(), what, found, expected });
            }
        }
        let (found, expected) = (found.key(), self.key());
        if found != expected {
            return Err(ShardError::Other { path: path(), what: "description", found, expected });
        }
        Ok(())
    }

    /// Hash of everything that the numbers depend on, as hex. Names of models and files do not
    /// count, which may differ from machine to machine.
    pub(super) fn key(&self) -> String {
        let mut manifest = self.clone();
        manifest.model.name.clear();
        manifest.data.name.clear();
        // Numbers, strings, and lists of them can always be written as JSON.
        let json = serde_json::to_vec(&manifest).unwrap_or_default();
        blake3::hash(&json).to_hex().to_string()
    }

    fn check(&self, path: &Path) -> Result<(), ShardError> {
        let wrong =
            |field, expected| Err(ShardError::Field { path: path.to_owned(), field, expected });
        if self.format_version != FORMAT_VERSION {
            return wrong("format_version", "expected 1; read it with the version that wrote it");
        }
        if !(1..=MAX_SHARDS).contains(&self.n_shards) {
            return wrong("n_shards", "expected a number from 1 to 99999");
        }
        if self.rows_per_part == 0 {
            return wrong("rows_per_part", "expected a number from 1 on");
        }
        let is_sound = |hook: &ShardHook| {
            let n_values = hook.shape.iter().try_fold(1_usize, |n, &axis| n.checked_mul(axis));
            let n_axes = match hook.layout {
                HookLayout::Tokens => 1..=MAX_AXES,
                HookLayout::Pairs => 1..=1,
            };
            n_values.is_some_and(|n| n > 0) && n_axes.contains(&hook.shape.len())
        };
        if self.hooks.is_empty() || self.hooks.len() > MAX_HOOKS {
            return wrong("hooks", "expected at least one");
        }
        if !self.hooks.iter().all(is_sound) {
            return wrong("hooks", "expected a shape for each, no axis 0");
        }
        Ok(())
    }
}

impl ShardHook {
    /// Values of a row of some tokens; `None` if there are more than can be counted.
    pub(super) fn n_values(&self, n_tokens: usize) -> Option<usize> {
        let of_token: usize = self.shape.iter().product();
        match self.layout {
            HookLayout::Tokens => of_token.checked_mul(n_tokens),
            HookLayout::Pairs => of_token.checked_mul(n_tokens)?.checked_mul(n_tokens),
        }
    }
}

/// Reads a JSON file of a bounded size.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ActivationError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_JSON_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
        }
        Ok(())
    });
    read.map_err(FileError::read(path))?;
    let json = serde_json::from_slice(&bytes);
    json.map_err(|source| ShardError::Json { path: path.to_owned(), source }.into())
}
