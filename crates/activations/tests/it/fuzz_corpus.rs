//! The corpora of the fuzz targets for `.npz` files, texts, shards, token caches, and Arrow files,
//! what they found included: nothing panics.

use std::path::{Path, PathBuf};

use attention_probes_activations::{
    Dataset, DatasetConfig, ExternalActivations, PairConfig, TaggedConfig, read_npz,
};

#[cfg(feature = "arrow")]
use crate::arrow;
use crate::{corpus, folder, seed, shards, tokens};

#[test]
fn files_are_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/npz");
    let files = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path());
    let read = |path: &PathBuf| {
        let arrays = read_npz(path);
        ExternalActivations::read(path).is_ok() && arrays.is_ok()
    };
    assert!(files.filter(read).count() >= 2);
}

#[test]
fn texts_are_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/texts");
    let folder = tempfile::tempdir().unwrap();
    let read = |bytes: Vec<u8>| {
        let form = ["csv", "tsv", "jsonl", "parquet"][usize::from(bytes[0] % 4)];
        let path = folder.path().join("texts").with_extension(form);
        std::fs::write(&path, &bytes[1..]).unwrap();
        let columns = ["text", "label"].map(str::to_owned);
        let config = PairConfig { columns, ..PairConfig::default() };
        let _ = Dataset::read_pairs("pairs", &[&path], &config);
        let offsets = Some("label".to_owned());
        for columns in [TaggedConfig::default(), TaggedConfig { offsets, ..Default::default() }] {
            let _ = Dataset::read_tagged("tags", &[&path], &columns);
        }
        Dataset::read("texts", &path, &DatasetConfig::default(), true).is_ok()
    };
    let files = std::fs::read_dir(corpus).unwrap();
    let n_read = files.filter(|file| read(std::fs::read(file.as_ref().unwrap().path()).unwrap()));
    assert!(n_read.count() >= 3);
}

#[test]
fn shards_are_read_or_refused() {
    assert!(corpus::n_read("shards", shards::read) >= 3);
}

#[test]
fn token_caches_are_read_or_written_again() {
    assert!(corpus::n_read("tokens", tokens::read) >= 1);
}

#[cfg(feature = "arrow")]
#[test]
fn arrow_files_are_read_or_refused() {
    assert!(corpus::n_read("arrow", arrow::read) >= 1);
}

#[test]
#[ignore = "writes the seeds of the corpora"]
fn seeds() {
    let folder = folder::Folder::new();
    shards::write(folder.path());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.file_name().unwrap().as_encoded_bytes().starts_with(b"."))
        .collect();
    files.sort();
    for (which, path) in files.iter().enumerate() {
        let bytes = [&[which as u8], &std::fs::read(path).unwrap()[..]].concat();
        let name = path.file_name().unwrap().to_str().unwrap();
        seed::put("shards", &format!("{which}-{name}"), &bytes);
    }
    let whole = &tokens::CACHE.whole;
    seed::put("tokens", "whole", &whole[tokens::START..whole.len() - 32]);
}
