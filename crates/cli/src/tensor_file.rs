//! Named tensors in one file: safetensors or npz.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{NpzArray, NpzData, write_atomically, write_npz};
use serde_json::json;

use crate::exit::InputError;

/// In which form the tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Safetensors,
    Npz,
}

impl Format {
    /// Tells the form by the ending of the name.
    pub(crate) fn from_path(path: &Path) -> Result<Self, InputError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            _ => Err(InputError(format!(
                "`--output {}` is neither .safetensors nor .npz by its name",
                path.display()
            ))),
        }
    }
}

/// Writes the tensors with a note of where they come from.
pub(crate) fn write(
    path: &Path,
    format: Format,
    mut arrays: Vec<(String, NpzArray)>,
    metadata: &[(&str, String)],
) -> Result<()> {
    let metadata: BTreeMap<&str, &str> =
        metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
    match format {
        Format::Safetensors => write_safetensors(path, &arrays, &metadata),
        Format::Npz => {
            let json = serde_json::to_vec(&metadata)?;
            arrays.push(("metadata".to_owned(), NpzArray::new(vec![json.len()], json)));
            let arrays: Vec<(&str, NpzArray)> =
                arrays.iter_mut().map(|(name, array)| (name.as_str(), take_array(array))).collect();
            Ok(write_npz(path, &arrays)?)
        }
    }
}

/// Moves an array out, so that it is not copied.
fn take_array(array: &mut NpzArray) -> NpzArray {
    std::mem::replace(array, NpzArray { shape: vec![0], data: NpzData::F32(Vec::new()) })
}

/// Writes a safetensors file straight from the arrays: the length of the header, the header, and
/// the values. int64 comes first, so that every tensor is aligned.
fn write_safetensors(
    path: &Path,
    arrays: &[(String, NpzArray)],
    metadata: &BTreeMap<&str, &str>,
) -> Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut end = 0;
    for (name, array) in arrays {
        let (dtype, item_bytes) = match array.data {
            NpzData::I64(_) => ("I64", size_of::<i64>()),
            _ => ("F32", size_of::<f32>()),
        };
        let start = end;
        end += array.data.len() * item_bytes;
        let entry = json!({ "dtype": dtype, "shape": array.shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The values begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, array) in arrays {
            match &array.data {
                NpzData::I64(values) => {
                    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
                }
                NpzData::F32(values) => {
                    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
                }
                _ => unreachable!("tensors are int64 or f32"),
            }
        }
        Ok(())
    })?;
    Ok(())
}
