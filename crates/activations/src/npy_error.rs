//! What can be wrong with one array of an npz archive.

use std::io;

use attention_probes_errors::ErrorKind;

use crate::wording::shown;

/// Why an array of an npz could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The data is damaged or ends early.
    #[error("it is damaged or cut off")]
    Data {
        /// What went wrong.
        #[from]
        source: io::Error,
    },
    /// The header is malformed.
    #[error("it has no valid npy header: {reason}")]
    Header {
        /// What is wrong with the header.
        reason: &'static str,
    },
    /// The array holds pickled Python objects.
    #[error(
        "it holds pickled objects, which are never read; save it as numbers, or, after \
         `.astype(str)`, as strings"
    )]
    Object,
    /// The array has a type that is not read.
    #[error(
        "it has dtype `{}`, expected float16, float32, float64, bool, an integer, or a string",
        shown(dtype)
    )]
    Type {
        /// Name of the type in `numpy`.
        dtype: String,
    },
    /// A string is not text.
    #[error("it holds a string that is no text in UTF-8; save it as `numpy.str_`")]
    Text,
    /// The array has no axis of layers, or fewer layers.
    #[error(
        "it has shape {shape:?}, expected [n, n_layers, pos, d_model] and layer number {index}"
    )]
    Layer {
        /// The shape that the header claims.
        shape: Vec<usize>,
        /// The layer that was asked for, counted from 0.
        index: usize,
    },
    /// The header claims another size than the entry of the archive has.
    #[error("it claims shape {shape:?}, but its entry has room for {size_bytes} bytes")]
    Size {
        /// The shape that the header claims.
        shape: Vec<usize>,
        /// Bytes that the entry can hold.
        size_bytes: u64,
    },
}

impl NpyError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}
