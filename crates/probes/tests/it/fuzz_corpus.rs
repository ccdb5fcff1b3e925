//! The corpora of the fuzz targets for saved probes and for streams, what they found included:
//! nothing panics, and every line is answered.

use attention_probes_probes::{Linear, ProbeConfig, ProbeMetadata, SavedProbe};

use crate::{corpus, folder, probe, seed, stream};

#[test]
fn probes_are_read_or_refused() {
    assert!(corpus::n_read("probe", probe::read) >= 2);
}

#[test]
fn lines_are_answered_or_refused() {
    assert!(corpus::n_read("stream", stream::read) >= 2);
}

#[test]
#[ignore = "writes the seeds of the corpus"]
fn seeds() {
    let config = ProbeConfig::new(Linear::default(), 4, 2);
    let classes = vec!["no".to_owned(), "yes".to_owned()];
    let saved =
        SavedProbe { state: config.init_state(7), metadata: ProbeMetadata::new(config, classes) };
    let folder = folder::Folder::new();
    let file = std::fs::read(saved.save(folder.path(), "a").unwrap()).unwrap();
    seed::put("probe", "linear.npz", &[&[1], &file[..]].concat());
    let json = std::fs::read(folder.path().join("a_meta.json")).unwrap();
    seed::put("probe", "linear.json", &[&[0], &json[..]].concat());
}
