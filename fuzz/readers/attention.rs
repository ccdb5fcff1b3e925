//! A file of attention, of one layer and two contexts of four tokens.

use std::sync::LazyLock;

use attention_probes_sae::{AttentionLayers, Contexts};

use crate::folder::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// Whether the attention is read.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let contexts = Contexts::pack([&[1, 2, 3, 4, 5, 6, 7, 8][..]], 4, None, None);
    let path = FOLDER.put("attention.safetensors", bytes);
    AttentionLayers::open(&path, "these", &[0], &contexts).is_ok_and(|layers| {
        let store = layers.of_layer(0).expect("the layer was asked for");
        (0..contexts.len()).all(|context| (0..4).all(|row| store.row(context, row).count() <= 4))
    })
}
