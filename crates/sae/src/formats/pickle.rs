//! State dicts in the files of `torch.save`, read without running anything.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use attention_probes_errors::FileError;
use half::{bf16, f16};
use pytorch_reader::{DType, PytorchError, PytorchReader};

use super::arrays::{Array, Arrays, chunks};
use crate::SaeError;
use crate::config::SaeDtype;
use crate::error::plain;

/// Largest pickle in an archive: it holds names and shapes only.
const MAX_PICKLE_BYTES: u64 = 16 << 20;

/// Modules whose names a state dict may ask for.
const MODULES: [&str; 4] = ["collections", "torch", "torch._utils", "torch.storage"];

/// Reads every tensor of a state dict.
///
/// The pickle is never run. One that asks for what no state dict needs is refused by name.
pub(super) fn read(path: &Path) -> Result<Arrays, SaeError> {
    let damaged = |reason: String| SaeError::Weights { path: path.to_owned(), reason };
    refuse_foreign_globals(path)?;
    let reader = PytorchReader::new(path).map_err(|source| damaged(words(&source)))?;
    let mut arrays = BTreeMap::new();
    for tensor in reader.tensors().values() {
        let dtype = match tensor.dtype() {
            DType::F32 | DType::F64 => Some(SaeDtype::Float32),
            DType::BF16 => Some(SaeDtype::Bfloat16),
            DType::F16 => Some(SaeDtype::Float16),
            DType::I64 | DType::I32 => None,
            other => {
                return Err(damaged(format!("`{}` holds {other:?}", tensor.name)));
            }
        };
        let bytes = tensor.read().map_err(|source| damaged(plain(&source)))?;
        let values = match tensor.dtype() {
            DType::BF16 => chunks(&bytes, |b| bf16::from_ne_bytes(b).to_f32()),
            DType::F16 => chunks(&bytes, |b| f16::from_ne_bytes(b).to_f32()),
            DType::F64 => chunks(&bytes, |b| f64::from_ne_bytes(b) as f32),
            DType::I64 => chunks(&bytes, |b| i64::from_ne_bytes(b) as f32),
            DType::I32 => chunks(&bytes, |b| i32::from_ne_bytes(b) as f32),
            _ => chunks(&bytes, f32::from_ne_bytes),
        };
        arrays.insert(tensor.name.clone(), Array { shape: tensor.shape().to_vec(), values, dtype });
    }
    Ok(Arrays::new(path, arrays))
}

/// What is wrong with a file of `torch.save`.
fn words(error: &PytorchError) -> String {
    let read = match error {
        PytorchError::Io(error) | PytorchError::Tar(error) => plain(error),
        PytorchError::Zip(error) => plain(error),
        PytorchError::InvalidFormat(reason) => reason.clone(),
        PytorchError::KeyNotFound(name) => format!("it has no tensor `{name}`"),
        _ => "its pickle is damaged, or of a form that is not read".to_owned(),
    };
    read.trim_end_matches('.').to_owned()
}

