//! A folder with texts, calls of the command in it, and readers of what it writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::call;

pub(crate) const HOOKS: &str = "blocks.1.hook_resid_post,blocks.0.attn.hook_z,\
    blocks.2.attn.hook_attn_scores,blocks.2.attn.hook_pattern,ln_final.hook_scale";

/// The third row is empty.
pub(crate) const TEXTS: [&str; 5] = [
    "Once upon a time there was a little dog.",
    "Yes.",
    "",
    "The sun was warm, and the girl wanted to play in the garden with her friend.",
    "He ran.",
];

/// A folder with `texts.csv`; the command is run in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let rows: Vec<String> =
            TEXTS.iter().enumerate().map(|(i, text)| format!("{i},\"{text}\"\n")).collect();
        fs::write(folder.path("texts.csv"), format!("id,text\n{}", rows.concat())).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `probe extract` of [`HOOKS`] on `texts.csv` into `o.safetensors`, or as the given flags say;
    /// one whose value is empty has none.
    pub(crate) fn command(&self, flags: &[(&str, &str)]) -> Command {
        let mut all = BTreeMap::from([
            ("--model", "demo-gpt2"),
            ("--hooks", HOOKS),
            ("--output", "o.safetensors"),
        ]);
        if flags.iter().all(|(flag, _)| *flag != "--input-ids") {
            all.insert("--data", "texts.csv");
        }
        all.extend(flags.iter().copied());
        let args = all.into_iter().flat_map(|(flag, value)| [flag, value]);
        let args: Vec<&str> =
            std::iter::once("extract").chain(args.filter(|arg| !arg.is_empty())).collect();
        call::command(self.0.path(), &args)
    }

    /// What a run that succeeds prints to stdout.
    pub(crate) fn succeed(&self, flags: &[(&str, &str)]) -> String {
        call::succeed(&mut self.command(flags)).0
    }

    /// What a run that is refused prints to stderr.
    pub(crate) fn refused(&self, flags: &[(&str, &str)]) -> String {
        call::refused(&mut self.command(flags))
    }
}

pub(crate) fn write_ids(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

pub(crate) fn int64(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Shape and values of every f32 tensor.
pub(crate) fn read_safetensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = file.tensors().into_iter().filter(|(_, tensor)| tensor.dtype() == Dtype::F32);
    let values = |bytes: &[u8]| {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    floats.map(|(name, tensor)| (name, (tensor.shape().to_vec(), values(tensor.data())))).collect()
}

/// Token ids of four rows of four tokens, of which some are padding; the last row has nothing else.
pub(crate) const PADDED_IDS: [i64; 16] = [5, 6, 7, 8, 0, 0, 9, 10, 11, 0, 12, 0, 1, 1, 1, 1];

/// Which of them are real.
pub(crate) const PADDED_MASK: [i64; 16] = [1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0];

/// Writes [`PADDED_IDS`] and their mask to `ids.safetensors`.
pub(crate) fn write_padded_ids(folder: &Folder) {
    write_ids(
        &folder.path("ids.safetensors"),
        &[
            ("input_ids", Dtype::I64, &[4, 4], int64(&PADDED_IDS)),
            ("attention_mask", Dtype::I64, &[4, 4], int64(&PADDED_MASK)),
        ],
    );
}
