//! Text to token ids and back, with offsets; knows where a tokenizer's files lie.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use tokenizers::models::bpe::{self, BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use crate::ModelError;
use crate::file::read_file;

/// A tokenizer in Hugging Face's format.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: HfTokenizer,
    hash: String,
}

/// Token ids of one text with the place of each token in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, `[pos]`.
    pub ids: Vec<u32>,
    /// Start and end of each token in bytes of the text.
    pub byte_offsets: Vec<(usize, usize)>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` with `merges.txt`, from a model's directory.
    ///
    /// # Errors
    ///
    /// - [`ModelError::MissingFile`] if neither is there
    /// - [`ModelError::Read`] or [`ModelError::TokenizerFile`] if a file cannot be read
    pub fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let json = dir.join("tokenizer.json");
        if json.is_file() {
            return Self::from_file(&json);
        }
        let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
        if vocab.is_file() && merges.is_file() {
            return Self::from_vocab_and_merges(&vocab, &merges);
        }
        Err(ModelError::MissingFile { path: json })
    }

    /// Reads a file as `tokenizer.json` is one.
    ///
    /// # Errors
    ///
    /// [`ModelError::Read`] or [`ModelError::TokenizerFile`] if it cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        Self::parse(&read_file(path)?).map_err(file_error(path))
    }

    /// Reads a `tokenizer.json` that is already in memory.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        Self::parse(bytes).map_err(tokenizer_error)
    }

    fn parse(bytes: &[u8]) -> tokenizers::Result<Self> {
        let RawTokenizer { model } = serde_json::from_slice(bytes)?;
        if let Some(vocab) = model.vocab.as_object() {
            let prefix = model.continuing_subword_prefix.unwrap_or_default();
            let merges = model.merges.into_iter().zip(1..);
            let merges: Vec<(String, String)> =
                merges.map(|(merge, number)| merge.into_pair(number)).collect::<Result<_, _>>()?;
            check_merges(|token| vocab.contains_key(token), &merges, &prefix)?;
        }
        let mut inner = HfTokenizer::from_bytes(bytes)?;
        // Padding and truncation are the batch's business, whatever the file says.
        inner.with_padding(None);
        inner.with_truncation(None)?;
        Ok(Self { inner, hash: blake3::hash(bytes).to_hex().to_string() })
    }

    /// Reads GPT-2's original pair of files: `encoder.json` (or `vocab.json`) and `vocab.bpe` (or
    /// `merges.txt`).
    ///
    /// # Errors
    ///
    /// [`ModelError::Read`] or [`ModelError::TokenizerFile`] if a file cannot be read.
    pub fn from_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Self, ModelError> {
        let [vocab_bytes, merges_bytes] = [read_file(vocab)?, read_file(merges)?];
        let hash = blake3::Hasher::new().update(&vocab_bytes).update(&merges_bytes).finalize();
        let ids: Vocab = serde_json::from_slice::<HashMap<String, u32>>(&vocab_bytes)
            .map_err(|error| file_error(vocab)(error.into()))?
            .into_iter()
            .collect();
        let bpe = parse_merges(&merges_bytes)
            .and_then(|pairs| {
                check_merges(|token| ids.contains_key(token), &pairs, "")?;
                BPE::builder().vocab_and_merges(ids, pairs).build()
            })
            .map_err(file_error(merges))?;
        let mut inner = HfTokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        inner.with_decoder(Some(ByteLevel::default()));
        inner.with_post_processor(Some(ByteLevel::new(true, false, true)));
        inner
            .add_special_tokens([AddedToken::from("<|endoftext|>", true)])
            .map_err(tokenizer_error)?;
        Ok(Self { inner, hash: hash.to_hex().to_string() })
    }

    /// Token ids of a text, with the special tokens that the tokenizer's file asks for.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the text cannot be encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes_models::demo::DemoModel;
    ///
    /// let demo = DemoModel::named("demo-gpt2").ok_or("is embedded")?;
    /// let tokenizer = demo.tokenizer()?;
    /// let encoding = tokenizer.encode("Once upon a time")?;
    /// assert_eq!(tokenizer.decode(&encoding.ids)?, "Once upon a time");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, text: &str) -> Result<Encoding, ModelError> {
        self.encode_with(text, true)
    }

    /// As [`Tokenizer::encode`], without special tokens.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the text cannot be encoded.
    pub fn encode_without_special(&self, text: &str) -> Result<Encoding, ModelError> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, special: bool) -> Result<Encoding, ModelError> {
        let encoding = self.inner.encode(text, special).map_err(tokenizer_error)?;
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            byte_offsets: encoding.get_offsets().to_vec(),
        })
    }

    /// Start and end of each token in characters (code points), as Python reports them.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the text cannot be encoded.
    pub fn char_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, ModelError> {
        let encoding = self.inner.encode_char_offsets(text, true).map_err(tokenizer_error)?;
        Ok(encoding.get_offsets().to_vec())
    }

    /// The text of some ids, special tokens included; ids of no token are left out.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the tokens cannot be decoded.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(ids, false).map_err(tokenizer_error)
    }

    /// The id of a text that is exactly one token; `None` if it is none or several.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the text cannot be encoded.
    pub fn single_token(&self, text: &str) -> Result<Option<u32>, ModelError> {
        let ids = self.encode_without_special(text)?.ids;
        Ok(if ids.len() == 1 { ids.first().copied() } else { None })
    }

    /// A token as the vocabulary spells it (`Ġthe`).
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether an id is of a token that stands for no text, such as the end of a document.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .get(&id)
            .is_some_and(|token| token.special)
    }

    /// Number of ids, added tokens included.
    pub fn n_tokens(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Hash of the files, which tells two tokenizers apart.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

fn tokenizer_error(source: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer { source }
}

fn file_error(path: &Path) -> impl Fn(tokenizers::Error) -> ModelError {
    move |source| ModelError::TokenizerFile { path: path.to_owned(), source }
}

/// What is looked at in `tokenizer.json` before the tokenizers library is.
#[derive(Deserialize)]
struct RawTokenizer {
    model: RawModel,
}

#[derive(Deserialize)]
struct RawModel {
    /// Ids by token; a list in models that merge nothing.
    #[serde(default)]
    vocab: serde_json::Value,
    #[serde(default)]
    merges: Vec<RawMerge>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
}

/// Two tokens that become one, as newer and older files write them.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawMerge {
    Pair(String, String),
    Line(String),
}

impl RawMerge {
    fn into_pair(self, number: usize) -> Result<(String, String), bpe::Error> {
        match self {
            Self::Pair(left, right) => Ok((left, right)),
            Self::Line(line) => pair_from_line(&line, number),
        }
    }
}

/// Parses `merges.txt`: two tokens a line, with a space between them.
fn parse_merges(bytes: &[u8]) -> tokenizers::Result<Vec<(String, String)>> {
    let lines = str::from_utf8(bytes)?.lines().zip(1..);
    let merges = lines
        .filter(|(line, _)| !line.starts_with("#version"))
        .map(|(line, number)| pair_from_line(line, number))
        .collect::<Result<_, _>>()?;
    Ok(merges)
}

fn pair_from_line(line: &str, number: usize) -> Result<(String, String), bpe::Error> {
    match line.split_once(' ') {
        Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
        _ => Err(bpe::Error::BadMerges(number)),
    }
}

/// Refuses merges into no token, where the tokenizers library would panic.
fn check_merges(
    is_token: impl Fn(&str) -> bool,
    merges: &[(String, String)],
    prefix: &str,
) -> Result<(), bpe::Error> {
    for (left, right) in merges {
        let rest = right.get(prefix.len()..);
        if !rest.is_some_and(|rest| is_token(&format!("{left}{rest}"))) {
            return Err(bpe::Error::MergeTokenOutOfVocabulary(format!("{left}{right}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const JSON: &str = r#"{"version": "1.0", "added_tokens": [], "model": {
        "type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]
    }}"#;

    /// What is wrong with a file, which the error must name.
    fn fault(folder: &Path, file: &str) -> String {
        match Tokenizer::from_dir(folder).unwrap_err() {
            ModelError::TokenizerFile { path, source } if path == folder.join(file) => {
                source.to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_damaged_tokenizer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, JSON).unwrap();
        let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
        assert_eq!(tokenizer.encode("ab").unwrap().ids, [2]);

        for damage in [&JSON[..60], "", "{}", "[1]", "{\"model\": {\"type\": \"BPE\"}}"] {
            fs::write(&path, damage).unwrap();
            fault(folder.path(), "tokenizer.json");
        }
        let error = Tokenizer::from_dir(folder.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}` is damaged or not of a tokenizer: download it again", path.display())
        );
        fs::remove_file(&path).unwrap();
        let error = Tokenizer::from_dir(folder.path()).unwrap_err();
        assert!(matches!(error, ModelError::MissingFile { path: missing } if missing == path));
    }

    #[test]
    fn merges_into_no_token_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        for (from, to) in [
            ("\"ab\": 2", "\"c\": 2"),
            ("a b", "ab ab"),
            ("[\"a b\"]", "[[\"b\", \"a\"]]"),
            ("\"merges\"", "\"continuing_subword_prefix\": \"##\", \"merges\""),
        ] {
            assert!(JSON.contains(from), "{from}");
            fs::write(&path, JSON.replace(from, to)).unwrap();
            let fault = fault(folder.path(), "tokenizer.json");
            assert!(fault.ends_with("out of vocabulary"), "{fault}");
        }
    }

    #[test]
    fn of_a_pair_of_files_the_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, content: &[u8]| fs::write(folder.path().join(file), content);
        write("vocab.json", br#"{"a": 0, "b": 1, "ab": 2}"#).unwrap();
        write("merges.txt", b"#version: 0.2\r\na b\r\n").unwrap();
        let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
        assert_eq!(tokenizer.encode("ab").unwrap().ids, [2]);

        for damage in [&b"#version: 0.2\na b\nb"[..], b"b a", b"a b a", b"a \xff"] {
            write("merges.txt", damage).unwrap();
            fault(folder.path(), "merges.txt");
        }
        write("vocab.json", b"{\"a\": 0,").unwrap();
        fault(folder.path(), "vocab.json");
    }
}
