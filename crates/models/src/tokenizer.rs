//! Text to token ids and back, with offsets; knows where a tokenizer's files lie.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use crate::ModelError;

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
    /// [`ModelError::Tokenizer`] if neither is there or a file is damaged.
    pub fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let json = dir.join("tokenizer.json");
        if json.is_file() {
            let bytes = std::fs::read(&json)
                .map_err(|source| ModelError::Read { path: json.clone(), source })?;
            return Self::from_bytes(&bytes);
        }
        let (vocab, merges) = (dir.join("vocab.json"), dir.join("merges.txt"));
        if vocab.is_file() && merges.is_file() {
            return Self::from_vocab_and_merges(&vocab, &merges);
        }
        Err(ModelError::MissingFile { path: json })
    }

    /// Reads a `tokenizer.json` that is already in memory.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut inner = HfTokenizer::from_bytes(bytes).map_err(tokenizer_error)?;
        // Padding and truncation are the batch's business, whatever the file says.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(tokenizer_error)?;
        Ok(Self { inner, hash: blake3::hash(bytes).to_hex().to_string() })
    }

    /// Reads GPT-2's original pair of files: `encoder.json` (or `vocab.json`) and `vocab.bpe` (or
    /// `merges.txt`).
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if a file is missing or damaged.
    pub fn from_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Self, ModelError> {
        let mut hasher = blake3::Hasher::new();
        for path in [vocab, merges] {
            let bytes = std::fs::read(path)
                .map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
            hasher.update(&bytes);
        }
        let bpe = BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy())
            .build()
            .map_err(tokenizer_error)?;
        let mut inner = HfTokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        inner.with_decoder(Some(ByteLevel::default()));
        inner.with_post_processor(Some(ByteLevel::new(true, false, true)));
        inner
            .add_special_tokens([AddedToken::from("<|endoftext|>", true)])
            .map_err(tokenizer_error)?;
        Ok(Self { inner, hash: hasher.finalize().to_hex().to_string() })
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
    /// let tokenizer = attention_probes_models::demo::gpt2()?.tokenizer;
    /// let encoding = tokenizer.encode("Once upon a time")?;
    /// assert_eq!(tokenizer.decode(&encoding.ids)?, "Once upon a time");
    /// # Ok::<(), attention_probes_models::ModelError>(())
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

    /// The text of some ids, special tokens included.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenizer`] if an id is unknown.
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

    /// Number of ids, added tokens included.
    pub fn n_tokens(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Hash of the files, which tells two tokenizers apart.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn tokenizer_error(error: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer { message: error.to_string() }
}
