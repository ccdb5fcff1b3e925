//! Errors of the libraries that read files, in plain words.

use std::error::Error;
use std::io;

use safetensors::SafeTensorError;
use zip::result::ZipError;

use crate::{io_words, json_words};

/// What an error of another library says, in plain words; `None` if it is not one of those that are
/// known here: of the operating system, JSON, zip archives, and safetensors files.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::foreign_words;
///
/// let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
/// assert_eq!(foreign_words(&error).as_deref(), Some("the disk is full"));
/// assert_eq!(foreign_words(&std::fmt::Error), None);
/// ```
pub fn foreign_words(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        Some(io_words(error))
    } else if let Some(error) = error.downcast_ref::<serde_json::Error>() {
        Some(json_words(error))
    } else if let Some(error) = error.downcast_ref::<ZipError>() {
        Some(zip_words(error))
    } else {
        error.downcast_ref().map(safetensors_words)
    }
}

fn zip_words(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) => io_words(error),
        ZipError::FileNotFound => "a part of the archive is missing".to_owned(),
        ZipError::InvalidPassword => "it is encrypted".to_owned(),
        ZipError::UnsupportedArchive(what) => {
            format!("it needs what is not read here: {}", what.to_lowercase())
        }
        _ => "it is not a zip archive, or it is damaged or cut off".to_owned(),
    }
}

fn safetensors_words(error: &SafeTensorError) -> String {
    use SafeTensorError as E;
    match error {
        E::IoError(error) => io_words(error),
        E::InvalidHeaderDeserialization(error) | E::JsonError(error) => {
            format!("its header is damaged: {}", json_words(error))
        }
        E::HeaderTooSmall | E::InvalidHeaderLength | E::MetadataIncompleteBuffer => {
            "it is cut off, or not a safetensors file".to_owned()
        }
        E::HeaderTooLarge | E::InvalidHeader(_) | E::InvalidHeaderStart => {
            "it is not a safetensors file".to_owned()
        }
        E::TensorNotFound(name) => format!("it has no tensor `{name}`"),
        E::InvalidOffset(name) => {
            format!("its header is damaged: tensor `{name}` lies outside of the file")
        }
        _ => "its header is damaged: a tensor has another size than its shape and type say"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use safetensors::SafeTensors;
    use zip::ZipArchive;

    use super::*;

    fn words(error: &(dyn Error + 'static)) -> String {
        foreign_words(error).unwrap()
    }

    #[test]
    fn files_that_are_something_else_are_told_in_plain_words() {
        let of_zip = |bytes: &[u8]| words(&ZipArchive::new(Cursor::new(bytes)).unwrap_err());
        for bytes in [&b""[..], b"not an archive", b"PK\x03\x04 cut off"] {
            assert_eq!(of_zip(bytes), "it is not a zip archive, or it is damaged or cut off");
        }
        let of_tensors = |bytes: &[u8]| words(&SafeTensors::deserialize(bytes).unwrap_err());
        assert_eq!(of_tensors(b"PK"), "it is cut off, or not a safetensors file");
        assert_eq!(of_tensors(&[255; 40]), "it is not a safetensors file");
        assert_eq!(of_tensors(b"\x01\0\0\0\0\0\0\0{"), "its header is damaged: it ends early");
        assert_eq!(
            of_tensors(b"\x08\0\0\0\0\0\0\0{\"a\":1} "),
            "its header is damaged: column 7: it is `1`, expected an object"
        );
    }
}
