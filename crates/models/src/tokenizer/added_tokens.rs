//! The tokens that are added to a vocabulary of GPT-2's form, as transformers finds them beside it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use attention_probes_errors::JsonFileError;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use crate::ModelError;
use crate::files::read_description;

/// Files beside `vocab.json` that name tokens of their own.
#[cfg(feature = "hub")]
pub(crate) const ADDED_TOKENS: [&str; 3] = [SETTINGS, TOKENS, SPECIAL];

const SETTINGS: &str = "tokenizer_config.json";
const TOKENS: &str = "added_tokens.json";
const SPECIAL: &str = "special_tokens_map.json";

/// What GPT-2 takes for its special tokens where no file names them.
const END_OF_TEXT: &str = "<|endoftext|>";

/// Special tokens by the names that transformers has for them, in its order.
const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What is read of `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default)]
    added_tokens_decoder: Option<BTreeMap<u32, RawToken>>,
    #[serde(default)]
    add_prefix_space: Option<bool>,
    #[serde(flatten)]
    others: HashMap<String, Value>,
}

/// A token as `tokenizer_config.json` has it.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the file")]
struct RawToken {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// What the files beside a vocabulary add to it.
pub(crate) struct Additions {
    /// Tokens with their ids, in ascending order.
    pub(crate) tokens: Vec<(u32, AddedToken)>,
    /// Whether a space is put before a text that has none.
    pub(crate) add_prefix_space: bool,
}

impl Additions {
    /// Reads whichever of the files are in a folder. Special tokens that have no id get the next
    /// ones.
    ///
    /// # Errors
    ///
    /// - [`ModelError::File`], [`ModelError::DescriptionSize`], or [`ModelError::LfsPointer`] if a
    ///   file cannot be read
    /// - [`ModelError::Json`] if it does not hold what transformers writes
    pub(crate) fn read(folder: &Path, vocab: &HashMap<String, u32>) -> Result<Self, ModelError> {
        let settings: Settings = read_json(&folder.join(SETTINGS))?.unwrap_or_default();
        let special_map: HashMap<String, Value> =
            read_json(&folder.join(SPECIAL))?.unwrap_or_default();
        let mut special = special_tokens(&settings.others);
        special.extend(special_tokens(&special_map));
        special.push(END_OF_TEXT.to_owned());

        let mut tokens: BTreeMap<u32, AddedToken> = BTreeMap::new();
        for (id, raw) in settings.added_tokens_decoder.unwrap_or_default() {
            let token = AddedToken::from(raw.content, raw.special)
                .single_word(raw.single_word)
                .lstrip(raw.lstrip)
                .rstrip(raw.rstrip)
                .normalized(raw.normalized);
            tokens.insert(id, token);
        }
        // Older files have the ids apart, and no more than these.
        let ids: HashMap<String, u32> = read_json(&folder.join(TOKENS))?.unwrap_or_default();
        for (text, id) in ids {
            let is_special = special.contains(&text);
            let is_known = tokens.values().any(|token| token.content == text);
            if !is_known {
                tokens.entry(id).or_insert_with(|| AddedToken::from(text, is_special));
            }
        }
        let largest = vocab.values().chain(tokens.keys()).max();
        let mut next = largest.map_or(0, |id| id.saturating_add(1));
        for text in special {
            if tokens.values().any(|token| token.content == text) {
                continue;
            }
            let id = vocab.get(&text).copied().unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            tokens.insert(id, AddedToken::from(text, true));
        }
        let tokens = tokens.into_iter().collect();
        Ok(Self { tokens, add_prefix_space: settings.add_prefix_space == Some(true) })
    }
}

/// The texts of special tokens, each named by its role.
fn special_tokens(fields: &HashMap<String, Value>) -> Vec<String> {
    let text = |value: &Value| {
        let text = value.as_str().or_else(|| value.get("content")?.as_str());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let by_role = ROLES.iter().filter_map(|role| text(fields.get(*role)?));
    let others = ["additional_special_tokens", "extra_special_tokens"].into_iter();
    let others = others.filter_map(|field| fields.get(field)?.as_array());
    by_role.chain(others.flatten().filter_map(text)).collect()
}

/// A JSON file; `None` if it is not there.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, ModelError> {
    if !path.is_file() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&read_description(path)?)
        .map(Some)
        .map_err(JsonFileError::new(path))?)
}
