//! The npz archives of `numpy`, written without pickle.

use std::io::{self, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::failing_once::FailingOnce;
use crate::npy::write_values;
use crate::npy_header::npy_header;
use crate::{
    ActivationError, NpzArray, SafetensorsWriter, StoreDtype, TensorDtype, write_atomically,
};

/// Writes arrays as an npz archive that `numpy.load` opens, under a temporary name first.
///
/// The entries are stored, not compressed, and carry no time, so the same arrays always give the
/// same bytes.
///
/// # Errors
///
/// [`ActivationError::File`] if the file cannot be written, two arrays have one name, or one has
/// so many axes that no header holds them.
///
/// # Panics
///
/// If the axes of an array do not multiply to its number of values.
pub fn write_npz(
    path: impl AsRef<Path>,
    arrays: &[(impl AsRef<str>, NpzArray)],
) -> Result<(), ActivationError> {
    for (_, array) in arrays {
        array.assert_consistent();
    }
    write_atomically(path.as_ref(), |file| {
        let mut zip = ZipWriter::new(FailingOnce::new(file));
        for (name, array) in arrays {
            write_entry(&mut zip, name.as_ref(), array)?;
        }
        zip.finish()?;
        Ok(())
    })
}

/// Writes the tensors of a file as an npz under the name of that file, one after the other, and
/// then further arrays. The file itself is not kept.
///
/// # Errors
///
/// [`ActivationError::File`] as [`write_npz`], or if a tensor is bfloat16, which `numpy` does not
/// know.
///
/// # Memory
///
/// A buffer, and the further arrays.
pub fn finish_as_npz(
    mut tensors: SafetensorsWriter,
    more: &[(&str, NpzArray)],
) -> Result<(), ActivationError> {
    let path = tensors.path().to_owned();
    write_atomically(&path, |file| {
        let mut zip = ZipWriter::new(FailingOnce::new(file));
        tensors.read_back(|tensor, values| {
            let descr = match tensor.dtype {
                TensorDtype::Int64 => "<i8",
                TensorDtype::Floats(StoreDtype::F32) => "<f4",
                TensorDtype::Floats(StoreDtype::Bf16) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "bfloat16 in an npz"));
                }
            };
            start_entry(&mut zip, &tensor.name, &tensor.shape, descr, tensor.size_bytes())?;
            io::copy(values, &mut zip)?;
            Ok(())
        })?;
        for (name, array) in more {
            write_entry(&mut zip, name, array)?;
        }
        zip.finish()?;
        Ok(())
    })
}

fn write_entry(
    zip: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    array: &NpzArray,
) -> io::Result<()> {
    let data_bytes = (array.data.len() * array.data.item_bytes()) as u64;
    start_entry(zip, name, &array.shape, &array.data.descr(), data_bytes)?;
    write_values(zip, &array.data)
}

/// Writes what comes before the values of an array.
fn start_entry(
    zip: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    shape: &[usize],
    descr: &str,
    data_bytes: u64,
) -> io::Result<()> {
    let header = npy_header(shape, descr)?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o600)
        .large_file(header.len() as u64 + data_bytes >= u64::from(u32::MAX));
    zip.start_file(format!("{name}.npy"), options)?;
    zip.write_all(&header)
}
