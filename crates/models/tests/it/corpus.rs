//! The corpora of the fuzz targets, what they found included: nothing panics.

use std::path::{Path, PathBuf};

use attention_probes_models::Tokenizer;
use attention_probes_models::load::{load_model, model_from_bytes};
use burn::tensor::Device;

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(path)
}

/// The files of a corpus, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(fuzz("corpus").join(target)).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "{target}");
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn configurations_are_refused_or_lack_their_tensors() {
    let empty = b"\x02\0\0\0\0\0\0\0{}";
    for (path, config) in corpus("config") {
        let error = model_from_bytes(&config, empty, &path, &Device::flex()).err();
        assert!(error.is_some(), "{}", path.display());
    }
}

#[test]
fn weights_load_or_are_refused() {
    let config = std::fs::read(fuzz("tiny.json")).unwrap();
    let load = |(path, weights): &(PathBuf, Vec<u8>)| {
        model_from_bytes(&config, weights, path, &Device::flex()).is_ok()
    };
    assert!(corpus("safetensors").iter().filter(|file| load(file)).count() >= 2);
}

#[test]
fn lists_of_shards_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fuzz("tiny.json"), dir.path().join("config.json")).unwrap();
    std::fs::write(dir.path().join("a.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    for (path, index) in corpus("index") {
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        let error = load_model(dir.path(), &Device::flex()).err();
        assert!(error.is_some(), "{}", path.display());
    }
}

#[test]
fn tokenizers_encode_or_are_refused() {
    let encode = |(_, json): &(PathBuf, Vec<u8>)| {
        Tokenizer::from_bytes(json).is_ok_and(|tokenizer| tokenizer.encode("a b <bos>ab").is_ok())
    };
    assert!(corpus("tokenizer").iter().filter(|file| encode(file)).count() >= 2);
}
