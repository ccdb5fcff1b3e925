//! A folder of shards; the first byte chooses which of its files is replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use attention_probes_activations::{
    ExternalActivations, HookLayout, PartTokens, ShardData, ShardFolder, ShardHook, ShardManifest,
    ShardModel, ShardWriter, StoreDtype,
};
use attention_probes_models::{Convention, Dtype};

use crate::folder::Folder;

/// A folder that is whole: three rows with labels, one of them without a token.
pub(crate) fn write(folder: &Path) {
    let manifest = ShardManifest {
        format_version: 1,
        model: ShardModel {
            name: "tiny".to_owned(),
            revision: "5a".to_owned(),
            dtype: Dtype::default(),
        },
        convention: Convention::default(),
        dtype: StoreDtype::F32,
        hooks: vec![ShardHook {
            name: "hook_embed".to_owned(),
            layout: HookLayout::Tokens,
            shape: vec![2],
        }],
        data: ShardData {
            name: "texts.csv".to_owned(),
            hash: "90".to_owned(),
            n_rows: 3,
            text: Some("text".to_owned()),
            label: Some("label".to_owned()),
            classes: vec!["no".to_owned(), "yes".to_owned()],
        },
        tokenizer: None,
        n_shards: 1,
        rows_per_part: 100,
    };
    let shard = "1/1".parse().expect("a shard of one");
    let mut writer = ShardWriter::open(folder, manifest, shard).expect("the folder is empty");
    let tokens = PartTokens {
        ids: vec![7, 7, 8],
        offsets: vec![0, 1, 1, 3],
        labels: Some(vec![Some(0), None, Some(1)]),
    };
    let mut file = writer.begin(0, &tokens).expect("the part can be made");
    for (row, values) in [&[0.5, 1.5][..], &[], &[2.5; 4]].into_iter().enumerate() {
        file.write(0, row, values).expect("the part can be written to");
    }
    writer.finish(file, Vec::new()).expect("the part is whole");
    writer.close().expect("the shard is whole");
}

/// The files of a folder, by their paths.
type Files = Vec<(PathBuf, Vec<u8>)>;

static FOLDER: LazyLock<(Folder, Files)> = LazyLock::new(|| {
    let folder = Folder::new();
    write(folder.path());
    let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(folder.path())
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.file_name().is_none_or(|name| name.as_encoded_bytes()[0] != b'.'))
        .map(|path| (path.clone(), fs::read(path).expect("the file can be read")))
        .collect();
    files.sort();
    (folder, files)
});

/// Whether the folder is read, by itself and as activations with labels.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let Some((which, file)) = bytes.split_first() else { return false };
    let (folder, files) = &*FOLDER;
    let (path, whole) = &files[usize::from(*which) % files.len()];
    folder.put(path, file);
    let parts = ShardFolder::open(folder.path()).is_ok_and(|shards| {
        (0..shards.parts().len()).all(|index| {
            shards.part(index).is_ok_and(|part| {
                for row in part.rows() {
                    let _ = (part.input_ids(row), part.label(row), part.activations(0, row));
                }
                true
            })
        })
    });
    let external = ExternalActivations::read(folder.path()).is_ok();
    folder.put(path, whole);
    parts && external
}
