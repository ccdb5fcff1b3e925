//! Texts as token ids, packed without padding and cached on disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use attention_probes_errors::{FileError, io_words};
use attention_probes_models::{CutEncoding, ModelError, Tokenizer};
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
/// length; otherwise it is written again. A cache that cannot be written is a warning in the log.
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
            Ok(Some(tokens)) => {
                let max_id = tokenizer.max_id();
                if tokens.ids.iter().all(|id| *id <= max_id) {
                    return tokens.check(n_texts);
                }
                let path = path.display();
                tracing::warn!(%path, "token cache has ids of no token, and is written again");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %io_words(&error), "token cache is written again");
            }
        }
    }

    let of_text = EncodeConfig { max_tokens: config.max_tokens, ..EncodeConfig::default() };
    let encoded = encode_texts(&dataset.texts, tokenizer, of_text);
    let (mut ids, mut lengths, mut n_truncated) = (Vec::new(), Vec::with_capacity(n_texts), 0);
    for (row, text) in encoded.into_iter().enumerate() {
        let text = text.map_err(|source| ActivationError::Tokenize {
            row: dataset.source_rows[row],
            source: Box::new(source),
        })?;
        n_truncated += usize::from(text.is_truncated);
        lengths.push(text.ids.len());
        ids.extend(text.ids);
    }
    if let Some(path) = &path
        && let Err(error) = write_cache(path, &key, &ids, &lengths, n_truncated)
    {
        tracing::warn!(path = %path.display(), %error, "token cache is not written");
    }
    TokenizedDataset::from_lengths(ids, &lengths, n_truncated).check(n_texts)
}

/// How each of several texts becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeConfig {
    /// Most tokens of a text; what follows is cut off. Default as many as it has.
    pub max_tokens: usize,
    /// Whether the tokenizer puts special tokens into a text, such as one for the beginning.
    /// Default yes.
    pub special_tokens: bool,
}

impl Default for EncodeConfig {
    fn default() -> Self {
        Self { max_tokens: usize::MAX, special_tokens: true }
    }
}

/// Turns texts into token ids, on all cores; those that are too long are cut.
///
/// # Errors
///
/// Of a text, [`ModelError::Tokenizer`] if it cannot be encoded.
///
/// # Memory
///
/// The tokens of all texts.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{EncodeConfig, encode_texts};
/// use attention_probes::models::demo::DemoModel;
///
/// let tokenizer = DemoModel::named("demo-gpt2").ok_or("is embedded")?.tokenizer()?;
/// let config = EncodeConfig { max_tokens: 3, ..EncodeConfig::default() };
/// let encoded = encode_texts(&["Once upon a time", "The"], &tokenizer, config);
/// let cut = encoded.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert!(cut[0].is_truncated && !cut[1].is_truncated);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_texts(
    texts: &[impl AsRef<str> + Sync],
    tokenizer: &Tokenizer,
    config: EncodeConfig,
) -> Vec<Result<CutEncoding, ModelError>> {
    let EncodeConfig { max_tokens, special_tokens } = config;
    let encode = |text: &str| {
        if special_tokens {
            tokenizer.encode_up_to(text, max_tokens)
        } else {
            tokenizer.encode_up_to_without_special(text, max_tokens)
        }
    };
    texts.par_iter().map(|text| encode(text.as_ref())).collect()
}

