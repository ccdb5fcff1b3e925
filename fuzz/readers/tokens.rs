//! The body of a token cache: counts, lengths, and ids, behind the right magic and key, and before
//! the right hash.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use attention_probes_activations::{Dataset, TokenizeConfig, tokenize};
use attention_probes_models::Tokenizer;
use attention_probes_models::demo::DemoModel;

use crate::folder::Folder;
use crate::hashed::hashed;

/// Bytes before the counts: magic and key.
pub(crate) const START: usize = 8 + 32;

pub(crate) struct Cache {
    folder: Folder,
    tokenizer: Tokenizer,
    dataset: Dataset,
    path: PathBuf,
    /// What a run writes.
    pub(crate) whole: Vec<u8>,
}

pub(crate) static CACHE: LazyLock<Cache> = LazyLock::new(|| {
    let folder = Folder::new();
    let model = DemoModel::named("demo-gpt2").expect("the model is embedded");
    let tokenizer = model.tokenizer().expect("the tokenizer is whole");
    let texts = vec!["the fox".to_owned(), "a dog ran".to_owned(), "home".to_owned()];
    let dataset = Dataset::from_parts("data", texts).expect("texts");
    let config = TokenizeConfig { max_tokens: 8, cache: Some(folder.path().to_owned()) };
    tokenize(&dataset, &tokenizer, &config).expect("the texts have tokens");
    let mut files = fs::read_dir(folder.path()).expect("the folder can be read");
    let path = files.next().expect("there is a cache").expect("the folder can be read").path();
    let whole = fs::read(&path).expect("the cache can be read");
    Cache { folder, tokenizer, dataset, path, whole }
});

/// Whether the texts have the tokens of the file, and not those that they have without it.
pub(crate) fn read(body: &[u8]) -> bool {
    let Cache { folder, tokenizer, dataset, path, whole } = &*CACHE;
    folder.put(path, &hashed(&[&whole[..START], body].concat()));
    let config = TokenizeConfig { max_tokens: 8, cache: Some(folder.path().to_owned()) };
    let _ = tokenize(dataset, tokenizer, &config);
    // What cannot be used is written again.
    fs::read(path).expect("it can be read")[START..].starts_with(body)
}
