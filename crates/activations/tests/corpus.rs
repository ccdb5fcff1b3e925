//! The corpora of the fuzz targets for `.npz` files and texts, what they found included: nothing
//! panics.

use std::path::{Path, PathBuf};

use attention_probes_activations::{
    Dataset, DatasetConfig, ExternalActivations, PairConfig, TaggedConfig, read_npz,
};

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