impl TokenizedDataset {
    /// Packs sequences that are already token ids; the empty ones are left out.
    pub fn from_sequences(sequences: &[impl AsRef<[u32]>]) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.as_ref().len()).collect();
        let ids = sequences.iter().flat_map(AsRef::as_ref).copied().collect();
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
        fs::create_dir_all(folder).map_err(FileError::write(folder))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::tokenizer;

    fn dataset(texts: &[&str]) -> Dataset {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Dataset::from_parts("data", texts).unwrap()
    }

    fn sample() -> Dataset {
        dataset(&["a the b", "zzz", "abcabc", "c"])
    }

    fn config(max_tokens: usize, cache: Option<&Path>) -> TokenizeConfig {
        TokenizeConfig { max_tokens, cache: cache.map(Path::to_owned) }
    }

    /// The only file of a cache.
    fn cache_file(folder: &Path) -> PathBuf {
        let files: Vec<_> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        files[0].clone()
    }

    #[test]
    fn long_texts_are_cut_and_texts_without_tokens_left_out() {
        let tokens = tokenize(&sample(), &tokenizer(), &config(4, None)).unwrap();
        assert_eq!(tokens.ids, [0, 9, 6, 1, 0, 1, 2, 0, 2]);
        assert_eq!(tokens.offsets, [0, 4, 8, 9]);
        assert_eq!((tokens.text_rows.clone(), tokens.empty_rows.clone()), (vec![0, 2, 3], vec![1]));
        assert_eq!((tokens.n_truncated, tokens.len()), (1, 3));
        assert_eq!(tokens.sequence(1), [0, 1, 2, 0]);
        assert_eq!(tokens.lengths(), [4, 4, 1]);
    }

    #[test]
    fn the_hash_tells_apart_where_a_sequence_ends() {
        let hash = |sequences: &[&[u32]]| TokenizedDataset::from_sequences(sequences).hash;
        assert_eq!(hash(&[&[1, 2], &[3]]), hash(&[&[1, 2], &[3]]));
        assert_ne!(hash(&[&[1, 2], &[3]]), hash(&[&[1], &[2, 3]]));
    }

    #[test]
    fn no_token_at_all_is_refused() {
        let error = tokenize(&dataset(&["zz"]), &tokenizer(), &config(4, None));
        assert!(matches!(error, Err(ActivationError::NoTokens { n_texts: 1 })));
        let error = tokenize(&sample(), &tokenizer(), &config(0, None)).unwrap_err();
        assert!(matches!(error, ActivationError::NoTokens { n_texts: 4 }));
    }

    #[test]
    fn a_cache_file_is_used_for_the_same_settings_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let tokenizer = tokenizer();
        let plain = tokenize(&sample(), &tokenizer, &config(4, None)).unwrap();
        assert_eq!(tokenize(&sample(), &tokenizer, &config(4, Some(&cache))).unwrap(), plain);

        // Another id in the file, with the right checksum, shows that the file is what is read.
        let path = cache_file(&cache);
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len() - HASH_BYTES;
        bytes[end - 4] = 7;
        let hash = blake3::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(hash.as_bytes());
        fs::write(&path, bytes).unwrap();
        let read = tokenize(&sample(), &tokenizer, &config(4, Some(&cache))).unwrap();
        assert_eq!(read.sequence(2), [7]);
        assert_eq!((&read.empty_rows, read.n_truncated), (&plain.empty_rows, plain.n_truncated));

        tokenize(&sample(), &tokenizer, &config(5, Some(&cache))).unwrap();
        tokenize(&dataset(&["a"]), &tokenizer, &config(4, Some(&cache))).unwrap();
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 3);
    }

    #[test]
    fn counts_that_no_file_backs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (dataset, tokenizer) = (sample(), tokenizer());
        let config = config(4, Some(folder.path()));
        let plain = tokenize(&dataset, &tokenizer, &config).unwrap();
        let path = cache_file(folder.path());
        let good = fs::read(&path).unwrap();
        let key = key_of(&dataset, &tokenizer, 4);
        for (index, count) in [(0, u64::MAX), (1, u64::MAX), (1, 1 << 40), (1, u64::MAX / 4 - 20)] {
            let mut bytes = good[..good.len() - HASH_BYTES].to_vec();
            let start = MAGIC.len() + HASH_BYTES + 8 * index;
            bytes[start..start + 8].copy_from_slice(&count.to_le_bytes());
            let hash = blake3::hash(&bytes);
            bytes.extend(hash.as_bytes());
            fs::write(&path, bytes).unwrap();
            assert!(read_cache(&path, &key, dataset.len()).is_err());
            assert_eq!(tokenize(&dataset, &tokenizer, &config).unwrap(), plain);
            assert_eq!(fs::read(&path).unwrap(), good);
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let tokens = tokenize(&sample(), &tokenizer(), &config(4, Some(&file))).unwrap();
        assert_eq!(tokens.len(), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_cache_is_written_anew(
            position in any::<prop::sample::Index>(),
            flip in 1_u8..=255,
            is_cut in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let config = config(4, Some(folder.path()));
            let (dataset, tokenizer) = (sample(), tokenizer());
            let plain = tokenize(&dataset, &tokenizer, &config).unwrap();
            let path = cache_file(folder.path());
            let good = fs::read(&path).unwrap();
            let mut bytes = good.clone();
            let position = position.index(bytes.len());
            if is_cut {
                bytes.truncate(position);
            } else {
                bytes[position] ^= flip;
            }
            fs::write(&path, bytes).unwrap();
            prop_assert_eq!(tokenize(&dataset, &tokenizer, &config).unwrap(), plain);
            prop_assert_eq!(fs::read(&path).unwrap(), good);
        }
    }
}
