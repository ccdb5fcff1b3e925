//! Files of autoencoders; the first byte chooses which one of a folder that is whole is replaced.

use std::fs;
use std::sync::LazyLock;

use attention_probes_sae::read_sae;

use crate::folder::Folder;

macro_rules! golden {
    ($path:literal) => {
        include_bytes!(concat!("../../crates/sae/tests/golden/formats/", $path)) as &[u8]
    };
}

/// Folder, file, and what it holds.
pub(crate) const FILES: [(&str, &str, &[u8]); 8] = [
    ("sae_lens", "cfg.json", golden!("sae_lens_topk/cfg.json")),
    ("sae_lens", "sae_weights.safetensors", golden!("sae_lens_topk/sae_weights.safetensors")),
    ("sae_lens_old", "cfg.json", golden!("sae_lens_old/cfg.json")),
    ("sae_lens_old", "sae_weights.safetensors", golden!("sae_lens_old/sae_weights.safetensors")),
    ("dictionary", "config.json", golden!("dictionary_learning_topk/config.json")),
    ("dictionary", "ae.pt", golden!("dictionary_learning_topk/ae.pt")),
    ("sparsify", "cfg.json", golden!("sparsify/layers.2.mlp/cfg.json")),
    ("sparsify", "sae.safetensors", golden!("sparsify/layers.2.mlp/sae.safetensors")),
];

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new();
    for (name, file, bytes) in FILES {
        fs::create_dir_all(folder.path().join(name)).expect("a folder can be made");
        folder.put(format!("{name}/{file}"), bytes);
    }
    folder
});

/// Whether an autoencoder is read.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let Some((which, file)) = bytes.split_first() else { return false };
    let (folder, name, whole) = FILES[usize::from(which % 8)];
    let path = format!("{folder}/{name}");
    FOLDER.put(&path, file);
    let is_read = read_sae(FOLDER.path().join(folder)).is_ok();
    FOLDER.put(&path, whole);
    is_read
}
