//! Texts as token ids, packed without padding and cached on disk.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use attention_probes_models::Tokenizer;
use rayon::prelude::*;

use crate::{ActivationError, Dataset, write_atomically};

/// First bytes of a cache file; the last two are the version of the format.
const MAGIC: [u8; 8] = *b"aptoks01";

/// Bytes of a BLAKE3 hash.
const HASH_BYTES: usize = blake3::OUT_LEN;

/// Bytes of a cache file before the lengths: magic, key, and three counts.
const HEADER_BYTES: usize = MAGIC.len() + HASH_BYTES + 3 * 8;

/// Token ids of many texts, one after the other.
///
/// A text that has no token is no sequence, so sequences are numbered without gaps and
/// `text_rows` leads back to the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedDataset {
    /// Token ids of all sequences, `[n_tokens]`.
    pub ids: Vec<u32>,
    /// Where each sequence begins among the ids, and at last the number of ids: `[n + 1]`.
    pub offsets: Vec<usize>,
    /// Text that each sequence comes from, an index into [`Dataset::texts`], ascending.
    pub text_rows: Vec<usize>,
    /// Texts that were left out because they have no token.
    pub empty_rows: Vec<usize>,
    /// Number of texts that were cut to the longest length allowed.
    pub n_truncated: usize,
    /// BLAKE3 of the ids and lengths, as hex.
    pub hash: String,
}

/// How texts become tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizeConfig {
    /// Most tokens of a text, special tokens included; what follows is cut off. Default 256.
    pub max_tokens: usize,
    /// Folder to keep the tokens in, made if it is not there. Default none.
    pub cache: Option<PathBuf>,
}

impl Default for TokenizeConfig {
    fn default() -> Self {
        Self { max_tokens: 256, cache: None }
    }
}

/// Turns the texts of a data set into token ids, or reads them from the cache.
///
/// A cache file is used only if it is whole and was made from the same data set, tokenizer, and
/// length; otherwise it is written anew. A cache that cannot be written is a warning in the log.
///
/// # Errors
///
/// - [`ActivationError::Tokenize`] if a text cannot be encoded
/// - [`ActivationError::NoTokens`] if no text has a token
///
/// # Memory
///
/// Four bytes per token, and twice that while they are packed.
pub fn tokenize(
    dataset: &Dataset,
    tokenizer: &Tokenizer,
    config: &TokenizeConfig,
) -> Result<TokenizedDataset, ActivationError> {
    let key = key_of(dataset, tokenizer, config.max_tokens);
    let n_texts = dataset.texts.len();
    let path = config.cache.as_ref().map(|folder| folder.join(format!("{}.tokens", key.to_hex())));
    if let Some(path) = &path {
        match read_cache(path, &key, n_texts) {
            Ok(Some(tokens)) => return tokens.check(n_texts),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "token cache is written anew");
            }
        }
    }

    let encoded: Vec<_> = dataset
        .texts
        .par_iter()
        .map(|text| {
            tokenizer.encode(text).map(|encoding| {
                let mut ids = encoding.ids;
                let is_truncated = ids.len() > config.max_tokens;
                ids.truncate(config.max_tokens);
                (ids, is_truncated)
            })
        })
        .collect();
    let (mut ids, mut lengths, mut n_truncated) = (Vec::new(), Vec::with_capacity(n_texts), 0);
    for (row, text) in encoded.into_iter().enumerate() {
        let (text_ids, is_truncated) =
            text.map_err(|source| ActivationError::Tokenize { row, source })?;
        n_truncated += usize::from(is_truncated);
        lengths.push(text_ids.len());
        ids.extend(text_ids);
    }
    if let Some(path) = &path
        && let Err(error) = write_cache(path, &key, &ids, &lengths, n_truncated)
    {
        tracing::warn!(path = %path.display(), %error, "token cache is not written");
    }
    TokenizedDataset::from_lengths(ids, &lengths, n_truncated).check(n_texts)
}

