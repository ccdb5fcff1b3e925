//! Lines of `probe score --stream`.

use std::sync::LazyLock;

use attention_probes_probes::{
    Linear, ProbeConfig, ProbeFile, ProbeMetadata, SavedProbe, StreamAnswer, StreamConfig,
    StreamReader,
};
use burn::tensor::Device;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config = ProbeConfig::new(Linear::default(), 3, 2);
    let classes = vec!["no".to_owned(), "yes".to_owned()];
    let metadata = ProbeMetadata {
        layer: Some(1),
        component: Some("resid_post".to_owned()),
        ..ProbeMetadata::new(config.clone(), classes)
    };
    let saved = SavedProbe { state: config.init_state(7), metadata };
    saved.save(folder.path(), "a").expect("the probe can be saved");
    folder
});

thread_local! {
    static PROBE: ProbeFile = ProbeFile::open(&FOLDER.path().join("a_state.npz"), &Device::flex())
        .expect("the probe is whole");
}

/// Whether a line is answered with a verdict; every line must be answered with something.
pub(crate) fn read(lines: &[u8]) -> bool {
    PROBE.with(|probe| {
        let config = StreamConfig { max_streams: 4, ..StreamConfig::default() };
        let mut reader = StreamReader::new(std::slice::from_ref(probe), config)
            .expect("the probe brings all that is asked for");
        let mut lines =
            lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).peekable();
        let Ok(begun) = lines.peek().map(|line| reader.begin(line)).transpose() else {
            return false;
        };
        if begun.flatten().is_some() {
            lines.next();
        }
        reader.check_needs().is_ok()
            && lines.fold(false, |found, line| {
                let is_one = matches!(reader.answer(line).answer, StreamAnswer::One { .. });
                found || is_one
            })
    })
}