/// Refuses a pickle that names anything but tensors and their containers.
fn refuse_foreign_globals(path: &Path) -> Result<(), SaeError> {
    let damaged = |reason: String| SaeError::Weights { path: path.to_owned(), reason };
    let file = File::open(path).map_err(FileError::read(path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|source| {
        damaged(format!("{}; expected the archive that `torch.save` writes", plain(&source)))
    })?;
    let name = archive
        .file_names()
        .find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .map(str::to_owned)
        .ok_or_else(|| damaged("it has no `data.pkl`".to_owned()))?;
    let entry = archive.by_name(&name).map_err(|source| damaged(plain(&source)))?;
    let mut pickle = Vec::new();
    entry
        .take(MAX_PICKLE_BYTES + 1)
        .read_to_end(&mut pickle)
        .map_err(|source| damaged(plain(&source)))?;
    if pickle.len() as u64 > MAX_PICKLE_BYTES {
        return Err(damaged(format!("its pickle is larger than {MAX_PICKLE_BYTES} bytes")));
    }
    match foreign_global(&pickle) {
        Some(global) => Err(SaeError::Pickle { path: path.to_owned(), global }),
        None => Ok(()),
    }
}

/// The first name of a class or function in a pickle that is not one of [`MODULES`].
///
/// Walks over the instructions without obeying them; bytes that are none end the walk, since the
/// reader of the tensors refuses them.
fn foreign_global(pickle: &[u8]) -> Option<String> {
    let mut rest = pickle;
    let mut strings = Strings::default();
    while let Some((&code, tail)) = rest.split_first() {
        rest = tail;
        let global = match code {
            b'.' => return None,
            b'c' | b'i' => {
                let (module, name) = (take_line(&mut rest)?, take_line(&mut rest)?);
                strings.top = None;
                Some((module, name))
            }
            0x93 => {
                let [module, name] = std::mem::take(&mut strings.last);
                strings.top = None;
                let known = |name: Option<Rc<str>>| {
                    name.map_or_else(
                        || "a name that it puts together".to_owned(),
                        |n| n.to_string(),
                    )
                };
                Some((known(module), known(name)))
            }
            b'o' | 0x82..=0x84 => Some(("an extension".to_owned(), format!("{code:#x}"))),
            b'V' | b'S' => {
                strings.push(Some(&take_line(&mut rest)?));
                None
            }
            b'X' | b'T' | b'U' | 0x8c | 0x8d => {
                let length = take_length(&mut rest, code)?;
                let bytes = take(&mut rest, length)?;
                strings.push(str::from_utf8(bytes).ok());
                None
            }
            // What is fetched from the memo may be a string.
            b'h' | b'j' | b'g' => {
                let index = take_index(&mut rest, code)?;
                let found = strings.memo.get(&index).cloned().flatten();
                strings.push_known(found);
                None
            }
            b'q' | b'r' | b'p' => {
                let index = take_index(&mut rest, code)?;
                strings.memo.insert(index, strings.top.clone());
                None
            }
            0x94 => {
                strings.memo.insert(strings.memo.len() as u64, strings.top.clone());
                None
            }
            _ => {
                skip_argument(&mut rest, code)?;
                strings.top = None;
                None
            }
        };
        if let Some((module, name)) = global
            && !MODULES.contains(&module.as_str())
        {
            return Some(format!("{module}.{name}"));
        }
    }
    None
}

/// Strings of a pickle as far as names are made of them.
#[derive(Default)]
struct Strings {
    /// The last two, which `STACK_GLOBAL` takes for module and name; `None` of what is not known.
    last: [Option<Rc<str>>; 2],
    /// What the last instruction put on the stack, if that was a string.
    top: Option<Rc<str>>,
    /// What was kept for later by its number.
    memo: HashMap<u64, Option<Rc<str>>>,
}

impl Strings {
    /// A string is put on the stack.
    fn push(&mut self, string: Option<&str>) {
        self.push_known(string.map(Rc::from));
    }

    fn push_known(&mut self, string: Option<Rc<str>>) {
        self.top.clone_from(&string);
        self.last.swap(0, 1);
        self.last[1] = string;
    }
}

/// The number of a place in the memo.
fn take_index(rest: &mut &[u8], code: u8) -> Option<u64> {
    match code {
        b'h' | b'q' => take(rest, 1).map(|bytes| u64::from(bytes[0])),
        b'j' | b'r' => {
            let bytes = take(rest, 4)?;
            Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
        }
        _ => take_line(rest)?.parse().ok(),
    }
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(n)?;
    *rest = tail;
    Some(taken)
}

fn take_line(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = take(rest, end + 1)?;
    Some(String::from_utf8_lossy(&line[..end]).into_owned())
}

/// The length that precedes a string or bytes.
fn take_length(rest: &mut &[u8], code: u8) -> Option<usize> {
    let n_bytes = match code {
        b'U' | b'C' | 0x8a | 0x8c => 1,
        b'T' | b'X' | b'B' | 0x8b => 4,
        _ => 8,
    };
    let mut length = [0; 8];
    length[..n_bytes].copy_from_slice(take(rest, n_bytes)?);
    usize::try_from(u64::from_le_bytes(length)).ok()
}

/// Passes over what follows an instruction that names nothing.
fn skip_argument(rest: &mut &[u8], code: u8) -> Option<()> {
    match code {
        b'I' | b'L' | b'F' | b'P' => take_line(rest).map(|_| ()),
        b'K' | 0x80 => take(rest, 1).map(|_| ()),
        b'M' => take(rest, 2).map(|_| ()),
        b'J' => take(rest, 4).map(|_| ()),
        b'G' | 0x95 => take(rest, 8).map(|_| ()),
        b'C' | b'B' | 0x8a | 0x8b | 0x8e | 0x96 => {
            let length = take_length(rest, code)?;
            take(rest, length).map(|_| ())
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_state_dict_needs_is_let_through() {
        let pickle = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x05\x00\x00\x00W_enc\
            ctorch._utils\n_rebuild_tensor_v2\nq\x02.cos\nsystem\n";
        // What comes after the end is never reached.
        assert_eq!(foreign_global(pickle), None);
    }

    #[test]
    fn a_name_that_runs_code_is_found_in_every_protocol() {
        assert_eq!(
            foreign_global(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").unwrap(),
            "os.system"
        );
        let stacked =
            b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93.";
        assert_eq!(foreign_global(stacked).unwrap(), "posix.system");
        assert_eq!(foreign_global(b"(S'ls'\nios\nsystem\n.").unwrap(), "os.system");
        let hidden = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93.";
        assert_eq!(foreign_global(hidden).unwrap(), "os.system");
        // What a tuple or an unknown place of the memo gives is no name that is known.
        let unknown = b"\x80\x04\x8c\x05torch\x94)q\x07h\x07h\x08\x93.";
        assert!(foreign_global(unknown).unwrap().contains("puts together"), "{unknown:?}");
        assert!(foreign_global(b"\x80\x02\x82\x01.").unwrap().contains("extension"));
    }

    #[test]
    fn names_are_followed_through_the_memo() {
        // `torch` is written once, and fetched from the memo for the second name.
        let pickle = b"\x80\x04\x8c\x05torch\x94\x8c\x0cFloatStorage\x94\x93\x94\
            h\x00\x8c\x0bLongStorage\x94\x93\x94.";
        assert_eq!(foreign_global(pickle), None);
        // A name of the memo that was given another string since.
        let changed = b"\x80\x04\x8c\x05torch\x940\x8c\x02osq\x000\
            h\x00\x8c\x06system\x93.";
        assert_eq!(foreign_global(changed).unwrap(), "os.system");
    }

    #[test]
    fn a_damaged_pickle_ends_the_walk() {
        for pickle in [&b"X\xff\xff\xff\xff"[..], b"c", b"cos", b"\x8d\x01", b"G\x00"] {
            assert_eq!(foreign_global(pickle), None);
        }
    }
}
