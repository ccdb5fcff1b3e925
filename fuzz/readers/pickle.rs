//! The pickle of a file that `torch.save` wrote, in an archive with eight storages of zeros.

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use attention_probes_sae::read_sae;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::folder::Folder;

const CONFIG: &[u8] =
    include_bytes!("../../crates/sae/tests/golden/formats/dictionary_learning_topk/config.json");

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new();
    folder.put("config.json", CONFIG);
    folder
});

/// Whether an autoencoder is read.
pub(crate) fn read(pickle: &[u8]) -> bool {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("ae/{name}"), SimpleFileOptions::default())
            .and_then(|()| Ok(zip.write_all(bytes)?))
            .expect("an archive in memory can be written");
    };
    put("data.pkl", pickle);
    put("byteorder", b"little");
    put("version", b"3\n");
    for storage in 0..8 {
        put(&format!("data/{storage}"), &[0; 512]);
    }
    let archive = zip.finish().expect("an archive in memory can be finished").into_inner();
    FOLDER.put("ae.pt", &archive);
    read_sae(FOLDER.path()).is_ok()
}