impl TokenizedDataset {
    /// Packs sequences that are already token ids; the empty ones are left out.
    pub fn from_sequences(sequences: &[impl AsRef<[u32]>]) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.as_ref().len()).collect();
        let ids = sequences.iter().flat_map(|ids| ids.as_ref()).copied().collect();
        Self::from_lengths(ids, &lengths, 0)
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.text_rows.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.text_rows.is_empty()
    }

    /// Token ids of a sequence.
    ///
    /// # Panics
    ///
    /// If there is no such sequence.
    pub fn sequence(&self, index: usize) -> &[u32] {
        &self.ids[self.offsets[index]..self.offsets[index + 1]]
    }

    /// Number of tokens of each sequence.
    pub fn lengths(&self) -> Vec<usize> {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// From the number of ids of every text, zeros included.
    fn from_lengths(ids: Vec<u32>, lengths: &[usize], n_truncated: usize) -> Self {
        let mut hasher = blake3::Hasher::new();
        let (mut offsets, mut text_rows, mut empty_rows) = (vec![0], Vec::new(), Vec::new());
        let mut end = 0;
        for (row, &length) in lengths.iter().enumerate() {
            if length == 0 {
                empty_rows.push(row);
                continue;
            }
            hasher.update(&(length as u64).to_le_bytes());
            for id in &ids[end..end + length] {
                hasher.update(&id.to_le_bytes());
            }
            end += length;
            offsets.push(end);
            text_rows.push(row);
        }
        let hash = hasher.finalize().to_hex().to_string();
        Self { ids, offsets, text_rows, empty_rows, n_truncated, hash }
    }

    fn check(self, n_texts: usize) -> Result<Self, ActivationError> {
        if self.is_empty() { Err(ActivationError::NoTokens { n_texts }) } else { Ok(self) }
    }
}

fn key_of(dataset: &Dataset, tokenizer: &Tokenizer, max_tokens: usize) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&MAGIC);
    for part in [&dataset.hash, tokenizer.hash()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    // The hash of a file does not say which of its columns holds the texts.
    for text in &dataset.texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&(max_tokens as u64).to_le_bytes());
    hasher.finalize()
}

/// Writes magic, key, counts, the length of every text, the ids, and the hash of all that.
fn write_cache(
    path: &Path,
    key: &blake3::Hash,
    ids: &[u32],
    lengths: &[usize],
    n_truncated: usize,
) -> Result<(), ActivationError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|source| ActivationError::Write { path: folder.to_owned(), source })?;
    }
    let counts = [lengths.len(), ids.len(), n_truncated].map(|count| (count as u64).to_le_bytes());
    let mut bytes = Vec::with_capacity(file_bytes(lengths.len(), ids.len()).unwrap_or_default());
    bytes.extend(MAGIC);
    bytes.extend(key.as_bytes());
    bytes.extend(counts.as_flattened());
    for length in lengths {
        bytes.extend((*length as u32).to_le_bytes());
    }
    for id in ids {
        bytes.extend(id.to_le_bytes());
    }
    let hash = blake3::hash(&bytes);
    bytes.extend(hash.as_bytes());
    write_atomically(path, |file| file.write_all(&bytes))
}

/// Size of a cache file; `None` if no file can be so large.
fn file_bytes(n_texts: usize, n_ids: usize) -> Option<usize> {
    n_texts.checked_add(n_ids)?.checked_mul(4)?.checked_add(HEADER_BYTES + HASH_BYTES)
}

/// What a cache file holds; `None` if there is no such file, an error if it is damaged.
fn read_cache(
    path: &Path,
    key: &blake3::Hash,
    n_texts: usize,
) -> io::Result<Option<TokenizedDataset>> {
    let damaged = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)?;
    let (start, counts) = header.split_at(MAGIC.len() + HASH_BYTES);
    if start[..MAGIC.len()] != MAGIC || start[MAGIC.len()..] != *key.as_bytes() {
        return Err(damaged("it begins with other bytes"));
    }
    let count = |index: usize| {
        let bytes: [u8; 8] = std::array::from_fn(|byte| counts[8 * index + byte]);
        usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    };
    let (n_ids, n_truncated) = (count(1), count(2));
    let size_bytes = file_bytes(n_texts, n_ids);
    // The file must really be as large as its counts claim before anything is allocated.
    if count(0) != n_texts || size_bytes.map(|size| size as u64) != Some(file.metadata()?.len()) {
        return Err(damaged("its size contradicts its counts"));
    }
    let mut body = Vec::with_capacity(size_bytes.unwrap_or_default() - HEADER_BYTES);
    file.read_to_end(&mut body)?;
    let Some((body, hash)) = body.split_last_chunk::<HASH_BYTES>() else {
        return Err(damaged("it ends early"));
    };
    if blake3::Hasher::new().update(&header).update(body).finalize() != *hash {
        return Err(damaged("its checksum is wrong"));
    }
    let mut numbers = body.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let lengths: Vec<usize> =
        numbers.by_ref().take(n_texts).map(|length| length as usize).collect();
    let ids: Vec<u32> = numbers.collect();
    if lengths.iter().sum::<usize>() != ids.len() {
        return Err(damaged("its lengths contradict its counts"));
    }
    Ok(Some(TokenizedDataset::from_lengths(ids, &lengths, n_truncated)))
}
