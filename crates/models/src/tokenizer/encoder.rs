//! Text to token ids and back, with offsets; knows where a tokenizer's files lie.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};

use tokenizers::Tokenizer as HfTokenizer;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::added_tokens::Additions;
use super::checks::{
    RawTokenizer, TokenizerFault, check_depth, check_ids, check_merges, parse_merges,
};
use super::encoding::{CutEncoding, Encoding};
use super::prefix::{Cuts, byte_of_char};
use crate::ModelError;
use crate::files::read_file;

/// Bytes of text that are tokenised at first for each token that is kept: some more than a token
/// has in most languages.
const BYTES_PER_TOKEN: usize = 8;

/// Texts up to this length are never cut.
const SHORT_BYTES: usize = 16 << 10;

/// A tokenizer in Hugging Face's format.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: HfTokenizer,
    hash: String,
    /// Where long texts may be cut; found out when the first comes.
    cuts: Arc<OnceLock<Option<Cuts>>>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` with `merges.txt`, from a model's directory.
    ///
    /// # Errors
    ///
    /// - [`ModelError::MissingFile`] if neither is there
    /// - [`ModelError::File`] or [`ModelError::TokenizerFile`] if a file cannot be read
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
    /// [`ModelError::File`] or [`ModelError::TokenizerFile`] if it cannot be read.
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
        check_depth(bytes)?;
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
        check_ids(&inner)?;
        Ok(Self::of(inner, blake3::hash(bytes).to_hex().to_string()))
    }

    fn of(inner: HfTokenizer, hash: String) -> Self {
        Self { inner, hash, cuts: Arc::default() }
    }

    /// Reads GPT-2's original pair of files: `encoder.json` (or `vocab.json`) and `vocab.bpe` (or
    /// `merges.txt`), with the tokens that `tokenizer_config.json`, `added_tokens.json`, and
    /// `special_tokens_map.json` beside them add.
    ///
    /// # Errors
    ///
    /// [`ModelError::File`], [`ModelError::Json`], or [`ModelError::TokenizerFile`] if a file cannot
    /// be read.
    pub fn from_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Self, ModelError> {
        let [vocab_bytes, merges_bytes] = [read_file(vocab)?, read_file(merges)?];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&vocab_bytes).update(&merges_bytes);
        let mut ids: HashMap<String, u32> = serde_json::from_slice(&vocab_bytes)
            .map_err(|error| file_error(vocab)(error.into()))?;
        let folder = vocab.parent().unwrap_or(Path::new(""));
        let Additions { tokens, add_prefix_space } = Additions::read(folder, &ids)?;
        let vocabulary: HashMap<u32, &str> =
            ids.iter().map(|(token, id)| (*id, &**token)).collect();
        for (id, added) in &tokens {
            let other = vocabulary.get(id).filter(|other| **other != added.content);
            if let Some(other) = other {
                let (id, token, other) = (*id, added.content.clone(), (*other).to_owned());
                return Err(file_error(vocab)(
                    TokenizerFault::TwoTokens { id, token, other }.into(),
                ));
            }
            if !vocabulary.contains_key(id) {
                hasher.update(&id.to_le_bytes()).update(added.content.as_bytes());
            }
        }
        // The library gives an added token the id that it has in the vocabulary.
        ids.extend(tokens.iter().map(|(id, token)| (token.content.clone(), *id)));
        let bpe = parse_merges(&merges_bytes)
            .and_then(|pairs| {
                check_merges(|token| ids.contains_key(token), &pairs, "")?;
                BPE::builder().vocab_and_merges(ids.into_iter().collect::<Vocab>(), pairs).build()
            })
            .map_err(file_error(merges))?;
        let mut inner = HfTokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(ByteLevel::new(add_prefix_space, true, true)));
        inner.with_decoder(Some(ByteLevel::default()));
        inner.with_post_processor(Some(ByteLevel::new(true, false, true)));
        for (_, token) in tokens {
            if token.special {
                inner.add_special_tokens([token]).map_err(tokenizer_error)?;
            } else {
                inner.add_tokens([token]).map_err(tokenizer_error)?;
            }
        }
        check_ids(&inner).map_err(|fault| file_error(vocab)(fault.into()))?;
        Ok(Self::of(inner, hasher.finalize().to_hex().to_string()))
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
    /// use attention_probes::models::demo::DemoModel;
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

    /// The first `max_tokens` ids of [`Tokenizer::encode`], and whether there are more.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the text cannot be encoded.
    ///
    /// # Memory
    ///
    /// Grows with `max_tokens`, not with the text, for the tokenizers of GPT-2 and Gemma; not where
    /// such a text has no place to cut it, as one word of a million letters.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::models::demo::DemoModel;
    ///
    /// let tokenizer = DemoModel::named("demo-gpt2").ok_or("is embedded")?.tokenizer()?;
    /// let text = "Once upon a time ".repeat(10_000);
    /// let cut = tokenizer.encode_up_to(&text, 64)?;
    /// assert_eq!(cut.ids, tokenizer.encode(&text)?.ids[..64]);
    /// assert!(cut.is_truncated);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode_up_to(&self, text: &str, max_tokens: usize) -> Result<CutEncoding, ModelError> {
        let cut = self.cut(text, max_tokens, true)?;
        warn_of_two_beginnings(self, &cut.ids);
        Ok(cut)
    }

    /// As [`Tokenizer::encode_up_to`], without special tokens.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the text cannot be encoded.
    pub fn encode_up_to_without_special(
        &self,
        text: &str,
        max_tokens: usize,
    ) -> Result<CutEncoding, ModelError> {
        self.cut(text, max_tokens, false)
    }

    fn cut(&self, text: &str, max_tokens: usize, special: bool) -> Result<CutEncoding, ModelError> {
        let mut n_bytes = max_tokens.saturating_mul(BYTES_PER_TOKEN).max(SHORT_BYTES);
        while n_bytes < text.len()
            && let Some(cuts) = self.cuts.get_or_init(|| Cuts::new(&self.inner))
        {
            if let Some(place) = cuts.last(text, n_bytes) {
                let mut ids = self.encode_with(&text[..place], special)?.ids;
                // What the tokenizer puts behind a text does not count.
                if ids.len() > max_tokens.saturating_add(self.encode_with("", special)?.ids.len()) {
                    ids.truncate(max_tokens);
                    return Ok(CutEncoding { ids, is_truncated: true });
                }
            }
            n_bytes = n_bytes.saturating_mul(2);
        }
        let mut ids = self.encode_with(text, special)?.ids;
        let is_truncated = ids.len() > max_tokens;
        ids.truncate(max_tokens);
        Ok(CutEncoding { ids, is_truncated })
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

    /// A token as people read it: its text, and where it holds only a part of a character, the
    /// bytes of that part, as in `<0xE2>`.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if the token cannot be decoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::models::demo::DemoModel;
    ///
    /// let tokenizer = DemoModel::named("demo-gpt2").ok_or("is embedded")?.tokenizer()?;
    /// let ids = tokenizer.encode("a 😀")?.ids;
    /// let pieces = ids.iter().map(|id| tokenizer.token_text(*id)).collect::<Result<String, _>>()?;
    /// assert_eq!(pieces, "a <0xF0><0x9F><0x98><0x80>");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn token_text(&self, id: u32) -> Result<String, ModelError> {
        let text = self.decode(&[id])?;
        if !text.contains(char::REPLACEMENT_CHARACTER) {
            return Ok(text);
        }
        let Some(token) = self.id_to_token(id) else { return Ok(text) };
        let is_byte = token.starts_with("<0x") && token.ends_with('>');
        if is_byte {
            return Ok(token);
        }
        let Some(bytes) = token.chars().map(byte_of_char).collect::<Option<Vec<u8>>>() else {
            return Ok(text);
        };
        let mut shown = String::new();
        for chunk in bytes.utf8_chunks() {
            shown.push_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(shown, "<0x{byte:02X}>"); // a string takes whatever is written
            }
        }
        Ok(shown)
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

    /// The largest id of a token.
    pub fn max_id(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or(0)
    }

    /// Hash of the files, which tells two tokenizers apart.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Says once that a text begins with the token that is put before it.
fn warn_of_two_beginnings(tokenizer: &Tokenizer, ids: &[u32]) {
    static SAID: Once = Once::new();
    if let [first, second, ..] = ids
        && first == second
        && tokenizer.is_special(*first)
        && tokenizer.encode("").is_ok_and(|empty| empty.ids.first() == Some(first))
    {
        SAID.call_once(|| {
            let token = tokenizer.id_to_token(*first).unwrap_or_default();
            tracing::warn!(
                "a text begins with `{token}`, and the tokenizer puts another one before it: take \
                 it off the texts"
            );
        });
    }
}

fn tokenizer_error(source: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer { source }
}

fn file_error(path: &Path) -> impl Fn(tokenizers::Error) -> ModelError {
    move |source| ModelError::TokenizerFile { path: path.to_owned(), source }
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
